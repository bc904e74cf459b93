"""Weight sets: one matrix per chunk of the sequence, applied to the tokens of that chunk."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from strawberry.call import Grid
from strawberry.tap import Tap


@dataclass(frozen=True)
class Span:
    """How the tokens of one call fall into chunks: ``head`` of them first, then whole chunks and a shorter last one.

    grid: where rows stand at different places, the layout in which their chunks begin together; there is no head then.
    """

    head: int
    length: int
    chunk: int
    grid: Grid | None = None

    @property
    def chunks(self) -> int:
        """Chunks after the head, a shorter last one included."""
        if self.grid is not None:
            return self.grid.chunks
        return -(-(self.length - self.head) // self.chunk)


@dataclass(frozen=True)
class Sets:
    """One matrix for the head's tokens and one for each later chunk; a dimension of 1 is shared, never copied.

    head: (1 or batch, rows, columns), or None when the first token opens a chunk that is its row's own.
    body: (1 or batch, 1 or chunks, rows, columns), or None when there is no later chunk.
    """

    head: Tensor | None
    body: Tensor | None

    def map(self, function: Callable[..., Tensor], *others: "Sets") -> "Sets":
        """``function`` of these and other sets, head by head and body by body."""
        heads, bodies = zip(*((sets.head, sets.body) for sets in (self, *others)), strict=True)
        head = None if self.head is None else function(*heads)
        return Sets(head, None if self.body is None else function(*bodies))

    def apply(self, x: Tensor, span: Span) -> Tensor:
        """x (batch, seq, columns) -> (batch, seq, rows), every token by its own chunk's matrix."""
        if span.grid is not None:
            assert self.body is not None
            return span.grid.take(span.grid.place(x) @ self.body.mT)
        parts = []
        # Split, not sliced: the gradient of a slice is as long as the whole.
        first, rest = x.split([span.head, span.length - span.head], dim=1)
        if self.head is not None:
            shared = self.head[0] if self.head.shape[0] == 1 else self.head
            parts.append(first @ shared.mT)
        if self.body is not None:
            tokens = rest.shape[1]
            padded = pad(rest, (0, 0, 0, span.chunks * span.chunk - tokens))
            chunked = padded.view(x.shape[0], span.chunks, span.chunk, x.shape[2])
            parts.append((chunked @ self.body.mT).flatten(1, 2)[:, :tokens])
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def last(self, span: Span) -> Tensor:
        """The matrices of the chunk that each row's last token lies in: (1 or batch, rows, columns)."""
        if self.body is not None and span.grid is not None and self.body.shape[1] > 1:
            return self.body[torch.arange(self.body.shape[0]), span.grid.last]
        if self.body is not None:
            return self.body[:, -1]
        assert self.head is not None
        return self.head

    def going_on(self, before: Tensor, span: Span) -> "Sets":
        """These sets, but ``before`` (1 or batch, rows, columns) for tokens of a chunk that an earlier call began."""
        if span.grid is None:
            return Sets(before, self.body) if span.head else self
        assert self.body is not None
        body = self.body.expand(span.grid.offset.shape[0], -1, -1, -1)
        begun = (span.grid.offset > 0)[:, None, None]
        return Sets(None, torch.cat([torch.where(begun, before, body[:, 0])[:, None], body[:, 1:]], dim=1))

    def shown_to(self, tap: Tap, span: Span) -> "Sets":
        """These sets after a tap, which sees them as one (1 or batch, chunks, rows, columns) and may replace them."""
        if not tap.live or (self.head is None and self.body is None):
            return self
        parts = [] if self.head is None else [self.head[:, None]]
        if self.body is not None:
            parts.append(self.body.expand(-1, span.chunks, -1, -1))
        rows = max(part.shape[0] for part in parts)
        stacked = torch.cat([part.expand(rows, -1, -1, -1) for part in parts], dim=1)
        shown = tap(stacked)
        if shown is stacked:
            return self
        skip = 0 if self.head is None else 1
        return Sets(shown[:, 0] if skip else None, None if self.body is None else shown[:, skip:])
