"""Induction heads: what followed the special token the first time follows it again."""

from dataclasses import dataclass

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.maker import argument, unasked
from strawberry.data.tasks.task import Task


@dataclass(frozen=True)
class Induction(Task):
    """Random tokens among which one special token comes ``asks`` + 1 times, each time followed by the same token.

    That token is the row's own. The first time it must be read; at each later special token it is the target. Places
    are drawn uniformly, at least two apart; the special token comes nowhere else. (In Mamba's form it is asked once, at
    the end of the row.)
    """

    about = "finds what followed a token before, and says it when the token comes again"
    source = "Olsson et al. 2022, arXiv 2209.11895; this form: Gu and Dao 2023, arXiv 2312.00752, section 4.1.2"

    vocab: int = argument(16, "symbols, the special one among them", 3, 65536)
    asks: int = argument(4, "times that the special token comes again", 1, 1024)

    def check(self) -> None:
        shortest = 2 * (self.asks + 1)
        if self.length < shortest:
            raise self.refuse(f"asking {self.asks} times needs a length of {shortest} or more; it is {self.length}")

    @property
    def chance(self) -> float:
        """One of the ordinary tokens."""
        return 1 / (self.vocab - 1)

    def words(self) -> list[str]:
        """A hash for the special token, then t1, t2, …."""
        return ["#", *(f"t{number}" for number in range(1, self.vocab))]

    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """See the class."""
        tokens = 1 + draws.whole(self.length, self.vocab - 1)
        targets = unasked(draws.rows, self.length)
        answer = 1 + draws.whole(1, self.vocab - 1)
        # Pairs without room between them, among the places that are left when each pair counts as one.
        pairs = np.sort(draws.distinct(self.asks + 1, self.length - self.asks - 1), axis=1) + np.arange(self.asks + 1)
        np.put_along_axis(tokens, pairs, 0, axis=1)
        np.put_along_axis(tokens, pairs + 1, np.broadcast_to(answer, pairs.shape), axis=1)
        np.put_along_axis(targets, pairs[:, 1:], np.broadcast_to(answer, (draws.rows, self.asks)), axis=1)
        return tokens, targets

    def solve(self, tokens: np.ndarray) -> np.ndarray:
        """What followed the first special token, at every later one."""
        answers = unasked(1, len(tokens))[0]
        places = [place for place, token in enumerate(tokens.tolist()) if token == 0]
        for place in places[1:]:
            answers[place] = tokens[places[0] + 1]
        return answers
