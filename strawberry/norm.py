"""RMSNorm without a gain: every vector leaves with root-mean-square 1 (Zhang & Sennrich, arXiv 1910.07467)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import rms_norm

# Small against any signal that is normalised here: the forms of one mechanism differ by what eps adds.
EPS = 1e-10
# Torch's own norm rounds half precision elsewhere than the one below; without a gradient it is the quicker call.
_EXACT = (torch.float32, torch.float64)


def norm(x: Tensor) -> Tensor:
    """``x / sqrt(mean(x²) + eps)`` over the last axis; any shape (..., n), the same shape out."""
    if torch.compiler.is_compiling() or (not torch.is_grad_enabled() and x.dtype in _EXACT):
        return rms_norm(x, x.shape[-1:], eps=EPS)
    return _Norm.apply(x)


class _Norm(torch.autograd.Function):
    """The norm with a backward pass of three sweeps, where automatic differentiation takes eight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        inverse_rms = (x.square().mean(dim=-1, keepdim=True) + EPS).rsqrt()
        unit = x * inverse_rms
        ctx.save_for_backward(unit, inverse_rms)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        unit, inverse_rms = ctx.saved_tensors
        # The part along each unit row is taken out, the rest is scaled.
        along = (grad * unit).mean(dim=-1, keepdim=True)
        return torch.addcmul(grad, unit, along, value=-1).mul_(inverse_rms)
