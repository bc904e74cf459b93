"""Compression: everything that was read, to be said again from what is kept of it."""

from dataclasses import dataclass

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.maker import argument, unasked
from strawberry.data.tasks.repetition import Repetition


@dataclass(frozen=True)
class Compression(Repetition):
    """Random tokens, as many as fit twice, then the mark and blanks, at which all of them are asked in order.

    In MAD one hidden vector, at the mark, is handed to a decoder of its own. A language model has none, so here it says
    the tokens itself: what must hold them is the state that it carries on from the mark, and a state of fixed size has
    to compress. Attention keeps every token and is the control.
    """

    about = "keeps a whole text in its state, and repeats it after the mark"
    source = "after Poli et al. 2024, arXiv 2403.17844 (MAD)"

    vocab: int = argument(16, "symbols, the blank and the mark among them", 4, 65536)

    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """See the class; a row of odd length ends with a blank at which nothing is asked."""
        half = self.length // 2
        tokens, targets = np.zeros((draws.rows, self.length), dtype=np.int64), unasked(draws.rows, self.length)
        content = 2 + draws.whole(half, self.vocab - 2)
        tokens[:, :half], tokens[:, half] = content, 1
        targets[:, half : 2 * half] = content
        return tokens, targets

    def solve(self, tokens: np.ndarray) -> np.ndarray:
        """The tokens before the mark, one after the other from the mark on."""
        answers = unasked(1, len(tokens))[0]
        marks = np.flatnonzero(tokens == 1)
        if len(marks):
            said = tokens[: marks[0]][: len(tokens) - marks[0]]
            answers[marks[0] : marks[0] + len(said)] = said
        return answers
