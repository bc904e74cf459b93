"""Attention-free transformer: each channel averages its past values by the exponential of its keys, no queries met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from strawberry.call import Call
from strawberry.config import Config
from strawberry.mixers.base import ALONE, TokenMixer


UNREAD = -1e30  # the key of padding: it weighs nothing beside any other key


@dataclass(frozen=True)
class AFTState:
    """Running sums over the past, each (batch, head, d_head): constant in the number of tokens.

    The true sums are ``numerator · e^peak`` and ``denominator · e^peak``.
    """

    peak: Tensor
    numerator: Tensor
    denominator: Tensor


def bounded_sums(k: Tensor, v: Tensor, state: AFTState | None) -> AFTState:
    """Prefix sums of e^k v and e^k along the sequence, for keys known to be small (|k| below about 20).

    Shapes as in :func:`stable_sums`. Exact to rounding, and several times faster.
    """
    weights = k.exp()
    sums = torch.stack([weights * v, weights])
    if state is not None:
        factor = state.peak.exp()
        first = sums[:, :, :1] + torch.stack([state.numerator * factor, state.denominator * factor])[:, :, None]
        sums = torch.cat([first, sums[:, :, 1:]], dim=2)
    numerator, denominator = sums.cumsum(dim=2)
    return AFTState(torch.zeros_like(k), numerator, denominator)


def stable_sums(k: Tensor, v: Tensor, state: AFTState | None) -> AFTState:
    """The state after every position, for keys of any size: an associative scan on (peak, numerator, denominator).

    k, v: (batch, seq, head, d_head), state before them -> an AFTState whose tensors have that shape too. Two spans
    combine by ``m = max(m₁, m₂)``, ``n = n₁e^{m₁−m} + n₂e^{m₂−m}``, and likewise d; log₂(seq) combinations.
    """
    # The result does not depend on the peak, so its gradient is nought and detaching it is exact.
    m, n, d = k.detach(), v * (k - k.detach()).exp(), (k - k.detach()).exp()
    if state is not None:
        m, n, d = (
            torch.cat([s[:, None], x], 1) for s, x in ((state.peak, m), (state.numerator, n), (state.denominator, d))
        )
    step = 1
    while step < m.shape[1]:
        peak = torch.maximum(m[:, step:], m[:, :-step])
        late, early = (m[:, step:] - peak).exp(), (m[:, :-step] - peak).exp()
        n = torch.cat([n[:, :step], n[:, step:] * late + n[:, :-step] * early], dim=1)
        d = torch.cat([d[:, :step], d[:, step:] * late + d[:, :-step] * early], dim=1)
        m = torch.cat([m[:, :step], peak], dim=1)
        step *= 2
    return AFTState(*(x[:, m.shape[1] - k.shape[1] :] for x in (m, n, d)))


class AFT(TokenMixer):
    """AFT-simple, causal (Zhai et al., arXiv 2105.14103, equation 3 with w = 0).

    ``y_t = σ(q_t) ⊙ Σ_{s≤t} e^{k_s} v_s / Σ_{s≤t} e^{k_s}`` for every channel. The state is two sums per channel.
    """

    about = "σ(q) ⊙ Σ eᵏ v / Σ eᵏ over all earlier tokens, channel by channel"
    source = "Zhai et al. 2021, arXiv 2105.14103, equation 3 with w = 0"
    state = "two sums per channel"
    map_axis = "channel"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        # QK-Norm bounds every key by √d_head; beyond e²⁰ the plain sums would lose what the stable scan keeps.
        self.sums = bounded_sums if self.d_head <= 400 else stable_sums

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: AFTState | None = None, call: Call = ALONE
    ) -> tuple[Tensor, AFTState]:
        wide = torch.promote_types(q.dtype, torch.float32)
        k, real = k.to(wide), call.real(k)
        if real is not None:
            k = k.masked_fill(~real[..., None, None], UNREAD)
        sums = self.sums(k, v.to(wide), state)
        after = AFTState(sums.peak[:, -1], sums.numerator[:, -1], sums.denominator[:, -1])
        # A row of nothing but padding has read nothing yet.
        weight = sums.denominator if real is None else sums.denominator.masked_fill(sums.denominator == 0, 1)
        return q.sigmoid() * self.context(sums.numerator / weight), after

    def state_size(self, seq_len: int) -> int:
        return 3 * self.n_heads * self.d_head

    def multiply_adds(self, seq_len: int) -> int:
        return 0

    def map(
        self, q: Tensor, k: Tensor, signals: Mapping[str, Tensor] | None = None, channels: Sequence[int] | None = None
    ) -> Tensor:
        """A_{t,s} = e^{k_s} / Σ_{s'≤t} e^{k_s'} for each channel: every row is one score vector, renormalised."""
        scores = k.flatten(2) if channels is None else k.flatten(2)[:, :, list(channels)]
        scores = scores.transpose(1, 2)[:, :, None].expand(-1, -1, k.shape[1], -1)
        past = torch.ones(k.shape[1], k.shape[1], dtype=torch.bool, device=k.device).tril()
        return scores.masked_fill(~past, float("-inf")).softmax(dim=-1)
