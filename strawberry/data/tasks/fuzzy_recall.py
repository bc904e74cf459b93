"""Fuzzy recall: keys and values of several tokens each, recalled whole."""

from dataclasses import dataclass

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.maker import argument, unasked
from strawberry.data.tasks.task import Task


@dataclass(frozen=True)
class FuzzyRecall(Task):
    """Pairs of a key and a value, each of one to ``motif`` tokens; keys and values have symbols of their own.

    The length of a key, or value, is drawn uniformly, then its tokens, no two in it alike. A key that comes again is
    followed by the value that it had: each of that value's tokens is a target, at the token before it. The last pair
    always has a key that came before, and blanks before the first pair fill the row. (MAD trains on every token and
    scores these; here training scores these too.)
    """

    about = "recalls values of several tokens by keys of several tokens"
    source = "Poli et al. 2024, arXiv 2403.17844 (MAD)"

    vocab: int = argument(8, "symbols that keys are made of, and as many for values", 3, 1024)
    motif: int = argument(2, "most tokens of a key, and of a value", 1, 4)

    def check(self) -> None:
        if self.motif > self.vocab:
            raise self.refuse(f"a key of {self.motif} different tokens needs a vocab of {self.motif}, not {self.vocab}")
        if self.length < 4 * self.motif:
            raise self.refuse(f"two pairs need a length of {4 * self.motif} or more; it is {self.length}")

    @property
    def chance(self) -> float:
        """One of the symbols of values."""
        return 1 / self.vocab

    def words(self) -> list[str]:
        """A blank, symbols of keys k1, k2, … and of values v1, v2, …."""
        numbers = range(1, self.vocab + 1)
        return ["_", *(f"k{number}" for number in numbers), *(f"v{number}" for number in numbers)]

    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """See the class."""
        pairs = self.length // 2
        sizes = 1 + draws.whole(2 * pairs, self.motif)
        motifs = self._motifs(draws, 2 * pairs)
        last = draws.uniform(1)[:, 0]
        tokens, targets = np.zeros((draws.rows, self.length), dtype=np.int64), unasked(draws.rows, self.length)
        for row in range(draws.rows):
            written, asked = self._row(sizes[row].tolist(), motifs[row], float(last[row]))
            tokens[row, self.length - len(written) :] = written
            targets[row, self.length - len(asked) :] = asked
        return tokens, targets

    def solve(self, tokens: np.ndarray) -> np.ndarray:
        """Takes the row apart into runs of keys and of values, and looks up what followed the same run before."""
        known: dict[tuple[int, ...], list[int]] = {}
        answers, key, said, row = unasked(1, len(tokens))[0], [], [], tokens.tolist()
        for place, token in enumerate(row):
            if token == 0:
                continue
            if token <= self.vocab:
                if said:  # a new pair begins
                    known.setdefault(tuple(key), said)
                    key, said = [], []
                key.append(token)
            else:
                said.append(token)
            value = known.get(tuple(key), [])
            if len(said) < len(value) and said == value[: len(said)]:
                answers[place] = value[len(said)]
        return answers

    def _motifs(self, draws: Draws, count: int) -> np.ndarray:
        """(rows, count, motif) numbers below ``vocab``, no two of a motif alike."""
        clocks = draws.uniform(count * self.vocab).reshape(draws.rows, count, self.vocab)
        return np.argsort(clocks, axis=2, kind="stable")[:, :, : self.motif]

    def _row(self, sizes: list[int], motifs: np.ndarray, last: float) -> tuple[list[int], list[int]]:
        """Tokens and targets of one row, without the blanks before."""
        known: dict[tuple[int, ...], list[int]] = {}
        tokens: list[int] = []
        targets: list[int] = []
        drawn = iter(zip(sizes, motifs.tolist(), strict=True))
        room = self.length - 2 * self.motif  # for all pairs but the last
        for (key_size, key_motif), (value_size, value_motif) in zip(drawn, drawn, strict=True):
            key = tuple(1 + symbol for symbol in key_motif[:key_size])
            value = known.get(key, [1 + self.vocab + symbol for symbol in value_motif[:value_size]])
            if len(tokens) + len(key) + len(value) > room:
                break
            _write(tokens, targets, key, value, asked=key in known)
            known.setdefault(key, value)
        key = list(known)[int(last * len(known))]
        _write(tokens, targets, key, known[key], asked=True)
        return tokens, targets


def _write(tokens: list[int], targets: list[int], key: tuple[int, ...], value: list[int], *, asked: bool) -> None:
    tokens += [*key, *value]
    blank = unasked(1, len(key) + len(value))[0].tolist()
    if asked:
        blank[len(key) - 1 : -1] = value
    targets += blank
