"""Who a pass takes in when somebody goes so deep: tokens that stopped earlier and have waited, then the new ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from strawberry.block import PassState
from strawberry.call import Call, Rows
from strawberry.recursion.crowd import Crowd


@dataclass(frozen=True)
class ThinkState:
    """What later tokens need; a frozen value like :class:`strawberry.State`.

    position: tokens read. written: for each pass, the tokens that it has taken in. All are numbers, or (batch,) once
    rows have differed. passes: each pass's own state, one per layer. waiting: (batch, waiting, C), what the newest
    tokens came to, on the right, as far back as there is a pass that has not taken them in.
    """

    position: int | Tensor
    written: tuple[int | Tensor, ...]
    passes: tuple[tuple[PassState, ...] | None, ...]
    waiting: Tensor

    def after(self, x: Tensor, written: Sequence[int | Tensor], passes: Sequence[Any], call: Call) -> "ThinkState":
        """The state once the new tokens have come to x (batch, new, C)."""
        end, whole = call.end(x.shape[1]), torch.cat([self.waiting, x], dim=1)
        if isinstance(end, int):
            kept = whole[:, whole.shape[1] - max(end - least for least in written) :].clone()
        else:
            rows = call.rows
            assert rows is not None
            behind = max(int((end - least).max()) for least in written)
            kept = rows.last(whole, behind, self.waiting.shape[1])
        return ThinkState(end, tuple(written), tuple(passes), kept)


@dataclass(frozen=True)
class Line:
    """tokens: (batch, longest, C), those that waited first, filled up on the right where rows differ. call: what they
    are told. written: tokens that the pass has taken in after them. places: (batch, new), where the new ones stand;
    None if all stand at the end."""

    tokens: Tensor
    call: Call
    written: int | Tensor
    places: Tensor | None

    def new(self, y: Tensor, count: int) -> Tensor:
        """What the pass made of the ``count`` new tokens: (batch, longest, C) -> (batch, new, C)."""
        if self.places is None:
            return y[:, y.shape[1] - count :]
        return y[torch.arange(y.shape[0], device=y.device)[:, None], self.places]


def line_up(model: Any, x: Tensor, active: Tensor, everybody: bool, before: ThinkState, step: int, call: Call) -> Line:
    """The line before pass ``step`` (from 0), of new tokens x (batch, new, C) of which ``active`` go through it.

    Those who do not, and those who waited, only write what later tokens read of them.
    """
    written = before.written[step]
    if call.rows is not None:
        return _line_up_rows(model, x, active, before.waiting, torch.as_tensor(written), call, call.rows)
    assert isinstance(before.position, int) and isinstance(written, int)
    behind, new = before.position - written, x.shape[1]
    if not behind:
        call = replace(call, active=None if everybody else active)
        return Line(x, call, written + new, None)
    line = torch.cat([before.waiting[:, before.waiting.shape[1] - behind :], x], dim=1)
    call = replace(call, position=written, active=new if everybody else pad(active, (behind, 0)))
    return Line(
        line, replace(call, turn=model.turn(call.positions(behind + new, x.device), x)), written + behind + new, None
    )


def _line_up_rows(
    model: Any, x: Tensor, active: Tensor, waiting: Tensor, written: Tensor, call: Call, rows: Rows
) -> Line:
    """The line where rows differ: each has its own number of tokens that wait, and of new ones."""
    written = written.to(x.device).expand(x.shape[0])
    count, room = rows.start - written, waiting.shape[1]
    there = torch.arange(room, device=x.device) >= room - count[:, None]
    crowd = Crowd.of(torch.cat([there, rows.real(x.shape[1])], dim=1))
    line = crowd.gather(torch.cat([waiting, x], dim=1))
    goes = crowd.gather(pad(active, (room, 0))) & crowd.real
    places = (count[:, None] + torch.arange(x.shape[1], device=x.device)).clamp(max=max(line.shape[1] - 1, 0))
    rows = Rows(written, crowd.length)
    call = replace(call, rows=rows, active=goes)
    return Line(line, replace(call, turn=model.turn(rows.positions(line.shape[1]), x)), written + crowd.length, places)
