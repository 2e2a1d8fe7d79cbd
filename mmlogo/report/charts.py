"""Draws charts of scalars: one scalar of several runs, one run, or several results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from mmlogo.report.theme import LIGHT, Theme, new_figure
from mmlogo.runs import Points, Run, read_run

_FEW = 3  # with fewer epochs, a mean over each would hide more than it shows
# Titles of scalars, and of the parts of `collapse/measure/crop`. Charts have this order.
TITLES = {
    'loss_gg': 'global to global',
    'loss_lg': 'local to global',
    'loss_ll': 'local from local',
    'loss_affinity': 'affinity regressor',
    'online_loss': 'online probe',
    'lr': 'learning rate',
    'base_lr': 'learning rate of the base group',
    'images_per_s': 'images per second',
    'data_wait': 'waiting for data, % of a step',
    'views_wait': 'making views, % of a step',
    'memory_mb': 'peak memory, MB',
    'auc_affinity': 'AUC of the affinity',
    'auc_cosine': 'AUC of plain cosine',
    'cos_ll': 'cosine of two local views',
    'push': 'push, unweighted',
    'push_ratio': "push's gradient over the pull's",
    'calibration/slope': 'slope over the overlap',
    'calibration/at_zero': 'cosine at no overlap',
    'calibration/other': 'cosine of different images',
    'calibration/r': 'correlation with the overlap',
    'calibration/shuffled_slope': 'slope with crops of other images (control)',
    'std_ratio': 'Spread',
    'mean_cosine': 'Mean cosine',
    'rank_me': 'RankMe',
    'alpha_req': 'Alpha-ReQ',
    'rank_share': 'RankMe, share',
    'alignment': 'Alignment',
    'top1': 'Retrieval',
    'constant': 'Constant channels',
    'update': 'Size of a step',
    'global': 'global crops',
    'local': 'local crops',
    'local_to_global': 'local to global',
    'global_to_global': 'global to global',
}


class Line(NamedTuple):
    """A line of a chart."""

    name: str
    place: int  # among all runs, which decides its colour
    points: Points
    band: Sequence[tuple[float, float, float]] = ()  # (x, low, high)


def title_of(scalar: str) -> str:
    """Return a title such as `k-NN, k = 20` or `RankMe, local crops`."""
    if scalar.startswith('collapse/'):
        return ', '.join(map(title_of, scalar.split('/')[1:]))
    probe, is_probe, top = scalar.partition('/top')
    if is_probe:
        top, _, k = top.partition('_k')
        probe = 'online probe' if probe == 'online' else probe.replace('knn', 'k-NN')
        return f'{probe}, k = {k}' if k else f'{probe}, top {top}'
    return TITLES.get(scalar, scalar.removeprefix('loss_').replace('_', ' '))


def lines_of(runs: Sequence[Run], scalar: str) -> list[Line]:
    """Return a line for each run that logged the scalar."""
    return [
        Line(run.name, place, run.scalars[scalar])
        for place, run in enumerate(runs)
        if run.scalars.get(scalar)
    ]


def by_range(lines: Sequence[Line]) -> list[list[Line]]:
    """Group lines so that those of a group can share an axis.

    Losses of different objectives cannot be compared, and on one axis from -1 to 7 both
    would look straight. Two groups stay apart if the gap between them is wider
    than either.
    """

    def span(line: Line) -> tuple[float, float]:
        low, high = np.quantile([y for _, y in line.points], (0.1, 0.9))  # not the start
        return float(low), float(high)

    groups: list[list[Line]] = []
    low = high = 0.0
    for line in sorted(lines, key=span):
        bottom, top = span(line)
        if groups and bottom - high <= max(high - low, top - bottom):
            groups[-1].append(line)
            high = max(high, top)
        else:
            groups.append([line])
            low, high = bottom, top
    groups = [sorted(group, key=lambda line: line.place) for group in groups]
    return sorted(groups, key=lambda group: group[0].place)


def epoch_means(points: Points) -> Points:
    """Return the mean of the values of each epoch, at the middle of the epoch."""
    x, y = np.array(points).T
    epoch = np.ceil(x).astype(int)
    return [(e - 0.5, float(y[epoch == e].mean())) for e in np.unique(epoch).tolist()]


def shared_limits(lines: Iterable[Line], *values: float) -> tuple[float, float]:
    """Return limits that hold every point of several charts, and `values`."""
    every = [*values, *(y for line in lines for _, y in line.points)]
    low, high = min(every), max(every)
    margin = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return low - margin, high + margin


def draw_chart(
    lines: Sequence[Line],
    path: str | os.PathLike,
    title: str,
    *,
    theme: Theme = LIGHT,
    unit: str = 'epoch',
    steps: bool = False,
    limits: tuple[float, float] | None = None,
    level: tuple[float, str] | None = None,
) -> Figure:
    """Draw one scalar of several runs. At the end of a line are its run and last value.

    Args:
        lines: At least one line, each with at least one point.
        path: The file to write. Its ending says which format.
        title: A line above the chart.
        theme: The colours; default: those for white paper.
        unit: What the axis counts; default: 'epoch'.
        steps: Whether the points are steps of training, of which an epoch has many. If
            there are enough epochs, the steps are drawn faint, and their mean over each
            epoch strong; default: False.
        limits: The limits of the values, so that several charts can share them; default:
            the range of the values.
        level: A value to compare with, and its name. It is drawn dashed; default: no value.
    """
    figure = new_figure(4.0, 2.5, theme)
    axes = figure.add_subplot()
    if limits:
        axes.set_ylim(limits)
    values = [y for line in lines for _, y in line.points]
    # on a linear scale most of the values would lie on the axis
    if limits is None and min(values) > 0 and max(values) > 30 * np.median(values):
        axes.set_yscale('log')
        title = f'{title} (log)'
    steps = steps and unit == 'epoch'
    levels = [(*level, theme.faint)] if level else []
    _draw(axes, lines, title, unit, theme, steps=steps, levels=levels)
    figure.savefig(path)
    return figure


def draw_curves(
    work_dir: str | os.PathLike,
    path: str | os.PathLike,
    baseline: Mapping[int, float] | None = None,
) -> Figure:
    """Draw k-NN accuracy and each loss term over the epochs.

    Args:
        work_dir: The work dir of the run.
        path: The file to write. Its ending says which format.
        baseline: k -> accuracy of raw pixels, per cent. It is drawn dashed; default: none.

    Raises:
        FileNotFoundError: If the work dir has no log.
        ValueError: If the log has neither finite losses nor k-NN accuracies.
    """
    run, baseline = read_run(work_dir), baseline or {}
    losses = [scalar for scalar in run.scalars if scalar.startswith('loss')]
    if len(losses) > 1 and 'loss' in losses:
        losses.remove('loss')  # the sum of the others
    knn = {
        a.k: run.scalars[a.scalar]
        for a in run.accuracies()
        if a.probe == 'knn' and a.top == 1 and a.k is not None
    }
    if not losses and not knn:
        raise ValueError(
            f'{work_dir} holds neither finite losses nor knn/top1_k* values; give the '
            'work dir of a training run'
        )
    figure = new_figure(8, 3.4, LIGHT)
    halves = figure.add_gridspec(1, 2 if losses and knn else 1)
    if knn:
        lines, levels = [], []
        for place, (k, points) in enumerate(knn.items()):
            lines.append(Line(f'k = {k}', place, points))
            if k in baseline:
                name = f'raw pixels, {k}: {baseline[k]:.1f}'
                levels.append((baseline[k], name, LIGHT.shade(place)))
        title, unit = 'k-NN accuracy on frozen features, %', 'epoch (0: untrained)'
        axes = figure.add_subplot(halves[0])
        _draw(axes, lines, title, unit, size=7.5, levels=levels)
    across = min(2, max(1, len(losses)))
    grid = halves[-1].subgridspec(max(1, -(-len(losses) // across)), across)
    for place, scalar in enumerate(losses):
        axes = figure.add_subplot(grid[place])
        lines = [Line(scalar, len(LIGHT.shades) - 1, run.scalars[scalar])]  # gray
        unit = run.unit if place + across >= len(losses) else ''
        _draw(axes, lines, title_of(scalar), unit, size=6.5, named=False)
    figure.savefig(path)
    return figure


def draw_comparison(
    results: Sequence[dict], path: str | os.PathLike, scalar: str = 'knn/top1_k20'
) -> Figure:
    """Draw a scalar of several results, over epochs and over processor time.

    Args:
        results: The contents of files that `.dev/results_table.py add` wrote.
        path: The file to write. Its ending says which format.
        scalar: A scalar in the evaluations of each result; default: k-NN with k = 20.

    Raises:
        ValueError: If there are more results than colours.
    """
    if len(results) > len(LIGHT.shades):
        raise ValueError(
            f'{len(results)} runs in one picture, and it has colours for '
            f'{len(LIGHT.shades)}; draw several'
        )
    epochs, minutes = [], []
    for place, result in enumerate(results):
        pace = result['cpu_seconds'] / 60 / result['epochs']
        points = [(float(e), x[scalar]) for e, x in result['evaluations'].items()]
        epochs.append(Line(result['title'], place, points))
        paced = [(epoch * pace, value) for epoch, value in points]
        minutes.append(Line(result['title'], place, paced))
    figure = new_figure(8, 3.2, LIGHT)
    left, right = figure.subplots(1, 2, sharey=True)
    title, unit = f'{title_of(scalar)}, %, over epochs', 'epoch (0: untrained)'
    _draw(left, epochs, title, unit, size=7.5, named=False)
    _draw(right, minutes, 'over minutes of one core', 'CPU minutes', size=7.5)
    figure.savefig(path)
    return figure


def draw_arms(
    curves: Mapping[str, Mapping[str, Sequence[Points]]],
    minutes: Mapping[str, float | None],
    path: str | os.PathLike,
) -> Figure:
    """Draw scalars of several arms: the mean over the seeds, and a band from least to most.

    The left half is over epochs. The right half is over processor time, without the arms
    whose time is not known.

    Args:
        curves: Scalar -> arm -> the values of every seed. Every scalar has the same arms,
            in the order of their colours. An arm may have no seed.
        minutes: Arm -> CPU minutes of an epoch, None if they are not known.
        path: The file to write. Its ending says which format.

    Raises:
        ValueError: If there are more arms than colours.
    """
    if len(minutes) > len(LIGHT.shades):
        raise ValueError(
            f'{len(minutes)} arms in one picture, and it has colours for '
            f'{len(LIGHT.shades)}; draw several'
        )
    figure = new_figure(8, 0.2 + 3.2 * len(curves), LIGHT)
    axes = figure.subplots(len(curves), 2, sharey='row', squeeze=False)
    for (left, right), (scalar, arms) in zip(axes, curves.items(), strict=True):
        lines = [_band(arm, n, arms[arm]) for n, arm in enumerate(minutes) if arms[arm]]
        title = f'{title_of(scalar)}, %: mean and range'
        _draw(left, lines, title, 'epoch (0: untrained)', size=7.5, named=False)
        paces = {arm: pace for arm, pace in minutes.items() if pace is not None}
        paced = [_paced(line, paces[line.name]) for line in lines if line.name in paces]
        _draw(right, paced, 'over minutes of one core', 'CPU minutes', size=7.5)
    figure.savefig(path)
    return figure


def _band(name: str, place: int, seeds: Sequence[Points]) -> Line:
    """Return the mean over the seeds where all have a value, and their range."""
    shared = sorted(set.intersection(*({x for x, _ in points} for points in seeds)))
    values = {x: [dict(points)[x] for points in seeds] for x in shared}
    points = [(x, float(np.mean(values[x]))) for x in shared]
    band = [(x, min(values[x]), max(values[x])) for x in shared] if len(seeds) > 1 else []
    return Line(name, place, points, band)


def _paced(line: Line, pace: float) -> Line:
    """Return a line over minutes, of which an epoch has `pace`."""
    return line._replace(
        points=[(x * pace, y) for x, y in line.points],
        band=[(x * pace, low, high) for x, low, high in line.band],
    )


def _draw(
    axes: Axes,
    lines: Sequence[Line],
    title: str,
    unit: str,
    theme: Theme = LIGHT,
    *,
    size: float = 8.5,
    steps: bool = False,
    named: bool = True,
    levels: Sequence[tuple[float, str, str]] = (),
) -> None:
    """Draw lines, and levels, which are (value, name, colour)."""
    axes.set_title(title, loc='left', **theme.bold(1.2 * size))
    axes.set_xlabel(unit, fontsize=7.5, color=theme.faint)
    axes.set_facecolor(theme.paper)
    axes.spines[['top', 'right']].set_visible(False)
    axes.spines[['left', 'bottom']].set_color(theme.rule)
    axes.tick_params(labelsize=7.5, labelcolor=theme.faint, color=theme.rule, length=2.5)
    axes.grid(axis='y', color=theme.grid, lw=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if axes.get_yscale() == 'linear':
        axes.ticklabel_format(axis='y', useMathText=True)
    axes.yaxis.get_offset_text().set(color=theme.faint, fontsize=7.5)
    labels = []
    for name, place, points, band in lines:
        colour = theme.shade(place)
        if band:
            where, low, high = np.array(band).T
            axes.fill_between(where, low, high, color=colour, alpha=0.18, lw=0)
        if steps and points[-1][0] > _FEW:
            axes.plot(*zip(*points, strict=True), color=colour, lw=0.6, alpha=0.3)
            points = epoch_means(points)
        x, y = zip(*points, strict=True)
        style: dict[str, Any] = dict(marker='o', ms=3) if len(x) < 20 else {}
        style['ls'] = '-' if place < len(theme.shades) else (0, (5, 2))
        axes.plot(x, y, color=colour, lw=1.6, gid=name, **style)
        digits = f'{y[-1]:,.0f}' if abs(y[-1]) >= 1000 else f'{y[-1]:#.3g}'.rstrip('.')
        labels.append((y[-1], f'{name}: {digits}', colour))
    for value, name, colour in levels:
        axes.axhline(value, color=colour, lw=0.9, ls=(0, (4, 3)), gid=name)
        labels.append((value, name, colour))
    axes.set_xlim(left=0)
    if named:
        _name_ends(axes, labels, theme, size)


def _name_ends(
    axes: Axes, labels: Sequence[tuple[float, str, str]], theme: Theme, size: float
) -> None:
    """Write labels (value, text, colour) right of the axes, so that none covers another.

    The texts are in ink, because some colours are too light to be read. A dot before each
    has the colour of its line.
    """
    axes.autoscale(False)
    right, figure = axes.get_yaxis_transform(), axes.get_figure(root=True)
    dots, beyond = (
        offset_copy(right, figure, x=x * size, units='points') for x in (1, 1.8)
    )
    # adjust_text moves two texts apart only if both are centred at their place
    style = dict(transform=beyond, ha='center', va='center', **theme.bold(size))
    names = [axes.text(1, value, text, **style) for value, text, _ in labels]
    if len(names) > 1:
        adjust_text(
            names,
            ax=axes,
            only_move='y',
            avoid_self=False,
            ensure_inside_axes=False,
            prevent_crossings=False,
            force_explode=0.0,
            expand=(1.0, 1.3),
            iter_lim=300,  # steps and no seconds: the same bytes every time
        )
    for name, (_, _, colour) in zip(names, labels, strict=True):
        name.set(x=1, ha='left')
        y = name.get_position()[1]
        axes.scatter(1, y, 1.8 * size, colour, transform=dots, clip_on=False)
