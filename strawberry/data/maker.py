"""The contract of data that is made rather than read: named arguments with bounds, and rows from counters."""

import dataclasses
from abc import ABC, abstractmethod
from difflib import get_close_matches
from typing import Any, ClassVar, Self

import numpy as np

from strawberry.data.draws import Draws
from strawberry.data.tokenizer import Tokenizer
from strawberry.errors import DataError
from strawberry.scoring import IGNORED

_WORDS = {int: "a whole number", float: "a number", str: "a word"}


def argument(default: Any, help: str, low: Any = None, high: Any = None) -> Any:
    """A field of a maker, which stands in its name as ``key=value``."""
    return dataclasses.field(default=default, metadata={"help": help, "low": low, "high": high})


@dataclasses.dataclass(frozen=True)
class Maker(ABC):
    """A task or a source: makes rows of tokens and targets. ``length`` is the tokens of a row.

    Raises :class:`DataError` when an argument cannot work.
    """

    about: ClassVar[str]  # one sentence
    source: ClassVar[str]  # the paper that it comes from
    metric: ClassVar[str]

    length: int = argument(64, "tokens per row; if left out, the configuration's seq_len", 2, 1 << 16)

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, self._checked(item, getattr(self, item.name)))
        self.check()

    def check(self) -> None:  # noqa: B027
        """Raise :class:`DataError` where arguments do not fit one another."""

    @classmethod
    def read(cls, words: dict[str, str], length: int) -> Self:
        """A maker from the arguments as written in its name; ``length`` where none is given."""
        known = {item.name: item for item in dataclasses.fields(cls)}
        for name in words:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
                raise DataError(f"{cls.title()} has no argument {name!r}; {hint}")
        return cls(**{"length": length, **{name: _number(known[name], word) for name, word in words.items()}})

    @classmethod
    def title(cls) -> str:
        """The name under which it is registered."""
        from strawberry.data.named import MAKERS

        return next((name for name, kind in MAKERS.items() if kind is cls), cls.__name__)

    @abstractmethod
    def words(self) -> list[str]:
        """How each token is written, in order; no two alike, and none with a space."""

    def content(self) -> str:
        """What the rows depend on besides the arguments, as a fingerprint."""
        return ""

    def tokenizer(self) -> Tokenizer:
        """One token per word."""
        return Tokenizer.of_symbols(self.words())

    @abstractmethod
    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and targets, each (draws.rows, length) int64; targets that nobody asks for are -100."""

    @abstractmethod
    def answers(self, tokens: np.ndarray) -> np.ndarray:
        """For one text (tokens,) the target at each place where there is one, else -100, as (tokens,) int64."""

    def surprisal(self, tokens: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
        """-log of the true probability of each target given what came before, (rows, length) nats; None if unknown."""
        return None

    @property
    def entropy_rate(self) -> float | None:
        """Nats per token that no honest model can beat in the long run, where there is a formula for it."""
        return None

    def refuse(self, what: str) -> DataError:
        """An error that names this maker."""
        return DataError(f"{self.title()}: {what}")

    def _checked(self, item: "dataclasses.Field[Any]", value: Any) -> Any:
        low, high = item.metadata["low"], item.metadata["high"]
        if item.type is float and type(value) is int:
            value = float(value)
        if type(value) is not item.type or value != value:
            raise self.refuse(f"{item.name} must be {_WORDS[item.type]}; got {value!r}")  # type: ignore[index]
        if low is not None and value < low:
            raise self.refuse(f"{item.name} must be at least {low}; got {value}")
        if high is not None and value > high:
            raise self.refuse(f"{item.name} must be at most {high}; got {value}")
        return value


def unasked(rows: int, length: int) -> np.ndarray:
    """Targets of which none is scored yet, (rows, length) int64."""
    return np.full((rows, length), IGNORED, dtype=np.int64)


def _number(item: "dataclasses.Field[Any]", word: str) -> Any:
    if item.type is str:
        return word
    for kind in (int, float) if item.type is float else (int,):
        try:
            return kind(word)
        except ValueError:
            continue
    return word  # refused by what is made of it
