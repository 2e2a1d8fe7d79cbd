"""Which views an objective pulls together and which it pushes apart."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from mmlogo.models.heads.logo_head import GG_PAIRS
from mmlogo.report.theme import LIGHT, Theme, new_figure
from mmlogo.report.views import label_of
from mmlogo.views.spec import ViewSpec


class Relations(NamedTuple):
    """Pairs of views by their labels.

    `pull` has (view, target), both ways round where each is the other's target;
    `together` those of which the head does not say which is the target.
    """

    pull: list[tuple[str, str]]
    together: list[tuple[str, str]]
    push: list[tuple[str, str]]


def relations_of(specs: Sequence[ViewSpec], head: object) -> Relations:
    """What the views' roles and a head say.

    Globals are pulled together, which way is what `gg_pairs` of the head says, where
    it has it; locals are pulled to every global, and pushed from each other where the
    head has an affinity.
    """
    labels = [label_of(specs, place) for place in range(len(specs))]
    by_role: dict[str, list[str]] = {'global': [], 'local': []}
    for label, spec in zip(labels, specs, strict=True):
        by_role[spec.role].append(label)
    sides = getattr(head, 'gg_pairs', None)
    pull = [] if sides is None else list(GG_PAIRS[sides](by_role['global'], 2))
    together = list(itertools.combinations(by_role['global'], 2)) if sides is None else []
    pull += itertools.product(by_role['local'], by_role['global'])
    pushed = getattr(head, 'affinity', None) is not None
    push = list(itertools.combinations(by_role['local'], 2)) if pushed else []
    return Relations(pull, together, push)


def draw_relations(
    specs: Sequence[ViewSpec],
    relations: Relations,
    path: str | os.PathLike,
    theme: Theme = LIGHT,
) -> Figure:
    """Draw views as points, globals above locals, and an arrow for every pair.

    Args:
        specs: One per view, globals first.
        relations: Of their labels.
        path: File to write; its ending says which kind.
        theme: Colours.
    """
    figure = new_figure(2.0, 2.0, theme)
    axes = figure.add_subplot()
    axes.set(xlim=(-0.18, 1.18), ylim=(-0.3, 1.35))
    axes.set_axis_off()
    places: dict[str, tuple[float, float]] = {}
    for role, y in (('global', 0.95), ('local', 0.2)):
        mine = [label_of(specs, p) for p, spec in enumerate(specs) if spec.role == role]
        for n, label in enumerate(mine):
            places[label] = (0.5 if len(mine) == 1 else n / (len(mine) - 1), y)
    if not any(spec.role == 'local' for spec in specs):
        places = {label: (x, 0.5) for label, (x, _) in places.items()}
    place_of = {label: n for n, label in enumerate(places)}
    pull = set(relations.pull)
    for a, b in relations.pull + relations.together:
        both = (b, a) in pull
        if both and b < a:
            continue  # drawn with its opposite
        steps = abs(place_of[a] - place_of[b]) if a[0] == b[0] else 0
        bend = -0.22 * max(0, steps - 1)
        colour = theme.roles['global' if a[0] == 'g' else 'local']
        style = '-' if (a, b) in relations.together else '<|-|>' if both else '-|>'
        _arrow(axes, places[a], places[b], style, colour, bend, '-')
    for a, b in relations.push:
        bend = 0.25 + 0.12 * (place_of[b] - place_of[a])
        _arrow(axes, places[a], places[b], '|-|', theme.faint, bend, (0, (3, 2)))
    for label, (x, y) in places.items():
        colour = theme.roles['global' if label[0] == 'g' else 'local']
        axes.text(
            x,
            y,
            label,
            ha='center',
            va='center',
            color=theme.paper,
            fontsize=9,
            fontweight='bold',
            zorder=5,
            bbox=dict(boxstyle='circle,pad=0.35', fc=colour, ec='none'),
        )
    figure.savefig(path)
    return figure


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    style: str,
    colour: str,
    bend: float,
    dashes: object,
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle=style,
            connectionstyle=f'arc3,rad={bend:.3f}',
            shrinkA=13,
            shrinkB=13,
            mutation_scale=9 if '>' in style else 4,
            color=colour,
            lw=1.4,
            ls=dashes,
        )
    )
