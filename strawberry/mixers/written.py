"""What tokens wrote into a fading memory S, kept chunk by chunk, so that any number of queries may read it.

Shapes: k (..., seq, d_k); v (..., seq, d_v); log_decay, log α ≤ 0, (..., seq); beta, in [0, 1], (..., seq); state, the
memory before, (..., d_k, d_v), None for nought; an axis before seq of 1 stands for all. A token with k or β of 0 and
log α = 0 leaves the memory as it was. Chunks are counted from the first of the given tokens.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from strawberry.mixers.decayed import CHUNK, decays


@dataclass(frozen=True)
class Written:
    """S_t = α_t S_{t−1} + k_t v_tᵀ over ``length`` tokens, filled up to whole chunks with tokens that change nothing.

    keys: (..., chunks, chunk, d_k). values: (..., chunks, chunk, d_v). ages: (..., chunks, chunk), the logarithms of
    what is left of the chunk's first memory at each token. fading: (..., chunks, chunk, chunk), of token s at token t.
    memory: (..., chunks, d_k, d_v), before each chunk. end: (..., d_k, d_v), after the last token; None unless kept.
    """

    keys: Tensor
    values: Tensor
    ages: Tensor
    fading: Tensor
    memory: Tensor
    end: Tensor | None
    length: int

    def read(self, q: Tensor) -> Tensor:
        """S_tᵀ q_t for the query (..., length, d_k) of every token: (..., length, d_v)."""
        return self._read(q, self.keys, self.values, self.memory)

    def read_back(self, q: Tensor) -> Tensor:
        """S_t q_t for the query (..., length, d_v) of every token: (..., length, d_k)."""
        return self._read(q, self.values, self.keys, self.memory.mT)

    def at(self, tokens: Tensor) -> Tensor:
        """S (..., n, d_k, d_v) after each of the tokens (n,) or (batch, n), written out at full cost."""
        logs = torch.cat([self.ages[..., :1], self.ages.diff(dim=-1)], dim=-1).flatten(-2).cumsum(dim=-1)
        logs = logs.expand(*torch.broadcast_shapes(logs.shape[:-1], tokens.shape[:-1]), -1)
        last = logs.gather(-1, tokens.expand(*logs.shape[:-1], -1))
        future = torch.arange(logs.shape[-1], device=logs.device) > tokens[..., None]
        shares = (last[..., None] - logs[..., None, :]).masked_fill(future, -torch.inf).exp()
        keys, values = (x.flatten(-3, -2)[..., None, :, :] for x in (self.keys, self.values))
        before = self.memory[..., :1, :, :] * last.exp()[..., None, None]
        return before + (keys * shares[..., None]).mT @ values

    def _read(self, q: Tensor, keys: Tensor, values: Tensor, memory: Tensor) -> Tensor:
        q = _chunked(q, keys.shape[-2])
        near = (q @ keys.mT * self.fading) @ values
        return (near + (q * self.ages.exp()[..., None]) @ memory).flatten(-3, -2)[..., : self.length, :]


def write(k: Tensor, v: Tensor, log_decay: Tensor, state: Tensor | None, keep: bool = True) -> Written:
    """Write with S_t = α_t S_{t−1} + k_t v_tᵀ: RetNet's chunkwise form (arXiv 2307.08621, equation 7)."""
    length, chunk = k.shape[-2], min(k.shape[-2], CHUNK)
    k, v = _chunked(k, chunk), _chunked(v, chunk)
    ages = _chunked(log_decay[..., None], chunk)[..., 0].cumsum(dim=-1)
    added = _late(k, ages).mT @ v
    memory = [torch.zeros_like(added[..., 0, :, :]) if state is None else state]
    # Unbound at once: an index inside the loop would make a gradient as large as the whole for every chunk.
    for survival, own in zip(_survivals(ages), added.unbind(-3), strict=True):
        memory.append(torch.addcmul(own, memory[-1], survival))
    end = memory.pop()
    return Written(k, v, ages, decays(ages), torch.stack(memory, dim=-3), end if keep else None, length)


def write_delta(
    k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor, state: Tensor | None, keep: bool = True
) -> Written:
    """Write with the gated delta rule, S_t = α_t (I − β_t k_t k_tᵀ) S_{t−1} + β_t k_t v_tᵀ, k of unit length.

    That memory is a plain sum of other values, S_t = α_t S_{t−1} + k_t w_tᵀ with w_t = β_t (v_t − α_t S_{t−1}ᵀ k_t);
    ``values`` are those, found a chunk at a time by one triangular solve (arXiv 2412.06464, section 3.3).
    """
    length, chunk = k.shape[-2], min(k.shape[-2], CHUNK)
    k, v, beta = _chunked(k, chunk), _chunked(v, chunk), _chunked(beta[..., None], chunk)
    ages = _chunked(log_decay[..., None], chunk)[..., 0].cumsum(dim=-1)
    fading = decays(ages)
    # What the chunk would write into an empty memory, and how it corrects itself by the memory that it finds.
    sides = beta * torch.cat([v, k * ages.exp()[..., None]], dim=-1)
    if chunk > 1:
        sides = torch.linalg.solve_triangular((beta * k) @ k.mT * fading, sides, upper=False, unitriangular=True)
    first, correction = sides.split([v.shape[-1], k.shape[-1]], dim=-1)
    late = _late(k, ages)
    memory = [late.new_zeros(*late.shape[:-3], k.shape[-1], v.shape[-1]) if state is None else state]
    values = []
    parts = zip(_survivals(ages), first.unbind(-3), correction.unbind(-3), late.unbind(-3), strict=True)
    for survival, own, corrected, key in parts:
        values.append(own - corrected @ memory[-1])
        memory.append(torch.addcmul(key.mT @ values[-1], memory[-1], survival))
    end = memory.pop()
    return Written(
        k, torch.stack(values, dim=-3), ages, fading, torch.stack(memory, dim=-3), end if keep else None, length
    )


def correct(k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor, state: Tensor | None) -> Tensor:
    """The memory after one token (seq of 1) written with the gated delta rule: the definition."""
    if state is None:
        return k.mT @ (beta[..., None] * v)
    faded = state * log_decay[..., None].exp()
    return faded + k.mT @ (beta[..., None] * (v - k @ faded))


def writing_cost(seq_len: int, d_k: int, d_v: int, delta: bool) -> float:
    """Multiply-adds per token of writing ``seq_len`` tokens, the triangular solve counted as the products it spares."""
    chunk = min(seq_len, CHUNK)
    corrections = chunk * d_k + chunk * (d_k + d_v) / 2 + d_k * d_v if delta else 0
    return (corrections + d_k * d_v) * _filled(seq_len)


def reading_cost(seq_len: int, d_k: int, d_v: int) -> float:
    """Multiply-adds per token of one query for every token."""
    return (min(seq_len, CHUNK) * (d_k + d_v) + d_k * d_v) * _filled(seq_len)


def _filled(seq_len: int) -> float:
    """Tokens computed per token: the last chunk is filled up."""
    chunk = min(seq_len, CHUNK)
    return math.ceil(seq_len / chunk) * chunk / seq_len


def _chunked(x: Tensor, chunk: int) -> Tensor:
    """(..., seq, width) -> (..., chunks, chunk, width), filled up with noughts."""
    missing = -x.shape[-2] % chunk
    return (pad(x, (0, 0, 0, missing)) if missing else x).unflatten(-2, (-1, chunk))


def _late(k: Tensor, ages: Tensor) -> Tensor:
    """Keys as they count at the end of their chunk."""
    return k * (ages[..., -1:] - ages).exp()[..., None]


def _survivals(ages: Tensor) -> tuple[Tensor, ...]:
    """How much of the memory survives each chunk, (..., 1, 1) one by one."""
    return ages[..., -1].exp()[..., None, None].unbind(-3)
