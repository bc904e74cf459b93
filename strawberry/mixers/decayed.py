"""Linear recurrences with decay, S_t = γ_t S_{t−1} + k_t v_tᵀ and o_t = S_tᵀ q_t, in three forms that agree.

Shapes throughout: q, k (batch, seq, head, d_k); v (batch, seq, head, d_v); log_decay, the logarithms of γ, ≤ 0,
(batch or 1, seq or 1, head), where 1 stands for all; state S (batch, head, d_k, d_v), None for nought. Every form
returns the output (batch, seq, head, d_v) and the state after the last token. RetNet (Sun et al., arXiv 2307.08621,
section 2.2) with one γ per head; with a γ per token, as in Mamba-2 (arXiv 2405.21060).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 64
"""Tokens that the chunkwise form computes in parallel."""


@dataclass(frozen=True)
class DecayedState:
    """S of the last token, (batch, head, d_k, d_v): constant in the number of tokens."""

    sums: Tensor


def advance(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, state: DecayedState | None, real: Tensor | None = None
) -> tuple[Tensor, DecayedState]:
    """The form that suits the number of tokens; where ``real`` (batch, seq) is false, no state notices the token."""
    if real is not None:
        k = k.masked_fill(~real[..., None, None], 0)
        log_decay = torch.where(real[..., None], log_decay, torch.zeros_like(log_decay))
    form = recurrent if q.shape[1] == 1 else chunkwise
    o, after = form(q, k, v, log_decay, None if state is None else state.sums)
    return o, DecayedState(after)


def parallel(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(QKᵀ ⊙ D) V over all tokens at once: quadratic in their number."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    total = log_decay.expand(-1, q.shape[2], -1).mT.cumsum(dim=-1)
    o = (q @ k.mT * decays(total)) @ v
    after = (k * (total[..., -1:] - total).exp()[..., None]).mT @ v
    if state is not None:
        o = o + (q * total.exp()[..., None]) @ state
        after = torch.addcmul(after, state, total[..., -1:, None].exp())
    return o.transpose(1, 2), after


def recurrent(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Token by token: the definition."""
    if state is None:
        state = q.new_zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3])
    outputs = []
    for new_q, new_k, new_v, decay in zip(
        q.unbind(1), k.unbind(1), v.unbind(1), log_decay.exp().expand(-1, q.shape[1], -1).unbind(1), strict=True
    ):
        state = torch.addcmul(state * decay[..., None, None], new_k[..., None], new_v[..., None, :])
        outputs.append((new_q[..., None, :] @ state).squeeze(-2))
    return torch.stack(outputs, dim=1), state


def chunkwise(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, state: Tensor | None = None, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """The parallel form inside chunks of ``chunk`` tokens, the recurrent one from chunk to chunk: linear in the tokens.

    Chunks are counted from the first of the given tokens; those left over at the end are one shorter chunk.
    """
    seq = q.shape[1]
    whole = seq - seq % chunk
    if whole == 0:
        return parallel(q, k, v, log_decay, state)
    if whole == seq:
        return _whole_chunks(q, k, v, log_decay, state, chunk)
    # A decay that stands for all tokens has one place only.
    early, late = (log_decay,) * 2 if log_decay.shape[1] == 1 else (log_decay[:, :whole], log_decay[:, whole:])
    first, state = _whole_chunks(q[:, :whole], k[:, :whole], v[:, :whole], early, state, chunk)
    last, state = parallel(q[:, whole:], k[:, whole:], v[:, whole:], late, state)
    return torch.cat([first, last], dim=1), state


def _whole_chunks(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, state: Tensor | None, chunk: int
) -> tuple[Tensor, Tensor]:
    """The chunkwise form of a whole number of chunks."""
    # (batch, head, chunk number, place in the chunk, d)
    q, k, v = (x.unflatten(1, (-1, chunk)).permute(0, 3, 1, 2, 4).contiguous() for x in (q, k, v))
    if log_decay.shape[1] == 1:
        log_decay = log_decay.expand(-1, chunk, -1)
    total = log_decay.unflatten(1, (-1, chunk)).permute(0, 3, 1, 2).cumsum(dim=-1)
    sums = (k * (total[..., -1:] - total).exp()[..., None]).mT @ v
    before, after = _carry(sums, total[..., -1].exp(), state)
    o = (q @ k.mT * decays(total)) @ v + (q * total.exp()[..., None]) @ before
    return o.permute(0, 2, 3, 1, 4).flatten(1, 2), after


def _carry(sums: Tensor, decay: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """The states before each chunk, (batch, head, chunks, d_k, d_v) like the chunks' own sums, and after the last.

    decay: (batch or 1, head, chunks or 1), of a whole chunk.
    """
    state = torch.zeros_like(sums[:, :, 0]) if state is None else state
    before = []
    # Unbound at once: an index inside the loop would make a gradient as large as all sums for every chunk.
    for own, factor in zip(sums.unbind(2), decay.expand(-1, -1, sums.shape[2]).unbind(2), strict=True):
        before.append(state)
        state = torch.addcmul(own, state, factor[..., None, None])
    return torch.stack(before, dim=2), state


def decays(total: Tensor) -> Tensor:
    """D_{ts} = γ_{s+1} … γ_t for s ≤ t, else 0: (…, seq) inclusive sums of log decays -> (…, seq, seq)."""
    future = torch.ones(total.shape[-1], total.shape[-1], dtype=torch.bool, device=total.device).triu(1)
    # Masked before exp, which would overflow above the diagonal.
    return (total[..., :, None] - total[..., None, :]).masked_fill_(future, float("-inf")).exp_()


def weights(q: Tensor, k: Tensor, log_decay: Tensor) -> Tensor:
    """QKᵀ ⊙ D, by which the outputs of whole rows are sums of v: (batch, head, seq, seq)."""
    total = log_decay.expand(-1, q.shape[1], -1).mT.cumsum(dim=-1)
    return q.transpose(1, 2) @ k.transpose(1, 2).mT * decays(total)
