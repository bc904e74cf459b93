"""Modular sums: a + b + … mod m, for sums that training never shows."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from strawberry.data.draws import Draws, fixed
from strawberry.data.maker import argument, unasked
from strawberry.data.tasks.task import Task

HELD_OUT = 0.2  # share of all sums that only validation asks
MOST = 1_000_000  # sums that are divided; where there are more, none comes twice anyway


@dataclass(frozen=True)
class Modular(Task):
    """Sums of ``terms`` numbers modulo ``modulus``, one after the other; the result is asked at "=" and then written.

    A fifth of all sums, fixed once, is asked in validation alone, so that a table learned by heart earns nothing there.
    With two terms it is the arithmetic of grokking, with many the tracking of a state. A row ends with blanks.
    """

    about = "adds numbers modulo m, in sums that were not trained on"
    source = "Power et al. 2022, arXiv 2201.02177; many terms: Deletang et al. 2022, arXiv 2207.02098"

    modulus: int = argument(10, "numbers are 0 to modulus − 1", 2, 1024)
    terms: int = argument(2, "numbers in a sum", 1, 1024)

    def check(self) -> None:
        if self.length < self.terms + 2:
            raise self.refuse(f"a sum of {self.terms} needs a length of {self.terms + 2} or more; it is {self.length}")
        if self.modulus**self.terms < 5:
            raise self.refuse("with so few sums none can be kept for validation; raise modulus or terms")

    @property
    def chance(self) -> float:
        """The result that most sums of validation have."""
        if self.modulus**self.terms > MOST:
            return 1 / self.modulus
        results = self._terms(_divided(self.modulus**self.terms)["validation"]).sum(axis=-1) % self.modulus
        return float(np.bincount(results).max() / len(results))

    def words(self) -> list[str]:
        """The numbers, then "=" and a blank."""
        return [*map(str, range(self.modulus)), "=", "_"]

    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """See the class."""
        count = self.length // (self.terms + 2)
        if self.modulus**self.terms <= MOST:
            sums = _divided(self.modulus**self.terms)[draws.split]
            terms = self._terms(sums[draws.whole(count, len(sums))])
        else:
            terms = draws.whole(count * self.terms, self.modulus).reshape(draws.rows, count, self.terms)
        result = terms.sum(axis=2, keepdims=True) % self.modulus
        parts = [terms, np.full_like(result, self.modulus), result]
        tokens = np.full((draws.rows, self.length), self.modulus + 1, dtype=np.int64)
        targets = unasked(draws.rows, self.length)
        used = count * (self.terms + 2)
        tokens[:, :used] = np.concatenate(parts, axis=2).reshape(draws.rows, used)
        targets[:, self.terms : used : self.terms + 2] = result[..., 0]
        return tokens, targets

    def solve(self, tokens: np.ndarray) -> np.ndarray:
        """Adds up the numbers before each "="."""
        answers, row = unasked(1, len(tokens))[0], tokens.tolist()
        for place, token in enumerate(row):
            terms = row[max(0, place - self.terms) : place]
            if token == self.modulus and len(terms) == self.terms and max(terms) < self.modulus:
                answers[place] = sum(terms) % self.modulus
        return answers

    def _terms(self, number: np.ndarray) -> np.ndarray:
        """The numbers of a sum, (…, terms), by its number (…)."""
        return number[..., None] // self.modulus ** np.arange(self.terms - 1, -1, -1) % self.modulus


@lru_cache(maxsize=4)
def _divided(sums: int) -> dict[str, np.ndarray]:
    """Which sums each split asks."""
    order = np.argsort(fixed(0, sums, purpose=8), kind="stable")
    held = max(1, int(HELD_OUT * sums))
    return {"train": order[held:], "validation": order[:held]}
