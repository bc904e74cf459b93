"""Selective copying: tokens scattered among blanks, to be said again in order and without the blanks."""

from dataclasses import dataclass

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.maker import argument, unasked
from strawberry.data.tasks.repetition import Repetition


@dataclass(frozen=True)
class SelectiveCopy(Repetition):
    """``copies`` random tokens at random places among blanks, then the mark, and room for the answer.

    Places are drawn uniformly. The row ends with the mark and copies − 1 blanks: the first token is the target where
    the mark is read, the next at the blank after it, and so on; nothing that was answered is written.
    """

    about = "repeats in order the tokens that were scattered among blanks"
    source = "Gu and Dao 2023, arXiv 2312.00752, section 4.1.1; Poli et al. 2024, arXiv 2403.17844 (MAD)"

    copies: int = argument(8, "tokens to repeat", 1, 4096)
    vocab: int = argument(16, "symbols, the blank and the mark among them", 4, 65536)

    def check(self) -> None:
        if self.length < 2 * self.copies:
            raise self.refuse(
                f"{self.copies} tokens need a length of {2 * self.copies} or more to be read and repeated; it is "
                f"{self.length}"
            )

    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """See the class."""
        tokens, targets = np.zeros((draws.rows, self.length), dtype=np.int64), unasked(draws.rows, self.length)
        content = 2 + draws.whole(self.copies, self.vocab - 2)
        places = np.sort(draws.distinct(self.copies, self.length - self.copies), axis=1)
        np.put_along_axis(tokens, places, content, axis=1)
        tokens[:, self.length - self.copies] = 1
        targets[:, self.length - self.copies :] = content
        return tokens, targets

    def solve(self, tokens: np.ndarray) -> np.ndarray:
        """The tokens before the mark, one after the other from the mark on."""
        answers, seen, asking = unasked(1, len(tokens))[0], [], False
        for place, token in enumerate(tokens.tolist()):
            asking = asking or token == 1
            if asking and seen:
                answers[place] = seen.pop(0)
            elif token > 1:
                seen.append(token)
        return answers
