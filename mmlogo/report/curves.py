"""Curves of a run: its loss terms and its k-NN accuracy."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from mmlogo.report.theme import LIGHT, Theme
from mmlogo.runs import epoch_length, logs_of, read_rows

INK, FAINT, SHADES = LIGHT.ink, LIGHT.faint, LIGHT.shades
NAMES = {
    'loss': 'loss',
    'loss_gg': 'global to global',
    'loss_lg': 'local to global',
    'loss_ll': 'local from local',
    'loss_affinity': 'affinity regressor',
}


class Scalars(NamedTuple):
    """What a run logged, each curve as [(epoch, value), ...]."""

    losses: dict[str, list[tuple[float, float]]]  # by key, in the order logged
    knn: dict[int, list[tuple[float, float]]]  # by k, per cent; epoch 0: untrained


def find_scalars(path: str | os.PathLike) -> Path:
    """The `scalars.json` that `path` is, or of the newest run in a work dir.

    Raises:
        FileNotFoundError: If there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    return logs_of(path)[-1]


def read_scalars(path: str | os.PathLike) -> Scalars:
    """Read MMEngine's log of scalars, one JSON object a line.

    A line with an epoch is of training, its step an iteration; the other lines
    are of validation and their step is an epoch. Where the log does not say how
    long an epoch is, the largest share of iterations per epoch seen is taken,
    exact as soon as one epoch's last iteration was logged.

    Args:
        path: A `scalars.json`, or a work dir, of which the newest run is read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds neither finite losses nor k-NN accuracies.
    """
    file = find_scalars(path)
    rows = read_rows(file)
    train = [row for row in rows if 'epoch' in row]
    length = epoch_length(rows)
    losses: dict[str, list[tuple[float, float]]] = {}
    knn: dict[int, list[tuple[float, float]]] = {}
    for row in train:
        for key, value in row.items():
            if key.startswith('loss') and math.isfinite(value):
                losses.setdefault(key, []).append((row['step'] / length, value))
    for row in rows:
        for key, value in row.items():
            if 'epoch' not in row and key.startswith('knn/top1_k'):
                k = int(key.removeprefix('knn/top1_k'))
                knn.setdefault(k, []).append((float(row['step']), value))
    if not losses and not knn:
        raise ValueError(
            f'{file} holds neither finite losses nor knn/top1_k* values; give the '
            'scalars.json of a training run'
        )
    if len(losses) > 1:
        losses.pop('loss', None)  # the sum of the others
    return Scalars(losses, knn)


def draw_curves(
    source: str | os.PathLike,
    path: str | os.PathLike,
    baseline: Mapping[int, float] | None = None,
) -> Figure:
    """Draw k-NN accuracy and each loss term over the epochs.

    Args:
        source: As `read_scalars` takes it.
        path: File to write; its ending says which kind.
        baseline: k -> accuracy of raw pixels, per cent; drawn dashed.

    Raises:
        FileNotFoundError, ValueError: As `read_scalars`.
    """
    losses, knn = read_scalars(source)
    rows = max(1, math.ceil(len(losses) / 2))
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.05)
    figure = Figure(figsize=(8, 3.4), dpi=200, facecolor='white', layout=layout)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, 4, width_ratios=(1, 1, 0.8, 0.8))
    if knn:
        axes = figure.add_subplot(grid[:, :2] if losses else grid[:, :])
        _draw_knn(axes, knn, baseline or {})
    for place, (name, points) in enumerate(losses.items()):
        row, column = divmod(place, 2)
        if len(losses) == 1:
            cell = grid[:, 2:] if knn else grid[:, :]
        else:
            cell = grid[row, 2 + column] if knn else grid[row, 2 * column : 2 * column + 2]
        axes = figure.add_subplot(cell)
        epochs, values = zip(*points, strict=True)
        title, power = NAMES.get(name, name.removeprefix('loss_')), _power(values)
        if power:
            title += rf', $\mathbf{{10^{{{power}}}}}$'
        prepare(axes, title, 7.5)
        axes.plot(
            epochs, [value / 10**power for value in values], color=INK, lw=1.2, gid=name
        )
        axes.set_xlim(left=0)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if row == rows - 1 or place + 2 >= len(losses):
            axes.set_xlabel('epoch', fontsize=7, color=FAINT)
    figure.savefig(path)
    return figure


def _power(values: Sequence[float]) -> int:
    """The power of ten to give values that are too small or large to read in."""
    largest = max(map(abs, values))
    power = math.floor(math.log10(largest)) if largest else 0
    return 0 if -3 < power < 4 else power


def _draw_knn(
    axes: Axes, knn: Mapping[int, list[tuple[float, float]]], baseline: Mapping[int, float]
) -> None:
    prepare(axes, 'k-NN accuracy on frozen features, %', 9)
    axes.set_xlabel('epoch (0: untrained)', fontsize=7.5, color=FAINT)
    last = max(points[-1][0] for points in knn.values())
    labels: list[tuple[float, str, str]] = []
    for (k, points), colour in zip(sorted(knn.items()), SHADES, strict=False):
        axes.plot(
            *zip(*points, strict=True),
            color=colour,
            lw=1.8,
            marker='o',
            ms=3.6,
            gid=f'knn k={k}',
            clip_on=False,
        )
        labels.append((points[-1][1], f'k = {k}: {points[-1][1]:.1f}', colour))
        if k in baseline:
            axes.axhline(baseline[k], color=colour, lw=1, ls=(0, (4, 3)), gid=f'raw k={k}')
            labels.append((baseline[k], f'raw pixels, {k}: {baseline[k]:.1f}', colour))
    axes.set_xlim(0, max(last, 1e-9))
    label_ends(axes, labels)


def label_ends(
    axes: Axes,
    labels: list[tuple[float, str, str]],
    gap: float = 0.055,
    size: float = 7.5,
) -> None:
    """Names (value, text, colour) right of the axes, where none covers another.

    `gap` is the least distance between two, as a share of the axes' height; `size` of
    the text, points.
    """
    labels = sorted(labels, key=lambda label: label[0])
    heights = axes.transData.transform([(0, value) for value, _, _ in labels])
    places = axes.transAxes.inverted().transform(heights)[:, 1].tolist()
    for _ in range(50):  # push apart those that would overlap
        for i in range(1, len(places)):
            overlap = gap - (places[i] - places[i - 1])
            if overlap > 0:
                places[i - 1] -= overlap / 2
                places[i] += overlap / 2
    for place, (_, text, colour) in zip(places, labels, strict=True):
        axes.annotate(
            text,
            (1, place),
            xycoords='axes fraction',
            xytext=(7, 0),
            textcoords='offset points',
            fontsize=size,
            color=colour,
            va='center',
            fontweight='normal' if text.startswith('raw') else 'bold',
        )


def prepare(axes: Axes, title: str, size: float, theme: Theme = LIGHT) -> None:
    axes.set_facecolor(theme.paper)
    axes.set_title(title, fontsize=size, color=theme.ink, loc='left', fontweight='bold')
    axes.spines[['top', 'right']].set_visible(False)
    axes.spines[['left', 'bottom']].set_color(theme.rule)
    axes.tick_params(labelsize=6.5, colors=theme.faint, color=theme.rule, length=2.5)
    axes.grid(axis='y', color=theme.grid, lw=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
