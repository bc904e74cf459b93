"""Linear attention: attention whose weights are products of features, so that the past fits into two sums."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from strawberry.call import Call
from strawberry.mixers.base import ALONE, TokenMixer
from strawberry.mixers.decayed import CHUNK, DecayedState, advance, weights


def feature(x: Tensor) -> Tensor:
    """elu(x) + 1, which is above 0, without the rounding of e^x − 1 + 1."""
    return x.clamp(max=0).exp() + x.relu()


class LinearAttention(TokenMixer):
    """Causal linear attention (Katharopoulos et al., arXiv 2006.16236, sections 3.3 and 3.4).

    Per head ``y_t = S_tᵀ φ(q_t) / (z_t · φ(q_t))`` with ``S_t = Σ_{s≤t} φ(k_s) v_sᵀ``, ``z_t = Σ_{s≤t} φ(k_s)`` and
    φ = elu + 1. The state is S with z as its last column.
    """

    about = "Σ (φ(q)·φ(kₛ)) vₛ / Σ φ(q)·φ(kₛ) over all earlier tokens, φ = elu + 1"
    source = "Katharopoulos et al. 2020, arXiv 2006.16236"
    state = "one d × (d + 1) matrix per head"

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: DecayedState | None = None, call: Call = ALONE
    ) -> tuple[Tensor, DecayedState]:
        wide = torch.promote_types(q.dtype, torch.float32)
        with torch.autocast(q.device.type, enabled=False):
            v = torch.cat([v.to(wide), torch.ones_like(v[..., :1], dtype=wide)], dim=-1)
            y, after = advance(feature(q.to(wide)), feature(k.to(wide)), v, self._no_decay(q), state, call.real(q))
        y, total = y[..., :-1], y[..., -1:]
        if call.rows is not None:
            # A row of nothing but padding has read nothing yet.
            total = total.masked_fill(total == 0, 1)
        return self.context(y / total), after

    def _no_decay(self, q: Tensor) -> Tensor:
        return torch.zeros(1, 1, self.n_heads, dtype=torch.promote_types(q.dtype, torch.float32), device=q.device)

    def state_size(self, seq_len: int) -> int:
        return self.n_heads * self.d_head * (self.d_head + 1)

    def multiply_adds(self, seq_len: int) -> int:
        return (min(seq_len, CHUNK) + self.d_head) * self.n_heads * (2 * self.d_head + 1)

    def map(
        self, q: Tensor, k: Tensor, signals: Mapping[str, Tensor] | None = None, channels: Sequence[int] | None = None
    ) -> Tensor:
        """A_{t,s} = φ(q_t)·φ(k_s) / Σ_{s'≤t} φ(q_t)·φ(k_s') for each head."""
        heads = slice(None) if channels is None else list(channels)
        maps = weights(feature(q[:, :, heads]), feature(k[:, :, heads]), self._no_decay(q)[..., heads])
        return maps / maps.sum(dim=-1, keepdim=True)
