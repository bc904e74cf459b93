"""The update rule: how the current and the transformed weights remake each other, once per pass."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from strawberry.norm import EPS, norm

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
    """The rule on (sets or 1, rows, columns), keeping only its inputs and their rows' sizes for the backward pass."""

    @staticmethod
    def forward(ctx: Any, w_transformed: Tensor, w_current: Tensor) -> Tensor:  # type: ignore[override]
        many = w_transformed if w_transformed.shape[0] > 1 else w_current
        after = torch.empty_like(many)
        inverse_t, inverse_c = _inverse_rms(w_transformed), _inverse_rms(w_current)
        unit_t = w_transformed * inverse_t if w_transformed.shape[0] == 1 else None
        base, gate = (w_current * inverse_c, silu(w_current)) if w_current.shape[0] == 1 else (None, None)
        for block in _blocks(many):
            unit = w_transformed[block] * inverse_t[block] if unit_t is None else unit_t
            if base is None or gate is None:
                current = w_current[block]
                torch.addcmul(current * inverse_c[block], unit, silu(current), out=after[block])
            else:
                torch.addcmul(base, unit, gate, out=after[block])
        ctx.save_for_backward(w_transformed, w_current, inverse_t, inverse_c)
        return after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        w_transformed, w_current, inverse_t, inverse_c = ctx.saved_tensors
        # The gradients of shared weights are summed over the sets before they pass through norm and silu.
        shared_t, shared_c = w_transformed.shape[0] == 1, w_current.shape[0] == 1
        grad_t, grad_c, gate_sum = (torch.zeros_like(w) for w in (w_transformed, w_current, w_current[:1]))
        unit_t = w_transformed * inverse_t if shared_t else None
        gate = silu(w_current) if shared_c else None
        for block in _blocks(grad):
            g, t, c = grad[block], _part(w_transformed, block), _part(w_current, block)
            size_t, size_c = _part(inverse_t, block), _part(inverse_c, block)
            open_gate = silu(c) if gate is None else gate
            if shared_t:
                _add_products(grad_t, g, open_gate)
            else:
                _through_norm(g * open_gate, t, size_t, out=grad_t[block])
            if shared_c:
                grad_c += g.sum(dim=0)
                _add_products(gate_sum, g * t, size_t)
            else:
                _through_norm(g, c, size_c, out=grad_c[block])
                grad_c[block] += silu_backward(g * (t * size_t if unit_t is None else unit_t), c)
        if shared_t:
            _through_norm(grad_t.clone(), w_transformed, inverse_t, out=grad_t)
        if shared_c:
            _through_norm(grad_c.clone(), w_current, inverse_c, out=grad_c)
            grad_c += silu_backward(gate_sum, w_current)
        return grad_t, grad_c


def _blocks(many: Tensor) -> Iterator[slice]:
    size = many.shape[0] if many.is_cuda else max(1, CACHED_NUMBERS // many[0].numel())
    for start in range(0, many.shape[0], size):
        yield slice(start, start + size)


def _part(w: Tensor, block: slice) -> Tensor:
    return w if w.shape[0] == 1 else w[block]


def _inverse_rms(w: Tensor) -> Tensor:
    # Not vector_norm, which is thirty times slower over an axis that is not the last in memory.
    means = [w[block].square().mean(dim=-1, keepdim=True) for block in _blocks(w)]
    return (torch.cat(means) + EPS).rsqrt()


def _through_norm(grad: Tensor, w: Tensor, inverse_rms: Tensor, out: Tensor) -> None:
    """The gradient of w from that of ``w · inverse_rms``: less its part along each row, and scaled."""
    along = (grad * w).mean(dim=-1, keepdim=True) * inverse_rms.square()
    torch.addcmul(grad, w, along, value=-1, out=out).mul_(inverse_rms)


def _add_products(total: Tensor, x: Tensor, factor: Tensor) -> None:
    """Add Σ_sets x · factor to ``total`` (1, rows, columns)."""
    if total.is_cuda:
        total += (x * factor).sum(dim=0)
        return
    # Set by set the sum stays in the cache and no product is stored.
    for index in range(x.shape[0]):
        total[0].addcmul_(x[index], factor[index if factor.shape[0] > 1 else 0])
