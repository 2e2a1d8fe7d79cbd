"""Colours of the pictures, on white paper and on black."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine


class Theme(NamedTuple):
    """One set of colours; `shades` are of runs, in their order."""

    name: str
    paper: str
    ink: str
    faint: str
    rule: str
    grid: str
    shades: tuple[str, ...]
    roles: dict[str, str]  # of views


LIGHT = Theme(
    name='light',
    paper='#ffffff',
    ink='#22262b',
    faint='#6b727b',
    rule='#b9bec5',
    grid='#e6e8eb',
    shades=('#1d4f91', '#d1590c', '#3b7d4f', '#7b4b94', '#8a6d1f', '#4b8a99'),
    roles={'global': '#1d4f91', 'local': '#d1590c'},
)
DARK = Theme(
    name='dark',
    paper='#181b1f',
    ink='#e6e8ea',
    faint='#9da4ac',
    rule='#4a5159',
    grid='#2a2f35',
    shades=('#7fb0f0', '#f0954f', '#77c08e', '#c39ade', '#d1b35c', '#84c3d1'),
    roles={'global': '#7fb0f0', 'local': '#f0954f'},
)


def new_figure(width: float, height: float, theme: Theme, dpi: int = 200) -> Figure:
    """A figure of so many inches whose axes find their own places."""
    layout = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.03)
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor=theme.paper, layout=layout)
    FigureCanvasAgg(figure)
    return figure
