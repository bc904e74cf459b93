"""Multi-query associative recall: keys with values, then some of the keys again, at distances that fall off slowly."""

from dataclasses import dataclass

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.maker import argument, unasked
from strawberry.data.tasks.task import Task


@dataclass(frozen=True)
class MultiQueryRecall(Task):
    """As Zoology generates it (arXiv 2312.04927, section 3.1 and its published generator).

    A row begins with ``pairs`` keys, each followed by its value, none twice. Each key comes once more, at an even
    distance behind the pairs; there its value is the target, and it is not written. Distances are drawn without
    replacement from a power law, p(gap) ∝ gap^(power − 1). Everything else is filled with random tokens, which may be
    keys and values too. Token 0 is none of them; keys come before values. Zoology uses vocabularies larger than a row;
    here it is enough that the pairs fit.
    """

    about = "remembers which value followed which key, and says it when the key comes again"
    source = "Arora et al. 2023, arXiv 2312.04927 (Zoology)"

    pairs: int = argument(8, "keys with a value", 1, 4096)
    vocab: int = argument(64, "symbols: half keys, half values", 4, 65536)
    power: float = argument(0.01, "exponent of the power law of distances; 1 makes all alike", 0.001, 1.0)

    def check(self) -> None:
        if self.length % 2:
            raise self.refuse(f"length must be even, since keys stand at even places; got {self.length}")
        if 4 * self.pairs > self.length:
            raise self.refuse(f"{self.pairs} pairs need a length of {4 * self.pairs} or more; it is {self.length}")
        if self.pairs > self._values - 1:
            raise self.refuse(f"{self.pairs} pairs need a vocab of {2 * self.pairs + 2} or more; it is {self.vocab}")

    @property
    def chance(self) -> float:
        """One of the values that were seen."""
        return 1 / self.pairs

    def words(self) -> list[str]:
        """A dot, keys k1, k2, … and values v1, v2, …."""
        keys = [f"k{number}" for number in range(1, self._values)]
        return [".", *keys, *(f"v{number}" for number in range(1, self.vocab - self._values + 1))]

    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """See the class."""
        context = 2 * self.pairs
        keys = 1 + draws.distinct(self.pairs, self._values - 1)
        values = self._values + draws.distinct(self.pairs, self.vocab - self._values)
        space = (self.length - context) // 2
        gaps = draws.distinct(self.pairs, space, np.arange(1, space + 1) ** (self.power - 1))
        tokens, targets = np.zeros((draws.rows, self.length), dtype=np.int64), unasked(draws.rows, self.length)
        tokens[:, 0:context:2], tokens[:, 1:context:2] = keys, values
        np.put_along_axis(tokens, context + 2 * gaps, keys, axis=1)
        np.put_along_axis(targets, context + 2 * gaps, values, axis=1)
        filler = draws.whole(self.length, self.vocab)
        return np.where(tokens == 0, filler, tokens), targets

    def solve(self, tokens: np.ndarray) -> np.ndarray:
        """The value that followed the key among the pairs, wherever that key comes again."""
        known: dict[int, int] = {}
        answers = unasked(1, len(tokens))[0]
        for place, token in enumerate(tokens.tolist()):
            if place < 2 * self.pairs:
                if place % 2:
                    known[int(tokens[place - 1])] = token
            elif place % 2 == 0 and token in known:
                answers[place] = known[token]
        return answers

    @property
    def _values(self) -> int:
        """The first token that is a value."""
        return self.vocab // 2
