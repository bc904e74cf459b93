"""Feed-forward layers: SwiGLU, and a mixture of SwiGLU experts."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from strawberry.config import Config
from strawberry.experts.balance import Ledger
from strawberry.experts.router import Router, dispatch


class SwiGLU(nn.Module):
    """W_out(u ⊙ silu(v)) with [u, v] = W_in x (Shazeer, arXiv 2002.05202); (..., d_model) -> (..., d_model)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.w_in = nn.Parameter(torch.empty(2 * config.d_ff, config.d_model))
        self.w_out = nn.Parameter(torch.empty(config.d_model, config.d_ff))

    def forward(self, x: Tensor, ledger: Ledger | None = None) -> Tensor:
        return swiglu(x, self.w_in, self.w_out)


def swiglu(x: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    """One SwiGLU on x (..., C) with w_in (2F, C) and w_out (C, F)."""
    u, v = linear(x, w_in).chunk(2, dim=-1)
    return linear(u * silu(v), w_out)


class ExpertSwiGLU(nn.Module):
    """Σ_e g_e · SwiGLU_e(x): each token is computed by its chosen experts only, and no token is dropped.

    (batch, seq, d_model) -> the same. Pairs of token and expert are sorted by expert, one matrix product each.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.router = Router(config.d_model, config.n_experts, config.top_k, config)
        self.w_in = nn.Parameter(torch.empty(config.n_experts, 2 * config.d_ff, config.d_model))
        self.w_out = nn.Parameter(torch.empty(config.n_experts, config.d_model, config.d_ff))

    def forward(self, x: Tensor, ledger: Ledger | None = None) -> Tensor:
        gates = self.router(x, ledger).flatten(0, -2)
        tokens = x.flatten(0, -2)
        token, gate, counts = dispatch(gates)
        parts = tokens.index_select(0, token).split(counts)
        done = torch.cat([swiglu(part, *pair) for part, *pair in zip(parts, self.w_in, self.w_out, strict=True)])
        weighted = done.to(gate.dtype) * gate[:, None]
        return torch.zeros_like(tokens, dtype=gate.dtype).index_add(0, token, weighted).view_as(x)
