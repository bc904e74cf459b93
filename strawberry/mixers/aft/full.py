"""AFT-full: a learned bias for every pair of positions, as a product of two thin tables."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from strawberry.call import Call
from strawberry.config import Config
from strawberry.mixers.aft.positions import learned_positions
from strawberry.mixers.aft.simple import AFT
from strawberry.mixers.aft.sums import UNREAD, Sums
from strawberry.mixers.base import ALONE
from strawberry.mixers.softmax import KVCache, kept

BLOCK = 256


class AFTFull(AFT):
    """AFT with w_{t,s} = ⟨u_t, u'_s⟩, learned for every pair of positions up to ``seq_len``, shared by all channels.

    ``y_t = σ(q_t) ⊙ Σ_{s≤t} e^{k_s + w_{t,s}} v_s / Σ_{s≤t} e^{k_s + w_{t,s}}``: AFT-full of
    Zhai et al., arXiv 2105.14103, causal. The factors have ``rank`` columns (default d_model/4). A text beyond
    ``seq_len`` raises :class:`StrawberryError`.
    """

    about = "as AFT, with a learned bias for every pair of positions, of low rank"
    source = "Zhai et al. 2021, arXiv 2105.14103, AFT-full"
    state = "every token's keys and values"
    signal_names = ("position_query", "position_key")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.rank, self.batch = config.rank or max(1, config.d_model // 4), config.batch_size
        self.position_query = nn.Parameter(torch.empty(config.seq_len, self.rank))
        self.position_key = nn.Parameter(torch.empty(config.seq_len, self.rank))

    def signals(self, x: Tensor, call: Call = ALONE) -> dict[str, Tensor]:
        """position_query, position_key: (1 or batch, seq, rank), the factors at the new tokens' positions."""
        places = learned_positions(call, x.shape[1], len(self.position_key), x.device)
        return {"position_query": self.position_query[places], "position_key": self.position_key[places]}

    def weigh(self, k: Tensor, v: Tensor, x: Tensor, state: KVCache | None, call: Call) -> tuple[Tensor, KVCache]:
        told = self.tapped(x, call)
        queries, factors = told["position_query"].to(k.dtype), told["position_key"].to(k.dtype)
        old = 0 if state is None else state.keys.shape[1]
        if state is not None:
            k, v = torch.cat([state.keys, k], dim=1), torch.cat([state.values, v], dim=1)
        after = kept(k, v, old, 0, call)
        places = call.positions(1, k.device) - old + torch.arange(old, device=k.device)
        factors = torch.cat([self.position_key[places.clamp(min=0)].to(k.dtype), factors], dim=1)
        # Where rows differ in length, the cache of a short one begins with places that hold nothing.
        empty = pad(places < 0, (0, k.shape[1] - old))
        if self.bounded:
            return _by_rows(k, v, queries, factors, empty), after
        return _by_halves(k.masked_fill(empty[..., None, None], UNREAD), v, queries, factors).totals, after

    def state_size(self, seq_len: int) -> int:
        return 2 * seq_len * self.n_heads * self.d_head

    def multiply_adds(self, seq_len: int) -> int:
        read = sum(min(BLOCK, seq_len - start) * min(start + BLOCK, seq_len) for start in range(0, seq_len, BLOCK))
        # The biases of a batch are made once.
        return read * (2 * self.n_heads * self.d_head * self.batch + self.rank) // (self.batch * seq_len)

    def biases(self, signals: Mapping[str, Tensor], seq: int) -> Tensor:
        return (signals["position_query"] @ signals["position_key"].mT)[:, None]


def _by_rows(k: Tensor, v: Tensor, queries: Tensor, factors: Tensor, empty: Tensor) -> Tensor:
    """Both sums (batch, 2, seq, head, d_head) for small keys and biases of any size.

    k, v: (batch, keys, head, d_head), the last seq of them new; queries: (batch or 1, seq, rank); factors:
    (batch or 1, keys, rank); empty: (batch or 1, keys), the places that hold no token.
    """
    seq, old = queries.shape[1], k.shape[1] - queries.shape[1]
    exponentials = k.exp()
    read = torch.stack([exponentials * v, exponentials], dim=1)
    parts = []
    for start in range(0, seq, BLOCK):
        stop = min(start + BLOCK, seq)
        bias = queries[:, start:stop] @ factors[:, : old + stop].mT
        later = torch.ones(bias.shape[1:], dtype=torch.bool, device=k.device).triu(old + start + 1)
        bias = bias.masked_fill(later | empty[:, None, : old + stop], float("-inf"))
        # Every row has a scale of its own, its largest bias: small keys then keep all that counts within range.
        weights = (bias - bias.detach().amax(dim=-1, keepdim=True)).exp()
        parts.append(torch.einsum("bts,bpshd->bpthd", weights, read[:, :, : old + stop]))
    return torch.cat(parts, dim=2)


def _by_halves(k: Tensor, v: Tensor, queries: Tensor, factors: Tensor) -> Sums:
    """The sums (batch, seq, head, d_head) for keys of any size, and biases of one row within 80 of one another.

    Shapes as in :func:`_by_rows`. Spans of 2, 4, 8, … tokens: the second half of each reads the whole of the first,
    whose largest keys are a scale that no later token has a part in. At last all new tokens read the cached ones.
    """
    seq, old = queries.shape[1], k.shape[1] - queries.shape[1]
    # Filled up to a power of two with tokens that weigh nothing.
    missing = 2 ** (seq - 1).bit_length() - seq
    keys, values = pad(k[:, old:], (0, 0, 0, 0, 0, missing), value=UNREAD), pad(v[:, old:], (0, 0, 0, 0, 0, missing))
    rows, columns = pad(queries, (0, 0, 0, missing)), pad(factors[:, old:], (0, 0, 0, missing))
    scores = keys + (rows * columns).sum(dim=-1)[..., None, None]
    own = (scores - scores.detach()).exp()
    sums, half = Sums(scores.detach(), torch.stack([own * values, own], dim=1)), 1
    while half < keys.shape[1]:
        (_, rows_of), (columns_of, _) = (x.unflatten(1, (-1, 2, half)).unbind(2) for x in (rows, columns))
        (keys_of, _), (values_of, _) = (x.unflatten(1, (-1, 2, half)).unbind(2) for x in (keys, values))
        first, second = (sums.each(lambda x, i=i, h=half: x.unflatten(-3, (-1, 2, h)).select(-4, i)) for i in (0, 1))
        second = second.plus(_read(rows_of, columns_of, keys_of, values_of))
        pairs = ((first.peak, second.peak), (first.totals, second.totals))
        sums, half = Sums(*(torch.stack(pair, dim=-4).flatten(-5, -3) for pair in pairs)), 2 * half
    sums = sums.each(lambda x: x[..., :seq, :, :])
    if old:
        cached = _read(queries[:, None], factors[:, None, :old], k[:, None, :old], v[:, None, :old])
        sums = sums.plus(Sums(cached.peak[:, 0], cached.totals[:, :, 0]))
    return sums


def _read(rows: Tensor, columns: Tensor, keys: Tensor, values: Tensor) -> Sums:
    """The sums (batch, spans, queries, head, d_head) of queries that all read all of some tokens.

    rows: (batch or 1, spans, queries, rank); columns: (batch or 1, spans, tokens, rank); keys, values:
    (batch, spans, tokens, head, d_head).
    """
    top = keys.detach().amax(dim=2, keepdim=True)
    bias = rows @ columns.mT
    peak = bias.detach().amax(dim=-1, keepdim=True)
    weights = (keys - top).exp()
    totals = torch.stack([weights * values, weights], dim=1)
    return Sums(top + peak[..., None], torch.einsum("bnts,bpnshd->bpnthd", (bias - peak).exp(), totals))
