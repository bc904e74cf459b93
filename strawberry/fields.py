"""What a field of the configuration is: its default, its group, its help, what it may be, and the check of that."""

import dataclasses
from dataclasses import field
from typing import Any

from strawberry.errors import ConfigError

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def model(default: Any, help: str, choices: tuple[str, ...] | None = None, low: Any = None, high: Any = None) -> Any:
    """A field that shapes the model."""
    return _option("model", default, help, choices, low, high)


def training(default: Any, help: str, choices: tuple[str, ...] | None = None, low: Any = None, high: Any = None) -> Any:
    """A field that shapes the training and leaves the model as it is."""
    return _option("training", default, help, choices, low, high)


def checked(item: "dataclasses.Field[Any]", value: Any) -> Any:
    """The value as the field keeps it; raises :class:`ConfigError` when it has another type or is out of bounds."""
    name = item.name
    choices, low, high = (item.metadata[key] for key in ("choices", "low", "high"))
    wanted = item.type
    if wanted == tuple[int, ...]:
        try:
            return tuple(int(part) for part in (value.split(",") if isinstance(value, str) else value))
        except (TypeError, ValueError):
            raise ConfigError(f"{name} must be whole numbers such as 8,32,0; got {value!r}") from None
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not wanted:
        raise ConfigError(f"{name} must be {_WORDS[wanted]}; got {value!r}")
    if choices and value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}; got {value!r}")
    if (isinstance(value, float) and value != value) or value in (float("inf"), -float("inf")):
        raise ConfigError(f"{name} must be a finite number; got {value}")
    if low is not None and value < low:
        raise ConfigError(f"{name} must be at least {low}; got {value}")
    if high is not None and value > high:
        raise ConfigError(f"{name} must be at most {high}; got {value}")
    return value


def _option(group: str, default: Any, help: str, choices: tuple[str, ...] | None, low: Any, high: Any) -> Any:
    return field(default=default, metadata={"group": group, "help": help, "choices": choices, "low": low, "high": high})
