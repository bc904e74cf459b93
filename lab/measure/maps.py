"""Maps of who reads whom, from stored queries and keys, and numbers about them.

A map is (T, T), row t holding the weights with which output t reads tokens s ≤ t; rows sum to 1.
"""

import numpy as np
from numpy.typing import ArrayLike


def softmax_map(q: ArrayLike, k: ArrayLike, window: int = 0) -> np.ndarray:
    """(T, d) queries and keys of one head -> (T, T) double: causal scaled-dot-product attention.

    `window` W lets t read (t - W, t]; 0 lets it read everything before.
    """
    q, k = np.asarray(q, dtype=np.float64), np.asarray(k, dtype=np.float64)
    scores = q @ k.T / np.sqrt(q.shape[-1])
    age = np.arange(len(q))[:, None] - np.arange(len(k))
    scores[(age < 0) | ((window > 0) & (age >= window))] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def aft_map(k: ArrayLike) -> np.ndarray:
    """(T, n) keys of n AFT channels -> (T, T) double: the mean over channels of e^(k_s) / sum_{s' ≤ t} e^(k_s').

    For one channel this is that channel's implied map (arXiv 2105.14103, with w = 0).
    """
    k = np.asarray(k, dtype=np.float64)
    keys = np.exp(k - k.max(0))
    # A key e^-690 below its channel's largest still needs a row of its own to be a weight, not 0 / 0.
    keys = np.maximum(keys, 1e-300)
    return np.tril((1 / np.cumsum(keys, 0)) @ keys.T / k.shape[-1])


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
