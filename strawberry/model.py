"""The language model: tied embeddings around one stack of blocks that is run ``loops`` times."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, linear

from strawberry.block import Block, BlockState, Call
from strawberry.config import Config
from strawberry.errors import StrawberryError
from strawberry.experts.balance import Ledger, move_bias
from strawberry.experts.router import Router
from strawberry.init import initialise, role
from strawberry.norm import norm
from strawberry.retention.mechanism import RetentionState
from strawberry.rope import rotation
from strawberry.tap import Tap


@dataclass(frozen=True)
class State:
    """Everything that later tokens need of the earlier ones; a frozen value that can be kept, forked and rewound.

    position: tokens read so far. blocks: one state per layer. tokens: the text itself, for a model that reads the
    future and so has no state smaller than its text.
    """

    position: int
    blocks: tuple[BlockState, ...]
    tokens: Tensor | None = None


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
        self.embedded, self.passes, self.final = Tap(), Tap(), Tap()
        initialise(self, config)

    @property
    def causal(self) -> bool:
        """False when the output at a position may depend on later tokens or on other rows."""
        return self.config.causal

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, seq, vocab_size) for token ids (batch, seq), int64."""
        return self._unembed(self._run(tokens, None, keep=False, ledger=None)[0])

    def step(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits (batch, new, vocab_size) for any number of new tokens after those in ``state``; None starts afresh.

        Feeding a text in any pieces gives the logits of :meth:`forward` on the whole. A model that reads the future
        reads its whole text again, so that only the last piece agrees with the full forward.
        """
        if not self.causal:
            if state is not None and state.tokens is not None:
                tokens = torch.cat([state.tokens, tokens], dim=1)
            new = tokens.shape[1] - (0 if state is None else state.position)
            return self(tokens)[:, -new:], State(tokens.shape[1], (), tokens)
        x, after = self._run(tokens, state, keep=True, ledger=None)
        assert after is not None
        return self._unembed(x), after

    def loss(self, tokens: Tensor, targets: Tensor) -> Losses:
        """The losses of predicting ``targets`` (batch, seq) from ``tokens`` (batch, seq)."""
        ledger = Ledger()
        logits = self._unembed(self._run(tokens, None, keep=False, ledger=ledger)[0])
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
        return sum(block.state_size(seq_len) for block in self.blocks)

    @property
    def blocks(self) -> list[Block]:
        """The layers, typed."""
        return [block for block in self.layers if isinstance(block, Block)]

    def _run(
        self, tokens: Tensor, state: State | None, keep: bool, ledger: Ledger | None
    ) -> tuple[Tensor, State | None]:
        self._check(tokens)
        position = 0 if state is None else state.position
        x = self.embedded(norm(embedding(tokens, self.embedding.weight)))
        turn = rotation(position, tokens.shape[1], self.config.d_head, self.config.rope_base, x)
        call = Call(position, turn, keep, ledger)
        weights: list[Any] = [None] * len(self.layers)
        mixers: list[list[Any]] = [[] for _ in self.layers]
        for step in range(self.config.loops):
            for index, block in enumerate(self.blocks):
                before = None if state is None else state.blocks[index]
                x, weights[index], after = block(x, step, weights[index], call, before)
                mixers[index].append(after)
            x = self.passes(x)
        if not keep:
            return x, None
        retained = [None if w is None else RetentionState(w.statistics, w.frames) for w in weights]
        blocks = tuple(BlockState(r, tuple(m)) for r, m in zip(retained, mixers, strict=True))
        return x, State(position + tokens.shape[1], blocks)

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
