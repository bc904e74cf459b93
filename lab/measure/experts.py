"""Numbers about routing: who is chosen how often, how evenly, together with whom, and how that changes by pass.

`gates` are (..., E) arrays, zero where an expert was not chosen; all axes but the last are tokens.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def load(gates: ArrayLike) -> np.ndarray:
    """(..., E) -> (E,): each expert's share of all assignments; sums to 1."""
    chosen = _flat(gates) > 0
    return chosen.sum(0) / max(1, chosen.sum())


def weight(gates: ArrayLike) -> np.ndarray:
    """(..., E) -> (E,): each expert's share of all gate weight; sums to 1."""
    flat = _flat(gates)
    return flat.sum(0) / max(flat.sum(), np.finfo(float).tiny)


def entropy(shares: ArrayLike) -> float:
    """(E,) shares -> entropy over ln E: 1 when all experts share alike, 0 when one takes everything (or E is 1)."""
    shares = np.asarray(shares, dtype=np.float64)
    if len(shares) < 2:
        return 0.0
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum() / np.log(len(shares)))


def dead(gates: ArrayLike, threshold: float = 0.01) -> list[int]:
    """Experts whose share of assignments is below `threshold` of an even share (threshold / E)."""
    return idle(load(gates), threshold)


def idle(shares: ArrayLike, threshold: float = 0.01) -> list[int]:
    """(E,) shares of assignments -> the experts below `threshold` of an even share."""
    shares = np.asarray(shares, dtype=np.float64)
    return [int(expert) for expert in np.flatnonzero(shares < threshold / len(shares))]


def flips(before: ArrayLike, after: ArrayLike) -> float:
    """Two (T, E) gates of one router in two passes -> share of tokens whose set of chosen experts differs."""
    return float(((_flat(before) > 0) != (_flat(after) > 0)).any(-1).mean())


def co_routing(gates: ArrayLike) -> np.ndarray:
    """(..., E) -> (E, E): share of tokens that chose both i and j; the diagonal is the share that chose i."""
    chosen = (_flat(gates) > 0).astype(np.float64)
    return chosen.T @ chosen / len(chosen)


def regulars(gates: ArrayLike, pieces: Sequence[str], most: int = 8) -> list[list[tuple[str, int]]]:
    """(T, E) gates, T pieces of text -> for each expert the pieces that lean to it, strongest first, and their counts.

    A piece is ranked by the sum of its gates beyond the expert's mean gate, so a rare one must lean strongly to be
    named, and one that leans away never is.
    """
    flat = _flat(gates)
    beyond = flat - flat.mean(axis=0)
    totals: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}
    for piece, row in zip(pieces, beyond, strict=True):
        totals[piece] = totals.get(piece, 0.0) + row
        counts[piece] = counts.get(piece, 0) + 1
    found = []
    for expert in range(flat.shape[1]):
        ranked = sorted(totals, key=lambda piece: -totals[piece][expert])
        found.append([(piece, counts[piece]) for piece in ranked[:most] if totals[piece][expert] > 1e-9])
    return found


def _flat(gates: ArrayLike) -> np.ndarray:
    gates = np.asarray(gates, dtype=np.float64)
    return gates.reshape(-1, gates.shape[-1])
