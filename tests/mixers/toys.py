"""Two mixers that the package does not know: a running mean, and one whose weights have either sign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from strawberry.call import Call
from strawberry.config import Config
from strawberry.mixers.base import ALONE, TokenMixer


@dataclass(frozen=True)
class Mean:
    """The sum of all values so far, (batch, head, d_head), and how many they were, (batch, 1)."""

    total: Tensor
    count: Tensor


class RunningMean(TokenMixer):
    """Every token gets the mean of all values up to its own."""

    about = "the mean of v over all earlier tokens"
    source = "a toy"
    state = "a sum and a count"

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: Mean | None = None, call: Call = ALONE
    ) -> tuple[Tensor, Mean]:
        real = call.real(v)
        wide = v.to(torch.promote_types(v.dtype, torch.float32))
        ones = wide.new_ones(v.shape[:2])
        if real is not None:
            wide, ones = wide.masked_fill(~real[..., None, None], 0), ones * real
        total, count = wide.cumsum(1), ones.cumsum(1)
        if state is not None:
            total, count = total + state.total[:, None], count + state.count
        mean = total / count.clamp(min=1)[..., None, None]
        return self.context(mean.to(v.dtype)), Mean(total[:, -1], count[:, -1:])

    def state_size(self, seq_len: int) -> int:
        return self.n_heads * self.d_head + 1

    def multiply_adds(self, seq_len: int) -> int:
        return 0

    def map(
        self, q: Tensor, k: Tensor, signals: Mapping[str, Tensor] | None = None, channels: Sequence[int] | None = None
    ) -> Tensor:
        even = torch.ones(q.shape[1], q.shape[1], dtype=q.dtype, device=q.device).tril()
        even = even / even.sum(dim=-1, keepdim=True)
        return even.expand(q.shape[0], self.n_heads if channels is None else len(channels), -1, -1)


@dataclass(frozen=True)
class Outer:
    """The sum of k vᵀ so far, (batch, head, d_head, d_head)."""

    total: Tensor


class Signed(TokenMixer):
    """``y_t = Σ_{s≤t} (q_t·k_s) β_s v_s / d_head``, β_s a gate made from x: weights of either sign and any size."""

    about = "Σ (q·k) β v over all earlier tokens, with no softmax"
    source = "a toy"
    state = "a matrix per head"
    averages = False
    signal_names = ("strength",)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.gate = nn.Parameter(torch.empty(config.n_heads, config.d_model))

    def signals(self, x: Tensor, call: Call = ALONE) -> dict[str, Tensor]:
        return {"strength": (x @ self.gate.mT.to(x.dtype)).sigmoid()}

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: Outer | None = None, call: Call = ALONE
    ) -> tuple[Tensor, Outer]:
        strength, real = self.tapped(x, call)["strength"], call.real(x)
        if real is not None:
            strength = strength.masked_fill(~real[..., None], 0)
        wide = torch.promote_types(q.dtype, torch.float32)
        with torch.autocast(q.device.type, enabled=False):
            k, v = k.to(wide) * strength.to(wide)[..., None] / self.d_head, v.to(wide)
            added = torch.einsum("bthk,bthv->bthkv", k, v)
            total = added.cumsum(1) if state is None else added.cumsum(1) + state.total[:, None]
            y = torch.einsum("bthk,bthkv->bthv", q.to(wide), total)
        return self.context(y.to(q.dtype)), Outer(total[:, -1])

    def state_size(self, seq_len: int) -> int:
        return self.n_heads * self.d_head**2

    def multiply_adds(self, seq_len: int) -> int:
        return 2 * self.n_heads * self.d_head**2

    def map(
        self, q: Tensor, k: Tensor, signals: Mapping[str, Tensor] | None = None, channels: Sequence[int] | None = None
    ) -> Tensor:
        assert signals is not None
        maps = torch.einsum("bthd,bshd->bhts", q, k * signals["strength"][..., None]).tril() / self.d_head
        return maps if channels is None else maps[:, list(channels)]
