"""AFT-simple: each channel averages its past values by the exponential of its keys, no queries met."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from strawberry.call import Call
from strawberry.config import Config
from strawberry.mixers.aft.scan import prefix_products
from strawberry.mixers.aft.sums import BOUND, UNREAD, Sums, bounded_sums, mean, stable_sums
from strawberry.mixers.base import ALONE, TokenMixer


class AFT(TokenMixer):
    """AFT-simple, causal (Zhai et al., arXiv 2105.14103); the other forms build on it.

    ``y_t = σ(q_t) ⊙ Σ_{s≤t} e^{k_s} v_s / Σ_{s≤t} e^{k_s}`` for every channel.
    """

    about = "σ(q) ⊙ Σ eᵏ v / Σ eᵏ over all earlier tokens, channel by channel"
    source = "Zhai et al. 2021, arXiv 2105.14103, AFT-simple"
    state = "two sums per channel, and their scale"
    map_axis = "channel"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        # QK-Norm bounds every key by √d_head.
        self.bounded = self.d_head**0.5 <= BOUND

    def sums(self, k: Tensor, v: Tensor, before: Sums | None) -> Sums:
        """The sums up to every position: by the fast way where the keys are known to be small, else by the stable."""
        return bounded_sums(k, v, before) if self.bounded else stable_sums(k, v, before)

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: Any = None, call: Call = ALONE
    ) -> tuple[Tensor, Any]:
        wide = torch.promote_types(q.dtype, torch.float32)
        with torch.autocast(q.device.type, enabled=False):
            totals, after = self.weigh(k.to(wide), v.to(wide), x, state, call)
            return q.sigmoid() * self.context(mean(totals)), after

    def weigh(self, k: Tensor, v: Tensor, x: Tensor, state: Sums | None, call: Call) -> tuple[Tensor, Any]:
        """Σ e^(k + w) v and Σ e^(k + w) at every position, on one scale, and the state after the last.

        (batch, 2, seq, head, d_head). What padding gets is finite.
        """
        real = call.real(k)
        if real is None:
            sums = self.sums(k, v, state)
            return sums.totals, sums.last()
        sums = self.sums(k.masked_fill(~real[..., None, None], UNREAD), v, state)
        # A row of nothing but padding has read nothing yet.
        return torch.where((sums.totals[:, 1:] == 0), torch.ones_like(k[:, None]), sums.totals), sums.last()

    def state_size(self, seq_len: int) -> int:
        return 3 * self.n_heads * self.d_head

    def multiply_adds(self, seq_len: int) -> int:
        return 2 * self.n_heads * self.d_head * prefix_products(seq_len) // seq_len if self.bounded else 0

    def biases(self, signals: Mapping[str, Tensor], seq: int) -> Tensor | None:
        """w_{t,s} as (batch or 1, head or 1, seq, seq) of whole rows; None where all are 0. Above the diagonal: any."""
        return None

    def map(
        self, q: Tensor, k: Tensor, signals: Mapping[str, Tensor] | None = None, channels: Sequence[int] | None = None
    ) -> Tensor:
        """A_{t,s} = e^{k_s + w_{t,s}} / Σ_{s'≤t} e^{k_s' + w_{t,s'}} for each channel.

        Without biases every row is one score vector, renormalised.
        """
        chosen = list(range(self.n_heads * self.d_head)) if channels is None else list(channels)
        scores = k.flatten(2)[:, :, chosen].transpose(1, 2)[:, :, None].expand(-1, -1, k.shape[1], -1)
        bias = self.biases(signals or {}, k.shape[1])
        if bias is not None:
            heads = [channel // self.d_head for channel in chosen] if bias.shape[1] > 1 else [0] * len(chosen)
            scores = scores + bias[:, heads]
        past = torch.ones(k.shape[1], k.shape[1], dtype=torch.bool, device=k.device).tril()
        return scores.masked_fill(~past, float("-inf")).softmax(dim=-1)
