"""Random numbers for the rows of a batch, decided by counters alone."""

import numpy as np

from strawberry.data.dataset import SPLITS

_MASK = (1 << 64) - 1
_FIXED = 1 << 40  # the key of what is drawn once for all rows, such as a table


class Draws:
    """Independent draws for ``rows`` rows; row i does not depend on how many there are.

    A counter-based generator (Philox, Salmon et al. 2011) is read from (seed, split, step, micro, number of the call).
    """

    def __init__(self, rows: int, split: str, step: int = 0, micro: int = 0, seed: int = 0) -> None:
        self.rows = rows
        self.split = split
        self._key = np.array([seed & _MASK, SPLITS.index(split)], dtype=np.uint64)
        self._place = (micro, step)
        self._calls = 0

    def uniform(self, count: int) -> np.ndarray:
        """(rows, count) float64 in [0, 1)."""
        micro, step = self._place
        self._calls += 1
        counter = np.array([0, micro, step & _MASK, self._calls], dtype=np.uint64)
        return _unit(np.random.Philox(key=self._key, counter=counter).random_raw(self.rows * count)).reshape(-1, count)

    def whole(self, count: int, below: int | np.ndarray) -> np.ndarray:
        """(rows, count) int64 from 0, each below ``below``, which may be one number for each of them."""
        return (self.uniform(count) * below).astype(np.int64)

    def distinct(self, count: int, of: int, weights: np.ndarray | None = None) -> np.ndarray:
        """(rows, count) int64, no two in a row alike, as if drawn one after the other from 0 … of − 1.

        ``weights`` (of,) makes some likelier: of those left, each is drawn in proportion to its weight. Drawn as the
        first of ``of`` exponential clocks (Efraimidis and Spirakis 2006).
        """
        clocks = -np.log1p(-self.uniform(of))
        if weights is not None:
            clocks /= weights
        return np.argsort(clocks, axis=1, kind="stable")[:, :count]


def fixed(table: int, count: int, purpose: int = 0) -> np.ndarray:
    """(count,) float64 in [0, 1), the same for all rows, splits and runs: what tables are made of."""
    key = np.array([table & _MASK, _FIXED + purpose], dtype=np.uint64)
    return _unit(np.random.Philox(key=key).random_raw(count))


def _unit(raw: np.ndarray) -> np.ndarray:
    return (raw >> np.uint64(11)) * 2.0**-53
