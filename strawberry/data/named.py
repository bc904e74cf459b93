"""Data that is made rather than read: a task or source by its name, with arguments as in "mqar:pairs=8,length=64"."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from strawberry.config import Config
from strawberry.data.dataset import SPLITS
from strawberry.data.draws import Draws
from strawberry.data.maker import Maker
from strawberry.data.sources import SOURCES
from strawberry.data.tasks import TASKS
from strawberry.data.tokenizer import Tokenizer
from strawberry.errors import ConfigError, DataError
from strawberry.scoring import IGNORED

FORMAT = 1  # raise it when the same name would give other rows than before
MAKERS: dict[str, type[Maker]] = {**TASKS, **SOURCES}
WHOLE = 1024  # rows that stand for a split which never ends


def is_made(data: object) -> bool:
    """Whether ``data`` names a task or a source, with or without arguments."""
    return isinstance(data, str) and data.partition(":")[0].strip() in MAKERS


def maker(data: str, seq_len: int) -> Maker:
    """The task or source that ``data`` names, with rows of ``seq_len`` tokens unless it says a length.

    Raises :class:`DataError` for an argument that is unknown, written wrongly, or out of bounds.
    """
    name, _, rest = data.partition(":")
    given: dict[str, str] = {}
    for part in filter(str.strip, rest.split(",")):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not value:
            raise DataError(f"{data!r}: arguments are written key=value, with commas between; got {part.strip()!r}")
        if key in given:
            raise DataError(f"{data!r} gives {key} twice; leave one out")
        given[key] = value
    return MAKERS[name.strip()].read(given, seq_len)


def make(data: str, config: Config, tokenizer: Tokenizer | None = None) -> "MadeDataset":
    """The dataset that ``data`` names; ``tokenizer`` is that of a run to go on with, which must be its own.

    Raises :class:`DataError` for a name that cannot work, and :class:`ConfigError` for a configuration that is too
    small for it.
    """
    made = maker(data, config.seq_len)
    if made.length > config.seq_len:
        raise ConfigError(
            f"{data} has rows of {made.length} tokens and seq_len is {config.seq_len}; set seq_len to {made.length}, "
            "or give it a smaller length"
        )
    own = made.tokenizer()
    if own.vocab_size > config.vocab_size:
        raise ConfigError(
            f"{data} has {own.vocab_size} symbols and vocab_size is {config.vocab_size}; set vocab_size to "
            f"{own.vocab_size} or more"
        )
    if tokenizer is not None and tokenizer.fingerprint != own.fingerprint:
        raise DataError(
            f"{data} has symbols of its own, and not those of the tokenizer given; begin a new run, or go on with one "
            "that was trained on it"
        )
    return MadeDataset(data.strip(), made, own)


@dataclass(frozen=True, eq=False)
class MadeDataset:
    """Rows that a task or a source makes, each from its own counters: training never sees one twice.

    The two splits are streams apart; what a task holds back for validation, such as words, it says itself.
    """

    name: str
    maker: Maker
    tokenizer: Tokenizer
    warnings: tuple[str, ...] = ()

    bytes_per_token = None
    tokens_train = None

    @property
    def metric(self) -> str:
        """ "accuracy" of a task, "loss" of a source."""
        return self.maker.metric

    @property
    def length(self) -> int:
        """Tokens per row."""
        return self.maker.length

    @property
    def tokens_validation(self) -> int:
        """Tokens of the rows that stand for the whole split."""
        return WHOLE * self.length

    @property
    def fingerprint(self) -> str:
        """Changes with the task, its arguments and its tokenizer."""
        made = self.maker
        about = [FORMAT, made.title(), dataclasses.asdict(made), made.content(), self.tokenizer.fingerprint]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()

    @property
    def floor(self) -> float | None:
        """The entropy rate of a source, or where there is no formula the mean over the whole validation split."""
        return self._floor

    def batch(self, split: str, step: int, config: Config, micro: int = 0) -> tuple[Tensor, Tensor]:
        """Tokens and targets, each (batch_size, length) int64, from counters alone; see :class:`Dataset`."""
        seed = config.seed if split == "train" else 0
        tokens, targets = self._rows(split, config.batch_size, step, micro, seed)
        return torch.from_numpy(tokens), torch.from_numpy(targets)

    def windows(self, split: str, seq_len: int, batch_size: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """:data:`WHOLE` rows in order; a ``seq_len`` below ``length`` is refused."""
        if seq_len < self.length:
            raise DataError(f"{self.name} has rows of {self.length} tokens, which {seq_len} would cut")
        tokens, targets = (torch.from_numpy(part) for part in self._rows(split, WHOLE))
        yield from zip(tokens.split(batch_size), targets.split(batch_size), strict=True)

    def passage(self, tokens: int = 300) -> str:
        """The first validation row."""
        return self.tokenizer.decode(self._rows("validation", 1)[0][0, :tokens].tolist()).strip()

    def question(self) -> tuple[str, int | None]:
        """The first validation row up to its first question, and how many tokens the answer has."""
        if self.maker.metric != "accuracy":
            return "", None
        tokens, targets = (part[0] for part in self._rows("validation", 1))
        first = int((targets != IGNORED).argmax())
        asked = int((targets[first:] == IGNORED).argmax()) or self.length - first
        return self.tokenizer.decode(tokens[: first + 1].tolist()).strip(), asked

    def answers(self, ids: Sequence[int]) -> np.ndarray:
        """What the task's own oracle answers, or a source's next tokens; (tokens,) int64, -100 elsewhere."""
        return self.maker.answers(np.asarray(ids, dtype=np.int64))

    def surprisal(self, tokens: Tensor, targets: Tensor) -> Tensor | None:
        """-log of the true probability of every target of a source, (batch, seq) float64 nats; None for tasks."""
        exact = self.maker.surprisal(tokens.cpu().numpy(), targets.cpu().numpy())
        return None if exact is None else torch.from_numpy(exact)

    @cached_property
    def _floor(self) -> float | None:
        if self.maker.metric != "loss" or self.maker.entropy_rate is not None:
            return self.maker.entropy_rate
        exact = self.maker.surprisal(*self._rows("validation", WHOLE))
        return None if exact is None else float(exact.mean())

    def _rows(
        self, split: str, rows: int, step: int = 0, micro: int = 0, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        if split not in SPLITS:
            raise DataError(f"split {split!r} is unknown; choose one of {', '.join(SPLITS)}")
        return self.maker.rows(Draws(rows, split, step, micro, seed))
