"""Muon: momentum whose update is made orthogonal, for matrices and for stacks of matrices.

Keller Jordan et al., https://kellerjordan.github.io/posts/muon/; the size of the update follows "Muon is Scalable
for LLM Training" (arXiv 2502.16982, eq. 4), so that one learning rate serves Muon and AdamW. ``torch.optim.Muon``
computes the same for single matrices and refuses stacks.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 5
_TINY = 1e-7


def orthogonalise(matrix: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The nearest orthogonal matrix, roughly: singular values between 0.5 and 1.5, by five Newton–Schulz steps.

    ``matrix`` is (…, rows, cols); each matrix of a stack is treated by itself. Computed in ``dtype``, which is also
    that of the result.
    """
    rows, cols = matrix.shape[-2:]
    x = matrix.reshape(-1, rows, cols).to(dtype)
    # The Gram matrix of the short side is the small one.
    if rows > cols:
        x = x.mT
    x = x / x.flatten(1).norm(dim=1).clamp(min=_TINY)[:, None, None]
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return (x.mT if rows > cols else x).reshape(matrix.shape)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised over the last two axes, with decoupled weight decay.

    One step takes ``w`` to ``(1 - lr·weight_decay)·w - lr·0.2·√max(rows, cols)·O``: each entry moves by about
    0.2·lr. Parameters need two or more axes; the leading ones count a stack of matrices.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "dtype": dtype})
        for group in self.param_groups:
            for param in group["params"]:
                if param.ndim < 2:
                    raise ValueError(f"Muon needs matrices; got a parameter of shape {tuple(param.shape)}")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._move(param, param.grad, group)

    def _move(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[param]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(grad, memory_format=torch.preserve_format)
        average = state["momentum"]
        average.lerp_(grad, 1 - group["momentum"])
        update = orthogonalise(grad.lerp(average, group["momentum"]), group["dtype"])
        param.mul_(1 - group["lr"] * group["weight_decay"])
        param.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(param.shape[-2:])))
