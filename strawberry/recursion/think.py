"""Thinking again: every token goes through the stack until an exit rule is content with it, and no longer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from strawberry.call import Call
from strawberry.errors import StrawberryError
from strawberry.recursion.exits import After, Exit
from strawberry.recursion.line import ThinkState, line_up
from strawberry.walk import run_pass


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
    before = state or ThinkState(0, (0,) * most, (None,) * most, x[:, :0])
    real = call.real(x)
    active = torch.ones(tokens.shape, dtype=torch.bool, device=x.device) if real is None else real
    depth, halts, passes, written = torch.zeros_like(tokens), [], list(before.passes), list(before.written)
    for step in range(most):
        # Asked once per pass, since it decides what is computed at all.
        going = int(active.sum())
        if step and not going:
            break
        everybody = going == active.numel()
        line = line_up(model, x, active, everybody, before, step, call)
        y, passes[step] = run_pass(model, line.tokens, step, line.call, before.passes[step])
        written[step], earlier, y = line.written, x, line.new(y, x.shape[1])
        x = y if everybody else torch.where(active[..., None], y, x)
        depth = depth + active
        if model.halt is not None:
            halts.append(model.halt(x))
        if going and step + 1 < most:
            active = active & ~_content(model, rule, earlier, x, halts, step + 1, active, everybody)
    logits = model.unembed(x)
    confidence = logits.float().softmax(dim=-1).amax(dim=-1) if model.halt is None else halts[-1].sigmoid()
    return Thought(logits, confidence, depth, before.after(x, written, passes, call))


def _content(
    model: Any,
    rule: Exit,
    before: Tensor,
    now: Tensor,
    halts: Sequence[Tensor],
    step: int,
    active: Tensor,
    everybody: bool,
) -> Tensor:
    """Boolean (batch, new): which of the ``active`` tokens stop."""

    def some(x: Tensor) -> Tensor:
        return x.flatten(0, 1) if everybody else x[active]

    seen = torch.stack([some(halt) for halt in halts]) if rule.needs_head else None
    content = rule.enough(After(model, step, some(before), some(now), seen))
    return content.view_as(active) if everybody else torch.zeros_like(active).masked_scatter(active, content)


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
