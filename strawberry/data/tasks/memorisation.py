"""Memorisation: facts that no row tells and only the weights can hold."""

from dataclasses import dataclass

import numpy as np

from strawberry.data.draws import Draws, fixed
from strawberry.data.maker import argument, unasked
from strawberry.data.tasks.task import Task


@dataclass(frozen=True)
class Memorisation(Task):
    """Keys, each followed by a question mark at which its value is the target; values are never written.

    Which value belongs to a key is one table, a permutation, the same in every row of training and validation: it is
    learned by heart or not at all, so accuracy follows the parameters that can hold it and not the token mixer.
    """

    about = "learns a table of facts by heart, which no row tells"
    source = "Poli et al. 2024, arXiv 2403.17844 (MAD)"

    keys: int = argument(128, "facts to learn", 2, 32767)
    table: int = argument(0, "number of the table", 0, 1 << 31)

    @property
    def chance(self) -> float:
        """One of the values."""
        return 1 / self.keys

    def words(self) -> list[str]:
        """A question mark, keys k1, k2, …, and values v1, v2, …."""
        keys = [f"k{number}" for number in range(1, self.keys + 1)]
        return ["?", *keys, *(f"v{number}" for number in range(1, self.keys + 1))]

    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """See the class; a row of odd length ends with a key at which nothing is asked."""
        keys = draws.whole((self.length + 1) // 2, self.keys)
        tokens, targets = np.zeros((draws.rows, self.length), dtype=np.int64), unasked(draws.rows, self.length)
        tokens[:, ::2] = 1 + keys
        targets[:, 1::2] = self._values[keys[:, : self.length // 2]]
        return tokens, targets

    def solve(self, tokens: np.ndarray) -> np.ndarray:
        """The value of the key before each question mark."""
        answers, values = unasked(1, len(tokens))[0], self._values
        for place, token in enumerate(tokens.tolist()):
            if place and token == 0 and 1 <= tokens[place - 1] <= self.keys:
                answers[place] = values[tokens[place - 1] - 1]
        return answers

    @property
    def _values(self) -> np.ndarray:
        """The token of each key's value, (keys,)."""
        return 1 + self.keys + np.argsort(fixed(self.table, self.keys, purpose=7), kind="stable")
