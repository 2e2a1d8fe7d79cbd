"""A picture of the crops of some images, and of the views they become."""

from __future__ import annotations

import os
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Transform
from torch import Tensor

from mmlogo.report.theme import LIGHT
from mmlogo.views.apply import change_colours, crop
from mmlogo.views.draw import draw_boxes, draw_look
from mmlogo.views.spec import ViewSpec

COLOURS = LIGHT.roles
INK, FAINT = LIGHT.ink, LIGHT.faint
WIDTH = 8.0  # inches; 1600 pixels at DPI
DPI = 200

_MARGIN, _GAP, _CAPTION, _HEADER = 0.06, 0.14, 0.17, 0.27  # inches


def make_view(
    image: Tensor, key: Tensor, place: int, spec: ViewSpec
) -> tuple[Tensor, tuple[int, int, int, int], bool]:
    """One view as training makes it, before it is normalised.

    Args:
        image: (3, H, W) uint8.
        key: (3,) int64, the sample's key.
        place: The view's place in the list of views.
        spec: The view.

    Returns:
        (3, S, S) float32 in [0, 1]; its box: top, left, height, width; whether
        it is flipped.
    """
    keys = key[None]
    boxes = draw_boxes(keys, place, spec, *image.shape[1:])
    look = draw_look(keys, place, spec)
    x = change_colours(crop(image[None], boxes, look.flip, spec.size), look, spec)
    return x[0], tuple(boxes[0].tolist()), bool(look.flip[0])


def draw_views(
    images: Tensor | Sequence[Tensor],
    keys: Tensor,
    specs: Sequence[ViewSpec],
    path: str | os.PathLike,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Draw a row per image: the image with its crop boxes, then every view.

    A box and its view share a label, g1, g2, ... and l1, l2, ...; local views
    much smaller than the global ones are drawn two in a column.

    Args:
        images: N images, each (3, H, W) uint8 RGB; sizes may differ.
        keys: (N, 3) int64: seed, epoch, index, as training has them.
        specs: One per view, globals first.
        path: File to write; its ending says which kind.
        titles: A line under each image.

    Raises:
        ValueError: If there is no image, or not one key (or title) per image.
    """
    given = {'keys': len(keys), 'titles': len(images) if titles is None else len(titles)}
    for name, count in given.items():
        if count != len(images) or not count:
            raise ValueError(
                f'{count} {name} for {len(images)} images; give at least one image and '
                f'exactly one of its {name} for each'
            )
    columns = _columns(specs)
    # sources share the height of the rows, and the widest sets their column
    aspect = max(image.shape[2] / image.shape[1] for image in images)
    free = WIDTH - 2 * _MARGIN - _GAP * len(columns)
    side = free / (aspect + sum(width for width, _ in columns))
    if any(len(places) == 2 for _, places in columns):  # a stack needs its captions
        side = (free + _CAPTION * sum(len(p) == 2 for _, p in columns) / 2) / (
            aspect + sum(width for width, _ in columns)
        )
    row = side + _CAPTION + _GAP
    height = _HEADER + row * len(images)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor='white')
    FigureCanvasAgg(figure)
    _headers(figure, columns, specs, aspect * side, side)
    for n, image in enumerate(images):
        top = _HEADER + n * row
        title = '' if titles is None else titles[n]
        source = _axes(figure, _MARGIN, top, aspect * side, side, anchor='NW')
        _show(source, image.float() / 255)
        _caption(source, title)
        left = _MARGIN + aspect * side + _GAP
        taken: list[tuple[float, float]] = []
        for width, places in columns:
            cell = width * side if len(places) == 1 else (side - _CAPTION) / 2
            for depth, place in enumerate(places):
                spec, label = specs[place], label_of(specs, place)
                view, box, flipped = make_view(image, keys[n], place, spec)
                axes = _axes(figure, left, top + depth * (cell + _CAPTION), cell, cell)
                _show(axes, view)
                _frame(axes, COLOURS[spec.role])
                _chip(axes, 0, 1, label, spec.role, transform=axes.transAxes)
                _caption(axes, _describe(box, image, spec, flipped, narrow=cell < 1.2))
                _box(source, box, label, spec.role, taken)
            left += cell + _GAP
    figure.savefig(path)
    return figure


def draw_crops(
    image: Tensor, key: Tensor, specs: Sequence[ViewSpec], path: str | os.PathLike
) -> Figure:
    """Draw one image with the boxes of its crops, and nothing else.

    Args:
        image: (3, H, W) uint8 RGB.
        key: (3,) int64, the sample's key.
        specs: One per view, globals first.
        path: File to write; its ending says which kind.
    """
    side, edge = 2.4, 0.04  # inches; the edge is for boxes that lie on it
    _, height, width = image.shape
    size = side * max(1, width / height), side * max(1, height / width)
    figure = Figure(figsize=(size[0] + 2 * edge, size[1] + 2 * edge), dpi=DPI)
    figure.patch.set_alpha(0)
    FigureCanvasAgg(figure)
    axes = _axes(figure, edge, edge, *size)
    _show(axes, image.float() / 255)
    taken: list[tuple[float, float]] = []
    for place, spec in enumerate(specs):
        boxes = draw_boxes(key[None], place, spec, height, width)
        top, left, h, w = boxes[0].tolist()
        _box(axes, (top, left, h, w), label_of(specs, place), spec.role, taken)
    figure.savefig(path)
    return figure


def _columns(specs: Sequence[ViewSpec]) -> list[tuple[float, list[int]]]:
    """Columns of views: width in row heights, and the places it shows."""
    largest = max(spec.size for spec in specs)
    small = [place for place, spec in enumerate(specs) if spec.size <= 0.6 * largest]
    columns = [(1.0, [place]) for place in range(len(specs)) if place not in small]
    return columns + [(0.5, small[i : i + 2]) for i in range(0, len(small), 2)]


def label_of(specs: Sequence[ViewSpec], place: int) -> str:
    """g1, g2, ... and l1, l2, ...: a view's role and its number in it."""
    role = specs[place].role
    return f'{role[0]}{1 + sum(spec.role == role for spec in specs[:place])}'


def _describe(
    box: tuple[int, int, int, int],
    image: Tensor,
    spec: ViewSpec,
    flipped: bool,
    narrow: bool,
) -> str:
    share = 100 * box[2] * box[3] / (image.shape[1] * image.shape[2])
    if narrow:
        return f'{share:.0f} %{", flipped" if flipped else ""}'
    return f'{share:.0f} % of the area{", flipped" if flipped else ""}'


def _headers(
    figure: Figure,
    columns: Sequence[tuple[float, list[int]]],
    specs: Sequence[ViewSpec],
    source_width: float,
    side: float,
) -> None:
    _header(figure, _MARGIN, 'image and its crops', INK)
    left, seen = _MARGIN + source_width + _GAP, set()
    for width, places in columns:
        spec = specs[places[0]]
        cell = width * side if len(places) == 1 else (side - _CAPTION) / 2
        if spec not in seen:
            many = 's' if sum(s.role == spec.role for s in specs) > 1 else ''
            narrow = cell < 1.2 and len([c for c in columns if specs[c[1][0]] == spec]) == 1
            name = spec.role if narrow else f'{spec.role} view{many}'
            text = f'{name}, {spec.size} px'
            _header(figure, left, text, COLOURS[spec.role])
        seen.add(spec)
        left += cell + _GAP


def _header(figure: Figure, left: float, text: str, colour: str) -> None:
    width, height = figure.get_size_inches()
    figure.text(
        left / width,
        1 - (_HEADER - 0.07) / height,
        text,
        color=colour,
        fontsize=9.5,
        fontweight='bold',
        ha='left',
        va='bottom',
    )


def _axes(
    figure: Figure, left: float, top: float, width: float, height: float, anchor: str = 'C'
) -> Axes:
    """Axes without ticks, placed in inches from the top left corner."""
    w, h = figure.get_size_inches()
    axes = figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))
    axes.set_anchor(anchor)
    axes.set_axis_off()
    return axes


def _show(axes: Axes, image: Tensor) -> None:
    """(3, H, W) in [0, 1]; small images keep their pixels visible."""
    _, height, width = image.shape
    axes.imshow(
        image.permute(1, 2, 0).numpy(),
        interpolation='nearest' if min(height, width) <= 64 else 'antialiased',
        extent=(0, width, height, 0),  # a box from a to b covers pixels a to b - 1
    )


def _caption(axes: Axes, text: str) -> None:
    axes.annotate(
        text,
        (0, 0),
        xytext=(0, -2.5),
        xycoords='axes fraction',
        textcoords='offset points',
        fontsize=7.2,
        color=FAINT,
        ha='left',
        va='top',
        annotation_clip=False,
    )


def _frame(axes: Axes, colour: str) -> None:
    axes.add_patch(
        Rectangle(
            (0, 0),
            1,
            1,
            transform=axes.transAxes,
            fill=False,
            ec=colour,
            lw=2.2,
            clip_on=False,
        )
    )


def _box(
    axes: Axes,
    box: tuple[int, int, int, int],
    label: str,
    role: str,
    taken: list[tuple[float, float]],
) -> None:
    """A crop's outline on its image; `taken` holds the corners that have a label."""
    top, left, height, width = box
    for colour, line, name in (('white', 3.4, None), (COLOURS[role], 1.9, label)):
        patch = Rectangle(
            (left, top), width, height, fill=False, ec=colour, lw=line, clip_on=False
        )
        patch.set_gid(name)
        axes.add_patch(patch)
    corners = [(x, y) for y in (0, 1) for x in (0, 1)]
    # the corner farthest from the labels that are there, so that none is covered
    away = [
        min(
            (abs(left + x * width - a) + abs(top + y * height - b) for a, b in taken),
            default=0.0,
        )
        for x, y in corners
    ]
    x, y = corners[away.index(max(away))]
    at = (left + x * width, top + y * height)
    taken.append(at)
    _chip(axes, *at, label, role, right=bool(x), bottom=bool(y))


def _chip(
    axes: Axes,
    x: float,
    y: float,
    label: str,
    role: str,
    right: bool = False,
    bottom: bool = False,
    transform: Transform | None = None,
) -> None:
    """A label in its role's colour, inside the corner (x, y)."""
    axes.annotate(
        label,
        (x, y),
        xycoords=transform or 'data',
        xytext=(-2 if right else 2, 2 if bottom else -2),
        textcoords='offset points',
        fontsize=7.5,
        fontweight='bold',
        color='white',
        ha='right' if right else 'left',
        va='bottom' if bottom else 'top',
        bbox=dict(boxstyle='square,pad=0.25', fc=COLOURS[role], ec='none'),
        annotation_clip=False,
    )
