"""How tokens are named on axes and in hover, and how long maps are made small enough to ship."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lab.figures.theme import FigureError

POOL_ABOVE = 256
TICKS = 32
SHORT = 10  # characters of a piece on an axis, where it stands on its side


def escaped(piece: str) -> str:
    """A token's piece as plotly shows it: markup made harmless, white space visible, long ones cut."""
    shown = piece.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "␣") or "∅"
    shown = shown if len(shown) <= 16 else shown[:15] + "…"
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def names(pieces: Sequence[str], start: int = 0, stride: int = 1) -> list[str]:
    """One distinct label per token, "17 ␣the"; with a stride, one per group: "16–19 ␣the…"."""
    if stride == 1:
        return [f"{start + i} {escaped(piece)}" for i, piece in enumerate(pieces)]
    groups = range(0, len(pieces), stride)
    last = [min(first + stride, len(pieces)) - 1 for first in groups]
    return [f"{start + a}–{start + b} {escaped(pieces[a])}…" for a, b in zip(groups, last, strict=True)]


def ticks(pieces: Sequence[str], stride: int = 1, most: int = TICKS) -> dict[str, Any]:
    """Axis settings that label at most `most` of the (groups of) tokens with their pieces."""
    groups = range(0, len(pieces), stride)
    every = -(-len(groups) // most)
    places = list(range(0, len(groups), every))
    return {
        "type": "category",
        "tickmode": "array",
        "tickvals": places,
        # A leading space says little here, and turned on its side it reads as a letter; hover shows it.
        "ticktext": [escaped(_short(pieces[groups[place]].strip(" ") or " ")) for place in places],
    }


def _short(piece: str) -> str:
    return piece if len(piece) <= SHORT else piece[: SHORT - 1] + "…"


def pool(weights: np.ndarray, most: int = POOL_ABOVE) -> tuple[np.ndarray, int]:
    """A (T, T) map pooled to at most (most, most), and the stride: queries averaged, keys summed."""
    length = len(weights)
    stride = -(-length // most)
    if stride == 1:
        return weights, 1
    groups = -(-length // stride)
    padded = np.zeros((groups * stride, groups * stride), dtype=weights.dtype)
    padded[:length, :length] = weights
    counts = np.minimum(stride, length - stride * np.arange(groups))
    return padded.reshape(groups, stride, groups, stride).sum((1, 3)) / counts[:, None], stride


def part(length: int, tokens: tuple[int, int] | None) -> tuple[int, int]:
    """The (start, stop) that was asked for, or all; FigureError when it is empty or outside."""
    start, stop = (0, length) if tokens is None else tokens
    if not 0 <= start < stop <= length:
        raise FigureError(f"tokens must be a part of 0 to {length}, such as (0, {min(length, 64)}); got {tokens}")
    return start, stop
