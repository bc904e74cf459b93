"""The contract of a task: rows with questions in them, and an oracle that answers them."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from strawberry.data.maker import Maker


@dataclass(frozen=True)
class Task(Maker):
    """Questions whose answers follow from the row up to the question, so that accuracy 1 is possible and loss 0."""

    metric: ClassVar[str] = "accuracy"

    @property
    @abstractmethod
    def chance(self) -> float:
        """The accuracy of a guess that knows the possible answers and has not understood the question."""

    @abstractmethod
    def solve(self, tokens: np.ndarray) -> np.ndarray:
        """The oracle, slow and plain: the answer at each place of one row (length,) that could be asked, else -100."""

    def answers(self, tokens: np.ndarray) -> np.ndarray:
        """The oracle's."""
        return self.solve(tokens)
