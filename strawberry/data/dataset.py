"""What training and evaluation ask of data, whatever it is made of: text, tasks, or sources of known entropy."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from strawberry.config import Config
from strawberry.data.tokenizer import Tokenizer

SPLITS = ("train", "validation")


class Dataset(Protocol):
    """Data that can be trained on; everything follows from counters and the configuration, so nothing has a state.

    name: what it was asked for as. fingerprint: changes whenever the same batches would no longer come. warnings: what
    a person should see, in sentences. metric: what it is judged by, "bits_per_byte", "accuracy" or "loss". floor: nats
    per scored token that no honest model can beat on average; None where that is not known. length: tokens per row;
    None for any. bytes_per_token: UTF-8 bytes per token of validation text; None where there is no text. tokens_train:
    None where they never run out.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def metric(self) -> str: ...
    @property
    def floor(self) -> float | None: ...
    @property
    def length(self) -> int | None: ...
    @property
    def bytes_per_token(self) -> float | None: ...
    @property
    def tokens_train(self) -> int | None: ...
    @property
    def tokens_validation(self) -> int: ...

    def batch(self, split: str, step: int, config: Config, micro: int = 0) -> tuple[Tensor, Tensor]:
        """Tokens and targets, each (batch_size, seq_len) int64, at ``step`` and micro-batch ``micro``.

        Targets of -100 are not scored. Row i does not depend on the batch size, and validation not on the seed. Rows
        have ``length`` tokens where that is less than ``seq_len``.
        """
        ...

    def windows(self, split: str, seq_len: int, batch_size: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole split once, or so much of it as there need be, as tokens and targets (≤ batch_size, ≤ seq_len)."""
        ...

    def passage(self, tokens: int = 300) -> str:
        """The beginning of the validation split, of at most so many tokens, as text."""
        ...

    def question(self) -> tuple[str, int | None]:
        """What a sample begins with where nothing else is asked for, and how many tokens answer it (None: any)."""
        ...

    def answers(self, ids: Sequence[int]) -> np.ndarray:
        """The target after each token of a text, (tokens,) int64; -100 where nothing is asked, or the text ends."""
        ...

    def surprisal(self, tokens: Tensor, targets: Tensor) -> Tensor | None:
        """-log of the true probability of every target given the tokens up to it, (batch, seq) float64 nats.

        None where the probabilities are not known.
        """
        ...
