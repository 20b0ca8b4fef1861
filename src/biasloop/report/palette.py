"""Colours, dashes and marks, the same in the page and in the PNG figures.

The colours are those of Okabe and Ito (2008, "Color Universal Design"), which people with any
common colour blindness can tell apart; dashes and marks differ too, for print without colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: Plotly's and matplotlib's names.
_DASHES: tuple[tuple[str, Any], ...] = (
    ("solid", "-"),
    ("dash", "--"),
    ("dashdot", "-."),
    ("longdash", (0, (9, 2))),
)
_MARKS = (
    ("circle", "o"),
    ("square", "s"),
    ("diamond", "D"),
    ("triangle-up", "^"),
    ("triangle-down", "v"),
    ("pentagon", "p"),
)

INK = "#1d2733"
MUTED = "#5b6775"
GRID = "#e3e7ec"
REAL_COLOUR = "#1d2733"
BASE_COLOUR = "#7a7f87"


@dataclass(frozen=True)
class Look:
    """How one line is drawn.

    Attributes
    ----------
    colour
        ``#rrggbb``.
    dash, mark
        Each as plotly and as matplotlib call it.
    """

    colour: str
    dash: tuple[str, Any]
    mark: tuple[str, str]


REAL_LOOK = Look(REAL_COLOUR, ("dash", "--"), ("star", "*"))
BASE_LOOK = Look(BASE_COLOUR, ("dot", ":"), ("x", "X"))


def look(index: int) -> Look:
    """Give the look of the index-th line; 24 lines differ in colour or dash."""
    colour = index % len(_COLOURS)
    dash = (index + index // len(_COLOURS)) % len(_DASHES)
    return Look(_COLOURS[colour], _DASHES[dash], _MARKS[index % len(_MARKS)])


def transparent(colour: str, opacity: float) -> str:
    """Turn ``#rrggbb`` into CSS ``rgba(...)``."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
