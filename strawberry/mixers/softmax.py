"""Softmax attention: every position weighs all earlier ones by the match of its query with their keys."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from strawberry.config import Config
from strawberry.experts.balance import Ledger
from strawberry.mixers.base import TokenMixer


@dataclass(frozen=True)
class KVCache:
    """Keys and values that later tokens may still read, each (batch, kept, head, d_head), in order of position."""

    keys: Tensor
    values: Tensor


def attend(q: Tensor, k: Tensor, v: Tensor, window: int, cache: KVCache | None) -> tuple[Tensor, KVCache]:
    """Scaled dot-product attention of the new tokens over the cached and new ones.

    q, k, v: (batch, seq, head, d_head). Position t reads (t − window, t]; window 0 reads [0, t]. The cache that comes
    back holds the last ``window − 1`` positions, or all of them. Vaswani et al., arXiv 1706.03762.
    """
    if cache is not None:
        k, v = torch.cat([cache.keys, k], dim=1), torch.cat([cache.values, v], dim=1)
    # A mask that starts at the top left is right only without a cache, so build the lower-right one elsewhere.
    plain = cache is None and (not window or window >= q.shape[1])
    mask = None if plain else visible(q.shape[1], k.shape[1], window, q.device)
    y = scaled_dot_product_attention(
        q.transpose(1, 2), k.to(q.dtype).transpose(1, 2), v.to(q.dtype).transpose(1, 2), mask, is_causal=plain
    )
    kept = k.shape[1] if not window else min(k.shape[1], window - 1)
    start = k.shape[1] - kept
    return y.transpose(1, 2), KVCache(k[:, start:], v[:, start:])


def visible(queries: int, keys: int, window: int, device: torch.device | None = None) -> Tensor:
    """Boolean (queries, keys): which keys the last ``queries`` positions may read; window 0 reads the whole past."""
    age = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
    return (age >= 0) & (age < window) if window else age >= 0


def attention_map(q: Tensor, k: Tensor, window: int) -> Tensor:
    """softmax(qkᵀ/√d_head) over the visible past: (batch, seq, head, d_head) twice -> (batch, head, seq, seq)."""
    scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~visible(q.shape[1], k.shape[1], window, q.device), -math.inf).softmax(dim=-1)


class Softmax(TokenMixer):
    """Causal multi-head softmax attention; its state is a key/value cache that grows with every token."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, state: KVCache | None = None, ledger: Ledger | None = None
    ) -> tuple[Tensor, KVCache]:
        y, cache = attend(q, k, v, 0, state)
        return self.context(y), cache

    def state_size(self, seq_len: int) -> int:
        return 2 * seq_len * self.n_heads * self.d_head

    def multiply_adds(self, seq_len: int) -> int:
        return 2 * seq_len * self.n_heads * self.d_head

    def map(self, q: Tensor, k: Tensor, channels: Sequence[int] | None = None) -> Tensor:
        maps = attention_map(q, k, 0)
        return maps if channels is None else maps[:, list(channels)]

    def mix(self, maps: Tensor, v: Tensor, channels: Sequence[int] | None = None) -> Tensor:
        heads = v if channels is None else v[:, :, list(channels)]
        return torch.einsum("bhts,bshd->bthd", maps, heads)
