"""Running sums and maxima along a sequence, in time linear in it and without a step for every token."""

import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 32


def prefix_sums(x: Tensor, reverse: bool = False) -> Tensor:
    """``x.cumsum(-2)`` of (…, seq, width), or the sums from every place to the end.

    By products with triangles of ones, of blocks and then of the blocks' totals. Torch's own walks down one column
    after another, which is slow on a CPU and leaves a GPU idle.
    """
    seq = x.shape[-2]
    if seq == 1:
        return x
    size = seq if seq <= 2 * BLOCK else BLOCK
    ones = torch.ones(size, size, dtype=x.dtype, device=x.device).tril()
    ones = ones.mT if reverse else ones
    with torch.autocast(x.device.type, enabled=False):
        if size == seq:
            return ones @ x
        whole = pad(x, (0, 0, 0, -seq % BLOCK)) if seq % BLOCK else x
        inside = ones @ whole.unflatten(-2, (-1, BLOCK))
    if reverse:
        inside[..., :-1, :, :] += prefix_sums(inside[..., 1:, 0, :], True)[..., None, :]
    else:
        inside[..., 1:, :, :] += prefix_sums(inside[..., :-1, -1, :])[..., None, :]
    return inside.flatten(-3, -2)[..., :seq, :]


def prefix_products(seq: int) -> int:
    """Multiply-adds of :func:`prefix_sums` per unit of width."""
    if seq <= 2 * BLOCK:
        return seq * seq if seq > 1 else 0
    blocks = -(-seq // BLOCK)
    return blocks * BLOCK * BLOCK + prefix_products(blocks - 1)


def falling_sums(x: Tensor, level: Tensor, reverse: bool = False) -> Tensor:
    """y_t = Σ_{s≤t} e^{level_s − level_t} x_s for a level that never falls, so that no factor is above 1.

    x, level: (…, seq, width), broadcasting. ``reverse``: y_s = Σ_{t≥s} e^{level_s − level_t} x_t, which is the same sum
    read backwards with the level's sign turned.
    """
    if reverse:
        return _scan(x.flip(-2), -level.flip(-2)).flip(-2)
    return _scan(x.clone(), level)


def running_max(x: Tensor) -> Tensor:
    """``x.cummax(-2).values`` of (…, seq, width)."""
    return _scan(x.clone())


def _scan(x: Tensor, level: Tensor | None = None) -> Tensor:
    """Overwrites x by its :func:`falling_sums`, or by its running maximum where no level is given.

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
        later.clamp_(min=earlier)
    else:
        later.addcmul_(fall, earlier)
