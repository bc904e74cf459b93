"""Infini-attention: softmax attention within a segment, and one compressed memory of all segments before it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from strawberry.call import Call, Grid
from strawberry.config import Config
from strawberry.mixers.base import ALONE, TokenMixer
from strawberry.mixers.linear import feature
from strawberry.mixers.softmax import sdpa
from strawberry.rope import Rotation, rotate, rotation


@dataclass(frozen=True)
class InfiniState:
    """The memory of all whole segments, and the keys and values of the segment after them: constant in size.

    memory: (batch, head, d_head, d_head), Σ σ(k) vᵀ. weight: (batch, head, d_head), Σ σ(k). keys, values: (batch,
    segment, head, d_head); the token at position t stands in place t mod segment, and what stands after a row's newest
    token is read by nobody.
    """

    memory: Tensor
    weight: Tensor
    keys: Tensor
    values: Tensor


class Infini(TokenMixer):
    """Infini-attention (Munkhdalai et al., arXiv 2404.07143, equations 3 to 10, linear update), segment by segment.

    ``y = g · σ(q)ᵀM / σ(q)ᵀz + (1 − g) · softmax(qkᵀ/√d) v``: the softmax reads the tokens of the present segment up to
    its own, M = Σ σ(k) vᵀ and z = Σ σ(k) run over all earlier segments, σ = elu + 1, and g = sigmoid(b) is learned per
    head. Segments begin at multiples of ``segment``, whatever the pieces in which a text is read. In the first one g
    counts as 0, as there is nothing to recall. As in the paper the memory ignores positions: q and k are turned back.
    """

    about = "g · σ(q)M / σ(q)z + (1 − g) · softmax(qkᵀ/√d) v: attention in a segment, linear memory of those before"
    source = "Infini-attention, Munkhdalai et al. 2024, arXiv 2404.07143"
    state = "a d×d memory and its weight per head; one segment's keys and values"
    signal_names = ("gate",)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.segment, self.rope_base = config.segment, config.rope_base
        self.memory_bias = nn.Parameter(torch.empty(config.n_heads))

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: InfiniState | None = None, call: Call = ALONE
    ) -> tuple[Tensor, InfiniState | None]:
        gate = self.tapped(x, call)["gate"][..., None]
        state = self._nothing(k, v) if state is None else state
        mix = self._mix_token if q.shape[1] == 1 else self._mix_tokens
        mixed, after = mix(q, k.to(q.dtype), v.to(q.dtype), gate, state, call)
        return self.context(mixed), after

    def signals(self, x: Tensor, call: Call = ALONE) -> dict[str, Tensor]:
        """gate: g of every head, (1, head)."""
        return {"gate": self.memory_bias.sigmoid()[None]}

    def state_size(self, seq_len: int) -> int:
        return self.n_heads * self.d_head * (self.d_head + 1 + 2 * self.segment)

    def multiply_adds(self, seq_len: int) -> int:
        filled = math.ceil(seq_len / self.segment) * self.segment
        return 2 * self.n_heads * self.d_head * (self.segment + self.d_head) * filled // seq_len

    def map(
        self, q: Tensor, k: Tensor, signals: Mapping[str, Tensor] | None = None, channels: Sequence[int] | None = None
    ) -> Tensor:
        """g · (linear attention to earlier segments) + (1 − g) · (softmax within the segment)."""
        assert signals is not None
        heads = list(range(self.n_heads) if channels is None else channels)
        q, k, gate = q[:, :, heads], k[:, :, heads], signals["gate"][:, heads, None, None]
        place = torch.arange(q.shape[1], device=q.device)
        segment, turn = place // self.segment, self._turn(place, q)
        later, here = segment > 0, (segment[:, None] == segment) & (place[:, None] >= place)
        near = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(self.d_head)
        near = near.masked_fill(~here, -math.inf).softmax(dim=-1)
        far = torch.einsum("bthd,bshd->bhts", _features(q, turn), _features(k, turn))
        far = far.masked_fill(segment[:, None] <= segment, 0)
        far = far / far.sum(dim=-1, keepdim=True).masked_fill(~later[:, None], 1)
        gate = torch.where(later[:, None], gate, 0)
        return gate * far + (1 - gate) * near

    def _mix_tokens(
        self, q: Tensor, k: Tensor, v: Tensor, gate: Tensor, state: InfiniState, call: Call
    ) -> tuple[Tensor, InfiniState | None]:
        """Any number of tokens, laid out segment by segment; the first segment is filled up from the state."""
        layout = _Segments.of(call, q, self.segment)
        before = (torch.zeros_like(state.keys), state.keys, state.values)
        q, k, v = (layout.place(new, old) for new, old in zip((q, k, v), before, strict=True))
        near = sdpa(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), None).unflatten(0, q.shape[:2])
        turn = self._turn(layout.positions, q)
        with torch.autocast(q.device.type, enabled=False):
            sums, weights = _sums(_features(k, turn), v)
            memory = torch.cat([state.memory[:, None], sums], dim=1).cumsum(dim=1)
            weight = torch.cat([state.weight[:, None], weights], dim=1).cumsum(dim=1)
            far = _recall(_features(q, turn), memory[:, :-1], weight[:, :-1])
            gate = torch.where((layout.positions >= self.segment)[..., None, None], gate, 0)
            mixed = layout.take(gate * far + (1 - gate) * near)
        if not call.keep:
            return mixed, None
        rows, whole = torch.arange(q.shape[0], device=q.device), layout.whole
        present = whole.clamp(max=q.shape[1] - 1)
        return mixed, InfiniState(memory[rows, whole], weight[rows, whole], k[rows, present], v[rows, present])

    def _mix_token(
        self, q: Tensor, k: Tensor, v: Tensor, gate: Tensor, state: InfiniState, call: Call
    ) -> tuple[Tensor, InfiniState]:
        """One token of each row, without laying out a segment of queries for it."""
        position, places = call.positions(1, q.device), torch.arange(self.segment, device=q.device)
        place = position % self.segment
        mine = (places == place)[..., None, None]
        real = None if call.rows is None else call.rows.real(1)
        if real is not None:
            mine = mine & real[..., None, None]
        keys, values = torch.where(mine, k, state.keys.to(k.dtype)), torch.where(mine, v, state.values.to(v.dtype))
        near = sdpa(q, keys, values, (places <= place)[:, None, None])
        memory, weight = state.memory, state.weight
        with torch.autocast(q.device.type, enabled=False):
            far = _recall(_features(q, self._turn(position, q))[:, None], memory[:, None], weight[:, None])[:, 0]
            gate = torch.where((position >= self.segment)[..., None, None], gate, 0)
            mixed = gate * far + (1 - gate) * near
            full = (place == self.segment - 1) if real is None else (place == self.segment - 1) & real
            if full.any():
                turn = self._turn(position - place + places, q)
                sums, weights = _sums(_features(keys, turn)[:, None], values[:, None])
                memory = torch.where(full[..., None, None], memory + sums[:, 0], memory)
                weight = torch.where(full[..., None], weight + weights[:, 0], weight)
        return mixed, InfiniState(memory, weight, keys, values)

    def _turn(self, positions: Tensor, like: Tensor) -> Rotation:
        return rotation(positions, self.d_head, self.rope_base, like)

    def _nothing(self, k: Tensor, v: Tensor) -> InfiniState:
        batch, _, heads, width = k.shape
        memory = k.new_zeros(batch, heads, width, width, dtype=torch.promote_types(k.dtype, torch.float32))
        keys, values = (one.new_zeros(batch, self.segment, heads, width) for one in (k, v))
        return InfiniState(memory, memory[..., 0], keys, values)


def _features(x: Tensor, turn: Rotation) -> Tensor:
    """σ = elu + 1 of x (..., seq, head, d_head) turned back from its positions, in fp32 or better."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return feature(rotate(x, Rotation(turn.cos, -turn.sin)))


def _sums(features: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """What each segment (batch, segments, segment, head, d_head) adds to the memory, and to its weight."""
    return torch.einsum("bnshk,bnshv->bnhkv", features, v.to(features.dtype)), features.sum(dim=2)


def _recall(features: Tensor, memory: Tensor, weight: Tensor) -> Tensor:
    """σ(q)ᵀM / σ(q)ᵀz for queries (batch, segments, segment, head, d_head), and 0 of an empty memory."""
    total = torch.einsum("bnshk,bnhk->bnsh", features, weight)[..., None]
    return torch.einsum("bnshk,bnhkv->bnshv", features, memory) / total.masked_fill(total == 0, 1)


@dataclass(frozen=True)
class _Segments:
    """How the new tokens of a call fall into segments.

    positions: (1 or batch, segments, segment). whole: (1 or batch,), segments of the layout that are full after the
    call. offset: places of the first segment that are older than the call, where all rows agree; else ``grid`` says it.
    """

    positions: Tensor
    whole: Tensor
    offset: int
    seq: int
    grid: Grid | None

    @classmethod
    def of(cls, call: Call, q: Tensor, segment: int) -> "_Segments":
        seq, offset = q.shape[1], call.position % segment
        grid = None if call.rows is None else Grid.of(call.rows, seq, segment)
        offsets = torch.tensor([offset], device=q.device) if grid is None else grid.offset
        length = seq if grid is None else grid.length
        segments = -(-(offset + seq) // segment) if grid is None else grid.chunks
        starts = call.positions(1, q.device) - offsets[:, None]
        positions = starts + torch.arange(segments * segment, device=q.device)
        return cls(positions.unflatten(1, (segments, segment)), (offsets + length) // segment, offset, seq, grid)

    def place(self, x: Tensor, before: Tensor) -> Tensor:
        """(batch, seq, …) -> (batch, segments, segment, …), after the older part of ``before`` (batch, segment, …)."""
        before = before.to(x.dtype)
        if self.grid is None:
            whole = torch.cat([before[:, : self.offset], x], dim=1)
            missing = self.positions[0].numel() - whole.shape[1]
            return pad(whole, (0, 0, 0, 0, 0, missing)).unflatten(1, self.positions.shape[1:])
        placed = self.grid.place(x)
        older = torch.arange(placed.shape[2], device=x.device) < self.grid.offset[:, None]
        first = torch.where(older[..., None, None], before, placed[:, 0])
        return torch.cat([first[:, None], placed[:, 1:]], dim=1)

    def take(self, y: Tensor) -> Tensor:
        """The inverse, (batch, segments, segment, …) -> (batch, seq, …)."""
        if self.grid is not None:
            return self.grid.take(y)
        return y.flatten(1, 2)[:, self.offset : self.offset + self.seq]
