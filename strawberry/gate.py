"""The plain sigmoid gate: every channel of the input decides how much of itself goes on."""

import torch
from torch import Tensor, nn

from strawberry.bitlinear import Linear, full


class Gate(nn.Module):
    """σ(W x) ⊙ x for x (..., width)."""

    def __init__(self, width: int, linear: Linear = full) -> None:
        super().__init__()
        self.linear = linear
        self.weight = nn.Parameter(torch.empty(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x, self.weight).sigmoid() * x
