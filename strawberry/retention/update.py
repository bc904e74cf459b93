"""The update rule: how the current and the transformed weights remake each other, once per pass."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from strawberry.norm import EPS, norm, through_norm

silu_backward = torch.ops.aten.silu_backward

# Sets are worked on a few at a time, so that what is read and written between two matrix products stays in the cache.
CACHED_NUMBERS = 1 << 18


def update_rule(w_transformed: Tensor, w_current: Tensor) -> Tensor:
    """The next current weights, ``norm(wT) ⊙ silu(wC) + norm(wC)``; the present current ones become the transformed.

    Both (..., rows, columns), broadcast against each other; ``norm`` is over the columns, a row's inputs. This is the
    equation itself, to read and to test :func:`update` by.
    """
    return norm(w_transformed) * silu(w_current) + norm(w_current)


def update(w_transformed: Tensor, w_current: Tensor) -> Tensor:
    """:func:`update_rule`, several times faster where there are many sets: nothing shared is expanded or stored twice.

    Both (..., rows, columns), broadcast against each other.
    """
    lead = torch.broadcast_shapes(w_transformed.shape[:-2], w_current.shape[:-2])
    if torch.compiler.is_compiling() or lead.numel() == 1:
        return update_rule(w_transformed, w_current)
    pair = (w_transformed, w_current)
    # What every set shares stays one; what only some share, as after a transplant, is expanded.
    flat = (w if w.shape[:-2].numel() == 1 else w.expand(*lead, *w.shape[-2:]) for w in pair)
    return _Update.apply(*(w.flatten(0, -3) for w in flat)).unflatten(0, lead)


class _Update(torch.autograd.Function):
    """The rule on (sets or 1, rows, columns), keeping nothing but its inputs for the backward pass."""

    @staticmethod
    def forward(ctx: Any, w_transformed: Tensor, w_current: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(w_transformed, w_current)
        transformed, current = _Normed.of(w_transformed), _Normed.of(w_current)
        gate = silu(w_current) if w_current.shape[0] == 1 else None
        many = w_transformed if w_transformed.shape[0] > 1 else w_current
        after = torch.empty_like(many)
        for block in _blocks(many):
            open_gate = silu(w_current[block]) if gate is None else gate
            torch.addcmul(current.part(block).unit, transformed.part(block).unit, open_gate, out=after[block])
        return after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        w_transformed, w_current = ctx.saved_tensors
        transformed, current = _Normed.of(w_transformed), _Normed.of(w_current)
        gate = silu(w_current) if w_current.shape[0] == 1 else None
        # The gradients of shared weights are summed over the sets before they pass through the norm.
        grad_t, grad_c = torch.zeros_like(w_transformed), torch.zeros_like(w_current)
        gate_sum = torch.zeros_like(w_current[:1])
        for block in _blocks(grad):
            g, t, c = grad[block], transformed.part(block), current.part(block)
            through_gate = g * (silu(c.w) if gate is None else gate)
            if transformed.shared:
                grad_t += through_gate.sum(dim=0)
            else:
                t.backward(through_gate, out=grad_t[block])
            if current.shared:
                grad_c += g.sum(dim=0)
                gate_sum += (g * t.unit).sum(dim=0)
            else:
                c.backward(g, out=grad_c[block])
                grad_c[block] += silu_backward(g * t.unit, c.w)
        if transformed.shared:
            transformed.backward(grad_t.clone(), out=grad_t)
        if current.shared:
            current.backward(grad_c.clone(), out=grad_c)
            grad_c += silu_backward(gate_sum, w_current)
        return grad_t, grad_c


@dataclass(frozen=True)
class _Normed:
    """Weights with their norm; that of shared weights is formed once, that of others block by block."""

    w: Tensor
    unit: Tensor
    inverse_rms: Tensor
    shared: bool

    @classmethod
    def of(cls, w: Tensor) -> "_Normed":
        return cls._formed(w, True) if w.shape[0] == 1 else cls(w, w, w, False)

    def part(self, block: slice) -> "_Normed":
        return self if self.shared else self._formed(self.w[block], False)

    @classmethod
    def _formed(cls, w: Tensor, shared: bool) -> "_Normed":
        # Not vector_norm, which is thirty times slower over an axis that is not the last in memory.
        inverse_rms = (w.square().mean(dim=-1, keepdim=True) + EPS).rsqrt()
        return cls(w, w * inverse_rms, inverse_rms, shared)

    def backward(self, grad: Tensor, out: Tensor) -> None:
        through_norm(grad, self.unit, self.inverse_rms, out=out)


def _blocks(many: Tensor) -> Iterator[slice]:
    size = many.shape[0] if many.is_cuda else max(1, CACHED_NUMBERS // many[0].numel())
    for start in range(0, many.shape[0], size):
        yield slice(start, start + size)
