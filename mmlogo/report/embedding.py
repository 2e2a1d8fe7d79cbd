"""Draws maps of features, in which samples that are alike to the network lie close."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch.nn.functional as F
from adjustText import adjust_text
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from torch import Tensor

from mmlogo.report.theme import COLOURS, LIGHT, Theme, new_figure

MARKERS = 'oD^Xsv*P'  # ten classes share a marker and differ in colour


def embed(features: Tensor) -> np.ndarray:
    """Place features (N, D) on a map (N, 2) by t-SNE of their cosines.

    The same features give the same map, because t-SNE starts from their first two principal
    components.

    Raises:
        ValueError: If there are fewer than five features.
    """
    from sklearn.manifold import TSNE  # seconds to import, and not needed by the rest

    if len(features) < 5:
        raise ValueError(
            f'a map needs at least 5 features and got {len(features)}; use a larger set'
        )
    unit = F.normalize(features.float(), dim=1).cpu().numpy()
    perplexity = min(30.0, (len(unit) - 1) / 3)
    tsne = TSNE(init='pca', random_state=0, perplexity=perplexity)
    return tsne.fit_transform(unit)


def draw_embedding(
    features: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    path: str | os.PathLike,
    thumbnails: Mapping[int, Tensor] | None = None,
    title: str = '',
    *,
    points: np.ndarray | None = None,
    theme: Theme = LIGHT,
    text: float = 1.0,
) -> Figure:
    """Draw a map of features. The name of each class is near the median of its points.

    Args:
        features: (N, D).
        labels: (N,) int64, positions in `classes`.
        classes: The names of the classes.
        path: The file to write. Its ending says which format.
        thumbnails: Position in `features` -> (3, H, W) uint8: the images that may be
            shown. An image that would touch a name or another image is left out; default:
            no images.
        title: A line above the map; default: no line.
        points: (N, 2), what `embed` returned for the features; default: `embed` is called.
        theme: The colours; default: those for white paper.
        text: A factor of the size of names and points; default: 1.

    Raises:
        ValueError: If there is not one label per feature, or a label is not a position in
            `classes`.
    """
    if len(features) != len(labels):
        raise ValueError(
            f'{len(labels)} labels for {len(features)} features; give one for each'
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise ValueError(
            f'labels from {int(labels.min())} to {int(labels.max())}, but there are '
            f'{len(classes)} classes; labels are positions in `classes`'
        )
    points, label = embed(features) if points is None else points, labels.cpu().numpy()
    figure = new_figure(8.0, 5.2, theme)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.margins(0.04)
    if title:
        axes.set_title(title, loc='left', **theme.bold(9.5 * text))
    present = np.unique(label).tolist()
    size = 9 * text * min(1.0, (30 / len(present)) ** 0.5)  # many would cover the map
    names = []
    for c in present:
        mine, colour = points[label == c], COLOURS[c % len(COLOURS)]
        marker = MARKERS[c // len(COLOURS) % len(MARKERS)]
        x, y = mine.T
        axes.scatter(x, y, s=10 * text, c=colour, marker=marker, alpha=0.8, lw=0)
        chip = dict(boxstyle='round,pad=0.15', fc=theme.paper, ec=colour, alpha=0.85)
        style = dict(ha='center', va='center', zorder=10, **theme.bold(size))
        x, y = _medoid(mine)
        names.append(axes.text(x, y, classes[c], bbox=chip, **style))
    adjust_text(
        names,
        ax=axes,
        avoid_self=False,
        ensure_inside_axes=False,  # the layout makes room
        prevent_crossings=False,
        force_explode=0.0,
        force_pull=0.0,
        expand=(1.1, 1.35),
        iter_lim=100,  # steps and no seconds: the same bytes every time
    )
    taken = [name.get_window_extent() for name in names]
    thumbnails = thumbnails or {}
    for n in _in_turns(thumbnails, label):
        picture = OffsetImage(thumbnails[n].permute(1, 2, 0).numpy(), zoom=0.36)
        colour = COLOURS[label[n] % len(COLOURS)]
        frame = dict(ec=colour, fc=colour, lw=0.8)
        box = AnnotationBbox(picture, points[n], pad=0.08, bboxprops=frame)
        axes.add_artist(box)
        extent = box.get_window_extent()
        if extent.padded(14).count_overlaps(taken):
            box.remove()
        else:
            taken.append(extent)
    figure.savefig(path)
    return figure


def _in_turns(allowed: Iterable[int], label: np.ndarray) -> list[int]:
    """Return the first position of every class, then the second of each, and so on."""
    seen: Counter[int] = Counter()
    turn = {}
    for n in allowed:
        turn[n] = seen[label[n]]
        seen[label[n]] += 1
    return sorted(turn, key=turn.__getitem__)


def _medoid(points: np.ndarray) -> np.ndarray:
    """Return the point nearest to the median, where there may be no point."""
    distance = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    return points[distance.argmin()]
