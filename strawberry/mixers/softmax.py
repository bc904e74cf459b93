"""Softmax attention: every position weighs all earlier ones by the match of its query with their keys."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

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
    kept = k.shape[1] if not window else min(k.shape[1], window - 1)
    after = KVCache(k[:, k.shape[1] - kept :], v[:, v.shape[1] - kept :])
    k, v = k.to(q.dtype), v.to(q.dtype)
    if window and keys_read(q.shape[1], window) < q.shape[1]:
        return _attend_by_blocks(q, k, v, window), after
    # A causal mask starts at the top left, which is right only without a cache; elsewhere build the lower-right one.
    plain = cache is None and (not window or window >= q.shape[1])
    mask = None if plain else visible(q.shape[1], k.shape[1], window, q.device)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return scaled_dot_product_attention(q, k, v, mask, is_causal=plain).transpose(1, 2), after


BLOCK = 64


def keys_read(seq_len: int, window: int) -> int:
    """Keys that each query is multiplied with in a forward pass over ``seq_len`` tokens; window 0 reads them all."""
    by_blocks = BLOCK + window - 1
    # Below a quarter the copies of keys cost more than the arithmetic that they save.
    return by_blocks if window and 4 * by_blocks <= seq_len else seq_len


def _attend_by_blocks(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """A sliding window in time linear in the sequence: each block of queries meets only the keys it may read."""
    seq, back = q.shape[1], window - 1
    blocks = -(-seq // BLOCK)
    missing = blocks * BLOCK - seq
    # Keys before the first query: those of the cache, then padding that no query may read.
    early = k.shape[1] - seq
    q = pad(q, (0, 0, 0, 0, 0, missing)).unflatten(1, (blocks, BLOCK)).flatten(0, 1).transpose(1, 2)
    k, v = (
        pad(x, (0, 0, 0, 0, back - early, missing)).unfold(1, BLOCK + back, BLOCK).flatten(0, 1).transpose(2, 3)
        for x in (k, v)
    )
    query, key = torch.arange(BLOCK, device=q.device)[:, None], torch.arange(BLOCK + back, device=q.device)
    band = (key >= query) & (key <= query + back)
    starts = torch.arange(blocks, device=q.device)[:, None, None] * BLOCK
    mask = (band & (starts + key >= back - early)).repeat(q.shape[0] // blocks, 1, 1)[:, None]
    y = scaled_dot_product_attention(q, k, v, mask).transpose(1, 2)
    return y.unflatten(0, (-1, blocks)).flatten(1, 2)[:, :seq]


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
