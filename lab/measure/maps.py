"""Numbers about maps of who reads whom: how spread, how far back, how unlike another map.

A map is (T, T), row t holding the weights with which output t reads tokens s ≤ t. Where a mixer averages, rows are ≥ 0
and sum to 1. Where it does not, weights have either sign and any size; every measure here then reads them as
:func:`shares`: how large each weight is beside the others of its row, whichever way it points.
"""

import numpy as np
from numpy.typing import ArrayLike


def shares(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) -> the same: each weight's size over the sum of its row's sizes; rows of nought stay as they are."""
    sizes = np.abs(np.asarray(weights, dtype=np.float64))
    total = sizes.sum(-1, keepdims=True)
    return sizes / np.where(total > 0, total, 1)


def entropy(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) -> (..., T): entropy of each row's shares in nats; row t of an even map has ln(t + 1)."""
    return _entropy(shares(weights))


def distance(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) -> (..., T): mean distance t - s in tokens at which output t reads, by the shares of its weights."""
    read = shares(weights)
    age = np.arange(read.shape[-2])[:, None] - np.arange(read.shape[-1])
    return (read * age).sum(-1)


def divergence(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """Two (..., T, T) maps -> (..., T): Jensen-Shannon divergence of each row's shares in nats, 0 (same) to ln 2."""
    first, second = shares(first), shares(second)
    mixed = _entropy((first + second) / 2) - (_entropy(first) + _entropy(second)) / 2
    return np.clip(mixed, 0, np.log(2))


def reconstruction_error(rebuilt: ArrayLike, context: ArrayLike) -> tuple[float, float]:
    """(largest absolute, relative RMS) difference between what a map rebuilds and what the mixer gave out."""
    rebuilt, context = np.asarray(rebuilt, dtype=np.float64), np.asarray(context, dtype=np.float64)
    error = rebuilt - context
    size = float(np.sqrt(np.square(context).mean())) or 1.0
    return float(np.abs(error).max()), float(np.sqrt(np.square(error).mean())) / size


def _entropy(read: np.ndarray) -> np.ndarray:
    return -(read * np.log(np.where(read > 0, read, 1))).sum(-1)
