"""Rounded weights as they may be kept: two bits for −1, 0 or 1, one bit for a sign, and one scale for each matrix."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from strawberry.bitlinear import Rounded, sign, ternary

BITS = {"ternary": 2, "sign": 1}
"""Bits of one weight, by ``config.rounding``."""


@dataclass(frozen=True)
class Packed:
    """Matrices (..., rows, columns) in ``bits`` bits a weight.

    codes: uint8 (..., ⌈rows · bits / 8⌉, columns), laid out as transformers packs BitNet's weights: of n such rows,
    byte i of a column holds the weights of rows i, n + i, 2n + i, …, the first in its lowest bits. scale: as in
    :class:`strawberry.bitlinear.Rounded`.
    """

    codes: Tensor
    scale: Tensor
    rows: int
    bits: int

    @property
    def nbytes(self) -> int:
        """Bytes of the codes and the scales."""
        return self.codes.nbytes + self.scale.nbytes

    def rounded(self) -> Rounded:
        """Exactly what was packed."""
        parts = [self.codes >> shift & (1 << self.bits) - 1 for shift in range(0, 8, self.bits)]
        codes = torch.cat(parts, dim=-2)[..., : self.rows, :].to(self.scale.dtype)
        return Rounded(codes - 1 if self.bits == 2 else 2 * codes - 1, self.scale)

    def weight(self) -> Tensor:
        """Matrices that round to what was packed, for a model to multiply by: of the least size that does."""
        whole, scale = self.rounded()
        # Their mean size must be 1 / scale, however many of them are 0.
        return whole / (scale * whole.abs().mean(dim=(-2, -1), keepdim=True).clamp(min=1 / whole.numel()))


@torch.no_grad()
def pack(weight: Tensor, rounding: str) -> Packed:
    """The weights (..., rows, columns) as ``rounding`` (``ternary`` or ``sign``) rounds them, packed."""
    bits, rows = BITS[rounding], weight.shape[-2]
    whole, scale = (ternary if rounding == "ternary" else sign)(weight)
    codes = (whole + 1 if bits == 2 else (whole + 1) / 2).to(torch.uint8)
    groups = 8 // bits
    height = math.ceil(rows / groups)
    padded = torch.nn.functional.pad(codes, (0, 0, 0, height * groups - rows))
    packed = torch.zeros_like(padded[..., :height, :])
    for index in range(groups):
        packed |= padded[..., index * height : (index + 1) * height, :] << index * bits
    return Packed(packed, scale, rows, bits)


def packed_bytes(shape: torch.Size, rounding: str) -> int:
    """Bytes that matrices of this shape take when packed, with scales in fp32."""
    *lead, rows, columns = shape
    return math.prod(lead) * (math.ceil(rows * BITS[rounding] / 8) * columns + 4)
