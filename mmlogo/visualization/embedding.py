"""A map of features: what lies close in it is alike to the network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patheffects import withStroke
from torch import Tensor

CELLS = 15  # thumbnails a side at most, one in each cell of a grid


def embed(features: Tensor) -> np.ndarray:
    """(N, D) features, compared by their cosine, to (N, 2): t-SNE.

    Deterministic: it starts from the first two principal components.

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
) -> Figure:
    """Draw a 2-D map of features, each class named at the median of its points.

    Args:
        features: (N, D).
        labels: (N,) int64, indices of `classes`.
        classes: Names.
        path: File to write; its ending says which kind.
        thumbnails: Position in `features` -> (3, H, W) uint8, the images that may
            be shown; at most one in each cell of a grid is.
        title: A line above the map.

    Raises:
        ValueError: If there is not one label per feature, or one is no class.
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
    points, label = embed(features), labels.cpu().numpy()
    points = (points - points.min(0)) / np.ptp(points, axis=0)
    colours = _colours(len(classes))
    figure = Figure(figsize=(8, 5.6), dpi=200, facecolor='white')
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.93 if title else 0.98))
    axes.set_axis_off()
    axes.margins(0.04)
    axes.scatter(*points.T, s=13, c=[colours[i] for i in label], alpha=0.85, lw=0, gid='points')
    for n in _thin(points, thumbnails or {}):
        picture = OffsetImage(thumbnails[n].permute(1, 2, 0).numpy(), zoom=0.32)
        axes.add_artist(
            AnnotationBbox(
                picture,
                points[n],
                pad=0.1,
                bboxprops=dict(ec=colours[label[n]], fc=colours[label[n]], lw=1.0),
            )
        )
    present = [i for i in range(len(classes)) if (label == i).any()]
    medians = np.array([_medoid(points[label == i]) for i in present])
    for i, at in zip(present, _apart(medians, [classes[i] for i in present]), strict=True):
        axes.text(
            *at,
            classes[i],
            fontsize=9,
            fontweight='bold',
            color=colours[i],
            ha='center',
            va='center',
            zorder=10,
            path_effects=[withStroke(linewidth=3, foreground='white')],
        )
    if title:
        figure.text(0.015, 0.965, title, fontsize=9.5, fontweight='bold', color='#22262b')
    figure.savefig(path)
    return figure


def _colours(count: int) -> list[str]:
    """Hues all round at three depths, all dark enough to be read on white."""
    wheel = colormaps['hsv']
    shades = []
    for i in range(count):
        r, g, b, _ = wheel((i * 0.618034) % 1)  # golden ratio: neighbours differ
        luminance = 0.2126 * r**2.2 + 0.7152 * g**2.2 + 0.0722 * b**2.2
        target = (0.13, 0.22, 0.3)[i % 3]
        scale = min(1.0, (target / luminance) ** (1 / 2.2))
        mix = 0.12  # a little gray calms the pure hues
        shades.append(to_hex([mix * 0.4 + (1 - mix) * scale * c for c in (r, g, b)]))
    return shades


def _thin(points: np.ndarray, allowed: Mapping[int, Tensor]) -> list[int]:
    """Of the allowed points, the one nearest to the centre of each cell of a grid."""
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for n in allowed:
        cell = np.minimum((points[n] * CELLS).astype(int), CELLS - 1)
        distance = float(np.abs(points[n] * CELLS - cell - 0.5).max())
        key = (int(cell[0]), int(cell[1]))
        best[key] = min(best.get(key, (np.inf, -1)), (distance, n))
    return [n for _, n in best.values()]


def _medoid(points: np.ndarray) -> np.ndarray:
    """The point nearest to the median: a median can lie where nothing is."""
    distance = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    return points[distance.argmin()]


def _apart(places: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Places of names, moved as little as needed for none to cover another."""
    places = places.copy()
    half = np.array([(0.0085 * len(name) + 0.006, 0.022) for name in names])
    for _ in range(200):
        moved = False
        for a in range(len(places)):
            for b in range(a):
                gap = places[a] - places[b]
                overlap = half[a] + half[b] - np.abs(gap)
                if (overlap > 0).all():
                    axis = 1 if overlap[1] <= overlap[0] else 0
                    shift = 0.5 * overlap[axis] * (1.0 if gap[axis] >= 0 else -1.0)
                    places[a, axis] += shift
                    places[b, axis] -= shift
                    moved = True
        if not moved:
            break
    return places
