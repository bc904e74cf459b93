"""Softmax attention: every position weighs earlier ones by the match of its query with their keys."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from strawberry.call import Call
from strawberry.config import Config
from strawberry.mixers import flex
from strawberry.mixers.base import ALONE, TokenMixer


@dataclass(frozen=True)
class KVCache:
    """Keys and values that later tokens may still read, each (batch, kept, kv_head, d_head), in order of position.

    The last place is each row's newest token; where a row has read fewer than ``kept`` tokens, places to the left hold
    nothing. sinks: the keys and values, stacked (2, batch, sinks, kv_head, d_head), of the first tokens of the text,
    which a window keeps for ever; None without.
    """

    keys: Tensor
    values: Tensor
    sinks: Tensor | None = None


def attend(
    q: Tensor, k: Tensor, v: Tensor, window: int, cache: KVCache | None, call: Call = ALONE, sinks: int = 0
) -> tuple[Tensor, KVCache]:
    """Scaled dot-product attention of the new tokens over the cached and new ones.

    q: (batch, seq, head, d_head); k, v: (batch, seq, kv_head, d_head), each read by head / kv_head heads in turn.
    Position t reads (t − window, t], and the first ``sinks`` positions; window 0 reads [0, t]. The cache that comes
    back holds the last ``window − 1`` positions, or all of them. Vaswani et al., arXiv 1706.03762; grouped heads:
    arXiv 2305.13245; sinks: arXiv 2309.17453.
    """
    first = None if not (sinks and window) else _sinks(k, v, sinks, cache, call)
    old = 0 if cache is None else cache.keys.shape[1]
    if cache is not None:
        k, v = torch.cat([cache.keys, k], dim=1), torch.cat([cache.values, v], dim=1)
    after = kept(k, v, old, window, call, first)
    k, v = k.to(q.dtype), v.to(q.dtype)
    # Rows that have read nothing yet have all their padding on the right, where a causal mask hides it.
    if (call.rows is not None and cache is not None) or first is not None:
        return _attend_by_mask(q, k, v, window, first, call, old), after
    if cache is None and window and flex.worth_it(q, window):
        return flex.attend_by_flex(q, k, v, window), after
    if window and keys_read(q.shape[1], window) < q.shape[1]:
        return _attend_by_blocks(q, k, v, window), after
    # A causal mask starts at the top left, which is right only without a cache; elsewhere build the lower-right one.
    plain = cache is None and (not window or window >= q.shape[1])
    return sdpa(q, k, v, None if plain else visible(q.shape[1], k.shape[1], window, q.device)), after


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Torch's fused attention on (batch, seq, head, d_head); mask None is causal over equally many keys."""
    grouped = k.shape[2] != q.shape[2]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None, enable_gqa=grouped).transpose(1, 2)


def kept(k: Tensor, v: Tensor, old: int, window: int, call: Call, first: Tensor | None = None) -> KVCache:
    """The cache after a call, of all keys and values; the first ``old`` of them were cached before it."""
    if call.rows is None:
        size = k.shape[1] if not window else min(k.shape[1], window - 1)
        k, v = k[:, k.shape[1] - size :], v[:, v.shape[1] - size :]
        # A few places of a long text would keep the whole of it in memory.
        return KVCache(k.clone(), v.clone(), first) if window and call.keep else KVCache(k, v, first)
    longest = int((call.rows.start + call.rows.length).max())
    size = longest if not window else min(longest, window - 1)
    return KVCache(call.rows.last(k, size, old), call.rows.last(v, size, old), first)


def _sinks(k: Tensor, v: Tensor, sinks: int, cache: KVCache | None, call: Call) -> Tensor:
    """The first tokens' keys and values (2, batch, sinks, kv_head, d_head), as far as they have been read."""
    new = torch.stack([k, v])
    none = new.new_zeros(2, k.shape[0], sinks, *k.shape[2:])
    before = none if cache is None or cache.sinks is None else cache.sinks
    place = torch.arange(sinks, device=k.device) - call.positions(1, k.device)
    fresh = ((place >= 0) & (place < k.shape[1])).expand(k.shape[0], -1)
    row = torch.arange(k.shape[0], device=k.device)[:, None]
    return torch.where(fresh[..., None, None], new[:, row, place.clamp(0, k.shape[1] - 1)], before)


def _attend_by_mask(q: Tensor, k: Tensor, v: Tensor, window: int, first: Tensor | None, call: Call, old: int) -> Tensor:
    """Any window, sinks and rows, by an explicit mask (batch, 1, queries, keys)."""
    seen = visible(q.shape[1], k.shape[1], window, q.device)[None]
    query = call.positions(q.shape[1], q.device)
    if call.rows is not None:
        key = call.rows.start[:, None] - old + torch.arange(k.shape[1], device=q.device)
        # A place that holds nothing is read by nobody, and padding reads itself, so that no row of the mask is empty.
        seen = seen & (key[:, None] >= 0)
    if first is not None:
        k, v = (torch.cat([early.to(q.dtype), late], dim=1) for early, late in zip(first, (k, v), strict=True))
        early = torch.arange(first.shape[2], device=q.device) <= query[..., None] - window
        rows = max(seen.shape[0], early.shape[0])
        seen = torch.cat([early.expand(rows, -1, -1), seen.expand(rows, -1, -1)], dim=-1)
    return sdpa(q, k, v, seen[:, None])


def attend_at(q: Tensor, k: Tensor, v: Tensor, places: Tensor) -> Tensor:
    """Attention where each query reads from its first to its last place (batch, queries, 2) among the keys."""
    keys, (first, last) = torch.arange(k.shape[1], device=k.device), places[..., None].unbind(dim=2)
    return sdpa(q, k.to(q.dtype), v.to(q.dtype), ((keys >= first) & (keys <= last))[:, None])


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
    q = pad(q, (0, 0, 0, 0, 0, missing)).unflatten(1, (blocks, BLOCK)).flatten(0, 1)
    k, v = (
        pad(x, (0, 0, 0, 0, back - early, missing)).unfold(1, BLOCK + back, BLOCK).flatten(0, 1).movedim(-1, 1)
        for x in (k, v)
    )
    query, key = torch.arange(BLOCK, device=q.device)[:, None], torch.arange(BLOCK + back, device=q.device)
    band = (key >= query) & (key <= query + back)
    starts = torch.arange(blocks, device=q.device)[:, None, None] * BLOCK
    mask = (band & (starts + key >= back - early)).repeat(q.shape[0] // blocks, 1, 1)[:, None]
    return sdpa(q, k, v, mask).unflatten(0, (-1, blocks)).flatten(1, 2)[:, :seq]


def visible(queries: int, keys: int, window: int, device: torch.device | None = None) -> Tensor:
    """Boolean (queries, keys): which keys the last ``queries`` positions may read; window 0 reads the whole past."""
    age = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
    return (age >= 0) & (age < window) if window else age >= 0


def attention_map(q: Tensor, k: Tensor, window: int, sinks: int = 0) -> Tensor:
    """softmax(qkᵀ/√d_head) over the visible past: (batch, seq, head, d_head) twice -> (batch, head, seq, seq)."""
    if k.shape[2] != q.shape[2]:
        k = k.repeat_interleave(q.shape[2] // k.shape[2], dim=2)
    scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(q.shape[-1])
    seen = visible(q.shape[1], k.shape[1], window, q.device)
    if sinks and window:
        first = torch.arange(k.shape[1], device=q.device) < sinks
        seen = seen | (visible(q.shape[1], k.shape[1], 0, q.device) & first)
    return scores.masked_fill(~seen, -math.inf).softmax(dim=-1)


class Softmax(TokenMixer):
    """Causal multi-head softmax attention, with grouped key/value heads; its cache grows with every token."""

    about = "softmax(qkᵀ/√d) v over all earlier tokens"
    source = "Vaswani et al. 2017, arXiv 1706.03762; grouped heads: arXiv 2305.13245"
    state = "every token's keys and values"
    grouped = True

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.kv_heads, self.window, self.sinks = config.kv_heads, 0, 0

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: KVCache | None = None, call: Call = ALONE
    ) -> tuple[Tensor, KVCache | None]:
        if call.places is not None:
            return self.context(attend_at(q, k, v, call.places)), state
        y, cache = attend(q, k, v, self.window, state, call, self.sinks)
        return self.context(y), cache

    def state_size(self, seq_len: int) -> int:
        kept = min(seq_len, self.window - 1) if self.window else seq_len
        return 2 * (kept + self.sinks) * self.kv_heads * self.d_head

    def multiply_adds(self, seq_len: int) -> int:
        return 2 * (keys_read(seq_len, self.window) + self.sinks) * self.n_heads * self.d_head

    def map(
        self, q: Tensor, k: Tensor, signals: Mapping[str, Tensor] | None = None, channels: Sequence[int] | None = None
    ) -> Tensor:
        maps = attention_map(q, k, self.window, self.sinks)
        return maps if channels is None else maps[:, list(channels)]


class Window(Softmax):
    """Softmax attention over the last ``window`` tokens and, for ever, the first ``sinks``: its cache stays small."""

    about = "softmax(qkᵀ/√d) v over the last W tokens, and the first few (sinks)"
    source = "Beltagy et al. 2020, arXiv 2004.05150; sinks: Xiao et al. 2023, arXiv 2309.17453"
    state = "the last W − 1 tokens' keys and values, and the sinks'"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.window, self.sinks = config.window, config.sinks
