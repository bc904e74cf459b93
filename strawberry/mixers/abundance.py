"""The Expert Abundance's attention: groups of heads, each with a window of its own, chosen token by token."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from strawberry.call import Call
from strawberry.config import Config
from strawberry.experts.router import Router
from strawberry.mixers.base import ALONE, TokenMixer
from strawberry.mixers.softmax import KVCache, attend, attention_map, keys_read
from strawberry.norm import norm


class Abundance(TokenMixer):
    """A token-level mixture of sliding-window attentions, its parts concatenated.

    ``y_t = concat_e[ K · g_{t,e} · SWA_{W_e}(q^e, k^e, v^e)_t ]``: expert e owns H/E heads and the window W_e, g are
    the gates of a per-token router that reads v, K = ``attention_top_k``; parts not chosen are 0. The factor K leaves
    the parts' size as in plain attention when the gates are even. Keys and values are kept for every token, chosen or
    not, so that caches have no holes. Strawberry's "Expert Abundance"; compare MoH, arXiv 2410.11842.
    """

    about = "heads in groups, a window each; a router picks the groups for every token"
    source = "Strawberry's Expert Abundance; compare MoH, arXiv 2410.11842"
    state = "each group's window of keys and values"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.windows = config.windows
        self.router = Router(config.d_qkv, len(config.windows), config.attention_top_k, config)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        x: Tensor,
        state: tuple[KVCache, ...] | None = None,
        call: Call = ALONE,
    ) -> tuple[Tensor, tuple[KVCache, ...]]:
        caches = state if state is not None else (None,) * len(self.windows)
        heads = zip(*(part.chunk(len(self.windows), dim=2) for part in (q, k, v)), strict=True)
        groups = zip(heads, self.windows, caches, strict=True)
        mixed = (attend(q_e, k_e, v_e, window, cache, call) for (q_e, k_e, v_e), window, cache in groups)
        parts, after = zip(*mixed, strict=True)
        context = self.context(torch.cat(parts, dim=2))
        gates = self.router(norm(v.flatten(2)), call.ledger) * self.router.top_k
        return context * gates.repeat_interleave(self.n_heads // len(self.windows), dim=-1)[..., None], after

    def state_size(self, seq_len: int) -> int:
        kept = sum(min(seq_len, window - 1) if window else seq_len for window in self.windows)
        return 2 * kept * (self.n_heads // len(self.windows)) * self.d_head

    def multiply_adds(self, seq_len: int) -> int:
        width = self.n_heads * self.d_head
        read = sum(keys_read(seq_len, window) for window in self.windows)
        return 2 * read * width // len(self.windows) + width * len(self.windows)

    def map(
        self, q: Tensor, k: Tensor, signals: Mapping[str, Tensor] | None = None, channels: Sequence[int] | None = None
    ) -> Tensor:
        groups = zip(*(x.chunk(len(self.windows), dim=2) for x in (q, k)), self.windows, strict=True)
        maps = torch.cat([attention_map(*group) for group in groups], dim=1)
        return maps if channels is None else maps[:, list(channels)]
