"""Colours of the pictures, on white paper and on black."""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib import color_sequences
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# Readers who are colour-blind can tell these ten apart. Some are too light for white paper,
# others too dark for black.
COLOURS = tuple(map(to_hex, color_sequences['petroff10']))
_BLUE, _AMBER, _RED, _GREY, _PURPLE, _BROWN, _ORANGE, _SAND, _SLATE, _CYAN = COLOURS


class Theme(NamedTuple):
    """One set of colours. Runs have the colours of `shades`, in their order."""

    paper: str
    ink: str
    faint: str
    rule: str
    grid: str
    shades: tuple[str, ...]

    def shade(self, place: int) -> str:
        """Return the colour of the run at a place."""
        return self.shades[place % len(self.shades)]

    def bold(self, size: float, colour: str | None = None) -> dict[str, Any]:
        """Return the style of a bold text. Without a colour it is in ink.

        The text is shown as it is: matplotlib would set what is between two dollar signs as
        a formula, and stop if it is none.
        """
        style = dict(fontsize=size, fontweight='bold', parse_math=False)
        return style | dict(color=colour or self.ink)

    @property
    def roles(self) -> dict[str, str]:
        """The colours of global and local views."""
        return {'global': self.shades[0], 'local': self.shades[1]}


LIGHT = Theme(
    paper='#ffffff',
    ink='#22262b',
    faint='#6b727b',
    rule='#b9bec5',
    grid='#e6e8eb',
    shades=(_BLUE, _ORANGE, _PURPLE, _BROWN, _RED, _SLATE),
)
DARK = Theme(
    paper='#181b1f',
    ink='#e6e8ea',
    faint='#9da4ac',
    rule='#4a5159',
    grid='#2a2f35',
    shades=(_BLUE, _ORANGE, _CYAN, _AMBER, _GREY, _SAND),
)


def new_figure(width: float, height: float, theme: Theme) -> Figure:
    """Make a figure of this size in inches, whose axes find their own places."""
    layout = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.03)
    figure = Figure(figsize=(width, height), dpi=200, facecolor=theme.paper, layout=layout)
    FigureCanvasAgg(figure)
    return figure
