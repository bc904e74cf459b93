"""Writes the README's tables: of token mixers and data from their registries, of studies from what they found.

``python scripts/readme_tables.py`` rewrites the tables in README.md, each between its two marks; with ``--check`` it
changes nothing, and exits with 1 where the README differs from the registries.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import strawberry
from lab.ablate.results import Results
from lab.ablate.wording import in_short
from strawberry.cli.listing import listed
from strawberry.mixers import MIXERS

ROOT = Path(__file__).parent.parent
README, STUDIES = ROOT / "README.md", ROOT / "studies"
COMMAND = "python scripts/readme_tables.py"
TOKENS = 1024


class MissingMarksError(Exception):
    """The README has no place for a table."""


def mixers() -> str:
    """The table of mixers in Markdown: a line per registered mixer, in nano width at TOKENS tokens."""
    rows = ["| `--mixer` | what it computes | state of one row | cost | source |\n|---|---|---|---|---|"]
    for name, kind in MIXERS.items():
        mixer = kind(strawberry.preset("gpt-nano", seq_len=TOKENS))
        numbers, adds = mixer.state_size(TOKENS), mixer.multiply_adds(TOKENS)
        rows.append(_row(f"`{name}`", kind.about, f"{kind.state}: {numbers:,}", f"{adds:,}", kind.source))
    return "\n".join(rows)


def data() -> str:
    """The table of tasks and sources in Markdown, with the arguments that each has besides ``length``."""
    rows = ["| `--data` | what a model has to do | arguments | source |\n|---|---|---|---|"]
    for made in listed():
        if made["kind"] != "text":
            given = [f"`{item['name']}={item['default']}`" for item in made["arguments"] if item["name"] != "length"]
            rows.append(_row(f"`{made['name']}`", made["about"], ", ".join(given), made["source"]))
    return "\n".join(rows)


def studies() -> str:
    """The table of the studies that ship, in Markdown: what was asked, and the answer in short."""
    rows = ["| study | question | answer, with the gain over the reference |\n|---|---|---|"]
    for path in sorted(STUDIES.glob("*.toml"), key=lambda path: path.stem):
        results = Results.read(STUDIES / "results" / path.stem)
        report = f"[{path.stem}](studies/results/{path.stem}/report.md)"
        rows.append(_row(report, results.question, "<br>".join(in_short(results))))
    return "\n".join(rows)


TABLES: dict[str, Callable[[], str]] = {"mixers": mixers, "data": data, "studies": studies}


def marks(name: str) -> tuple[str, str]:
    """The lines between which a table stands."""
    return f"<!-- {name}, written by {COMMAND} -->", f"<!-- end of {name} -->"


def written(text: str) -> str:
    """The README's ``text`` with the tables of now between their marks; MissingMarksError where they are not."""
    for name, table in TABLES.items():
        first, last = marks(name)
        before, begin, rest = text.partition(first)
        _, end, after = rest.partition(last)
        if not begin or not end:
            raise MissingMarksError(f"README.md lacks the line {first!r} or, below it, {last!r}; put both back")
        text = f"{before}{first}\n{table()}\n{last}{after}"
    return text


def main() -> int:
    """Rewrite the README, or with ``--check`` compare it; 1 when it differs or has no place for a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit code 1 when the README is out of date"
    )
    text = README.read_text(encoding="utf-8")
    try:
        new = written(text)
    except MissingMarksError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if parser.parse_args().check and new != text:
        sys.stderr.write(f"README.md is not what the registries say: run {COMMAND}\n")
        return 1
    if new != text:
        README.write_text(new, encoding="utf-8")
    return 0


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
