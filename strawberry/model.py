"""The language model: tied embeddings around one stack of blocks that is run ``loops`` times."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

from strawberry.block import Block
from strawberry.call import Call, Rows
from strawberry.config import Config
from strawberry.errors import StrawberryError
from strawberry.experts.balance import Ledger, move_bias
from strawberry.experts.router import Router
from strawberry.init import initialise, role
from strawberry.memory import Memory
from strawberry.mixers.softmax import KVCache
from strawberry.norm import norm
from strawberry.projections import Shared
from strawberry.recursion.exits import exit_rule
from strawberry.recursion.halting import Halt, halting_losses
from strawberry.recursion.line import ThinkState
from strawberry.recursion.mixture import Mixture
from strawberry.recursion.think import Thought, think
from strawberry.rope import Rotation, rotation
from strawberry.scoring import mean_scored, nats
from strawberry.sharing import runs, visits
from strawberry.state import State
from strawberry.tap import Tap
from strawberry.walk import Walk


class Losses(NamedTuple):
    """What training minimises, and its parts.

    total: cross_entropy plus the weighted others. cross_entropy: nats per token, after the last pass. balance, z: means
    over the routers. loads: for each router's path, every expert's share of the assignments, (experts,). halting: the
    loss of what decides about depth, an auxiliary router or a halting head. passes: how many were run.
    """

    total: Tensor
    cross_entropy: Tensor
    balance: Tensor
    z: Tensor
    loads: dict[str, Tensor]
    halting: Tensor
    passes: int


class Strawberry(nn.Module):
    """A causal language model of the Strawberry family; every family of the presets is one configuration of it."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(
            config.vocab_size, config.d_model, _weight=torch.empty(config.vocab_size, config.d_model)
        )
        self.layers = nn.ModuleList([Block(config, mixer) for mixer in config.mixers])
        self.shared = Shared(config) if config.weights == "shared" else None
        self.memory = Memory(config) if "cross" in config.mixers else None
        self.mixture = Mixture(config) if config.recursion != "all" else None
        self.halt = Halt(config.d_model) if config.halting != "none" else None
        self.embedded, self.passes, self.final = Tap(), Tap(), Tap()
        initialise(self, config)

    @property
    def causal(self) -> bool:
        """False when the output at a position may depend on later tokens or on other rows."""
        return self.config.causal

    def forward(self, tokens: Tensor, loops: int | None = None) -> Tensor:
        """Logits (batch, seq, vocab_size) for token ids (batch, seq), int64, after ``loops`` passes (config's)."""
        return self.unembed(self._run(tokens, None, Call(keep=False), loops)[0])

    def step(
        self,
        tokens: Tensor,
        state: State | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        loops: int | None = None,
    ) -> tuple[Tensor, State]:
        """Logits (batch, new, vocab_size) for any number of new tokens after those in ``state``; None starts afresh.

        Feeding a text in any pieces gives the logits of :meth:`forward` on the whole. ``lengths`` (batch,) says how
        many tokens each row brings, 0 to ``new``; the rest, to the right, is padding: no state notices it, and the
        logits there mean nothing. Rows then go on from where each of them stands. ``loops`` may differ from training,
        but not within a text. A model that reads the future reads its whole text again, so that only the last piece
        agrees with the full forward, and takes no ``lengths``.
        Raises :class:`StrawberryError` when tokens or lengths do not fit.
        """
        if not self.causal:
            return self._step_again(tokens, state, lengths)
        x, after = self._run(tokens, state, self._call(tokens, state, lengths), loops)
        assert after is not None
        return self.unembed(x), after

    def prefill(
        self, tokens: Tensor, state: State | None = None, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, State]:
        """Like :meth:`step`, but only the logits (batch, vocab_size) after each row's last token: what decoding needs.

        A decoder–decoder stops half-way for all tokens but the last (YOCO, arXiv 2405.05254, section 3.3): its upper
        layers keep no state, so nothing is lost. Each row brings one token or more.
        """
        if not self.causal:
            logits, after = self._step_again(tokens, state, lengths)
            return logits[:, -1], after
        call = self._call(tokens, state, lengths)
        if call.rows is not None and int(call.rows.length.min()) < 1:
            raise StrawberryError("a row of length 0 has no last token to predict from; leave that row out")
        x, after = self._run(tokens, state, call, last=True)
        assert after is not None
        if x.shape[1] > 1:
            x = x[:, -1:] if call.rows is None else call.rows.last(x, 1)
        return self.unembed(x)[:, 0], after

    def think(
        self,
        tokens: Tensor,
        rule: str = "confidence",
        threshold: float = 0.8,
        max_loops: int | None = None,
        state: ThinkState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
    ) -> Thought:
        """Read new tokens (batch, new), each for as many passes as ``rule`` at ``threshold`` asks, up to ``max_loops``.

        Rules are those of :data:`strawberry.recursion.exits.EXITS`; ``max_loops`` is ``config.loops`` by default. A
        token that stops keeps its state, and deeper passes read, of it, what their layers make of that state; each
        pass has its own caches, so a text may be cut anywhere. Gives logits, confidence, the passes taken and the state
        after. Raises :class:`StrawberryError` when the model or the arguments cannot do this.
        """
        self._check(tokens)
        call = self._call(tokens, state, lengths)
        return think(self, tokens, exit_rule(rule, threshold), max_loops or self.config.loops, state, call)

    def loss(self, tokens: Tensor, targets: Tensor, loops: int | None = None) -> Losses:
        """The losses of predicting ``targets`` (-100 is not scored) from ``tokens``, both (batch, seq)."""
        ledger = Ledger()
        call = Call(keep=False, ledger=ledger)
        if self.halt is not None:
            run = self._passes(tokens, call)
            loss, objective, halting, passes = halting_losses(self, run, targets, loops or self.config.loops)
        else:
            passes = loops or self.config.loops
            each = nats(self.unembed(self._run(tokens, None, call, loops)[0]), targets)
            loss = objective = mean_scored(each, targets)
            halting = torch.stack(ledger.halting).mean() if ledger.halting else loss.new_zeros(())
            objective = objective + halting
        paths = {router: path for path, router in self.named_modules() if isinstance(router, Router)}
        loads = {paths[router]: torch.stack(calls).mean(dim=0) for router, calls in ledger.loads.items()}
        none = loss.new_zeros(())
        balance = torch.stack(ledger.balance).mean() if ledger.balance else none
        z = torch.stack(ledger.z).mean() if ledger.z else none
        weighted = self.config.z_coef * z
        if self.config.balance == "switch":
            weighted = weighted + self.config.balance_coef * balance
        return Losses(objective + weighted, loss, balance, z, loads, halting, passes)

    def after_step(self, loads: dict[str, Tensor]) -> None:
        """Move the routers' biases by the loads of :meth:`loss`, where ``config.balance`` says so."""
        if self.config.balance == "bias":
            for path, load in loads.items():
                router = self.get_submodule(path)
                assert isinstance(router, Router)
                move_bias(router.bias, load, self.config.balance_coef)

    def parameter_roles(self) -> list[tuple[str, nn.Parameter, str, float]]:
        """Every parameter as (path, parameter, kind, lr_scale): how :class:`strawberry.init.Role` says to train it."""
        roles = [(name, weight, role(name, weight, self.config)) for name, weight in self.named_parameters()]
        return [(name, weight, part.kind, part.lr_scale) for name, weight, part in roles]

    def state_size(self, seq_len: int) -> int:
        """Numbers that one row's state holds after ``seq_len`` tokens; in a mixture of recursions, at most."""
        if not self.causal:
            return seq_len
        if self.mixture is not None:
            return self.mixture.state_size(self.blocks, seq_len)
        memory = 0 if self.memory is None else self.config.loops * 2 * seq_len * self.config.d_kv
        return memory + sum(
            block.state_size(seq_len, runs(self.config, index)) for index, block in enumerate(self.blocks)
        )

    @property
    def blocks(self) -> list[Block]:
        """The layers, typed."""
        return [block for block in self.layers if isinstance(block, Block)]

    def _run(
        self, tokens: Tensor, state: State | None, call: Call, loops: int | None = None, last: bool = False
    ) -> tuple[Tensor, State | None]:
        """The residual stream after all passes, and the state where it is kept.

        ``last`` asks for the last token only; what it spares is left out.
        """
        x, call = self._embed(tokens, call)
        if self.mixture is not None:
            if loops not in (None, self.config.loops):
                raise StrawberryError(
                    "a mixture of recursions chooses among the passes it has; leave loops as they are"
                )
            return self.mixture(self, x, call, state)
        config, walk, end = self.config, Walk(self, state), call.end(tokens.shape[1])
        loops = loops or config.loops
        if state is not None and len(state.blocks[-1 if config.sharing != "middle-cycle" else 1].passes) != loops:
            raise StrawberryError("a text must be read with one number of loops; start it afresh to change them")
        memories: list[KVCache] = []
        # Gradients go back through the last passes only, but through all updates of the weights.
        cut = loops - config.backprop_loops if config.backprop_loops and self.training else 0
        for visit in visits(config, loops):
            block = self.blocks[visit.layer]
            if block.reads_memory and call.memory is None:
                x, call, kept = self._write(x, call, state, visit.step, last and loops == 1)
                memories.append(kept)
            x = walk.run(x, visit.layer, visit.step, call)
            if visit.ends:
                x, call = self.passes(x), replace(call, memory=None)
            if visit.ends and visit.step + 1 == cut:
                x = x.detach()
        if not call.keep:
            return x, None
        return x, State(end, walk.states(), tuple(memories))

    def _passes(self, tokens: Tensor, call: Call) -> Iterator[Tensor]:
        """The residual stream after each pass, for as many as are asked for."""
        x, call = self._embed(tokens, call)
        walk = Walk(self, None)
        for step in count():
            for layer in range(self.config.n_layers):
                x = walk.run(x, layer, step, call)
            x = self.passes(x)
            yield x

    def _embed(self, tokens: Tensor, call: Call) -> tuple[Tensor, Call]:
        """The embedded tokens, and the call with the rotation of their positions."""
        self._check(tokens)
        x = self.embedded(norm(embedding(tokens, self.embedding.weight)))
        return x, replace(call, turn=self.turn(call.positions(tokens.shape[1], x.device), x))

    def _write(self, x: Tensor, call: Call, state: State | None, step: int, last: bool) -> tuple[Tensor, Call, KVCache]:
        """Write the memory from the lower half's output; ``last`` lets only each row's last token go on."""
        assert self.memory is not None
        whole, kept = self.memory(x, None if state is None else state.memories[step], call)
        if not last or x.shape[1] == 1:
            return x, replace(call, memory=whole), kept
        if call.rows is None:
            x, call = x[:, -1:], replace(call, position=call.position + x.shape[1] - 1)
        else:
            end = Rows(call.rows.start + call.rows.length - 1, torch.ones_like(call.rows.length))
            x, call = call.rows.last(x, 1), replace(call, rows=end)
        return x, replace(call, memory=kept, turn=self.turn(call.positions(1, x.device), x)), kept

    def turn(self, positions: Tensor, like: Tensor) -> Rotation:
        """The rotation of positions (1 or batch, seq)."""
        rows = positions if positions.shape[0] > 1 else positions[0]
        return rotation(rows, self.config.d_head, self.config.rope_base, like)

    def _call(self, tokens: Tensor, state: State | ThinkState | None, lengths: Tensor | Sequence[int] | None) -> Call:
        """Where the rows stand, row by row only if they differ or once they have differed."""
        position = 0 if state is None else state.position
        if lengths is None and isinstance(position, int):
            return Call(position)
        self._check(tokens)
        batch, new = tokens.shape
        start = torch.as_tensor(position, device=tokens.device).expand(batch)
        length = torch.as_tensor(new if lengths is None else lengths, device=tokens.device)
        if length.dim() == 1 and length.shape[0] != batch:
            raise StrawberryError(f"lengths has {length.shape[0]} entries for {batch} rows; give one per row")
        if length.is_floating_point() or int(length.min()) < 0 or int(length.max()) > new:
            raise StrawberryError(f"lengths must be whole numbers from 0 to {new}; got {length.tolist()}")
        return Call(rows=Rows(start, length.expand(batch)))

    def _step_again(self, tokens: Tensor, state: State | None, lengths: Any) -> tuple[Tensor, State]:
        if lengths is not None:
            raise StrawberryError("a model that reads the future takes no lengths: its rows read one another")
        if state is not None and state.tokens is not None:
            tokens = torch.cat([state.tokens, tokens], dim=1)
        seen = 0 if state is None else state.tokens.shape[1] if state.tokens is not None else 0
        return self(tokens)[:, seen:], State(tokens.shape[1], (), tokens=tokens)

    def unembed(self, x: Tensor) -> Tensor:
        """Logits (batch, seq, vocab_size) of the residual stream (batch, seq, C)."""
        return linear(self.final(norm(x)), self.embedding.weight)

    def _check(self, tokens: Tensor) -> None:
        if tokens.dim() != 2 or tokens.is_floating_point():
            raise StrawberryError(
                f"tokens must be whole numbers of shape (batch, seq); got {tokens.dtype} of shape {tuple(tokens.shape)}"
            )
        if not tokens.numel():
            raise StrawberryError("tokens are empty; give at least one row and one token")


def build(config: Config) -> Strawberry:
    """The eager model of a configuration, its weights drawn from ``config.seed``."""
    return Strawberry(config)
