"""A scalar of several runs over their epochs, one small picture each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmlogo.report.curves import NAMES, label_ends, prepare
from mmlogo.report.theme import LIGHT, Theme, new_figure
from mmlogo.runs import Points, Run

SIZE = (4.0, 2.5)  # inches
_FEW = 3  # with fewer epochs a mean over each would hide more than it shows

# measure -> its title, the text below it
MEASURES = {
    'std_ratio': (
        'Spread',
        'Standard deviation of a unit feature, over that of a uniform one: 1 is spread '
        'out, 0 is collapsed to a point.',
    ),
    'mean_cosine': (
        'Mean cosine',
        'Between features of different images: near 0 is spread out, 1 is collapsed to '
        'a direction.',
    ),
    'rank_me': (
        'RankMe',
        'The number of dimensions that are in use, from the entropy of the singular '
        'values: it falls where dimensions collapse.',
    ),
    'alpha_req': (
        'Alpha-ReQ',
        'How fast the eigenvalues of the covariance decay: the larger, the fewer '
        'directions hold most of the variance.',
    ),
    'rank_share': (
        'RankMe, share',
        'RankMe in per cent of the dimensions there are (of the images measured, if '
        'fewer).',
    ),
    'alignment': (
        'Alignment',
        'Mean cosine of two views of one image; the mean cosine of views of different '
        'images should stay well below it.',
    ),
    'top1': (
        'Retrieval',
        "How often a view's nearest global view is that of its own image, per cent.",
    ),
    'constant': (
        'Constant channels',
        'Channels of the backbone that are alike for all images, per cent: dead units.',
    ),
    'update': (
        'Size of a step',
        "Change of the backbone's last layer by one step, in per cent of its norm.",
    ),
}
CROPS = {
    'global': 'global crops',
    'local': 'local crops',
    'local_to_global': 'local to global',
    'global_to_global': 'global to global',
    'backbone': 'backbone',
}
TITLES = NAMES | {
    'lr': 'learning rate',
    'base_lr': 'learning rate of the base group',
    'images_per_s': 'images per second',
    'data_wait': 'waiting for data, % of a step',
    'memory_mb': 'peak memory, MB',
    'online_loss': 'online probe',
    'auc_affinity': 'AUC of the affinity',
    'auc_cosine': 'AUC of plain cosine',
    'cos_ll': 'cosine of two local views',
    'push': 'push, unweighted',
    'push_ratio': "push's gradient over the pull's",
}


class Line(NamedTuple):
    """A run in a chart."""

    name: str
    place: int  # of the run among all, which is its colour
    points: Points


def lines_of(runs: Sequence[Run], scalar: str) -> list[Line]:
    """The runs that logged a scalar."""
    return [
        Line(run.name, place, run.scalars[scalar])
        for place, run in enumerate(runs)
        if run.scalars.get(scalar)
    ]


def title_of(scalar: str) -> str:
    return TITLES.get(scalar, scalar.removeprefix('loss_').replace('_', ' '))


def by_range(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines that can share an axis: where they lie far apart, each side of the gap.

    Losses of different objectives do not compare, and one axis for -1 and 7 shows
    two straight lines. A gap counts as far if it is wider than both sides.
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
    """The mean of each epoch's values, in its middle."""
    x, y = np.array(points).T
    epoch = np.ceil(x).astype(int)
    return [(e - 0.5, float(y[epoch == e].mean())) for e in np.unique(epoch).tolist()]


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
    """Draw one scalar of several runs, each named at its end with its last value.

    Args:
        lines: At least one, each with at least one point.
        path: File to write; its ending says which kind.
        title: A line above.
        theme: Colours.
        unit: Below the axis.
        steps: Of training, many points an epoch: they are drawn faint below their
            mean over each epoch, where there are enough epochs.
        limits: Of the values, so that charts can share them.
        level: A value to compare with, and its name; drawn dashed.
    """
    figure = new_figure(*SIZE, theme)
    axes = figure.add_subplot()
    values = [y for line in lines for _, y in line.points]
    spread = spreads(values) and limits is None
    prepare(axes, f'{title} (log)' if spread else title, 10.5, theme)
    if spread:
        axes.set_yscale('log')
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set(color=theme.faint, fontsize=8)
    axes.set_xlabel(unit)
    labels = []
    for line in lines:
        colour = theme.shades[line.place % len(theme.shades)]
        dashes = '-' if line.place < len(theme.shades) else (0, (5, 2))
        x, y = zip(*line.points, strict=True)
        last = x[-1]
        if steps and unit == 'epoch' and last > _FEW:
            axes.plot(x, y, color=colour, lw=0.6, alpha=0.3, gid=f'{line.name} steps')
            x, y = zip(*epoch_means(line.points), strict=True)
        mark: dict[str, Any] = dict(marker='o', ms=3) if len(x) < 25 else {}
        axes.plot(x, y, color=colour, lw=1.6, ls=dashes, gid=line.name, **mark)
        labels.append((y[-1], f'{line.name}  {short(y[-1])}', colour))
    axes.set_xlim(left=0)
    if level:
        axes.axhline(level[0], color=theme.faint, lw=0.9, ls=(0, (4, 3)))
        labels.append((level[0], level[1], theme.faint))
    if limits:
        axes.set_ylim(*limits)
    if not spread:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    offset = axes.yaxis.get_offset_text()
    offset.set(color=theme.faint, fontsize=7.5)
    label_ends(axes, labels, gap=0.095, size=8.5)
    figure.savefig(path)
    return figure


def spreads(values: Sequence[float]) -> bool:
    """Whether most of the values would lie on the axis of a linear scale."""
    return min(values) > 0 and max(values) > 30 * float(np.median(values))


def short(value: float) -> str:
    """Three digits, or the whole number of a large one."""
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'


def shared_limits(groups: Mapping[str, Sequence[Line]]) -> tuple[float, float]:
    """Limits that hold every point of charts that stand side by side."""
    values = [y for lines in groups.values() for line in lines for _, y in line.points]
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return low - margin, high + margin
