"""A Markov chain: the next token depends on the last few and on nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.maker import argument
from strawberry.data.sources.source import Source, choose, distributions, entropy

MOST = 4096  # contexts of a table


@dataclass(frozen=True)
class Markov(Source):
    """A stationary Markov chain of the given order; each context has a distribution of its own.

    A row begins with ``order`` tokens from the stationary distribution of contexts.
    """

    about = "a Markov chain, where the last few tokens are all that helps"
    source = "Markov 1913; Shannon 1948"

    symbols: int = argument(8, "different tokens", 2, 1024)
    sharpness: float = argument(2.0, "how unlike the probabilities are; 0 makes them all alike", 0.0, 5.0)
    order: int = argument(1, "tokens that the next one depends on", 1, 12)

    def check(self) -> None:
        if self.symbols**self.order > MOST:
            raise self.refuse(
                f"{self.symbols} symbols and order {self.order} make {self.symbols**self.order:,} contexts, and "
                f"{MOST:,} are the most; lower one of them"
            )

    def draw(self, draws: Draws) -> np.ndarray:
        """The first context, then token by token."""
        table, start = self._tables
        uniform = draws.uniform(self.length + 2)
        context = choose(np.broadcast_to(start, (draws.rows, len(start))), uniform[:, 0])
        text = np.empty((draws.rows, max(self.length + 1, self.order)), dtype=np.int64)
        for place in range(self.order):
            text[:, place] = context // self.symbols ** (self.order - 1 - place) % self.symbols
        for place in range(self.order, self.length + 1):
            text[:, place] = choose(table[context], uniform[:, place + 1])
            context = (context * self.symbols + text[:, place]) % len(start)
        return text[:, : self.length + 1]

    def log_probability(self, text: np.ndarray) -> np.ndarray:
        """log p(token | last tokens); at the beginning, where these are fewer, from the stationary distribution."""
        table, start = self._tables
        logs = np.empty(text.shape)
        before: np.ndarray | float = 0.0
        context = np.zeros(len(text), dtype=np.int64)
        for place in range(text.shape[1]):
            token = text[:, place]
            if place < self.order:
                # How likely the beginning so far is: the sum over all contexts that begin so.
                beginnings = start.reshape(self.symbols ** (place + 1), -1).sum(axis=1)
                context = context * self.symbols + token
                whole = np.log(beginnings[context])
                logs[:, place], before = whole - before, whole
            else:
                logs[:, place] = np.log(table[context, token])
                context = (context * self.symbols + token) % len(start)
        return logs

    @property
    def entropy_rate(self) -> float:
        """Σ π(context) H(next | context)."""
        table, start = self._tables
        return float(start @ entropy(table))

    @property
    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        return _chain(self.symbols, self.order, self.sharpness, self.table)


@lru_cache(maxsize=16)
def _chain(symbols: int, order: int, sharpness: float, table: int) -> tuple[np.ndarray, np.ndarray]:
    """p(next | context) as (contexts, symbols), and the stationary distribution of contexts (contexts,)."""
    contexts = symbols**order
    p = distributions(contexts, symbols, sharpness, table)
    return p, stationary(lambda pi: (pi[:, None] * p).reshape(symbols, contexts).sum(axis=0), contexts)


def stationary(onward: Callable[[np.ndarray], np.ndarray], states: int) -> np.ndarray:
    """The distribution (states,) that ``onward`` leaves as it is, by lazy power iteration."""
    pi = np.full(states, 1 / states)
    for _ in range(20_000):
        new = (pi + onward(pi)) / 2
        new /= new.sum()
        if np.abs(new - pi).sum() < 1e-15:
            return new
        pi = new
    return pi
