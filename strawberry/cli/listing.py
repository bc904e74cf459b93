"""``strawberry data``: what there is to train on, and the arguments that it takes."""

import argparse
import dataclasses
import inspect
import json
import sys
from typing import Any

from rich.console import Console

from strawberry.data.corpora import CORPORA
from strawberry.data.maker import Maker
from strawberry.data.named import MAKERS, SOURCES, TASKS

HEADINGS = {"text": "Text", "task": "Tasks with known answers", "source": "Sources of known entropy"}


def data(values: argparse.Namespace) -> int:
    """List corpora, tasks and sources."""
    rows = listed()
    if values.json:
        sys.stdout.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return 0
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for kind, heading in HEADINGS.items():
        console.print(heading, style="bold")
        for row in rows:
            if row["kind"] == kind:
                console.print(f"{row['name']:<15} {row['about']}")
                if row["arguments"]:
                    given = ",".join(f"{item['name']}={item['default']}" for item in row["arguments"])
                    console.print(f"{'':<15} {given}", style="dim")
        console.print()
    console.print(
        "Any UTF-8 text file or folder will do as well. Arguments follow a colon: --data mqar:pairs=4,length=64"
    )
    return 0


def listed() -> list[dict[str, Any]]:
    """One line per name: its kind, what it is, where it comes from, and its arguments with help, default and bounds."""
    rows: list[dict[str, Any]] = [
        {"name": name, "kind": "text", "about": _first(read.__doc__), "source": "", "arguments": []}
        for name, read in CORPORA.items()
    ]
    for name, kind in MAKERS.items():
        arguments = [
            {"name": item.name, "default": item.default, **item.metadata}
            for item in dataclasses.fields(kind)
            if item.name != "length"
        ]
        arguments.append({"name": "length", "default": "seq_len", **_length(kind)})
        which = "task" if name in TASKS else "source" if name in SOURCES else ""
        rows.append({"name": name, "kind": which, "about": kind.about, "source": kind.source, "arguments": arguments})
    return rows


def _first(docstring: str | None) -> str:
    return inspect.cleandoc(docstring or "").split("\n")[0].rstrip(".")


def _length(kind: type[Maker]) -> dict[str, Any]:
    return dict(next(item.metadata for item in dataclasses.fields(kind) if item.name == "length"))
