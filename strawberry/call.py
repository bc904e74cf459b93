"""What one forward pass is told besides its input: where each row stands, and what is wanted back."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from strawberry.experts.balance import Ledger
from strawberry.rope import Rotation


@dataclass(frozen=True)
class Rows:
    """Rows that stand at different places, or bring different numbers of tokens.

    start: (batch,), tokens read before. length: (batch,), how many of the new tokens count; what stands to their right
    is padding, which no state may notice.
    """

    start: Tensor
    length: Tensor

    def real(self, seq: int) -> Tensor:
        """Boolean (batch, seq): which of ``seq`` new places hold a token."""
        return torch.arange(seq, device=self.length.device) < self.length[:, None]

    def positions(self, seq: int) -> Tensor:
        """(batch, seq): the position of every new place in its row."""
        return self.start[:, None] + torch.arange(seq, device=self.start.device)

    def last(self, x: Tensor, keep: int, before: int = 0) -> Tensor:
        """The last ``keep`` places up to each row's newest token: (batch, before + seq, …) -> (batch, keep, …).

        The first ``before`` places of x are older than this call. A row that has fewer than ``keep`` places repeats
        its first one.
        """
        ends = self.length + before
        places = (ends[:, None] - keep + torch.arange(keep, device=x.device)).clamp(min=0)
        return x[torch.arange(x.shape[0], device=x.device)[:, None], places]


@dataclass(frozen=True)
class Call:
    """One forward pass over new tokens.

    position: tokens read before, where all rows stand at one place and bring no padding; otherwise ``rows`` says it
    row by row. keep: whether a state is wanted. ledger: collects what routers did, for balance losses. turn: the
    rotation of the new positions. memory: keys and values that cross-attention layers read, see
    :class:`strawberry.memory.Memory`. active: boolean (batch, seq) of the tokens that are computed, or how many of the
    last; the others only write what later tokens read of them. places: (batch, seq, 2), the first and the last place
    among the keys of ``memory`` that each query reads.
    """

    position: int = 0
    rows: Rows | None = None
    keep: bool = True
    ledger: Ledger | None = None
    turn: Rotation = field(default_factory=lambda: Rotation(torch.empty(0), torch.empty(0)))
    memory: object = None
    active: Tensor | int | None = None
    places: Tensor | None = None

    def positions(self, seq: int, device: torch.device | None = None) -> Tensor:
        """The positions of the new places: (1, seq), or (batch, seq) where rows differ."""
        if self.rows is not None:
            return self.rows.positions(seq)
        return torch.arange(self.position, self.position + seq, device=device)[None]

    def end(self, seq: int) -> int | Tensor:
        """The position after the last of ``seq`` new places: one number, or (batch,) where rows differ."""
        return self.position + seq if self.rows is None else self.rows.start + self.rows.length

    def real(self, x: Tensor) -> Tensor | None:
        """Boolean (batch, seq) of the places of x (batch, seq, …) that hold a token; None where all do."""
        return None if self.rows is None else self.rows.real(x.shape[1])


@dataclass(frozen=True)
class Grid:
    """A layout in which the chunks of all rows begin together: a row's first token goes to slot ``start mod chunk``.

    offset: (batch,), that slot. length: (batch,), tokens of each row. seq: places of the call. chunk: slots of a chunk.
    """

    offset: Tensor
    length: Tensor
    seq: int
    chunk: int

    @classmethod
    def of(cls, rows: Rows, seq: int, chunk: int) -> "Grid":
        """The layout of a call of ``seq`` places."""
        return cls(rows.start % chunk, rows.length, seq, chunk)

    @property
    def last(self) -> Tensor:
        """(batch,): the chunk of each row's last token; the first where a row brings none."""
        return (self.offset + self.length - 1).clamp(min=0) // self.chunk

    @property
    def chunks(self) -> int:
        """Chunks of the layout."""
        return -(-(int(self.offset.max()) + self.seq) // self.chunk)

    def place(self, x: Tensor) -> Tensor:
        """(batch, seq, …) -> (batch, chunks, chunk, …); slots without a token are 0."""
        slots = torch.arange(self.chunks * self.chunk, device=x.device)
        places = slots - self.offset[:, None]
        real = (places >= 0) & (places < self.length[:, None])
        row = torch.arange(x.shape[0], device=x.device)[:, None]
        placed = x[row, places.clamp(0, self.seq - 1)]
        placed = torch.where(real.view(*real.shape, *(1,) * (x.dim() - 2)), placed, torch.zeros((), dtype=x.dtype))
        return placed.unflatten(1, (self.chunks, self.chunk))

    def take(self, y: Tensor) -> Tensor:
        """The inverse, (batch, chunks, chunk, …) -> (batch, seq, …); padding gets whatever its slot holds."""
        row = torch.arange(y.shape[0], device=y.device)[:, None]
        return y.flatten(1, 2)[row, self.offset[:, None] + torch.arange(self.seq, device=y.device)]
