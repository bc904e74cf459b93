"""The contract of a source: it draws text, and says of every token how surprising it was."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from strawberry.data.draws import Draws, fixed
from strawberry.data.maker import Maker, argument
from strawberry.scoring import IGNORED


@dataclass(frozen=True)
class Source(Maker):
    """A random process with tokens. Every row is drawn anew, and its first token is given, not predicted.

    Its probabilities come from a table that ``table`` numbers, the same for training and validation: each is
    softmax(sharpness · Gumbel noise), so that a sharpness of 0 makes all outcomes alike.
    """

    metric: ClassVar[str] = "loss"

    symbols: int = argument(16, "different tokens", 2, 4096)
    sharpness: float = argument(1.0, "how unlike the probabilities are; 0 makes them all alike", 0.0, 5.0)
    table: int = argument(0, "number of the table of probabilities", 0, 1 << 31)

    @abstractmethod
    def draw(self, draws: Draws) -> np.ndarray:
        """Text, (draws.rows, length + 1) int64."""

    @abstractmethod
    def log_probability(self, text: np.ndarray) -> np.ndarray:
        """log p of every token given all before it in its row: (rows, tokens) -> (rows, tokens) float64, exactly."""

    def words(self) -> list[str]:
        """Letters, or numbered symbols where there are more than 26."""
        return [chr(97 + number) if self.symbols <= 26 else f"s{number}" for number in range(self.symbols)]

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


def distributions(rows: int, columns: int, sharpness: float, table: int, purpose: int = 0) -> np.ndarray:
    """(rows, columns) float64, each row a distribution: softmax(sharpness · Gumbel noise) of the numbered table."""
    noise = -np.log(-np.log1p(-fixed(table, rows * columns, purpose) * (1 - 2**-50) - 2**-52))
    scores = sharpness * noise.reshape(rows, columns)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def choose(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One outcome per row: (rows, outcomes) and (rows,) in [0, 1) -> (rows,) int64, by the inverse of the sums."""
    sums = probabilities.cumsum(axis=1)
    return (uniform[:, None] * sums[:, -1:] >= sums).sum(axis=1)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Nats of each row of (rows, outcomes)."""
    logs = np.log(np.where(probabilities > 0, probabilities, 1.0))
    return -(probabilities * logs).sum(axis=1)
