"""The plain sigmoid gate: every channel of the input decides how much of itself goes on."""

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """σ(W x) ⊙ x for x (..., width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.weight.mT).sigmoid() * x
