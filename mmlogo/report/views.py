"""Draws the crops of some images, and the views that they become."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from mmlogo.report.theme import LIGHT, new_figure
from mmlogo.views.apply import change_colours, crop
from mmlogo.views.draw import draw_boxes, draw_look
from mmlogo.views.spec import ViewSpec

COLOURS = LIGHT.roles
WIDTH = 8.0  # inches
_EDGE, _GAP, _LINE, _HEAD = 0.06, 0.14, 0.17, 0.27  # inches


class View(NamedTuple):
    """A view as training makes it, before its normalisation."""

    pixels: Tensor  # (3, S, S) float32 in [0, 1]
    box: tuple[int, int, int, int]  # top, left, height, width in its image
    flipped: bool
    share: float  # of the image's area, per cent


def make_view(image: Tensor, seeds: Tensor, place: int, spec: ViewSpec) -> View:
    """Make one view of an image.

    Args:
        image: (3, H, W) uint8.
        seeds: (3,) int64: seed, epoch and index of the sample.
        place: The place of the view in the list of views.
        spec: The spec at this place.
    """
    batch, (_, height, width) = seeds[None], image.shape
    boxes = draw_boxes(batch, place, spec, height, width)
    look = draw_look(batch, place, spec)
    x = change_colours(crop(image[None], boxes, look.flip, spec.size), look, spec)
    top, left, h, w = boxes[0].tolist()
    share = 100 * h * w / (height * width)
    return View(x[0], (top, left, h, w), bool(look.flip[0]), share)


def label_of(specs: Sequence[ViewSpec], place: int) -> str:
    """Return the label of a view: g1, g2, ... for globals and l1, l2, ... for locals."""
    role = specs[place].role
    return f'{role[0]}{1 + sum(spec.role == role for spec in specs[:place])}'


def draw_views(
    images: Tensor | Sequence[Tensor],
    seeds: Tensor,
    specs: Sequence[ViewSpec],
    path: str | os.PathLike,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Draw a row for each image: the image with the boxes of its crops, then every view.

    A box has the label of its view: g1, g2, ... or l1, l2, ... If local views are much
    smaller than global ones, two of them share a column.

    Args:
        images: N images, each (3, H, W) uint8 RGB. Their sizes may differ.
        seeds: (N, 3) int64: seed, epoch and index of each sample, as training has them.
        specs: One per view, globals first.
        path: The file to write. Its ending says which format.
        titles: A line for each image, drawn below it; default: no lines.

    Raises:
        ValueError: If there is no image, or not one row of seeds (or one title) per image.
    """
    given = {'seeds': len(seeds), 'titles': len(images) if titles is None else len(titles)}
    for name, count in given.items():
        if count != len(images) or not count:
            raise ValueError(
                f'{count} {name} for {len(images)} images; give at least one image and '
                f'exactly one of its {name} for each'
            )
    largest = max(spec.size for spec in specs)
    small = [place for place, spec in enumerate(specs) if spec.size <= 0.6 * largest]
    columns = [[place] for place in range(len(specs)) if place not in small]
    columns += [small[i : i + 2] for i in range(0, len(small), 2)]
    # the widest image sets the width of their column; small views have half of one
    widths = [max(image.shape[2] / image.shape[1] for image in images)]
    widths += [0.5 if places[0] in small else 1.0 for places in columns]
    side = (WIDTH - _EDGE * 2 - _GAP * len(columns)) / sum(widths)
    height = _HEAD + len(images) * (side + _LINE + _GAP)
    figure = new_figure(WIDTH, height, LIGHT)
    figure.set_layout_engine('none')
    grid = figure.add_gridspec(
        len(images),
        len(widths),
        width_ratios=widths,
        left=_EDGE / WIDTH,
        right=1 - _EDGE / WIDTH,
        top=1 - _HEAD / height,
        bottom=(_LINE + _GAP) / height,
        wspace=_GAP * len(widths) / (side * sum(widths)),
        hspace=(_LINE + _GAP) / side,
    )
    for n, image in enumerate(images):
        source = figure.add_subplot(grid[n, 0])
        _show(source, image.float() / 255, titles[n] if titles else '')
        if n == 0:
            _head(source, 'image and its crops', LIGHT.ink)
        seen: set[ViewSpec] = set()
        taken: list[tuple[float, float]] = []
        for column, places in enumerate(columns, 1):
            halves = 2 if places[0] in small else 1
            cells = grid[n, column].subgridspec(halves, 1, hspace=2 * _LINE / side)
            for half, place in enumerate(places):
                spec, label = specs[place], label_of(specs, place)
                view, colour = make_view(image, seeds[n], place, spec), COLOURS[spec.role]
                axes = figure.add_subplot(cells[half])
                area = ' of the area' if place not in small else ''
                flipped = ', flipped' if view.flipped else ''
                _show(axes, view.pixels, f'{view.share:.0f} %{area}{flipped}', colour)
                _chip(axes, 0, 0, label, colour)
                if n == 0 and spec not in seen:
                    _head(axes, f'{spec.role}, {spec.size} px', colour)
                seen.add(spec)
                _box(source, view.box, label, colour, taken)
    figure.savefig(path)
    return figure


def draw_crops(
    image: Tensor, seeds: Tensor, specs: Sequence[ViewSpec], path: str | os.PathLike
) -> Figure:
    """Draw one image with the boxes of its crops, and nothing else.

    Args:
        image: (3, H, W) uint8 RGB.
        seeds: (3,) int64: seed, epoch and index of the sample.
        specs: One per view, globals first.
        path: The file to write. Its ending says which format.
    """
    _, height, width = image.shape
    side = 2.4 / min(height, width)
    figure = new_figure(side * width, side * height, LIGHT)
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    _show(axes, image.float() / 255)
    taken: list[tuple[float, float]] = []
    for place, spec in enumerate(specs):
        boxes = draw_boxes(seeds[None], place, spec, height, width).tolist()
        _box(axes, boxes[0], label_of(specs, place), COLOURS[spec.role], taken)
    figure.savefig(path)
    return figure


def _show(axes: Axes, image: Tensor, text: str = '', colour: str | None = None) -> None:
    """Show an image (3, H, W) in [0, 1] with a text below it and a frame in a colour."""
    _, height, width = image.shape
    axes.imshow(
        image.permute(1, 2, 0).numpy(),
        interpolation='nearest' if min(height, width) <= 64 else 'antialiased',
        extent=(0, width, height, 0),  # a box from a to b covers pixels a to b - 1
    )
    axes.set(xticks=[], yticks=[], anchor='NW')
    axes.spines[:].set(visible=colour is not None, color=colour, lw=2.2)
    axes.set_xlabel(text, loc='left', fontsize=7.2, color=LIGHT.faint, labelpad=2.5)


def _head(axes: Axes, text: str, colour: str) -> None:
    axes.set_title(text, loc='left', **LIGHT.bold(9.5, colour))


def _box(
    axes: Axes,
    box: Sequence[int],
    label: str,
    colour: str,
    taken: list[tuple[float, float]],
) -> None:
    """Outline a crop on its image. `taken` holds the corners that have a label already."""
    top, left, height, width = box
    for edge, line, name in (('white', 3.4, None), (colour, 1.9, label)):
        patch = Rectangle((left, top), width, height, fill=False, ec=edge, lw=line)
        patch.set(gid=name, clip_on=False)
        axes.add_patch(patch)
    corners = [(left + x * width, top + y * height) for y in (0, 1) for x in (0, 1)]
    # the corner farthest from the labels that are there, so that none is covered
    away = [
        min((abs(x - a) + abs(y - b) for a, b in taken), default=0.0) for x, y in corners
    ]
    n = away.index(max(away))
    taken.append(corners[n])
    _chip(axes, *corners[n], label, colour, right=n % 2, bottom=n // 2)


def _chip(
    axes: Axes,
    x: float,
    y: float,
    label: str,
    colour: str,
    right: int = 0,
    bottom: int = 0,
) -> None:
    """Write a label on a ground of this colour, inside the corner (x, y)."""
    axes.annotate(
        label,
        (x, y),
        xytext=(-2 if right else 2, 2 if bottom else -2),
        textcoords='offset points',
        ha='right' if right else 'left',
        va='bottom' if bottom else 'top',
        bbox=dict(boxstyle='square,pad=0.25', fc=colour, ec='none'),
        annotation_clip=False,
        **LIGHT.bold(7.5, 'white'),
    )
