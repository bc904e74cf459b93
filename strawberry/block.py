"""A block: one token mixer and one feed-forward layer, on projections that are learned or made from the input."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from strawberry.bitlinear import LINEARS
from strawberry.call import Call
from strawberry.config import Config
from strawberry.conv import ShortConv
from strawberry.experts.router import Router
from strawberry.feedforward import GLU, ExpertGLU
from strawberry.gate import Gate
from strawberry.mixers import MIXERS
from strawberry.mixers.softmax import KVCache
from strawberry.norm import norm
from strawberry.projections import Learned
from strawberry.retention import mechanism
from strawberry.rope import rotate
from strawberry.tap import Tap


class Weights(Protocol):
    """A layer's matrices at one pass, however they came to be."""

    def apply(self, name: str, x: Tensor) -> Tensor:
        """x (batch, seq, columns) by ``qkv``, ``swiglu`` or ``out``: (batch, seq, rows)."""
        ...


@dataclass(frozen=True)
class PassState:
    """What one pass over one block carries from token to token: its mixer's state and its convolution's."""

    mixer: Any
    conv: Tensor | None


@dataclass(frozen=True)
class BlockState:
    """What one block carries from token to token: its mechanism's state, and a state for each pass."""

    retention: Any
    passes: tuple[PassState, ...]


def _feedforward(config: Config) -> GLU | ExpertGLU | None:
    if config.d_ff == 0:
        return None
    return ExpertGLU(config) if config.n_experts > 1 else GLU(config)


class Block(nn.Module):
    """norm → q, k, v → token mixer → (mini-SwiGLU →) out → residual; norm → feed-forward → residual.

    The block runs once per pass. Each branch ends in a norm with a small learned gain, one per pass, so that the
    residual stream stays of order 1 however often the stack is run; ``scale="raw"`` leaves that out, as published.
    """

    def __init__(self, config: Config, mixer: str) -> None:
        super().__init__()
        self.config = config
        self.retention = mechanism(config)
        self.projections = Learned(config, mixer) if config.weights == "learned" else None
        self.gate = Gate(config.d_model, LINEARS[config.rounding]) if config.input_gate else None
        self.mixer = MIXERS[mixer](config)
        self.reads_memory = mixer == "cross"
        width = config.d_qkv + (0 if self.reads_memory else 2 * config.d_kv)
        self.conv = ShortConv(width, config.conv) if config.conv else None
        routed = mixer == "abundance" and config.weights != "learned" and config.n_experts > 1
        self.swiglu_router = Router(config.d_model, config.n_experts, config.top_k, config) if routed else None
        self.feedforward = _feedforward(config)
        if config.scale == "fan_in":
            self.gains = nn.Parameter(torch.empty(config.loops, 1 + (config.d_ff > 0), config.d_model))
        self.input, self.q, self.k, self.v = Tap(), Tap(), Tap(), Tap()
        self.mixed, self.residual = Tap(), Tap()

    def forward(
        self, x: Tensor, step: int, weights: Any, call: Call, memory: Any, before: PassState | None
    ) -> tuple[Tensor, Any, PassState]:
        """Run ``step`` over x (batch, seq, C), with the weights of the run before.

        memory: the mechanism's state. before: this run's own state. Returns the residual stream, the weights of this
        run and its state after x.
        """
        h = norm(x)
        h = self.input(h if self.gate is None else self.gate(h))
        if self.retention is not None:
            if weights is None:
                weights = self.retention.begin(h, call, memory)
            weights = self.retention.evolve(weights, step, memory)
        before = before or PassState(None, None)
        q, k, v, conv = self._project(h, weights, call, before.conv)
        y, after = self.mixer(q, k, v, h, before.mixer, call)
        if call.active is None:
            x = self._finish(x, h, y, weights, step, call)
        elif isinstance(call.active, int):
            waiting = x.shape[1] - call.active
            done = self._finish(x[:, waiting:], h[:, waiting:], y[:, waiting:], weights, step, call)
            x = torch.cat([x[:, :waiting], done.to(x.dtype)], dim=1)
        elif call.active.any():
            rows = call.active
            done = self._finish(x[rows][None], h[rows][None], y[rows][None], weights, step, call)
            x = x.index_put((rows,), done[0].to(x.dtype))
        return self.residual(x), weights, PassState(after, conv)

    def _finish(self, x: Tensor, h: Tensor, y: Tensor, weights: Weights | None, step: int, call: Call) -> Tensor:
        """All that follows the mixer, token by token."""
        branch = self._out(h, self.mixed(y).flatten(2), weights, call)
        x = self._add(x, branch, step, 0)
        if self.feedforward is None:
            return x
        return self._add(x, self.feedforward(norm(x), call.ledger), step, 1)

    def _project(
        self, h: Tensor, weights: Weights | None, call: Call, before: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """q (batch, seq, head, d_head), k and v with the heads that the mixer reads, and the convolution's state."""
        config, after = self.config, None
        if call.places is not None:
            return self._query(h, weights, call)
        flat = weights.apply("qkv", h) if weights is not None else self._learned().apply_weights("qkv", h)
        if self.conv is not None:
            flat, after = self.conv(flat, before, call)
        if self.reads_memory:
            assert isinstance(call.memory, KVCache)
            q, k, v = flat.unflatten(-1, (config.n_heads, -1)), call.memory.keys, call.memory.values
            return self.q(norm(rotate(q, call.turn))), self.k(k), self.v(v), after
        heads = (config.n_heads, config.kv_heads, config.kv_heads)
        q, k, v = flat.unflatten(-1, (sum(heads), -1)).split(heads, dim=2)
        if not self.mixer.grouped and config.kv_heads < config.n_heads:
            k, v = (x.repeat_interleave(config.n_heads // config.kv_heads, dim=2) for x in (k, v))
        return self.q(norm(rotate(q, call.turn))), self.k(norm(rotate(k, call.turn))), self.v(v), after

    def _query(self, h: Tensor, weights: Weights | None, call: Call) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """New queries on the keys and values that an earlier pass has written."""
        assert isinstance(call.memory, KVCache)
        flat = weights.apply("qkv", h)[..., : self.config.d_qkv] if weights is not None else self._learned().query(h)
        q = norm(rotate(flat.unflatten(-1, (self.config.n_heads, -1)), call.turn))
        return self.q(q), self.k(call.memory.keys), self.v(call.memory.values), None

    def _out(self, h: Tensor, y: Tensor, weights: Weights | None, call: Call) -> Tensor:
        if weights is None:
            return self._learned().apply_weights("out", y)
        u, v = weights.apply("swiglu", y).unflatten(-1, (-1, 2)).unbind(-1)
        hidden = u * silu(v)
        if self.swiglu_router is not None:
            # Each expert owns a group of hidden channels; the factor keeps their size when the gates are even.
            gates = self.swiglu_router(h, call.ledger) * self.swiglu_router.top_k
            hidden = (hidden.unflatten(-1, (gates.shape[-1], -1)) * gates[..., None]).flatten(-2)
        return weights.apply("out", hidden)

    def _add(self, x: Tensor, branch: Tensor, step: int, which: int) -> Tensor:
        if self.config.scale == "raw":
            return x + branch
        # A pass beyond those trained uses the last one's gain.
        return x + norm(branch.to(x.dtype)) * self.gains[min(step, self.gains.shape[0] - 1), which]

    def _learned(self) -> Learned:
        assert self.projections is not None
        return self.projections

    def state_size(self, seq_len: int, passes: int) -> int:
        """Numbers that one row's state holds after ``seq_len`` tokens, for a layer that runs ``passes`` times."""
        each = self.mixer.state_size(seq_len)
        if self.conv is not None:
            width, size = self.conv.taps.shape
            each += width * (size - 1)
        return passes * each + (0 if self.retention is None else self.retention.state_size())
