"""Independent tokens: nothing that was read helps."""

from dataclasses import dataclass

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.sources.source import Source, choose, distributions, entropy


@dataclass(frozen=True)
class Independent(Source):
    """Every token is drawn from one distribution, whatever came before; with a sharpness of 0, a fair die."""

    about = "independent tokens of one distribution, where reading helps nothing"
    source = "Shannon 1948"

    def draw(self, draws: Draws) -> np.ndarray:
        """Token by token."""
        uniform = draws.uniform(self.length + 1)
        p = np.broadcast_to(self._p, (uniform.size, self.symbols))
        return choose(p, uniform.ravel()).reshape(uniform.shape)

    def log_probability(self, text: np.ndarray) -> np.ndarray:
        """log p(token)."""
        return np.log(self._p[0])[text]

    @property
    def entropy_rate(self) -> float:
        """H(p)."""
        return float(entropy(self._p)[0])

    @property
    def _p(self) -> np.ndarray:
        return distributions(1, self.symbols, self.sharpness, self.table)
