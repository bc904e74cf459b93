"""Fixed projections: matrices that a layer owns, or that all layers draw from one low-rank pair."""

import torch
from torch import Tensor, nn

from strawberry.bitlinear import LINEARS
from strawberry.config import Config


class Learned(nn.Module):
    """A layer's own w_qkv (D + 2·D_kv, C) and w_out (C, D); a layer that reads a memory has the query rows only."""

    def __init__(self, config: Config, mixer: str) -> None:
        super().__init__()
        self.linear = LINEARS[config.rounding]
        keys = 0 if mixer == "cross" else 2 * config.d_kv
        self.qkv = nn.Parameter(torch.empty(config.d_qkv + keys, config.d_model))
        self.out = nn.Parameter(torch.empty(config.d_model, config.d_qkv))

    def apply_weights(self, name: str, x: Tensor) -> Tensor:
        """x (batch, seq, columns) by the matrix ``qkv`` or ``out``."""
        return self.linear(x, getattr(self, name))

    def query(self, x: Tensor) -> Tensor:
        """x (batch, seq, C) by the query rows alone: (batch, seq, D)."""
        return self.linear(x, self.qkv, self.out.shape[1])


class Shared(nn.Module):
    """Every layer's (w_qkv, w_swiglu, w_out) as one low-rank product: ``layers[l] · qkvo``, rank r (default C/4).

    layers: (n_layers, C, r), a factor of each layer's own. qkvo: (r, D + 2·D_kv + 2·D + C), one for all. The product
    is read as the Retention Mechanism reads its generated weights. Source: the factorised weights of Strawberry's
    second design.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        c, rank = config.d_model, config.rank or max(1, config.d_model // 4)
        self.widths = (config.d_qkv + 2 * config.d_kv, 2 * config.d_qkv, c)
        self.layers = nn.Parameter(torch.empty(config.n_layers, c, rank))
        self.qkvo = nn.Parameter(torch.empty(rank, sum(self.widths)))

    def layer(self, index: int) -> "Factored":
        """The matrices of one layer."""
        qkv, swiglu, out = (self.layers[index] @ self.qkvo).split(self.widths, dim=-1)
        return Factored({"qkv": qkv.mT, "swiglu": swiglu.reshape(2 * swiglu.shape[0], -1), "out": out.mT})


class Factored:
    """One layer's matrices by name: qkv (D + 2·D_kv, C), swiglu (2C, D), out (C, C)."""

    def __init__(self, matrices: dict[str, Tensor]) -> None:
        self.matrices = matrices

    def apply(self, name: str, x: Tensor) -> Tensor:
        """x (batch, seq, columns) by a matrix: (batch, seq, rows)."""
        return x @ self.matrices[name].mT
