"""A report of a study for somebody who has not seen the code: an HTML page that works offline, and Markdown."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lab.ablate import glossary, others, sheets, wording
from lab.ablate.citations import bibtex, mechanisms
from lab.ablate.metric import METRICS
from lab.ablate.progress import duration
from lab.ablate.results import Results, Row
from lab.ablate.sketch import sketch
from lab.ablate.verdict import margin
from lab.ablate.views import View, views
from lab.figures.page import Front, Plate, Section
from lab.figures.page import write as write_page

HTML, MARKDOWN, PICTURE = "report.html", "report.md", "verdicts.svg"
SPREAD = "± is the standard deviation (sd) over the seeds"
SCATTERED = "where accuracies scatter, each seed's stands in brackets"


@dataclass(frozen=True)
class Part:
    """A chapter of the report, in the order: words, tables, code, figures."""

    heading: str
    says: str = ""
    tables: Sequence[pd.DataFrame] = ()
    code: str = ""
    views: Sequence[View] = ()


def write(results: Results, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write ``report.html``, and ``report.md`` with its picture, into a folder; returns the paths of the two."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    told, seen = list(parts(results)), _seen(place)
    still = sketch(results.verdicts, results.study["delta"])
    sections = [
        Section(part.heading, [_plate(view, seen, still) for view in part.views], part.says, part.tables, part.code)
        for part in told
    ]
    page = write_page(place / HTML, _front(results), sections)
    text = place / MARKDOWN
    (place / PICTURE).write_text(still, encoding="utf-8")
    text.write_text(markdown(results, told, PICTURE), encoding="utf-8")
    return page, text


def markdown(results: Results, told: Sequence[Part] | None = None, picture: str = "") -> str:
    """The report in Markdown: all words, tables and numbers; figures are on the page.

    told: its parts, where they are known already. picture: the file of :func:`~lab.ablate.sketch.sketch`, if any.
    """
    front = _front(results)
    lines = [f"# {front.title}", front.answer, f"**{front.alarm}**" if front.alarm else "", front.about]
    lines.append("\n".join(f"- {name}: {fact}" for name, fact in front.facts.items()))
    for part in told if told is not None else parts(results):
        lines += [f"## {part.heading}", part.says, *map(_table, part.tables)]
        lines.append(f"```\n{part.code.strip()}\n```" if part.code else "")
        if picture and any(view.name == "forest" for view in part.views):
            lines.append(f"![{part.heading}: each gain with its 95 % interval]({picture})")
    return "\n\n".join(filter(None, lines)) + "\n"


def parts(results: Results) -> Iterator[Part]:
    """The chapters, one by one."""
    drawn = views(results)
    whole = {view.name: view for view in drawn if not view.data}
    yield Part("The answer", views=[whole["forest"]])
    yield _comparisons(results)
    yield _variants(results)
    yield _names(results)
    data = list(dict.fromkeys(row.data for row in results.rows))
    if len(data) > 1:
        says = f"Scores, and what each came to against {results.study['reference']}. {_spread(results.rows)}"
        yield Part("Who can do what", says, [sheets.grid(results)], views=[whole["task_grid"]])
    for name in data:
        yield _data(results, name, [view for view in drawn if view.data == name])
    yield from _others(results)
    yield _fixed(results)
    yield _again(results)
    yield _sources(results)


def _front(results: Results) -> Front:
    study = results.study
    rates = ", ".join(map(str, study["learning_rates"])) or "a third, once and three times the variant's own"
    wider = ", and further ones where the best lay at an edge" if study.get("widen") else ""
    chosen = "" if len(study["learning_rates"]) == 1 else f"{wider}: the best for each"
    metrics = dict.fromkeys(METRICS[row.metric] for row in results.rows)
    facts = {
        "Compared": ", ".join(
            f"{name} (the reference)" if name == study["reference"] else name for name in study["variants"]
        ),
        "On": ", ".join(study["data"]),
        "Seeds": f"{', '.join(map(str, study['seeds']))}, the same for all",
        "Held equal": wording.BUDGETS[study["equal"]],
        "Learning rates": f"{rates}{chosen}",
        "Equal means": " or ".join(f"within {margin(study['delta'], one)} of {one.words}" for one in metrics),
        "Trainings": _trainings(results),
    }  # fmt: skip
    alarms = []
    if not results.complete:
        alarms.append("This study is not complete: what follows may still change.")
    if leaky := list(dict.fromkeys(row.variant for row in results.rows if not row.causal)):
        s = "" if len(leaky) > 1 else "s"
        alarms.append(f"{' and '.join(leaky)} read{s} the future: measured, and without a rank.")
    return Front(
        results.question, wording.answer(results), f"The study {study['name']}", facts, " ".join(alarms),
        folded={"The study as it was asked": json.dumps(study, indent=1, ensure_ascii=False)},
    )  # fmt: skip


def _trainings(results: Results) -> str:
    """How many were begun, and how many of them did not come to their end."""
    states = Counter(cell.state for cell in results.cells)
    begun = sum(states.values()) - states["waiting"]
    ends = {"stopped": "stopped early by halving", "diverged": "diverged", "failed": "failed", "begun": "not ended yet"}
    told = "".join(f", {states[state]} of them {words}" for state, words in ends.items() if states[state])
    return f"{begun} begun{told}; {duration(sum(cell.seconds for cell in results.cells))} of training in all"


def _comparisons(results: Results) -> Part:
    blocks = []
    if words := list(glossary.words(results)):
        blocks = ["What the words mean:", "\n".join(f"- {line}" for line in words), "One by one:"]
    blocks.append("\n".join(dict.fromkeys(f"- {verdict.sentence}" for verdict in results.verdicts)))
    return Part("Each comparison", "\n\n".join(filter(None, blocks)))


def _variants(results: Results) -> Part:
    """What the variants are, and what they cost, all data sets together."""
    says, by_data = (
        [glossary.base(results)],
        [[row for row in results.rows if row.data == data] for data in results.study["data"]],
    )
    alike = all(len({row.tokens / row.steps for row in rows}) == 1 for rows in by_data)
    if alike and any(len({row.steps for row in rows}) > 1 for rows in by_data):
        says.append(
            "Steps differ between variants: the data comes in the same order, and shorter trainings see less of it."
        )
    return Part("The variants", "\n\n".join(says), [sheets.variants(results)])


def _names(results: Results) -> Part:
    blocks = []
    for heading, lines in glossary.names(results):
        blocks += [f"**{heading}**", "\n".join(f"- {line}" for line in lines)]
    return Part("What the names mean", "\n\n".join(blocks))


def _data(results: Results, data: str, drawn: Sequence[View]) -> Part:
    rows = [row for row in results.rows if row.data == data]
    metric = METRICS[rows[0].metric]
    says = [f"Judged by {metric.words} on validation data: {'higher' if metric.higher else 'lower'} is better."]
    says += dict.fromkeys(f"**Void.** {row.void}" for row in rows if row.void)
    floor = next((row.floor for row in rows if row.floor is not None), None)
    if floor is not None:
        entropy = f"{floor:.4f} nats per token, the entropy of this data"
        says.append(f"No honest model can get below {entropy}, by more than chance.")
    if edges := [row for row in rows if row.edge]:
        told = ", ".join(f"{row.variant} ({row.learning_rate:g}, the {row.edge})" for row in edges)
        says.append(
            f"**The best learning rate lies at the edge** of what was tried: {told}. A better one may lie beyond."
        )
    says.append(_spread(rows))
    if any(cell.stage == "tune" and cell.data == data for cell in results.cells):
        says.append("The last table has the scores of tuning, each at the end, or where it was stopped.")
    return Part(data, "\n\n".join(says), list(sheets.of(results, data)), views=drawn)


def _spread(rows: Sequence[Row]) -> str:
    return f"{SPREAD}; {SCATTERED}." if any(METRICS[row.metric].absolute for row in rows) else f"{SPREAD}."


def _others(results: Results) -> Iterator[Part]:
    """Which two variants that are not the reference can be told apart, or are equal; nothing where there are no two."""
    if pairs := others.others(results):
        table = others.settled(pairs)
        yield Part("The others among themselves", others.told(results, pairs), [] if table.empty else [table])


def _fixed(results: Results) -> Part:
    table = pd.DataFrame(
        [{"variant": row.variant, "data": row.data, "what is set": glossary.changed(row), "steps": f"{row.steps:,}",
          "how its budget was matched": row.rule} for row in results.rows]
    )  # fmt: skip
    return Part("What was held equal", "\n".join(f"- {sentence}" for sentence in results.fixed), [table])


def _again(results: Results) -> Part:
    says = ["Same seeds, same machine, same versions: the same numbers, but for the times."]
    for one in results.environments:
        packages = ", ".join(f"{name} {version}" for name, version in one.get("packages", {}).items() if version)
        says.append(
            f"- Python {one.get('python')}, {packages}; {one.get('processor')}, {one.get('torch_threads')} thread(s) "
            f"each, on {one.get('device')}"
        )
    return Part("How to run it again", "\n\n".join([says[0], "\n".join(says[1:])]).strip(), code=results.command)


def _sources(results: Results) -> Part:
    found = mechanisms(results.settings())
    table = pd.DataFrame([{"what": one.name, "from": one.source} for one in found])
    return Part("Where it comes from", "", [table], bibtex(one.source for one in found))


def _plate(view: View, seen: str, still: str) -> Plate:
    """A figure of the page; that of the verdicts has a form without script, and one for narrow screens."""
    drawn = view.figure("light"), view.figure("dark")
    if view.name != "forest":
        return Plate(*drawn, view.says, view.code(seen), view.numbers())
    says = f"{view.says} Taught by notebook 08, *an honest ablation*."
    return Plate(*drawn, says, view.code(seen), view.numbers(), still, view.figure("light", narrow=True))


def _seen(folder: Path) -> str:
    """The study's folder as seen from here; its name alone where that would tell of this machine."""
    place = folder.resolve()
    return str(place.relative_to(Path.cwd())) if place.is_relative_to(Path.cwd()) else folder.name


def _table(table: pd.DataFrame) -> str:
    """A table in Markdown; bars in its entries are escaped."""
    rows = [list(map(str, table.columns)), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    rows = [rows[0], rows[1], *([entry.replace("|", "\\|") for entry in row] for row in rows[2:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
