"""The verdicts and their table for a person at a terminal."""

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab.ablate.metric import METRICS
from lab.ablate.progress import duration
from lab.ablate.results import Results, Row
from lab.ablate.verdict import VOID, briefly
from lab.ablate.wording import answer, gain, score


def show(results: Results, console: Console) -> None:
    """Print the question, two tables for each data set, what is void and why, and the verdicts in words."""
    console.print(f"\n[bold]{escape(results.question)}[/bold]")
    console.print(escape(answer(results).replace("**", "")), end="\n\n")
    for data in dict.fromkeys(row.data for row in results.rows):
        rows = [row for row in results.rows if row.data == data]
        console.print(_found(results, data, rows), _spent(rows), sep="\n")
    for line in _remarks(results):
        console.print(escape(line))
    console.print()
    for verdict in results.verdicts:
        console.print(f"• {escape(verdict.sentence)}")


def _found(results: Results, data: str, rows: list[Row]) -> Table:
    metric = METRICS[rows[0].metric]
    better = "higher is better" if metric.higher else "lower is better"
    title = f"{data}: {metric.words}, {better}; mean ± sd over the seeds, or their scores; gain with its 95 % interval"
    table = _table(title, "", metric.words, f"gain in {metric.unit_words}", "verdict", "rate")
    for row in rows:
        table.add_row(escape(row.variant), score(row), _gain(results, row), _word(results, row), _rate(row))
    return table


def _spent(rows: list[Row]) -> Table:
    table = _table("what it cost", "", "parameters", "steps", "training FLOPs", "time", "state of a row")
    for row in rows:
        time = "–" if row.seconds is None else duration(row.seconds)
        counts = f"{row.parameters:,}", f"{row.steps:,}", f"{row.flops:.3g}", time, f"{row.state_size:,}"
        table.add_row(escape(row.variant), *counts)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=escape(title), title_justify="left", title_style="italic")
    for column in columns:
        table.add_column(column, justify="left" if column in ("", "verdict") else "right")
    return table


def _gain(results: Results, row: Row) -> str:
    return gain(results.verdict(row.variant, row.data)).replace(f" {METRICS[row.metric].unit_words}", "", 1)


def _word(results: Results, row: Row) -> str:
    verdict = results.verdict(row.variant, row.data)
    if row.void or verdict is None:
        return VOID if row.void else "reference"
    return briefly(verdict)[0]


def _rate(row: Row) -> str:
    return "–" if row.learning_rate is None else f"{row.learning_rate:g}{' (edge)' if row.edge else ''}"


def _remarks(results: Results) -> Iterator[str]:
    for sentence in dict.fromkeys(row.void for row in results.voided):
        yield f"Void: {sentence}"
    for row in results.rows:
        if row.edge:
            yield (
                f"The best learning rate of {row.variant} on {row.data}, {row.learning_rate:g}, is the {row.edge} of "
                "those tried: a better one may lie beyond."
            )
