"""The colours of every figure, each constant for one role and for nothing else.

The categories are those of Okabe and Ito, which stay apart for the colour-blind. Who
renders SVG may replace these very strings by colours of another theme: text on a
coloured cell has constants of its own, which such a theme leaves alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

INK = "#1f2430"
"""Text, spines and ticks."""
MUTED = "#6b7280"
"""Colour of secondary elements: reference lines, notes, nodes of no cluster."""
GRID = "#d9dde3"
"""Grid lines, bands and the edges of a network."""
ACCENT = "#0072b2"
"""The first thing that a figure shows."""
SECOND = "#d55e00"
"""The second: what the first is compared with."""
THIRD = "#009e73"
"""The third."""
CATEGORIES = (
    ACCENT,
    SECOND,
    THIRD,
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
    "#8c6d31",
    "#7b5ea7",
)
"""Curves and clusters, in this order; further ones are MUTED."""
ON_LIGHT = "#10141b"
"""Numbers on a light cell of a heat map."""
ON_DARK = "#fdfdfe"
"""Numbers on a dark cell of a heat map."""
HEAT = ("#f4f7fa", "#bcd7ea", "#5ba3cf", "#17699f", "#08345a")
"""A heat map from nothing to most."""
DIVERGING = ("#7f3000", "#dd8849", "#f6f5f4", "#5ba3cf", "#08345a")
"""A heat map from negative over 0 to positive."""


def category(number: int) -> str:
    """The colour of the curve or cluster `number`, from 0."""
    return CATEGORIES[number] if number < len(CATEGORIES) else MUTED


def colour_map(colours: Sequence[str] = HEAT) -> "Colormap":
    """A matplotlib colour map through some colours."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("labelgraph", list(colours))


def ink() -> str:
    """INK, or the text colour of the user's own matplotlib style."""
    from matplotlib import rcParams, rcParamsDefault

    chosen = rcParams["text.color"]
    return INK if chosen == rcParamsDefault["text.color"] else str(chosen)
