"""A map of features: what lies close in it is alike to the network."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patheffects import withStroke
from torch import Tensor

from mmlogo.report.theme import LIGHT, Theme

SIZE = (8.0, 5.2)  # inches
ASPECT = SIZE[0] / SIZE[1]
APART = 0.045  # between thumbnails, as a share of the width
GOLDEN = 0.618034  # of a turn between hues, so that neighbours in the list differ
# Ottosson, "A perceptual color space for image processing", 2020
_OKLAB = np.array(
    (
        (0.3963377774, 0.2158037573),
        (-0.1055613458, -0.0638541728),
        (-0.0894841775, -1.2914855480),
    )
)
_LMS_TO_RGB = np.array(
    (
        (4.0767416621, -3.3077115913, 0.2309699292),
        (-1.2684380046, 2.6097574011, -0.3413193965),
        (-0.0041960863, -0.7034186147, 1.7076147010),
    )
)


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
    *,
    points: np.ndarray | None = None,
    theme: Theme = LIGHT,
    text: float = 1.0,
) -> Figure:
    """Draw a 2-D map of features, each class named at the median of its points.

    Args:
        features: (N, D).
        labels: (N,) int64, indices of `classes`.
        classes: Names.
        path: File to write; its ending says which kind.
        thumbnails: Position in `features` -> (3, H, W) uint8, the images that may
            be shown; those are that keep clear of names and of one another.
        title: A line above the map.
        points: (N, 2), what `embed` made of the features; None makes it here.
        theme: Colours.
        text: By what the size of names and points is multiplied.

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
    points, label = embed(features) if points is None else points, labels.cpu().numpy()
    points = (points - points.min(0)) / np.ptp(points, axis=0)
    colours = _colours(len(classes), 0.0 if theme == LIGHT else 0.2)
    figure = Figure(figsize=SIZE, dpi=200, facecolor=theme.paper)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1 - 0.05 * text if title else 1))
    axes.set_axis_off()
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    x, y = points.T
    shades = [colours[i] for i in label]
    axes.scatter(x, y, s=10 * text, c=shades, alpha=0.75, lw=0, gid='points')
    present = [i for i in range(len(classes)) if (label == i).any()]
    half = np.array([(0.0062 * len(classes[i]) + 0.006, 0.02) for i in present]) * text
    medians = np.array([_medoid(points[label == i]) for i in present])
    places = _apart(medians, half)
    thumbnails = thumbnails or {}
    for n in _spread(points, _in_turns(thumbnails, label), np.hstack((places, half))):
        picture = OffsetImage(thumbnails[n].permute(1, 2, 0).numpy(), zoom=0.36)
        frame = dict(ec=colours[label[n]], fc=colours[label[n]], lw=0.8)
        axes.add_artist(AnnotationBbox(picture, points[n], pad=0.08, bboxprops=frame))
    for i, at in zip(present, places, strict=True):
        axes.text(
            at[0],
            at[1],
            classes[i],
            fontsize=9 * text,
            fontweight='bold',
            color=colours[i],
            ha='center',
            va='center',
            zorder=10,
            path_effects=[withStroke(linewidth=3, foreground=theme.paper)],
        )
    if title:
        figure.text(
            0.012, 0.955, title, fontsize=9.5 * text, fontweight='bold', color=theme.ink
        )
    figure.savefig(path)
    return figure


def _colours(count: int, lighter: float = 0.0) -> list[str]:
    """Hues all round at three depths of Oklch, all dark enough to be read on white.

    `lighter` is added to the lightness, for black.
    """
    shades = []
    for i in range(count):
        lightness, hue = (
            (0.5, 0.62, 0.56)[i % 3] + lighter,
            2 * math.pi * (0.07 + i * GOLDEN),
        )
        a, b = 0.135 * math.cos(hue), 0.135 * math.sin(hue)
        lms = (lightness + _OKLAB @ (a, b)) ** 3
        linear = (_LMS_TO_RGB @ lms).clip(0, 1)
        srgb = np.where(
            linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear
        )
        r, g, b = srgb.clip(0, 1).tolist()
        shades.append(to_hex((r, g, b)))
    return shades


def _in_turns(allowed: Iterable[int], label: np.ndarray) -> list[int]:
    """The first of every class, then the second of every class, and so on."""
    seen: Counter[int] = Counter()
    turn = {}
    for n in allowed:
        turn[n] = seen[label[n]]
        seen[label[n]] += 1
    return sorted(turn, key=turn.__getitem__)


def _spread(points: np.ndarray, allowed: Iterable[int], taken: np.ndarray) -> list[int]:
    """Allowed points, in their order, that keep clear of names and of each other."""
    chosen: list[int] = []
    for n in allowed:
        near = np.abs(points[chosen] - points[n]) < (APART, APART * ASPECT)
        covered = np.abs(taken[:, :2] - points[n]) < taken[:, 2:] + (0.016, 0.016 * ASPECT)
        if not near.all(axis=1).any() and not covered.all(axis=1).any():
            chosen.append(n)
    return chosen


def _medoid(points: np.ndarray) -> np.ndarray:
    """The point nearest to the median: a median can lie where nothing is."""
    distance = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    return points[distance.argmin()]


def _apart(places: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Centres (N, 2) of boxes of half sizes (N, 2), moved until none covers another."""
    places = places.copy()
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
