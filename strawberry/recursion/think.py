"""Thinking again: every token goes through the stack until an exit rule is content with it, and no longer."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from strawberry.block import PassState
from strawberry.call import Call, Rows
from strawberry.errors import StrawberryError
from strawberry.recursion.crowd import Crowd
from strawberry.recursion.exits import After, Exit
from strawberry.walk import run_pass


@dataclass(frozen=True)
class ThinkState:
    """What later tokens need; a frozen value like :class:`strawberry.State`.

    position: (batch,), tokens read. written: (batch, passes), tokens that each pass has taken in. passes: each pass's
    own state, one per layer. waiting: for each pass the final states (batch, waiting, C) of tokens that stopped before
    it and that it has not taken in yet, in order, filled up on the right; it takes them in when somebody goes so deep.
    """

    position: Tensor
    written: Tensor
    passes: tuple[tuple[PassState, ...] | None, ...]
    waiting: tuple[Tensor, ...]


@dataclass(frozen=True)
class Thought:
    """What came of thinking about new tokens.

    logits: (batch, new, vocab_size). confidence: (batch, new), the head's after each token's last pass, or the largest
    probability where the model has no head. passes: (batch, new), how many each token took; 0 for padding.
    """

    logits: Tensor
    confidence: Tensor
    passes: Tensor
    state: ThinkState


@torch.no_grad()
def think(model: Any, tokens: Tensor, rule: Exit, most: int, state: ThinkState | None, call: Call) -> Thought:
    """Run ``tokens`` (batch, new) through up to ``most`` passes; see :meth:`strawberry.Strawberry.think`.

    A token that stops keeps its state: all deeper passes read, of it, what their layers make of that state.
    """
    check(model, rule, state, most)
    x, call = model._embed(tokens, call)
    real = call.real(x)
    real = torch.ones(tokens.shape, dtype=torch.bool, device=x.device) if real is None else real
    start = call.positions(1, x.device)[:, 0].expand(tokens.shape[0])
    before = state or nothing(x, most)
    active, depth, halts = real, torch.zeros_like(tokens), x.new_zeros(0, *tokens.shape)
    passes, waiting, written = list(before.passes), list(before.waiting), before.written.clone()
    for step in range(most):
        queue, length, ours = line_up(before.waiting[step], start - before.written[:, step], x, real)
        if step and not active.any():
            waiting[step] = queue
            continue
        goes = torch.zeros(queue.shape[:2], dtype=torch.bool, device=x.device)
        row = torch.arange(x.shape[0], device=x.device)[:, None].expand_as(ours)
        goes[row[active], ours[active]] = True
        rows = Rows(before.written[:, step], length)
        deeper = replace(call, position=0, rows=rows, active=goes)
        deeper = replace(deeper, turn=model.turn(rows.positions(queue.shape[1]), x))
        y, passes[step] = run_pass(model, queue, step, deeper, before.passes[step])
        waiting[step], written[:, step] = queue[:, :0], written[:, step] + length
        earlier, x = x, torch.where(active[..., None], y[row, ours], x)
        depth = depth + active
        if model.halt is not None:
            halts = torch.cat([halts, model.halt(x)[None]])
        seen = halts[:, active] if model.halt is not None else None
        content = torch.zeros_like(active)
        content[active] = rule.enough(After(model, step + 1, earlier[active], x[active], seen))
        active = active & ~content
    logits = model.unembed(x)
    confidence = logits.float().softmax(dim=-1).amax(dim=-1) if model.halt is None else model.halt(x).sigmoid()
    after = ThinkState(start + real.sum(dim=1), written, tuple(passes), tuple(waiting))
    return Thought(logits, confidence, depth, after)


def line_up(waiting: Tensor, count: Tensor, x: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Those who wait (batch, waiting, C), of whom ``count`` (batch,) are there, and the new tokens, in one line.

    Returns the line (batch, longest, C), filled up on the right, its lengths (batch,), and each new token's place.
    """
    there = torch.arange(waiting.shape[1], device=x.device) < count[:, None]
    crowd = Crowd.of(torch.cat([there, real], dim=1))
    line = crowd.gather(torch.cat([waiting, x], dim=1))
    ours = count[:, None] + torch.arange(x.shape[1], device=x.device)
    return line, crowd.length, ours.clamp(max=max(line.shape[1] - 1, 0))


def nothing(x: Tensor, most: int) -> ThinkState:
    """The state before the first token."""
    batch = x.shape[0]
    position = torch.zeros(batch, dtype=torch.long, device=x.device)
    return ThinkState(position, position[:, None].repeat(1, most), (None,) * most, (x[:, :0],) * most)


def check(model: Any, rule: Exit, state: ThinkState | None, most: int) -> None:
    """Refuse what cannot work, in a sentence."""
    config = model.config
    if config.weights == "retention" or config.sharing != "cycle" or config.recursion != "all":
        raise StrawberryError(
            "stopping token by token needs fixed weights and whole passes: weights learned or shared, sharing cycle, "
            "recursion all"
        )
    if "cross" in config.mixers:
        raise StrawberryError("stopping token by token does not work with cross layers, whose memory is written once")
    if rule.needs_head and model.halt is None:
        raise StrawberryError("this exit rule asks a head that the model lacks; set halting, or use gap or saturation")
    if most < 1:
        raise StrawberryError(f"max_loops must be at least 1; got {most}")
    if state is not None and len(state.passes) != most:
        raise StrawberryError(f"this text was begun with up to {len(state.passes)} passes; go on with as many")
