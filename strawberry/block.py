"""A block: one token mixer and one feed-forward layer, on projections that are learned or made from the input."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from strawberry.config import Config
from strawberry.experts.balance import Ledger
from strawberry.experts.router import Router
from strawberry.feedforward import ExpertSwiGLU, SwiGLU
from strawberry.mixers import MIXERS
from strawberry.norm import norm
from strawberry.retention.mechanism import Retention, RetentionState, Weights
from strawberry.rope import Rotation, rotate
from strawberry.tap import Tap


@dataclass(frozen=True)
class BlockState:
    """What one block carries from token to token: its mechanism's state, and one mixer state for each pass."""

    retention: RetentionState | None
    mixers: tuple[Any, ...]


@dataclass(frozen=True)
class Call:
    """What all blocks share during one forward pass over new tokens, the first of which stands at ``position``."""

    position: int
    turn: Rotation
    keep: bool
    ledger: Ledger | None


class Projections(nn.Module):
    """Fixed learned projections w_qkv (3D, C) and w_out (C, D): what a block owns without the Retention Mechanism."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.qkv = nn.Parameter(torch.empty(3 * config.d_qkv, config.d_model))
        self.out = nn.Parameter(torch.empty(config.d_model, config.d_qkv))


class Block(nn.Module):
    """norm → q, k, v → token mixer → (mini-SwiGLU →) out → residual; norm → feed-forward → residual.

    The block runs once per pass. Each branch ends in a norm with a small learned gain, one per pass, so that the
    residual stream stays of order 1 however often the stack is run; ``scale="raw"`` leaves that out, as published.
    """

    def __init__(self, config: Config, mixer: str) -> None:
        super().__init__()
        self.config = config
        self.retention = Retention(config) if config.weights == "retention" else None
        self.projections = Projections(config) if config.weights == "learned" else None
        self.mixer = MIXERS[mixer](config)
        routed = mixer == "abundance" and config.weights == "retention" and config.n_experts > 1
        self.swiglu_router = Router(config.d_model, config.n_experts, config.top_k, config) if routed else None
        self.feedforward = ExpertSwiGLU(config) if config.n_experts > 1 else SwiGLU(config)
        if config.scale == "fan_in":
            self.gains = nn.Parameter(torch.empty(config.loops, 2, config.d_model))
        self.q, self.k, self.v, self.mixed, self.residual = Tap(), Tap(), Tap(), Tap(), Tap()

    def forward(
        self, x: Tensor, step: int, weights: Weights | None, call: Call, state: BlockState | None
    ) -> tuple[Tensor, Weights | None, Any]:
        """Pass ``step`` over x (batch, seq, C), with the weights of the pass before.

        Returns the residual stream, the weights of this pass and the mixer's state after it.
        """
        h = norm(x)
        if self.retention is not None:
            memory = state.retention if state is not None else None
            if weights is None:
                weights = self.retention.begin(h, call.position, memory, call.keep)
            weights = self.retention.evolve(weights, step, memory)
        q, k, v = self._project(h, weights, call.turn)
        y, after = self.mixer(q, k, v, state.mixers[step] if state is not None else None, call.ledger)
        branch = self._out(h, self.mixed(y).flatten(2), weights, call.ledger)
        x = self._add(x, branch, step, 0)
        x = self._add(x, self.feedforward(norm(x), call.ledger), step, 1)
        return self.residual(x), weights, after

    def _project(self, h: Tensor, weights: Weights | None, turn: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        flat = weights.apply("qkv", h) if weights is not None else h @ self._learned().qkv.mT
        q, k, v = (x.unflatten(-1, (self.config.n_heads, -1)) for x in flat.chunk(3, dim=-1))
        return self.q(norm(rotate(q, turn))), self.k(norm(rotate(k, turn))), self.v(v)

    def _out(self, h: Tensor, y: Tensor, weights: Weights | None, ledger: Ledger | None) -> Tensor:
        if weights is None:
            return y @ self._learned().out.mT
        u, v = weights.apply("swiglu", y).unflatten(-1, (-1, 2)).unbind(-1)
        hidden = u * silu(v)
        if self.swiglu_router is not None:
            # Each expert owns a group of hidden channels; the factor keeps their size when the gates are even.
            gates = self.swiglu_router(h, ledger) * self.swiglu_router.top_k
            hidden = (hidden.unflatten(-1, (gates.shape[-1], -1)) * gates[..., None]).flatten(-2)
        return weights.apply("out", hidden)

    def _add(self, x: Tensor, branch: Tensor, step: int, which: int) -> Tensor:
        if self.config.scale == "raw":
            return x + branch
        # A pass beyond those trained uses the last one's gain.
        return x + norm(branch.to(x.dtype)) * self.gains[min(step, self.gains.shape[0] - 1), which]

    def _learned(self) -> Projections:
        assert self.projections is not None
        return self.projections

    def state_size(self, seq_len: int) -> int:
        """Numbers that one row's state holds after ``seq_len`` tokens."""
        c, passes = self.config.d_model, self.config.loops
        total = passes * self.mixer.state_size(seq_len)
        if self.retention is not None:
            sets = sum(math.prod(shape) for shape in self.retention.shapes.values())
            total += (passes + 1) * sets + (c * c if self.config.pooling == "prefix" else 0)
        return total
