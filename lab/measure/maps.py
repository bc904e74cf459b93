"""Numbers about maps of who reads whom: how spread, how far back, how unlike another map.

A map is (T, T), row t holding the weights with which output t reads tokens s ≤ t; rows sum to 1.
"""

import numpy as np
from numpy.typing import ArrayLike


def entropy(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) -> (..., T): entropy of each row in nats; row t of an even map has ln(t + 1)."""
    weights = np.asarray(weights, dtype=np.float64)
    return -(weights * np.log(np.where(weights > 0, weights, 1))).sum(-1)


def distance(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) -> (..., T): mean distance t - s in tokens at which output t reads."""
    weights = np.asarray(weights, dtype=np.float64)
    age = np.arange(weights.shape[-2])[:, None] - np.arange(weights.shape[-1])
    return (weights * age).sum(-1)


def divergence(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """Two (..., T, T) maps -> (..., T): Jensen-Shannon divergence of each row in nats, from 0 (same) to ln 2."""
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    mixed = entropy((first + second) / 2) - (entropy(first) + entropy(second)) / 2
    return np.clip(mixed, 0, np.log(2))


def reconstruction_error(rebuilt: ArrayLike, context: ArrayLike) -> tuple[float, float]:
    """(largest absolute, relative RMS) difference between what a map rebuilds and what the mixer gave out."""
    rebuilt, context = np.asarray(rebuilt, dtype=np.float64), np.asarray(context, dtype=np.float64)
    error = rebuilt - context
    size = float(np.sqrt(np.square(context).mean())) or 1.0
    return float(np.abs(error).max()), float(np.sqrt(np.square(error).mean())) / size
