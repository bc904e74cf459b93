"""The gated delta rule: a linear memory that first forgets, then replaces what it holds under a key by a new value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from strawberry.call import Call
from strawberry.config import Config
from strawberry.mixers.base import ALONE, TokenMixer
from strawberry.mixers.decayed import decays
from strawberry.mixers.written import reading_cost, write_delta, writing_cost
from strawberry.norm import norm


@dataclass(frozen=True)
class DeltaState:
    """The memory S (batch, head, d_head, d_head), keys by values: constant in the number of tokens."""

    memory: Tensor


class Delta(TokenMixer):
    """The gated delta rule of Gated DeltaNet (arXiv 2412.06464, equation 10), computed chunkwise.

    ``S_t = α_t (I − β_t k_t k_tᵀ) S_{t−1} + β_t k_t v_tᵀ`` and ``o_t = S_tᵀ q_t`` for every head, q and k of unit
    length, β = σ(x W_β), log α = −e^A · softplus(x W_α + b). The output is normalised per head and gated by
    silu(x W_g).
    """

    about = "Sᵀq with S ← α(I − βkkᵀ)S + βkvᵀ: forgets, then corrects what it holds under k; normalised, gated"
    source = "Gated DeltaNet, Yang et al. 2024, arXiv 2412.06464, equation 10"
    state = "a d×d memory per head"
    averages = False
    signal_names = ("beta", "log_decay")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        width, heads = config.d_model, config.n_heads
        self.w_beta = nn.Parameter(torch.empty(heads, width))
        self.w_decay = nn.Parameter(torch.empty(heads, width))
        self.decay_bias = nn.Parameter(torch.empty(heads))
        self.log_rate = nn.Parameter(torch.empty(heads))
        self.w_gate = nn.Parameter(torch.empty(config.d_qkv, width))

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: DeltaState | None = None, call: Call = ALONE
    ) -> tuple[Tensor, DeltaState | None]:
        told, real = self.tapped(x, call), call.real(q)
        if real is not None:
            told = {name: value.masked_fill(~real[..., None], 0) for name, value in told.items()}
        with torch.autocast(q.device.type, enabled=False):
            q, k, v = self._wide(q), self._wide(k), v.to(torch.promote_types(v.dtype, torch.float32)).transpose(1, 2)
            before = None if state is None else state.memory
            written = write_delta(k, v, told["beta"].mT, told["log_decay"].mT, before, call.keep)
            context = self.context(written.read(q).transpose(1, 2))
        gate = silu(x @ self.w_gate.mT).unflatten(-1, (self.n_heads, -1))
        return norm(context) * gate, None if written.end is None else DeltaState(written.end)

    def signals(self, x: Tensor, call: Call = ALONE) -> dict[str, Tensor]:
        """beta and log_decay (log α), each (batch, seq, head)."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.w_beta.dtype)
            decay = softplus(x @ self.w_decay.mT + self.decay_bias) * -self.log_rate.exp()
            return {"beta": (x @ self.w_beta.mT).sigmoid(), "log_decay": decay}

    def state_size(self, seq_len: int) -> int:
        return self.n_heads * self.d_head**2

    def multiply_adds(self, seq_len: int) -> int:
        gates = sum(w.numel() for w in (self.w_beta, self.w_decay, self.w_gate))
        written = writing_cost(seq_len, self.d_head, self.d_head, delta=True)
        return round(gates + self.n_heads * (written + reading_cost(seq_len, self.d_head, self.d_head)))

    def map(
        self, q: Tensor, k: Tensor, signals: Mapping[str, Tensor] | None = None, channels: Sequence[int] | None = None
    ) -> Tensor:
        """A = (qkᵀ ⊙ decay) (I + tril(βkkᵀ ⊙ decay, −1))⁻¹ diag(β): entries of either sign, as later tokens correct."""
        assert signals is not None
        heads = list(range(self.n_heads) if channels is None else channels)
        q, k = (self._wide(one[:, :, heads]) for one in (q, k))
        beta, log_decay = (signals[name].to(q.dtype)[..., heads].mT for name in self.signal_names)
        fading = decays(log_decay.cumsum(dim=-1))
        system, scores = beta[..., None] * (k @ k.mT) * fading, q @ k.mT * fading
        solved = torch.linalg.solve_triangular(system, scores, upper=False, left=False, unitriangular=True)
        return solved * beta[..., None, :]

    def _wide(self, x: Tensor) -> Tensor:
        """(batch, seq, head, d_head) -> (batch, head, seq, d_head) of unit length, in fp32 or better."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return (norm(x) * x.shape[-1] ** -0.5).transpose(1, 2)
