"""Each variant of a study in its colour and with its mark, the same in all figures of the study."""

from collections.abc import Iterable
from typing import NamedTuple

from lab.figures.theme import colours

_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star", "hexagon", "pentagon")


class Look(NamedTuple):
    """A colour, and a mark for those who cannot tell colours apart."""

    colour: str
    symbol: str


def looks(names: Iterable[str], theme: str) -> dict[str, Look]:
    """A look for each name, by its place among the names; after eight they come again."""
    shades = colours(theme).experts
    return {
        name: Look(shades[place % len(shades)], _SYMBOLS[place % len(_SYMBOLS)])
        for place, name in enumerate(dict.fromkeys(names))
    }


def faint(colour: str, opacity: float) -> str:
    """A colour "#rrggbb" that lets the page show through."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
