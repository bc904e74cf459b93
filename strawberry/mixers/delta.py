"""The gated delta rule: a linear memory that first forgets, then replaces what it holds under a key by a new value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from strawberry.bitlinear import LINEARS
from strawberry.call import Call
from strawberry.config import Config
from strawberry.mixers.base import ALONE, TokenMixer
from strawberry.mixers.decayed import decays
from strawberry.mixers.written import correct, reading_cost, write_delta, writing_cost
from strawberry.norm import norm


@dataclass(frozen=True)
class DeltaState:
    """The memory S (batch, head, d_head, d_head), keys by values: constant in the number of tokens."""

    memory: Tensor


def advance(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor, memory: Tensor | None
) -> tuple[Tensor, Tensor]:
    """What q reads, (batch, head, seq, d_v), while v is written under k, and the memory after the last token.

    Shapes as in :mod:`strawberry.mixers.written`, with (batch, head) before seq. Recurrent for one token.
    """
    if q.shape[2] == 1:
        memory = correct(k, v, beta, log_decay, memory)
        return q @ memory, memory
    written = write_delta(k, v, beta, log_decay, memory)
    assert written.end is not None
    return written.read(q), written.end


def by_head(x: Tensor) -> Tensor:
    """(batch, seq, head, d) -> (batch, head, seq, d) in fp32 or better."""
    # Contiguous: otherwise every product would make a copy of its own.
    return x.to(torch.promote_types(x.dtype, torch.float32)).transpose(1, 2).contiguous()


def unit(x: Tensor) -> Tensor:
    """The same for vectors, which become of length 1."""
    return norm(by_head(x)) * x.shape[-1] ** -0.5


class Delta(TokenMixer):
    """The gated delta rule of Gated DeltaNet (arXiv 2412.06464, equation 10): chunkwise, or recurrent for one token.

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
        self.linear = LINEARS[config.rounding]
        self.w_beta = nn.Parameter(torch.empty(heads, width))
        self.w_decay = nn.Parameter(torch.empty(heads, width))
        self.decay_bias = nn.Parameter(torch.empty(heads))
        self.log_rate = nn.Parameter(torch.empty(heads))
        self.w_gate = nn.Parameter(torch.empty(config.d_qkv, width))

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: DeltaState | None = None, call: Call = ALONE
    ) -> tuple[Tensor, DeltaState]:
        told, real = self.tapped(x, call), call.real(q)
        if real is not None:
            told = {name: value.masked_fill(~real[..., None], 0) for name, value in told.items()}
        with torch.autocast(q.device.type, enabled=False):
            memory = None if state is None else state.memory
            o, memory = advance(unit(q), unit(k), by_head(v), told["beta"].mT, told["log_decay"].mT, memory)
            context = self.context(o.transpose(1, 2))
        gate = silu(self.linear(x, self.w_gate)).unflatten(-1, (self.n_heads, -1))
        return norm(context) * gate, DeltaState(memory)

    def signals(self, x: Tensor, call: Call = ALONE) -> dict[str, Tensor]:
        """beta and log_decay (log α), each (batch, seq, head)."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.w_beta.dtype)
            decay = softplus(self.linear(x, self.w_decay) + self.decay_bias) * -self.log_rate.exp()
            return {"beta": self.linear(x, self.w_beta).sigmoid(), "log_decay": decay}

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
        q, k = (unit(one[:, :, heads]) for one in (q, k))
        beta, log_decay = (signals[name].to(q.dtype)[..., heads].mT for name in self.signal_names)
        fading = decays(log_decay.cumsum(dim=-1))
        system, scores = beta[..., None] * (k @ k.mT) * fading, q @ k.mT * fading
        solved = torch.linalg.solve_triangular(system, scores, upper=False, left=False, unitriangular=True)
        return solved * beta[..., None, :]
