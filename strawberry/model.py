"""The language model: tied embeddings around one stack of blocks that is run ``loops`` times."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, linear

from strawberry.block import Block, BlockState, PassState
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
from strawberry.rope import Rotation, rotation
from strawberry.state import State
from strawberry.tap import Tap


class Losses(NamedTuple):
    """What training minimises, and its parts.

    total: cross_entropy plus the weighted balance losses. cross_entropy: nats per token. balance, z: means over the
    routers. loads: for each router's path, every expert's share of the assignments, (experts,).
    """

    total: Tensor
    cross_entropy: Tensor
    balance: Tensor
    z: Tensor
    loads: dict[str, Tensor]


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
        self.embedded, self.passes, self.final = Tap(), Tap(), Tap()
        initialise(self, config)

    @property
    def causal(self) -> bool:
        """False when the output at a position may depend on later tokens or on other rows."""
        return self.config.causal

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, seq, vocab_size) for token ids (batch, seq), int64."""
        return self._unembed(self._run(tokens, None, Call(keep=False))[0])

    def step(
        self, tokens: Tensor, state: State | None = None, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, State]:
        """Logits (batch, new, vocab_size) for any number of new tokens after those in ``state``; None starts afresh.

        Feeding a text in any pieces gives the logits of :meth:`forward` on the whole. ``lengths`` (batch,) says how
        many tokens each row brings, 0 to ``new``; the rest, to the right, is padding: no state notices it, and the
        logits there mean nothing. Rows then go on from where each of them stands. A model that reads the future reads
        its whole text again, so that only the last piece agrees with the full forward, and takes no ``lengths``.
        Raises :class:`StrawberryError` when tokens or lengths do not fit.
        """
        if not self.causal:
            return self._step_again(tokens, state, lengths)
        x, after = self._run(tokens, state, self._call(tokens, state, lengths))
        assert after is not None
        return self._unembed(x), after

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
        return self._unembed(x)[:, 0], after

    def loss(self, tokens: Tensor, targets: Tensor) -> Losses:
        """The losses of predicting ``targets`` (batch, seq) from ``tokens`` (batch, seq)."""
        ledger = Ledger()
        logits = self._unembed(self._run(tokens, None, Call(keep=False, ledger=ledger))[0])
        loss = cross_entropy(
            logits.float().flatten(0, 1) if logits.dtype != torch.float64 else logits.flatten(0, 1), targets.flatten()
        )
        paths = {router: path for path, router in self.named_modules() if isinstance(router, Router)}
        loads = {paths[router]: torch.stack(calls).mean(dim=0) for router, calls in ledger.loads.items()}
        none = loss.new_zeros(())
        balance = torch.stack(ledger.balance).mean() if ledger.balance else none
        z = torch.stack(ledger.z).mean() if ledger.z else none
        weighted = self.config.z_coef * z
        if self.config.balance == "switch":
            weighted = weighted + self.config.balance_coef * balance
        return Losses(loss + weighted, loss, balance, z, loads)

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
        """Numbers that one row's state holds after ``seq_len`` tokens."""
        if not self.causal:
            return seq_len
        memory = 0 if self.memory is None else self.config.loops * 2 * seq_len * self.config.d_kv
        return memory + sum(block.state_size(seq_len) for block in self.blocks)

    @property
    def blocks(self) -> list[Block]:
        """The layers, typed."""
        return [block for block in self.layers if isinstance(block, Block)]

    def _run(
        self, tokens: Tensor, state: State | None, call: Call, last: bool = False
    ) -> tuple[Tensor, State | None]:
        """The residual stream after all passes, and the state where it is kept.

        ``last`` asks for the last token only; what it spares is left out.
        """
        self._check(tokens)
        seq, config = tokens.shape[1], self.config
        x = self.embedded(norm(embedding(tokens, self.embedding.weight)))
        call, position = replace(call, turn=self._turn(call.positions(seq, x.device), x)), self._position(call, seq)
        shared = self.shared
        weights: list[Any] = [None if shared is None else shared.layer(index) for index in range(config.n_layers)]
        passes: list[list[PassState]] = [[] for _ in self.layers]
        memories: list[KVCache] = []
        for step in range(config.loops):
            for index, block in enumerate(self.blocks):
                if block.reads_memory and call.memory is None:
                    x, call, kept = self._write(x, call, state, step, last and config.loops == 1)
                    memories.append(kept)
                before = None if state is None else state.blocks[index]
                x, weights[index], after = block(x, step, weights[index], call, before)
                passes[index].append(after)
            x, call = self.passes(x), replace(call, memory=None)
        if not call.keep:
            return x, None
        made = zip(self.blocks, weights, strict=True)
        retained = [None if block.retention is None else w.state() for block, w in made]
        blocks = tuple(BlockState(r, tuple(p)) for r, p in zip(retained, passes, strict=True))
        return x, State(position, blocks, tuple(memories))

    def _write(
        self, x: Tensor, call: Call, state: State | None, step: int, last: bool
    ) -> tuple[Tensor, Call, KVCache]:
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
        return x, replace(call, memory=kept, turn=self._turn(call.positions(1, x.device), x)), kept

    def _turn(self, positions: Tensor, like: Tensor) -> Rotation:
        rows = positions if positions.shape[0] > 1 else positions[0]
        return rotation(rows, self.config.d_head, self.config.rope_base, like)

    def _call(self, tokens: Tensor, state: State | None, lengths: Tensor | Sequence[int] | None) -> Call:
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

    @staticmethod
    def _position(call: Call, seq: int) -> int | Tensor:
        return call.position + seq if call.rows is None else call.rows.start + call.rows.length

    def _step_again(self, tokens: Tensor, state: State | None, lengths: Any) -> tuple[Tensor, State]:
        if lengths is not None:
            raise StrawberryError("a model that reads the future takes no lengths: its rows read one another")
        if state is not None and state.tokens is not None:
            tokens = torch.cat([state.tokens, tokens], dim=1)
        seen = 0 if state is None else state.tokens.shape[1] if state.tokens is not None else 0
        return self(tokens)[:, seen:], State(tokens.shape[1], (), (), tokens)

    def _unembed(self, x: Tensor) -> Tensor:
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
