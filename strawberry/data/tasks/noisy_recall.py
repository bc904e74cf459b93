"""Noisy recall: keys and values as they come, with noise between them."""

from dataclasses import dataclass

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.maker import argument, unasked
from strawberry.data.tasks.task import Task


@dataclass(frozen=True)
class NoisyRecall(Task):
    """Pairs of a key and its value, where a share of the pairs is two tokens of noise instead.

    A row's values are drawn anew for each of its keys. Whenever a key comes that came before, its value is the target
    and is written after it; the last pair always has such a key. Noise has symbols of its own. (MAD trains on every
    token and scores these; here training scores these too.)
    """

    about = "recalls the value of a key that came before, through noise"
    source = "Poli et al. 2024, arXiv 2403.17844 (MAD)"

    keys: int = argument(8, "different keys, and different values", 2, 16384)
    noise: int = argument(16, "different symbols of noise", 1, 16384)
    share: float = argument(0.2, "share of the pairs that is noise", 0.0, 0.95)

    def check(self) -> None:
        if self.length < 4 or self.length % 2:
            raise self.refuse(f"length must be even and at least 4; got {self.length}")

    @property
    def chance(self) -> float:
        """One of the values."""
        return 1 / self.keys

    def words(self) -> list[str]:
        """Keys k1, k2, …, values v1, v2, …, noise n1, n2, …."""
        parts = (("k", self.keys), ("v", self.keys), ("n", self.noise))
        return [f"{kind}{number}" for kind, count in parts for number in range(1, count + 1)]

    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """See the class."""
        pairs = self.length // 2
        keys = draws.whole(pairs, self.keys)
        values = self.keys + draws.whole(self.keys, self.keys)
        noisy = draws.uniform(pairs) < self.share
        noise = 2 * self.keys + draws.whole(self.length, self.noise)
        # One pair before the last is a key and its value, whatever chance says, and so is the last.
        sure = draws.whole(1, pairs - 1)
        np.put_along_axis(noisy, sure, False, axis=1)
        noisy[:, -1] = False
        asked = draws.whole(1, np.maximum(1, (~noisy[:, :-1]).sum(axis=1, keepdims=True)))
        order = np.argsort(noisy[:, :-1], axis=1, kind="stable")  # the pairs that are no noise, first
        keys[:, -1:] = np.take_along_axis(keys, np.take_along_axis(order, asked, axis=1), axis=1)
        tokens, targets = noise, unasked(draws.rows, self.length)
        tokens[:, ::2] = np.where(noisy, tokens[:, ::2], keys)
        right = np.take_along_axis(values, keys, axis=1)
        tokens[:, 1::2] = np.where(noisy, tokens[:, 1::2], right)
        place, first = np.arange(pairs), np.full((draws.rows, self.keys), pairs)
        np.minimum.at(first, (np.arange(draws.rows)[:, None], keys), np.where(noisy, pairs, place))
        again = ~noisy & (place > np.take_along_axis(first, keys, axis=1))
        targets[:, ::2] = np.where(again, right, targets[:, ::2])
        return tokens, targets

    def solve(self, tokens: np.ndarray) -> np.ndarray:
        """The value that followed the key the first time."""
        known: dict[int, int] = {}
        answers, row = unasked(1, len(tokens))[0], tokens.tolist()
        for place in range(0, len(row), 2):
            key = row[place]
            if key in known:
                answers[place] = known[key]
            elif key < self.keys and place + 1 < len(row):
                known[key] = row[place + 1]
        return answers
