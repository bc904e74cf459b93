"""Exit rules: after each pass, which tokens have thought enough."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from strawberry.errors import ConfigError
from strawberry.recursion.halting import exit_distribution


@dataclass(frozen=True)
class After:
    """What a rule may look at, of some tokens after a pass; each (tokens, …).

    step: passes done, from 1. before, now: residual stream (tokens, C) before and after the pass. halts: the head's
    logits after every pass so far, (step, tokens), where the model has a head.
    """

    model: Any
    step: int
    before: Tensor
    now: Tensor
    halts: Tensor | None


@dataclass(frozen=True)
class Exit:
    """A rule: ``enough(after)`` (tokens,) bool says who stops; higher thresholds stop later."""

    threshold: float
    needs_head: ClassVar[bool] = False

    def enough(self, after: After) -> Tensor:
        """Which tokens stop after this pass."""
        raise NotImplementedError


class Fixed(Exit):
    """After ``threshold`` passes."""

    def enough(self, after: After) -> Tensor:
        return torch.full(after.now.shape[:1], after.step >= self.threshold, device=after.now.device)


class Confidence(Exit):
    """When the head's confidence σ(halt) reaches the threshold."""

    needs_head = True

    def enough(self, after: After) -> Tensor:
        assert after.halts is not None
        return after.halts[-1].sigmoid() >= self.threshold


class Gap(Exit):
    """When the likeliest next token is that much likelier than the second (CALM, arXiv 2207.07061, section 3.3)."""

    def enough(self, after: After) -> Tensor:
        best = after.model.unembed(after.now[None])[0].float().softmax(dim=-1).topk(2, dim=-1).values
        return best[:, 0] - best[:, 1] >= self.threshold


class Saturation(Exit):
    """When a pass changes the state's direction no more: cosine to the state before it (CALM, section 3.3)."""

    def enough(self, after: After) -> Tensor:
        return torch.cosine_similarity(after.before.float(), after.now.float(), dim=-1) >= self.threshold


class Distribution(Exit):
    """When the learned exit distribution has given that much probability away (Ouro, arXiv 2510.25741)."""

    needs_head = True

    def enough(self, after: After) -> Tensor:
        assert after.halts is not None
        # The last pass of a distribution takes what is left; here there may be another one.
        open_end = torch.cat([after.halts, torch.zeros_like(after.halts[:1])])
        return exit_distribution(open_end)[:-1].sum(dim=0) >= self.threshold


EXITS: dict[str, type[Exit]] = {
    "confidence": Confidence,
    "gap": Gap,
    "saturation": Saturation,
    "distribution": Distribution,
    "fixed": Fixed,
}


def exit_rule(name: str, threshold: float) -> Exit:
    """The rule ``name``; raises :class:`ConfigError` naming the rules when there is none."""
    if name not in EXITS:
        raise ConfigError(f"exit rule {name!r} is unknown; the rules are {', '.join(EXITS)}")
    return EXITS[name](threshold)
