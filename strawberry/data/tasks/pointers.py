"""Pointer chasing: follow arrows from a node for as many steps as are asked."""

from dataclasses import dataclass

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.maker import argument, unasked
from strawberry.data.tasks.task import Task


@dataclass(frozen=True)
class Pointers(Task):
    """Arrows of a random map of nodes, in random order, then questions: a node, and how many steps to follow.

    An arrow is written as its node and the node that it leads to, which is drawn uniformly. At the number of steps, 1
    to ``depth``, the node at the end is the target; it is not written. So the token at a question says how deep it was,
    and accuracy can be had for each depth.
    """

    about = "follows pointers from node to node, as many steps as are asked"
    source = "k-hop induction: Sanford et al. 2024, arXiv 2402.09268"

    nodes: int = argument(8, "nodes, each with one arrow", 2, 4096)
    depth: int = argument(3, "most steps of a question", 1, 64)

    def check(self) -> None:
        if self.length < 2 * self.nodes + 2:
            raise self.refuse(
                f"{self.nodes} arrows and a question need a length of {2 * self.nodes + 2} or more; it is {self.length}"
            )

    @property
    def chance(self) -> float:
        """One of the nodes."""
        return 1 / self.nodes

    def words(self) -> list[str]:
        """Nodes n1, n2, …, steps +1, +2, …, and a blank."""
        nodes = [f"n{number}" for number in range(1, self.nodes + 1)]
        return [*nodes, *(f"+{step}" for step in range(1, self.depth + 1)), "_"]

    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """See the class; a row of odd length ends with a blank."""
        map_, order = draws.whole(self.nodes, self.nodes), draws.distinct(self.nodes, self.nodes)
        asked = (self.length - 2 * self.nodes) // 2
        start, steps = draws.whole(asked, self.nodes), draws.whole(asked, self.depth)
        end, here = np.zeros_like(start), start
        for step in range(self.depth):
            here = np.take_along_axis(map_, here, axis=1)
            end = np.where(steps == step, here, end)
        tokens = np.full((draws.rows, self.length), self.nodes + self.depth, dtype=np.int64)
        targets = unasked(draws.rows, self.length)
        arrows, used = 2 * self.nodes, 2 * self.nodes + 2 * asked
        tokens[:, 0:arrows:2], tokens[:, 1:arrows:2] = order, np.take_along_axis(map_, order, axis=1)
        tokens[:, arrows:used:2], tokens[:, arrows + 1 : used : 2] = start, self.nodes + steps
        targets[:, arrows + 1 : used : 2] = end
        return tokens, targets

    def solve(self, tokens: np.ndarray) -> np.ndarray:
        """Follows the arrows."""
        answers, row = unasked(1, len(tokens))[0], tokens.tolist()
        arrows = dict(zip(row[0 : 2 * self.nodes : 2], row[1 : 2 * self.nodes : 2], strict=False))
        for place in range(2 * self.nodes + 1, len(row)):
            node, steps = row[place - 1], row[place] - self.nodes + 1
            if node < self.nodes and 1 <= steps <= self.depth:
                for _ in range(steps):
                    node = arrows[node]
                answers[place] = node
        return answers
