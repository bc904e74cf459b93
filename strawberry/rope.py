"""Rotary position embedding: each pair of channels turns with the position (Su et al., arXiv 2104.09864)."""

from typing import NamedTuple

import torch
from torch import Tensor


class Rotation(NamedTuple):
    """Cosine and sine of each position's angles, each of shape (seq, d_head / 2), or (batch, seq, d_head / 2)."""

    cos: Tensor
    sin: Tensor


def rotation(positions: Tensor, d_head: int, base: float, like: Tensor) -> Rotation:
    """The rotation of positions (seq,) or (batch, seq), in the precision of ``like`` but no less than fp32."""
    # The angles are formed in fp64: at position 10⁵ an fp32 product is off by a hundredth of a turn.
    exponents = torch.arange(0, d_head, 2, dtype=torch.float64, device=positions.device) / d_head
    angles = positions[..., None] * base**-exponents
    dtype = torch.promote_types(like.dtype, torch.float32)
    return Rotation(angles.cos().to(dtype), angles.sin().to(dtype))


def rotate(x: Tensor, turn: Rotation) -> Tensor:
    """Rotate the half-split pairs (i, i + d/2) of x (batch, seq, head, d_head); lengths are preserved."""
    cos, sin = turn.cos[..., None, :], turn.sin[..., None, :]
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
