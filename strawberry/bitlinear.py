"""BitLinear: a matrix product of weights that are −1, 0 or 1, or only a sign, with inputs of eight bits.

Training keeps the weights in full; they are rounded anew wherever they multiply, and learn as if they were not: each
rounding hands its gradient straight through (Bengio et al., arXiv 1308.3432).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from strawberry.norm import norm

LARGEST = 127  # of the whole numbers that inputs become
LEAST = 1e-5  # what a size is taken to be at least, as in transformers' AutoBitLinear

Linear = Callable[..., Tensor]
"""A product ``(x, weight, rows=None)``: x (..., columns) by weight (all rows, columns), or by its first ``rows``."""


class Rounded(NamedTuple):
    """Whole numbers, and how many of them make 1: the values are ``whole / scale``."""

    whole: Tensor
    scale: Tensor

    @property
    def values(self) -> Tensor:
        """What the whole numbers stand for."""
        return self.whole / self.scale


def ternary(weight: Tensor) -> Rounded:
    """clamp(round(W/β), −1, 1) with β = mean|W| (BitNet b1.58, arXiv 2402.17764, equations 1 to 3).

    weight: (..., rows, columns); every matrix has its own β = 1 / scale, (..., 1, 1).
    """
    scale = _mean_size(weight).reciprocal()
    scaled = weight * scale
    return Rounded(_Straight.apply(scaled, scaled.detach().round().clamp_(-1, 1)), scale)


def sign(weight: Tensor) -> Rounded:
    """sign(W − mean W) with β = mean|W|, the sign of 0 being −1 (BitNet, arXiv 2310.11453, equations 1 to 3 and 12).

    Shapes as in :func:`ternary`.
    """
    scale = _mean_size(weight).reciprocal()
    above = weight.detach() > weight.detach().mean(dim=(-2, -1), keepdim=True)
    return Rounded(_Straight.apply(weight * scale, above.to(weight.dtype) * 2 - 1), scale)


def eight_bits(x: Tensor) -> Rounded:
    """round(127 · x / max|x|) for every vector of x (..., columns), which is in fp32 or better; scale: (..., 1).

    Source: the inputs of both papers, each token with a scale of its own as in the second.
    """
    scale = LARGEST / x.detach().abs().amax(dim=-1, keepdim=True).clamp(min=LEAST)
    scaled = x * scale
    return Rounded(_Straight.apply(scaled, scaled.detach().round()), scale)


def full(x: Tensor, weight: Tensor, rows: int | None = None) -> Tensor:
    """x by the weights as they are."""
    return linear(x, weight if rows is None else weight[:rows])


def bit_linear(rounding: Callable[[Tensor], Rounded], x: Tensor, weight: Tensor, rows: int | None = None) -> Tensor:
    """norm(x), in eight bits, by the rounded weight.

    The product is one of whole numbers, which half precision holds exactly and fp32 adds up exactly for up to 2^17
    columns; the scales come after. So it does not depend on the order of the sums, or on the form of the call.
    """
    inputs, matrix = eight_bits(norm(x.to(torch.promote_types(x.dtype, torch.float32)))), rounding(weight)
    product = linear(inputs.whole, matrix.whole if rows is None else matrix.whole[:rows])
    return (product / (inputs.scale * matrix.scale)).to(product.dtype)


LINEARS: dict[str, Linear] = {
    "none": full,
    "ternary": partial(bit_linear, ternary),
    "sign": partial(bit_linear, sign),
}
"""How a learned matrix multiplies, by ``config.rounding``."""


def _mean_size(weight: Tensor) -> Tensor:
    return weight.detach().abs().mean(dim=(-2, -1), keepdim=True).clamp(min=LEAST)


class _Straight(torch.autograd.Function):
    """A rounded value with the gradient of the exact one."""

    @staticmethod
    def forward(ctx: Any, exact: Tensor, rounded: Tensor) -> Tensor:  # type: ignore[override]
        return rounded

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return grad, None
