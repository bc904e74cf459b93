"""Writes the README's table of token mixers from the registry, between its two marks.

``python scripts/mixer_table.py`` rewrites the table in README.md; with ``--check`` it changes nothing, and exits with 1
where the README differs from the registry.
"""

import argparse
import sys
from pathlib import Path

import strawberry
from strawberry.mixers import MIXERS

README = Path(__file__).parent.parent / "README.md"
COMMAND = "python scripts/mixer_table.py"
BEGIN, END = f"<!-- mixers, written by {COMMAND} -->", "<!-- end of mixers -->"
TOKENS = 1024
HEAD = "| `--mixer` | what it computes | state of one row | cost | source |\n|---|---|---|---|---|"


class MissingMarksError(Exception):
    """The README has no place for the table."""


def table() -> str:
    """The table in Markdown: a line per registered mixer, in nano width at TOKENS tokens."""
    rows = [HEAD]
    for name, kind in MIXERS.items():
        mixer = kind(strawberry.preset("gpt-nano", seq_len=TOKENS))
        numbers, adds = mixer.state_size(TOKENS), mixer.multiply_adds(TOKENS)
        cells = (f"`{name}`", kind.about, f"{kind.state}: {numbers:,}", f"{adds:,}", kind.source)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def written(text: str) -> str:
    """The README's ``text`` with the table of now between the marks; MissingMarksError where they are not."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise MissingMarksError(f"README.md lacks the line {BEGIN!r} or, below it, {END!r}; put both back")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Rewrite the README, or with ``--check`` compare it; 1 when it differs or has no place for the table."""
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
        sys.stderr.write(f"README.md is not what the registry of mixers says: run {COMMAND}\n")
        return 1
    if new != text:
        README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
