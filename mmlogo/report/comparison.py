"""Several runs in one picture."""

from __future__ import annotations

import os
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mmlogo.report.curves import FAINT, SHADES, label_ends, prepare


def draw_comparison(
    results: Sequence[dict], path: str | os.PathLike, scalar: str = 'knn/top1_k20'
) -> Figure:
    """Draw a scalar of every result over epochs and over processor time.

    Args:
        results: As `.dev/results_table.py add` writes them.
        path: File to write; its ending says which kind.
        scalar: Of each result's evaluations.

    Raises:
        ValueError: If there are more results than colours.
    """
    if len(results) > len(SHADES):
        raise ValueError(
            f'{len(results)} runs in one picture, and it has colours for {len(SHADES)}; '
            'draw several'
        )
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.06)
    figure = Figure(figsize=(8, 3.2), dpi=200, facecolor='white', layout=layout)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    prepare(left, f'{scalar}, %, over epochs', 9)
    prepare(right, 'over minutes of one core', 9)
    left.set_xlabel('epoch (0: untrained)', fontsize=7.5, color=FAINT)
    right.set_xlabel('CPU minutes', fontsize=7.5, color=FAINT)
    labels = []
    for place, result in enumerate(results):
        colour = SHADES[place]
        points = {
            int(epoch): value[scalar] for epoch, value in result['evaluations'].items()
        }
        pace = result['cpu_seconds'] / 60 / result['epochs']
        style = dict(color=colour, lw=1.6, marker='o', ms=2.8, gid=result['title'])
        left.plot(list(points), list(points.values()), **style)
        right.plot([epoch * pace for epoch in points], list(points.values()), **style)
        last = points[result['epochs']]
        labels.append((last, f'{result["title"]}: {last:.1f}', colour))
    for axes in (left, right):
        axes.set_xlim(left=0)
    label_ends(right, labels)
    figure.savefig(path)
    return figure
