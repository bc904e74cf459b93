"""Where tokens stop: the pass after which a token's confidence is high enough."""

import numpy as np


def given_away(stops: np.ndarray) -> np.ndarray:
    """(P, T) chances to stop after each pass -> (P, T) chances to have stopped by then: 1 − Π (1 − λ).

    What the rule "distribution" looks at, of a head that learns an exit distribution (arXiv 2510.25741).
    """
    return 1 - np.cumprod(1 - stops, axis=0)


def exits(confidence: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """(P, T) confidences -> (T,) passes taken until ``threshold`` is reached, and (T,) whether it is; else all P."""
    enough = confidence >= threshold
    reached = np.asarray(enough.any(axis=0))
    return np.where(reached, enough.argmax(axis=0) + 1, len(confidence)), reached


def correlation(depth: np.ndarray, loss: np.ndarray) -> float:
    """Pearson's r of two series over the tokens that have both; NaN where one of them does not vary."""
    both = np.flatnonzero(~np.isnan(loss[: len(depth)]))
    depth, loss = np.asarray(depth, dtype=np.float64)[both], np.asarray(loss, dtype=np.float64)[both]
    if len(both) < 2 or depth.std() == 0 or loss.std() == 0:
        return float("nan")
    return float(np.corrcoef(depth, loss)[0, 1])
