"""Random depth: in training the number of passes is drawn anew, so that more passes than usual can be tried later."""

import numpy as np

from strawberry.config import Config

SPREAD = 0.5  # standard deviation of the logarithm of the rate
MOST = 4  # times config.loops; beyond, the tail of the distribution would decide the memory


def drawn_loops(config: Config, step: int, micro: int) -> int:
    """The passes of micro-batch ``micro`` of training step ``step``: ``config.loops``, or with random depth about it.

    1 + Poisson(e^τ) with τ ~ N(log(loops − 1) − σ²/2, σ), σ = 1/2, so that the mean is ``loops``; a function of the
    seed and the place in the training alone (Geiping et al. 2025, arXiv 2502.05171, section 3.3).
    """
    if config.depth == "fixed" or config.loops == 1:
        return config.loops
    random = np.random.Generator(np.random.Philox(key=config.seed, counter=[step, micro, 0, 7]))
    rate = np.exp(random.normal(np.log(config.loops - 1) - SPREAD**2 / 2, SPREAD))
    return int(min(1 + random.poisson(rate), MOST * config.loops))
