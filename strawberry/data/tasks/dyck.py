"""Dyck words: brackets of several kinds, where each closing must fit the last that is open."""

from dataclasses import dataclass

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.maker import argument, unasked
from strawberry.data.tasks.task import Task

OPENING, CLOSING = "([{<", ")]}>"


@dataclass(frozen=True)
class Dyck(Task):
    """A walk of opening and closing brackets, at most ``depth`` deep; scored where the next bracket closes.

    At depth 0 a bracket opens, at the greatest depth it closes, between them either with probability ½; the kind of an
    opening is drawn uniformly. Which kind must close follows from the row, so a model that is only ever asked there can
    be always right: this is p(right closing | some closing) of Hewitt et al.
    """

    about = "closes the bracket that was opened last"
    source = "Hewitt et al. 2020, arXiv 2010.07515"

    kinds: int = argument(4, "kinds of brackets", 2, 1024)
    depth: int = argument(8, "most brackets open at once", 1, 4096)

    @property
    def chance(self) -> float:
        """One of the kinds."""
        return 1 / self.kinds

    def words(self) -> list[str]:
        """The brackets that open, then those that close; numbered where there are more than four kinds."""
        if self.kinds <= len(OPENING):
            return [*OPENING[: self.kinds], *CLOSING[: self.kinds]]
        return [f"{side}{number}" for side in "()" for number in range(1, self.kinds + 1)]

    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """See the class."""
        coins, kinds = draws.uniform(self.length + 1), draws.whole(self.length + 1, self.kinds)
        # The second bracket always closes the first, so that every row asks something.
        coins[:, 1] = 0.0
        row, depth = np.arange(draws.rows), np.zeros(draws.rows, dtype=np.int64)
        held = np.zeros((draws.rows, self.depth + 1), dtype=np.int64)
        text = np.empty((draws.rows, self.length + 1), dtype=np.int64)
        for place in range(self.length + 1):
            closes = (depth > 0) & ((depth == self.depth) | (coins[:, place] < 0.5))
            last = held[row, np.maximum(depth - 1, 0)]
            text[:, place] = np.where(closes, self.kinds + last, kinds[:, place])
            held[row, depth] = np.where(closes, held[row, depth], kinds[:, place])
            depth += np.where(closes, -1, 1)
        after = text[:, 1:]
        return np.ascontiguousarray(text[:, :-1]), np.where(after >= self.kinds, after, unasked(*after.shape))

    def solve(self, tokens: np.ndarray) -> np.ndarray:
        """Which bracket would close, after each that leaves one open."""
        answers, stack = unasked(1, len(tokens))[0], []
        for place, token in enumerate(tokens.tolist()):
            if token < self.kinds:
                stack.append(token)
            elif stack:
                stack.pop()
            if stack:
                answers[place] = self.kinds + stack[-1]
        return answers
