"""Sums of eᵏ v and eᵏ over the past, kept in range: what every attention-free transformer is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

UNREAD = -1e30  # the key of a place that holds no token: it weighs nothing beside any other key
BOUND = 20.0  # keys up to this size need no peak: their exponentials, and long sums of them, stay in fp32's range
BLOCK = 32


@dataclass(frozen=True)
class Sums:
    """Two sums over some tokens, channel by channel, both times e^−peak.

    All three have one shape. As a state they are (batch, head, d_head); of every position, (batch, seq, head, d_head).
    """

    peak: Tensor
    numerator: Tensor
    denominator: Tensor

    @classmethod
    def nothing(cls, like: Tensor) -> Self:
        """The sums over no token: (batch, seq, head, d_head) -> (batch, head, d_head)."""
        zero = torch.zeros_like(like[:, 0])
        return cls(torch.full_like(zero, UNREAD), zero, zero)

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """peak, numerator, denominator."""
        return self.peak, self.numerator, self.denominator

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The three tensors after one change of shape or place."""
        return type(self)(*map(change, self.parts))

    def then(self, every: Self) -> Self:
        """These sums, (batch, …), and then those of every position, (batch, seq, …): (batch, 1 + seq, …)."""
        return type(self)(*(torch.cat([x[:, None], y], dim=1) for x, y in zip(self.parts, every.parts, strict=True)))

    def plus(self, other: Self) -> Self:
        """The sums over both sets of tokens; shapes broadcast."""
        peak = torch.maximum(self.peak, other.peak)
        mine, theirs = (self.peak - peak).exp(), (other.peak - peak).exp()
        numerator = self.numerator * mine + other.numerator * theirs
        return type(self)(peak, numerator, self.denominator * mine + other.denominator * theirs)


def bounded_sums(k: Tensor, v: Tensor, before: Sums | None = None) -> Sums:
    """The sums up to every position, for keys known to lie within ± ``BOUND``, or to be ``UNREAD``.

    k, v: (batch, seq, head, d_head), and the sums before them -> Sums of that shape, all with peak 0.
    """
    weight = k.exp()
    sums = prefix_sums(torch.stack([weight * v, weight]).flatten(3)).view(2, *k.shape)
    if before is not None:
        sums = sums + (torch.stack([before.numerator, before.denominator]) * before.peak.exp())[:, :, None]
    return Sums(torch.zeros_like(k[:, :1]).expand_as(k), *sums)


def prefix_sums(x: Tensor) -> Tensor:
    """``x.cumsum(-2)`` of (…, seq, width) by products with triangles of ones, of blocks and then of their totals.

    Torch's own walks down one column after another, which is slow on a CPU and leaves a GPU idle.
    """
    seq = x.shape[-2]
    with torch.autocast(x.device.type, enabled=False):
        if seq <= 2 * BLOCK:
            return torch.ones(seq, seq, dtype=x.dtype, device=x.device).tril() @ x
        ones = torch.ones(BLOCK, BLOCK, dtype=x.dtype, device=x.device).tril()
        inside = ones @ pad(x, (0, 0, 0, -seq % BLOCK)).unflatten(-2, (-1, BLOCK))
        earlier = pad(prefix_sums(inside[..., :-1, -1, :]), (0, 0, 1, 0))
        return (inside + earlier[..., None, :]).flatten(-3, -2)[..., :seq, :]


def prefix_products(seq: int) -> int:
    """Multiply-adds of :func:`prefix_sums` per unit of width."""
    if seq <= 2 * BLOCK:
        return seq * seq
    blocks = -(-seq // BLOCK)
    return blocks * BLOCK * BLOCK + prefix_products(blocks - 1)


def stable_sums(k: Tensor, v: Tensor, before: Sums | None = None) -> Sums:
    """The sums up to every position, for keys of any size; the peak is the largest key so far.

    Shapes as in :func:`bounded_sums`. Linear in seq: see :class:`_Falling`.
    """
    keys, values = k.flatten(2), v.flatten(2)
    # The result does not depend on the peak, so its gradient is nought and detaching it is exact.
    peak = _scan(keys.detach().clone())
    weight = (keys - peak).exp()
    sums = _Falling.apply(peak, torch.stack([weight * values, weight]))
    new = Sums(*(x.view_as(k) for x in (peak, *sums)))
    return new if before is None else new.plus(before.each(lambda x: x[:, None]))


class _Falling(torch.autograd.Function):
    """y_t = Σ_{s≤t} e^{level_s − level_t} x_s, for a level that never falls: no factor is above 1.

    level: (batch, seq, width), x: (2, batch, seq, width). The gradient of x is the same sum, read backwards with the
    level's sign turned.
    """

    @staticmethod
    def forward(ctx: Any, level: Tensor, x: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(level)
        return _scan(x.clone(), level)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:  # type: ignore[override]
        (level,) = ctx.saved_tensors
        return None, _scan(grad.flip(-2), -level.flip(-2)).flip(-2)


def _scan(x: Tensor, level: Tensor | None = None) -> Tensor:
    """Overwrites x (…, seq, width) by the sums of :class:`_Falling`, or by its running maximum where no level is given.

    All blocks take their steps together; their ends are then scanned in the same way, and carried on to what follows.
    """
    whole = x.shape[-2] // BLOCK * BLOCK
    if whole <= BLOCK:
        return _steps(x, level)
    blocks = x[..., :whole, :].unflatten(-2, (-1, BLOCK))
    levels = None if level is None else level[..., :whole, :].unflatten(-2, (-1, BLOCK))
    _steps(blocks, levels)
    ends = _scan(blocks[..., -1, :].clone(), None if levels is None else levels[..., -1, :])
    falls = None if levels is None else (levels[..., :-1, -1:, :] - levels[..., 1:, :, :]).exp_()
    _join(blocks[..., 1:, :, :], ends[..., :-1, None, :], falls)
    _steps(x[..., whole - 1 :, :], None if level is None else level[..., whole - 1 :, :])
    return x


def _steps(x: Tensor, level: Tensor | None) -> Tensor:
    falls = None if level is None else (level[..., :-1, :] - level[..., 1:, :]).exp_()
    for t in range(1, x.shape[-2]):
        _join(x[..., t, :], x[..., t - 1, :], None if falls is None else falls[..., t - 1, :])
    return x


def _join(later: Tensor, earlier: Tensor, fall: Tensor | None) -> None:
    if fall is None:
        torch.maximum(later, earlier, out=later)
    else:
        later.addcmul_(fall, earlier)
