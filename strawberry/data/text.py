"""Text to train on and to validate with, dealt out in an order that only counters decide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from strawberry.config import Config
from strawberry.data.dataset import SPLITS
from strawberry.data.tokenizer import Tokenizer
from strawberry.errors import DataError
from strawberry.scoring import IGNORED


@dataclass(frozen=True, eq=False)
class TextDataset:
    """A text, tokenized and divided; every document, or part of a lone one, is followed by ``tokenizer.end_id``.

    ``train`` and ``validation`` are (tokens,) uint16 or uint32, read-only and memory-mapped where the cache allows.
    ``fingerprint`` changes with the text, its division and the tokenizer. ``bytes_per_token`` is measured on
    validation: the UTF-8 bytes of its text over all its tokens. The ends of documents count as tokens but not as
    bytes, since the model pays for predicting them: bits per byte = nats per token / ln 2 / ``bytes_per_token``.
    ``warnings`` are sentences that a person should see.
    """

    name: str
    fingerprint: str
    tokenizer: Tokenizer
    train: np.ndarray
    validation: np.ndarray
    bytes_per_token: float
    documents_train: int
    documents_validation: int
    warnings: tuple[str, ...] = ()

    metric = "bits_per_byte"
    floor = None
    length = None

    @property
    def tokens_train(self) -> int:
        """Tokens to train on."""
        return len(self.train)

    @property
    def tokens_validation(self) -> int:
        """Tokens to validate with."""
        return len(self.validation)

    def batch(self, split: str, step: int, config: Config, micro: int = 0) -> tuple[Tensor, Tensor]:
        """Tokens and next-token targets, each (batch_size, seq_len) int64, at ``step`` and micro-batch ``micro``.

        Row i starts at a place drawn uniformly by a counter-based generator (Philox, Salmon et al. 2011) from
        (seed, split, step, micro, i) and from nothing else, so that a resumed run needs no loader state and a smaller
        batch is the beginning of a larger one. Validation ignores ``config.seed``: batch k of the validation split is
        the same text for every run, whatever was trained between.
        """
        tokens = self._tokens(split)
        self._require(split, config.seq_len)
        seed = config.seed if split == "train" else 0
        starts = positions(len(tokens) - config.seq_len, config.batch_size, seed, SPLITS.index(split), step, micro)
        rows = tokens[starts[:, None] + np.arange(config.seq_len + 1)].astype(np.int64)
        return _shifted(rows)

    def windows(self, split: str, seq_len: int, batch_size: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole split in order, as tokens and targets (≤ batch_size, seq_len) int64: each token but the first is
        a target exactly once. The last window, if shorter than ``seq_len``, comes alone."""
        tokens = self._tokens(split)
        whole = (len(tokens) - 1) // seq_len
        for first in range(0, whole, batch_size):
            starts = np.arange(first, min(first + batch_size, whole)) * seq_len
            yield _shifted(tokens[starts[:, None] + np.arange(seq_len + 1)].astype(np.int64))
        if len(tokens) - 1 > whole * seq_len:
            yield _shifted(tokens[None, whole * seq_len :].astype(np.int64))

    def passage(self, tokens: int = 300) -> str:
        """The beginning of the text that is kept for validation."""
        return self.tokenizer.decode(self.validation[:tokens].tolist())

    def question(self) -> tuple[str, int | None]:
        """Nothing: a sample begins a document."""
        return "", None

    def answers(self, ids: Sequence[int]) -> np.ndarray:
        """The next tokens; nothing is asked after the last."""
        return np.append(np.asarray(ids, dtype=np.int64)[1:], IGNORED)

    def surprisal(self, tokens: Tensor, targets: Tensor) -> Tensor | None:
        """Nobody knows the entropy of text."""
        return None

    def _tokens(self, split: str) -> np.ndarray:
        if split not in SPLITS:
            raise DataError(f"split {split!r} is unknown; choose one of {', '.join(SPLITS)}")
        return self.train if split == "train" else self.validation

    def _require(self, split: str, seq_len: int) -> None:
        found = len(self._tokens(split))
        if found <= seq_len:
            raise DataError(
                f"{self.name!r} is too small: one row of seq_len {seq_len} needs {seq_len + 1} tokens, but its {split} "
                f"part has {found}; give more text or lower seq_len"
            )

    def require(self, seq_len: int) -> None:
        """Raise :class:`DataError` unless both splits fill one row of ``seq_len`` tokens and their targets."""
        for split in SPLITS:
            self._require(split, seq_len)


def positions(choices: int, rows: int, seed: int, split: int, step: int, micro: int) -> np.ndarray:
    """(rows,) int64 in [0, choices), uniform to within choices / 2^64; row i does not depend on ``rows``."""
    mask = (1 << 64) - 1
    key = np.array([seed & mask, split], dtype=np.uint64)
    counter = np.array([0, micro, step, 0], dtype=np.uint64)
    drawn = np.random.Philox(key=key, counter=counter).random_raw(rows)
    return (drawn % np.uint64(choices)).astype(np.int64)


def _shifted(rows: np.ndarray) -> tuple[Tensor, Tensor]:
    whole = torch.from_numpy(np.ascontiguousarray(rows))
    return whole[:, :-1].contiguous(), whole[:, 1:].contiguous()
