"""Mixture of Recursions: a router gives each token its own number of passes (arXiv 2507.10524)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from strawberry.block import Block, PassState
from strawberry.call import Call, Rows
from strawberry.config import Config
from strawberry.experts.router import Router
from strawberry.mixers.softmax import KVCache
from strawberry.norm import norm
from strawberry.recursion.crowd import Crowd
from strawberry.rope import Rotation
from strawberry.state import State
from strawberry.tap import Tap
from strawberry.walk import run_pass

AUXILIARY = 0.1  # weight of the auxiliary router's loss


@dataclass(frozen=True)
class MixtureState:
    """How many tokens each pass has seen, (batch, passes), and each pass's own state, one per layer."""

    seen: Tensor
    passes: tuple[tuple[PassState, ...] | None, ...]


class Mixture(nn.Module):
    """The passes over a shared stack f, with a depth for each token x.

    - ``token-choice``: a router picks the depth r = argmax softmax(θᵀx) once; y = x + g · fʳ(x), g its probability.
    - ``expert-choice``: before pass r the tokens of a sequence that are still in compete by σ(θ_rᵀx), and the best
      ⌊(R − r)/R · T⌋ (counted from 0) go on: x ← x + g · f(x). To choose, a pass must see the whole sequence; an
      auxiliary router learns the choice from each token alone, and decides wherever the model is used.

    Tokens that stopped are not computed: those that go on are gathered into shorter rows, and a deeper pass knows
    nothing of the others, or reads all tokens' keys and values of the first pass (``depth_cache="first"``).
    Taps: ``depth`` (batch, seq), the number of passes of every token; ``gates`` (batch, seq, passes); ``after``
    (batch, seq, C), once per pass, what would come out if that pass were the last.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.loops = config, config.loops
        if config.recursion == "token-choice":
            self.router = Router(config.d_model, config.loops, 1, config)
        else:
            self.choose = nn.Parameter(torch.empty(config.loops, config.d_model))
            if config.auxiliary:
                self.guess = nn.Parameter(torch.empty(config.loops, config.d_model))
        self.depth, self.gates, self.after = Tap(), Tap(), Tap()

    def forward(self, model: Any, x: Tensor, call: Call, state: State | None) -> tuple[Tensor, State | None]:
        """The residual stream (batch, seq, C) after every token's own passes, and the state where it is kept."""
        before = None if state is None else state.recursion
        run = _Run(model, x, call, before, self.config)
        y = self._by_token(run, x, call) if self.config.recursion == "token-choice" else self._by_pass(run, x, call)
        if not call.keep:
            return y, None
        return y, State(call.end(x.shape[1]), (), recursion=run.state())

    def state_size(self, blocks: Sequence[Block], seq_len: int) -> int:
        """Most numbers that one row's state can hold: as many as if every token went through all passes."""
        passes = 1 if self.config.depth_cache == "first" else self.loops
        return self.loops + sum(block.state_size(seq_len, passes) for block in blocks)

    def _by_token(self, run: "_Run", x: Tensor, call: Call) -> Tensor:
        gates = self.gates(self.router(norm(x), call.ledger))
        depth = self.depth(gates.argmax(dim=-1) + 1)
        weight, y = gates.sum(dim=-1, keepdim=True).to(x.dtype), x
        for step in range(self.loops):
            y = run.deepen(y, step, run.real & (depth > step))
            if self.after.live:
                self.after(x + weight * y)
        return x + weight * y

    def _by_pass(self, run: "_Run", x: Tensor, call: Call) -> Tensor:
        going, depth, gates = run.real, torch.zeros_like(run.real, dtype=torch.long), []
        for step in range(self.loops):
            h = norm(x)
            logits = h @ self.choose[step]
            going = self._chosen(h, logits, going, step, call)
            gate = logits.sigmoid() * going
            gates.append(gate)
            depth = depth + going
            x = self.after(x + gate[..., None].to(x.dtype) * run.deepen(x, step, going))
        self.depth(depth)
        self.gates(torch.stack(gates, dim=-1))
        return x

    def _chosen(self, h: Tensor, logits: Tensor, going: Tensor, step: int, call: Call) -> Tensor:
        """Which of the tokens still in go through pass ``step``."""
        if step == 0:
            return going
        teaching = self.training and call.ledger is not None
        if self.config.auxiliary and not teaching:
            return going & (h @ self.guess[step] > 0)
        size = max(1, h.shape[1] * (self.loops - step) // self.loops)
        best = logits.masked_fill(~going, -torch.inf).topk(size, dim=1).indices
        chosen = torch.zeros_like(going).scatter(1, best, True) & going
        if self.config.auxiliary and call.ledger is not None:
            # The auxiliary router learns from the choice, the model not from the auxiliary router.
            guess = (h.detach() @ self.guess[step])[going]
            call.ledger.halting.append(
                AUXILIARY * binary_cross_entropy_with_logits(guess, chosen[going].to(guess.dtype))
            )
        return chosen


class _Run:
    """One forward pass through the depths."""

    def __init__(self, model: Any, x: Tensor, call: Call, before: MixtureState | None, config: Config) -> None:
        self.model, self.call, self.config = model, call, config
        batch, seq = x.shape[:2]
        real = call.real(x)
        self.real = torch.ones(batch, seq, dtype=torch.bool, device=x.device) if real is None else real
        self.positions = call.positions(seq, x.device).expand(batch, -1)
        none = torch.zeros(batch, config.loops, dtype=torch.long, device=x.device)
        self.seen = none if before is None else before.seen
        self.before = (None,) * config.loops if before is None else before.passes
        self.counts: list[Tensor] = []
        self.after: list[tuple[PassState, ...] | None] = []

    def deepen(self, x: Tensor, step: int, active: Tensor) -> Tensor:
        """x with the ``active`` tokens run through pass ``step``."""
        before, shares = self.before[step], self.config.depth_cache == "first" and step > 0
        self.counts.append(active.sum(dim=1))
        if step == 0:
            y, after = run_pass(self.model, x, step, self.call, before)
            self.after.append(after)
            return y
        if not active.any():
            self.after.append(before)
            return x
        crowd = Crowd.of(active)
        call = replace(self.call, rows=Rows(self.seen[:, step], crowd.length), turn=self._turn(crowd))
        if shares:
            y = self._on_first(crowd.gather(x), step, crowd, call)
            self.after.append(None)
        else:
            y, after = run_pass(self.model, crowd.gather(x), step, call, before)
            self.after.append(after)
        return crowd.scatter(x, y)

    def _turn(self, crowd: Crowd) -> Rotation:
        """The rotations of a crowd's positions."""
        cos, sin = (part if part.dim() == 3 else part.expand(len(crowd.places), -1, -1) for part in self.call.turn)
        return Rotation(crowd.gather(cos), crowd.gather(sin))

    def _on_first(self, x: Tensor, step: int, crowd: Crowd, call: Call) -> Tensor:
        """A deeper pass whose queries read the first pass's keys and values of all tokens."""
        first = self.after[0]
        assert first is not None
        for index, block in enumerate(self.model.blocks):
            cache = first[index].mixer
            assert isinstance(cache, KVCache)
            # The last place of the cache is each row's newest token.
            newest = self.seen[:, 0] + self.counts[0] - 1
            oldest = (cache.keys.shape[1] - 1 - newest)[:, None]
            last = oldest + crowd.gather(self.positions)
            places = torch.stack([oldest.expand_as(last), last], dim=-1)
            weights = None if self.model.shared is None else self.model.shared.layer(index)
            x, _, _ = block(x, step, weights, replace(call, memory=cache, places=places), None, None)
        return self.model.passes(x)

    def state(self) -> MixtureState:
        """The state after this call."""
        return MixtureState(self.seen + torch.stack(self.counts, dim=1), tuple(self.after))
