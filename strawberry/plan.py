"""What a training was asked to do besides its configuration: how long, and how often it does what."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from strawberry.errors import ConfigError


@dataclass(frozen=True)
class Plan:
    """Counts are in optimiser steps; None means never (evaluation and saving still happen at the end).

    Raises :class:`ConfigError` when a value cannot work.
    """

    steps: int = 200
    eval_every: int | None = None
    eval_batches: int = 8
    sample_every: int | None = None
    sample_prompt: str = ""
    sample_tokens: int = 60
    checkpoint_every: int | None = None
    keep: int = 3
    decay_steps: int | None = None

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if item.type is str:
                if not isinstance(value, str):
                    raise ConfigError(f"{item.name} must be text; got {value!r}")
            elif not (value is None and item.default is None) and (type(value) is not int or value < 1):
                raise ConfigError(f"{item.name} must be a whole number of at least 1; got {value!r}")

    @classmethod
    def merged(cls, stored: dict[str, Any], **given: Any) -> Self:
        """The stored plan of a run, changed by what is given now; None leaves a value as it was."""
        names = [item.name for item in dataclasses.fields(cls)]
        known = {name: stored[name] for name in names if name in stored}
        return cls(**{**known, **{name: value for name, value in given.items() if value is not None}})

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return dataclasses.asdict(self)

    def due(self, every: int | None, step: int) -> bool:
        """True when something done every so often falls on ``step``."""
        return every is not None and step > 0 and step % every == 0
