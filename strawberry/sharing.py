"""Sharing schemes: in which order the layers are visited when they are run more than once."""

from typing import NamedTuple

from strawberry.config import Config


class Visit(NamedTuple):
    """Layer ``layer`` runs for the ``step``-th time (from 0); ``ends`` is True where a pass ends with it."""

    layer: int
    step: int
    ends: bool


def visits(config: Config, loops: int | None = None) -> list[Visit]:
    """The layers in the order in which they run, ``loops`` times (default ``config.loops``) where they are shared.

    - ``cycle``: the whole stack, again and again: A B C A B C.
    - ``sequence``: each layer several times before the next: A A B B C C; a pass ends with every layer's last run.
    - ``middle-cycle``: the first and the last layer once, those between again and again: A B B C.

    The schemes are those of Mixture of Recursions (arXiv 2507.10524, table 1).
    """
    layers, loops = config.n_layers, loops or config.loops
    if config.sharing == "sequence":
        return [Visit(layer, step, step == loops - 1) for layer in range(layers) for step in range(loops)]
    if config.sharing == "cycle":
        return [Visit(layer, step, layer == layers - 1) for step in range(loops) for layer in range(layers)]
    middle = [Visit(layer, step, layer == layers - 2) for step in range(loops) for layer in range(1, layers - 1)]
    # The last layer belongs to the last pass.
    middle[-1] = middle[-1]._replace(ends=False)
    return [Visit(0, 0, False), *middle, Visit(layers - 1, 0, True)]


def runs(config: Config, layer: int, loops: int | None = None) -> int:
    """How often a layer runs."""
    return sum(visit.layer == layer for visit in visits(config, loops))
