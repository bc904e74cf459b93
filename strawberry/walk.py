"""A walk through the shared layers: hands each layer its own weights and state, and gathers what they leave."""

from typing import Any

from torch import Tensor

from strawberry.block import Block, BlockState, PassState
from strawberry.call import Call
from strawberry.state import State


class Walk:
    """One forward pass in the making, over the layers of ``model``, going on from ``state``."""

    def __init__(self, model: Any, state: State | None) -> None:
        self.blocks: list[Block] = model.blocks
        self.state = state
        shared = model.shared
        self.weights = [None if shared is None else shared.layer(index) for index in range(len(self.blocks))]
        self.passes: list[list[PassState]] = [[] for _ in self.blocks]

    def run(self, x: Tensor, layer: int, step: int, call: Call) -> Tensor:
        """The residual stream after layer ``layer`` runs for the ``step``-th time."""
        before = None if self.state is None else self.state.blocks[layer]
        memory = None if before is None else before.retention
        own = None if before is None else before.passes[step]
        x, self.weights[layer], after = self.blocks[layer](x, step, self.weights[layer], call, memory, own)
        self.passes[layer].append(after)
        return x

    def states(self) -> tuple[BlockState, ...]:
        """Every layer's state after this walk."""
        made = [
            None if block.retention is None or weights is None else weights.state()
            for block, weights in zip(self.blocks, self.weights, strict=True)
        ]
        return tuple(BlockState(one, tuple(own)) for one, own in zip(made, self.passes, strict=True))


def run_pass(
    model: Any, x: Tensor, step: int, call: Call, before: tuple[PassState, ...] | None
) -> tuple[Tensor, tuple[PassState, ...]]:
    """One pass over the whole stack of fixed weights, with a state of its own for each layer."""
    shared, after = model.shared, []
    for index, block in enumerate(model.blocks):
        weights = None if shared is None else shared.layer(index)
        x, _, own = block(x, step, weights, call, None, None if before is None else before[index])
        after.append(own)
    return model.passes(x), tuple(after)
