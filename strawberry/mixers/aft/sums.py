"""Sums of eᵏ v and eᵏ over the past, kept in range: what every attention-free transformer is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from strawberry.mixers.aft.scan import falling_sums, prefix_sums, running_max

UNREAD = -1e30  # the key of a place that holds no token: it weighs nothing beside any other key
BOUND = 20.0  # keys up to this size need no peak: their exponentials, and long sums of them, stay in fp32's range


@dataclass(frozen=True)
class Sums:
    """Σ eᵏ v and Σ eᵏ over some tokens, channel by channel, times e^−peak.

    As a state, peak is (batch, head, d_head) and totals (batch, 2, head, d_head), the two sums in this order. Of every
    position, both have an axis seq before head.
    """

    peak: Tensor
    totals: Tensor

    @classmethod
    def nothing(cls, like: Tensor) -> Self:
        """The sums over no token: (batch, seq, head, d_head) -> a state."""
        peak = torch.full_like(like[:, 0], UNREAD)
        return cls(peak, torch.zeros_like(peak)[:, None].repeat(1, 2, 1, 1))

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Both tensors after one change of shape or place."""
        return type(self)(change(self.peak), change(self.totals))

    def last(self) -> Self:
        """Of every position -> the state after the last, copied: a view would keep all the others in memory."""
        return self.each(lambda x: x[..., -1, :, :].clone())

    def then(self, every: Self) -> Self:
        """A state and the sums of every position after it, along one axis of 1 + seq places."""
        pairs = ((self.peak, every.peak), (self.totals, every.totals))
        return type(self)(*(torch.cat([one[..., None, :, :], more], dim=-3) for one, more in pairs))

    def plus(self, other: Self) -> Self:
        """The sums over both sets of tokens; shapes broadcast."""
        peak = torch.maximum(self.peak, other.peak)
        mine, theirs = ((one.peak - peak).exp().unsqueeze(1) for one in (self, other))
        return type(self)(peak, self.totals * mine + other.totals * theirs)


def bounded_sums(k: Tensor, v: Tensor, before: Sums | None = None) -> Sums:
    """The sums up to every position, for keys known to lie within ± ``BOUND``, or to be ``UNREAD``.

    k, v: (batch, seq, head, d_head), and the state before them -> the sums of every position, with peak 0.
    """
    totals = _totals(k.flatten(2), v.flatten(2), None).unflatten(-1, k.shape[2:])
    if before is not None:
        totals = totals + (before.totals * before.peak.exp()[:, None])[:, :, None]
    return Sums(torch.zeros_like(k[:, :1]).expand_as(k), totals)


def stable_sums(k: Tensor, v: Tensor, before: Sums | None = None) -> Sums:
    """The same for keys of any size; the peak is the largest key so far."""
    peak = running_max(k.detach().flatten(2))
    totals = _totals(k.flatten(2), v.flatten(2), peak).unflatten(-1, k.shape[2:])
    sums = Sums(peak.view_as(k), totals)
    return sums if before is None else sums.plus(before.each(lambda x: x[..., None, :, :]))


def mean(totals: Tensor) -> Tensor:
    """Σ eᵏ v / Σ eᵏ: (batch, 2, seq, head, d_head) -> (batch, seq, head, d_head)."""
    return totals[:, 0] / totals[:, 1] if torch.compiler.is_compiling() else _Quotient.apply(totals)


def _totals(k: Tensor, v: Tensor, peak: Tensor | None) -> Tensor:
    """k, v (batch, seq, width) -> (batch, 2, seq, width): prefix sums of e^(k − peak) v and of e^(k − peak).

    With a peak, each sum is moved from the peak of one position to that of the next. The peak bears no gradient: it
    cancels in whatever the sums are used for.
    """
    if not torch.compiler.is_compiling():
        return _Totals.apply(k, v, peak)
    weight = (k if peak is None else k - peak).exp()
    weighed = torch.stack([weight * v, weight], dim=1)
    return prefix_sums(weighed) if peak is None else falling_sums(weighed, peak[:, None])


class _Totals(torch.autograd.Function):
    """The same with half the copies, forward and backward, of automatic differentiation."""

    @staticmethod
    def forward(ctx: Any, k: Tensor, v: Tensor, peak: Tensor | None) -> Tensor:  # type: ignore[override]
        weighed = k.new_empty(k.shape[0], 2, *k.shape[1:])
        torch.exp(k if peak is None else k - peak, out=weighed[:, 1])
        torch.mul(weighed[:, 1], v, out=weighed[:, 0])
        ctx.save_for_backward(weighed, peak)
        return prefix_sums(weighed) if peak is None else falling_sums(weighed, peak[:, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        weighed, peak = ctx.saved_tensors
        later = prefix_sums(grad, True) if peak is None else falling_sums(grad, peak[:, None], True)
        above, below = later.unbind(1)
        return (weighed[:, 0] * above).addcmul_(weighed[:, 1], below), weighed[:, 1] * above, None


class _Quotient(torch.autograd.Function):
    """The first half along axis 1 by the second, with one gradient for both."""

    @staticmethod
    def forward(ctx: Any, totals: Tensor) -> Tensor:  # type: ignore[override]
        below = totals[:, 1]
        y = totals[:, 0] / below
        ctx.save_for_backward(below, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        below, y = ctx.saved_tensors
        both = grad.new_empty(y.shape[0], 2, *y.shape[1:])
        torch.div(grad, below, out=both[:, 0])
        torch.mul(both[:, 0], y, out=both[:, 1])
        both[:, 1].neg_()
        return both
