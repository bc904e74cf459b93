"""Command-line options: one for each field of the configuration, and errors of one sentence."""

import argparse
import dataclasses
from difflib import get_close_matches
from typing import Any, NoReturn

from strawberry.config import Config
from strawberry.errors import StrawberryError

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_TITLES = {"model": "model (every field of the configuration)", "training": "training (the same)"}


class UsageError(StrawberryError):
    """The command line cannot be understood."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises :class:`UsageError` and knows options by their whole names only."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')}; see {self.prog} --help")

    def read(self, arguments: list[str] | None) -> argparse.Namespace:
        """The parsed arguments; an unknown one is answered with the nearest known."""
        values, unknown = self.parse_known_args(arguments)
        if unknown:
            parser: Parser = getattr(values, "parser", self)
            known = [option for action in parser._actions for option in action.option_strings]
            near = get_close_matches(unknown[0].split("=")[0].replace("_", "-"), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"see {parser.prog} --help"
            raise UsageError(f"{unknown[0]!r} is not understood here; {hint}")
        return values


def add_fields(parser: Parser) -> None:
    """Add ``--field VALUE`` for every field of :class:`Config`; :func:`chosen` gives back what was set."""
    for group in _TITLES:
        section = parser.add_argument_group(_TITLES[group])
        for item in dataclasses.fields(Config):
            if item.metadata["group"] == group:
                bare: dict[str, Any] = {"nargs": "?", "const": "true"} if item.type is bool else {}
                section.add_argument(
                    f"--{item.name.replace('_', '-')}",
                    dest=f"field {item.name}",
                    metavar=_metavar(item),
                    default=argparse.SUPPRESS,
                    help=item.metadata["help"].replace("%", "%%"),
                    **bare,
                )


def chosen(values: argparse.Namespace) -> dict[str, Any]:
    """The configuration's fields that were given; what is no number or word stays text, which Config refuses."""
    items = {item.name: item for item in dataclasses.fields(Config)}
    given = {name.removeprefix("field "): text for name, text in vars(values).items() if name.startswith("field ")}
    return {name: _value(items[name], text) for name, text in given.items()}


def count(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    return _count(text, 1)


def count_or_none(text: str) -> int:
    """A whole number of at least 0, for argparse."""
    return _count(text, 0)


def _count(text: str, low: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least {low}, got {text!r}")
    return value


def _metavar(item: "dataclasses.Field[Any]") -> str:
    if item.metadata["choices"]:
        return "{" + ",".join(item.metadata["choices"]) + "}"
    return {int: "N", float: "X", bool: "true|false", str: "NAME"}.get(item.type, "N,N,…")  # type: ignore[arg-type]


def _value(item: "dataclasses.Field[Any]", text: str) -> Any:
    try:
        if item.type in (int, float):
            return item.type(text)  # type: ignore[operator]
    except ValueError:
        return text
    return _WORDS.get(text.lower(), text) if item.type is bool else text
