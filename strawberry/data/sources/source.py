"""The contract of a source: it draws text, and says of every token how surprising it was."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.maker import Maker
from strawberry.scoring import IGNORED


@dataclass(frozen=True)
class Source(Maker):
    """A random process with tokens. Every row is drawn anew, and its first token is given, not predicted."""

    metric: ClassVar[str] = "loss"

    @abstractmethod
    def draw(self, draws: Draws) -> np.ndarray:
        """Text, (draws.rows, length + 1) int64."""

    @abstractmethod
    def log_probability(self, text: np.ndarray) -> np.ndarray:
        """log p of every token given all before it in its row: (rows, tokens) -> (rows, tokens) float64, exactly."""

    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """Text and, as targets, its next tokens."""
        text = self.draw(draws)
        return np.ascontiguousarray(text[:, :-1]), np.ascontiguousarray(text[:, 1:])

    def answers(self, tokens: np.ndarray) -> np.ndarray:
        """The next tokens; nothing is asked after the last."""
        return np.append(tokens[1:], IGNORED)

    def surprisal(self, tokens: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """-log p of every target given the tokens up to it."""
        return -self.log_probability(np.concatenate([tokens, targets[:, -1:]], axis=1))[:, 1:]
