"""Retention: a memory of outer products k vᵀ that fades, at one rate per head or at a rate that each token sets."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, silu

from strawberry.bitlinear import LINEARS
from strawberry.call import Call
from strawberry.config import Config
from strawberry.mixers.base import ALONE, TokenMixer
from strawberry.mixers.decayed import CHUNK, DecayedState, advance, weights
from strawberry.norm import norm


class MultiScaleRetention(TokenMixer):
    """RetNet's retention (Sun et al., arXiv 2307.08621, equations 5 to 8).

    Per head ``S_t = γ S_{t−1} + k_t v_tᵀ / √d``, ``o_t = S_tᵀ q_t`` with γ_h = 1 − 2^(−5−h) for h = 0, 1, …; then
    ``silu(W_g x) ⊙ norm(o)``, normalised per head. The norm's epsilon is far below any signal, so that the paper's
    three forms agree although they scale their outputs differently. q and k come rotated.
    """

    about = "silu(W x) ⊙ norm(Σ γᵗ⁻ˢ (q·kₛ/√d) vₛ), γ = 1 − 2⁻⁵⁻ʰ for head h"
    source = "RetNet, Sun et al. 2023, arXiv 2307.08621"
    state = "one d × d matrix per head"
    averages = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.linear = LINEARS[config.rounding]
        self.w_gate = nn.Parameter(torch.empty(config.d_qkv, config.d_model))

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: DecayedState | None = None, call: Call = ALONE
    ) -> tuple[Tensor, DecayedState]:
        told = self.tapped(x, call)
        wide = torch.promote_types(q.dtype, torch.float32)
        with torch.autocast(q.device.type, enabled=False):
            q, v, k = q.to(wide), v.to(wide), k.to(wide) * self.d_head**-0.5
            y, after = advance(q, k, v, self.log_decay(q, told), state, call.real(q))
        gate = silu(self.linear(x, self.w_gate)).unflatten(-1, (self.n_heads, -1))
        return gate * norm(self.context(y)), after

    def log_decay(self, q: Tensor, signals: Mapping[str, Tensor] | None = None) -> Tensor:
        """log γ, (batch or 1, seq or 1, head), in the precision of q but no less than fp32."""
        wide = torch.promote_types(q.dtype, torch.float32)
        return torch.log1p(-torch.exp2(-5 - torch.arange(self.n_heads, dtype=wide, device=q.device)))[None, None]

    def state_size(self, seq_len: int) -> int:
        return self.n_heads * self.d_head**2

    def multiply_adds(self, seq_len: int) -> int:
        return 2 * (min(seq_len, CHUNK) + self.d_head) * self.n_heads * self.d_head + self.w_gate.numel()

    def map(
        self, q: Tensor, k: Tensor, signals: Mapping[str, Tensor] | None = None, channels: Sequence[int] | None = None
    ) -> Tensor:
        """A_{t,s} = γ_{s+1} … γ_t (q_t · k_s) / √d for each head."""
        heads = slice(None) if channels is None else list(channels)
        return weights(q[:, :, heads], k[:, :, heads] * self.d_head**-0.5, self.log_decay(q, signals)[..., heads])


class GatedRetention(MultiScaleRetention):
    """Retention whose decay each token sets from the block's input x (YOCO, Sun et al., arXiv 2405.05254).

    As :class:`MultiScaleRetention`, with ``log γ_t = logsigmoid(x_t W_γ) / 16`` per head and token.
    """

    about = "silu(W x) ⊙ norm(Σ γₛ₊₁…γₜ (q·kₛ/√d) vₛ), γₜ = σ(W xₜ)^(1/16)"
    source = "gated retention of YOCO, Sun et al. 2024, arXiv 2405.05254"
    signal_names = ("log_decay",)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.w_decay = nn.Parameter(torch.empty(config.n_heads, config.d_model))

    def signals(self, x: Tensor, call: Call = ALONE) -> dict[str, Tensor]:
        """log_decay: log γ, (batch, seq, head)."""
        wide = torch.promote_types(x.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            return {"log_decay": logsigmoid(self.linear(x.to(wide), self.w_decay.to(wide))) / 16}

    def log_decay(self, q: Tensor, signals: Mapping[str, Tensor] | None = None) -> Tensor:
        assert signals is not None
        return signals["log_decay"]

    def multiply_adds(self, seq_len: int) -> int:
        return super().multiply_adds(seq_len) + self.w_decay.numel()
