"""Finds and draws the pairs of views that an objective pulls together or pushes apart."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from mmlogo.models.heads.logo_head import GG_PAIRS
from mmlogo.report.theme import LIGHT, Theme, new_figure
from mmlogo.report.views import label_of
from mmlogo.views.spec import ViewSpec


class Relations(NamedTuple):
    """Pairs of views. A view is named by its label, such as g1."""

    pull: list[tuple[str, str]]  # (view, target), both ways if each is the other's target
    together: list[tuple[str, str]]  # pulled, and the head does not name the target
    push: list[tuple[str, str]]


def relations_of(specs: Sequence[ViewSpec], head: object) -> Relations:
    """Derive the pairs from the roles of the views and from a head.

    Global views are pulled together. If the head has `gg_pairs`, it says which of them is
    the target. Local views are pulled to every global view. If the head has an affinity,
    they are pushed apart.
    """
    by_role: dict[str, list[str]] = {'global': [], 'local': []}
    for place, spec in enumerate(specs):
        by_role[spec.role].append(label_of(specs, place))
    pairs = list(itertools.combinations(by_role['global'], 2))
    sides = getattr(head, 'gg_pairs', None)
    pull = [] if sides is None else list(GG_PAIRS[sides](by_role['global'], 2))
    pull += itertools.product(by_role['local'], by_role['global'])
    pushed = getattr(head, 'affinity', None) is not None
    push = list(itertools.combinations(by_role['local'], 2)) if pushed else []
    return Relations(pull, pairs if sides is None else [], push)


def draw_relations(
    specs: Sequence[ViewSpec],
    relations: Relations,
    path: str | os.PathLike,
    theme: Theme = LIGHT,
) -> Figure:
    """Draw the views as points, the globals above the locals, and an arrow for every pair.

    Args:
        specs: One per view, globals first.
        relations: The pairs.
        path: The file to write. Its ending says which format.
        theme: The colours; default: those for white paper.
    """
    figure = new_figure(2.0, 2.0, theme)
    axes = figure.add_subplot(xlim=(-0.18, 1.18), ylim=(-0.3, 1.35))
    axes.set_axis_off()
    labels = {label_of(specs, place): spec.role for place, spec in enumerate(specs)}
    places: dict[str, tuple[float, float]] = {}
    for role, y in (('global', 0.95), ('local', 0.2)):
        mine = [label for label in labels if labels[label] == role]
        for n, label in enumerate(mine):
            x = 0.5 if len(mine) == 1 else n / (len(mine) - 1)
            places[label] = (x, y if 'local' in labels.values() else 0.5)
    order = {label: n for n, label in enumerate(places)}

    def arrow(a: str, b: str, style: str, colour: str, bend: float, **line: Any) -> None:
        line |= dict(color=colour, lw=1.4, shrinkA=13, shrinkB=13)
        line |= dict(arrowstyle=style, connectionstyle=f'arc3,rad={bend:.3f}')
        line |= dict(mutation_scale=9 if '>' in style else 4)
        axes.add_patch(FancyArrowPatch(places[a], places[b], **line))

    for a, b in relations.pull + relations.together:
        both = (b, a) in relations.pull
        if both and b < a:
            continue  # drawn with its opposite
        steps = abs(order[a] - order[b]) if labels[a] == labels[b] else 0
        style = '-' if (a, b) in relations.together else '<|-|>' if both else '-|>'
        arrow(a, b, style, theme.roles[labels[a]], -0.22 * max(0, steps - 1))
    for a, b in relations.push:
        bend = 0.25 + 0.12 * (order[b] - order[a])
        arrow(a, b, '|-|', theme.faint, bend, ls=(0, (3, 2)))
    for label, place in places.items():
        point = dict(boxstyle='circle,pad=0.35', fc=theme.roles[labels[label]], ec='none')
        axes.text(
            *place,
            label,
            ha='center',
            va='center',
            zorder=5,
            bbox=point,
            **theme.bold(9, theme.paper),
        )
    figure.savefig(path)
    return figure
