"""A hidden Markov model: states that nobody sees, of which each token tells a little."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.maker import argument
from strawberry.data.sources.markov import stationary
from strawberry.data.sources.source import Source, choose, distributions


@dataclass(frozen=True)
class HiddenMarkov(Source):
    """A stationary Markov chain of hidden states, each with its own distribution of tokens.

    There is no formula for its entropy rate. What a row is worth is computed by the forward algorithm, exactly.
    """

    about = "a hidden Markov model, where all that was read helps a little to guess the hidden state"
    source = "Baum and Petrie 1966; forward algorithm as in Rabiner 1989"

    symbols: int = argument(16, "different tokens", 2, 1024)
    sharpness: float = argument(2.0, "how unlike the probabilities are; 0 makes them all alike", 0.0, 5.0)
    states: int = argument(4, "hidden states", 1, 256)

    def draw(self, draws: Draws) -> np.ndarray:
        """A path of hidden states, and a token from each."""
        move, emit, start = self._tables
        hidden, shown = draws.uniform(self.length + 1), draws.uniform(self.length + 1)
        text = np.empty(hidden.shape, dtype=np.int64)
        state = choose(np.broadcast_to(start, (draws.rows, self.states)), hidden[:, 0])
        for place in range(self.length + 1):
            if place:
                state = choose(move[state], hidden[:, place])
            text[:, place] = choose(emit[state], shown[:, place])
        return text

    def log_probability(self, text: np.ndarray) -> np.ndarray:
        """The forward algorithm: what is believed of the state, corrected by each token."""
        move, emit, start = self._tables
        belief, logs = np.broadcast_to(start, (len(text), self.states)), np.empty(text.shape)
        for place in range(text.shape[1]):
            joint = belief * emit[:, text[:, place]].T
            likely = joint.sum(axis=1)
            logs[:, place] = np.log(likely)
            belief = joint / likely[:, None] @ move
        return logs

    @property
    def _tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _model(self.states, self.symbols, self.sharpness, self.table)


@lru_cache(maxsize=16)
def _model(states: int, symbols: int, sharpness: float, table: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """p(next state | state), p(token | state), and the stationary distribution of states."""
    move = distributions(states, states, sharpness, table, purpose=1)
    return move, distributions(states, symbols, sharpness, table, purpose=2), stationary(lambda pi: pi @ move, states)
