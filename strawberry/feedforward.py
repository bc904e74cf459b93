"""Feed-forward layers: a gated linear unit, and a mixture of them."""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, silu

from strawberry.bitlinear import LINEARS, Linear, full
from strawberry.config import Config
from strawberry.experts.balance import Ledger
from strawberry.experts.router import Router, dispatch


class GLU(nn.Module):
    """W_out(u ⊙ g(v)) with [u, v] = W_in x: SwiGLU with g = silu, GeGLU with g = gelu (Shazeer, arXiv 2002.05202).

    (..., d_model) -> (..., d_model); gelu in its tanh form.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.activation, self.linear = config.activation, LINEARS[config.rounding]
        self.w_in = nn.Parameter(torch.empty(2 * config.d_ff, config.d_model))
        self.w_out = nn.Parameter(torch.empty(config.d_model, config.d_ff))

    def forward(self, x: Tensor, ledger: Ledger | None = None) -> Tensor:
        return glu(x, self.w_in, self.w_out, self.activation, self.linear)


def glu(x: Tensor, w_in: Tensor, w_out: Tensor, activation: str, linear: Linear = full) -> Tensor:
    """One gated linear unit on x (..., C) with w_in (2F, C) and w_out (C, F)."""
    u, v = linear(x, w_in).chunk(2, dim=-1)
    return linear(u * (silu(v) if activation == "silu" else gelu(v, approximate="tanh")), w_out)


class ExpertGLU(nn.Module):
    """Σ_e g_e · GLU_e(x): each token is computed by its chosen experts only, and no token is dropped.

    (batch, seq, d_model) -> the same. Pairs of token and expert are sorted by expert, one matrix product each.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.activation, self.linear = config.activation, LINEARS[config.rounding]
        self.router = Router(config.d_model, config.n_experts, config.top_k, config)
        self.w_in = nn.Parameter(torch.empty(config.n_experts, 2 * config.d_ff, config.d_model))
        self.w_out = nn.Parameter(torch.empty(config.n_experts, config.d_model, config.d_ff))

    def forward(self, x: Tensor, ledger: Ledger | None = None) -> Tensor:
        gates = self.router(x, ledger).flatten(0, -2)
        tokens = x.flatten(0, -2)
        token, gate, counts = dispatch(gates)
        parts = zip(tokens.index_select(0, token).split(counts), self.w_in, self.w_out, strict=True)
        done = torch.cat([glu(part, w_in, w_out, self.activation, self.linear) for part, w_in, w_out in parts])
        weighted = done.to(gate.dtype) * gate[:, None]
        return torch.zeros_like(tokens, dtype=gate.dtype).index_add(0, token, weighted).view_as(x)
