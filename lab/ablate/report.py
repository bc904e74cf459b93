"""A report of a study for somebody who has not seen the code: an HTML page that works offline, and Markdown."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lab.ablate.citations import bibtex, mechanisms
from lab.ablate.metric import METRICS
from lab.ablate.progress import duration
from lab.ablate.results import Results, Row
from lab.ablate.sketch import sketch
from lab.ablate.verdict import BETTER, EQUAL, UNRANKED, UNSETTLED, VOID, WORSE, briefly
from lab.ablate.views import View, half, in_short, views
from lab.figures.page import Front, Plate, Section
from lab.figures.page import write as write_page

HTML, MARKDOWN, PICTURE = "report.html", "report.md", "verdicts.svg"
WORDS = {
    BETTER: "a difference that chance hardly makes, after the correction for how many comparisons there are.",
    WORSE: "such a difference, to the variant's disadvantage.",
    EQUAL: "whatever difference there is lies within the margin that the study calls irrelevant.",
    UNSETTLED: "these seeds can tell neither; the number of further seeds is what it would probably take.",
    UNRANKED: "the variant reads the future, so its score says nothing about prediction.",
}


@dataclass(frozen=True)
class Part:
    """A chapter of the report, in the order: words, table, code, figures."""

    heading: str
    says: str = ""
    table: pd.DataFrame | None = None
    code: str = ""
    views: Sequence[View] = ()


def write(results: Results, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write ``report.html``, and ``report.md`` with its picture, into a folder; returns the paths of the two."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    told, seen = list(parts(results)), _seen(place)
    sections = [
        Section(part.heading, [_plate(view, seen) for view in part.views], part.says, part.table, part.code)
        for part in told
    ]
    page = write_page(place / HTML, _front(results), sections)
    text = place / MARKDOWN
    (place / PICTURE).write_text(sketch(results.verdicts, results.study["delta"]), encoding="utf-8")
    text.write_text(markdown(results, told, PICTURE), encoding="utf-8")
    return page, text


def markdown(results: Results, told: Sequence[Part] | None = None, picture: str = "") -> str:
    """The report in Markdown: all words, tables and numbers; figures are on the page.

    told: its parts, where they are known already. picture: the file of :func:`~lab.ablate.sketch.sketch`, if any.
    """
    front = _front(results)
    lines = [f"# {front.title}", front.about, f"**{front.alarm}**" if front.alarm else ""]
    lines.append("\n".join(f"- {name}: {fact}" for name, fact in front.facts.items()))
    for part in told if told is not None else parts(results):
        lines += [f"## {part.heading}", part.says, "" if part.table is None else _table(part.table)]
        lines.append(f"```\n{part.code.strip()}\n```" if part.code else "")
        if picture and any(view.name == "forest" for view in part.views):
            lines.append(f"![{part.heading}: each gain with its 95 % interval]({picture})")
    return "\n\n".join(filter(None, lines)) + "\n"


def parts(results: Results) -> Iterator[Part]:
    """The chapters, one by one."""
    drawn = views(results)
    whole = [view for view in drawn if not view.data]
    yield _answer(results, [view for view in whole if view.name == "forest"])
    data = list(dict.fromkeys(row.data for row in results.rows))
    if len(data) > 1:
        says = "A score, the half of its 95 % interval over seeds, and what it came to against the reference."
        yield Part("Who can do what", says, _grid(results), views=[one for one in whole if one.name == "task_grid"])
    for name in data:
        yield _data(results, name, [view for view in drawn if view.data == name])
    yield _fixed(results)
    yield _again(results)
    yield _sources(results)


def _front(results: Results) -> Front:
    study, done = results.study, sum(cell.state == "done" for cell in results.cells)
    stopped = sum(cell.state == "stopped" for cell in results.cells)
    early = f" and {stopped} that were stopped early" if stopped else ""
    rates = ", ".join(map(str, study["learning_rates"])) or "a third, once and three times the variant's own"
    chosen = "" if len(study["learning_rates"]) == 1 else ": the best for each"
    facts = {
        "Compared": ", ".join(
            f"{name} (the reference)" if name == study["reference"] else name for name in study["variants"]
        ),
        "On": ", ".join(study["data"]),
        "Seeds": f"{', '.join(map(str, study['seeds']))}, the same for all",
        "Held equal": {"flops": "FLOPs of training"}.get(study["equal"], study["equal"]),
        "Learning rates": f"{rates}{chosen}",
        "Equal means": f"within {study['delta']:.1%}, of accuracy in points",
        "Trainings": f"{done}{early}, {duration(sum(cell.seconds for cell in results.cells))} of training in all",
    }  # fmt: skip
    alarms = []
    if not results.complete:
        alarms.append("This study is not complete: what follows may still change.")
    if leaky := list(dict.fromkeys(row.variant for row in results.rows if not row.causal)):
        s = "" if len(leaky) > 1 else "s"
        alarms.append(f"{' and '.join(leaky)} read{s} the future: measured, and without a rank.")
    return Front(
        results.question, about=f"The study {study['name']}", facts=facts, alarm=" ".join(alarms),
        folded={"The study as it was asked": json.dumps(study, indent=1, ensure_ascii=False)},
    )  # fmt: skip


def _answer(results: Results, drawn: Sequence[View]) -> Part:
    words = [word for word in WORDS if any(verdict.word == word for verdict in results.verdicts)]
    edges = list(dict.fromkeys(f"{row.variant} on {row.data}" for row in results.rows if row.edge))
    short = [*in_short(results)]
    if edges:
        short.append(
            f"At the edge of the learning rates tried, so that a better one may lie beyond: {', '.join(edges)}."
        )
    blocks = [
        "\n\n".join(short),
        "What the words mean:",
        "\n".join(f"- **{word}**: {WORDS[word]}" for word in words),
        "In full:",
        "\n".join(dict.fromkeys(f"- {verdict.sentence}" for verdict in results.verdicts)),
    ]
    return Part("The answer", "\n\n".join(blocks if words else blocks[:1] + blocks[3:]), views=drawn)


def _data(results: Results, data: str, drawn: Sequence[View]) -> Part:
    rows = [row for row in results.rows if row.data == data]
    metric = METRICS[rows[0].metric]
    says = [
        f"Judged by {metric.words} on validation data: {'higher' if metric.higher else 'lower'} is better. Means over "
        "the seeds, ± standard deviation; the gain is the mean of the differences by seed, with its 95 % interval."
    ]
    says += dict.fromkeys(f"**Void.** {row.void}" for row in rows if row.void)
    floor = next((row.floor for row in rows if row.floor is not None), None)
    if floor is not None:
        says.append(f"No model that does not cheat can get below {floor:.4f} nats per token, the entropy of this data.")
    edges = [row for row in rows if row.edge]
    if edges:
        told = ", ".join(f"{row.variant} ({row.learning_rate:g}, the {row.edge})" for row in edges)
        says.append(
            f"**The best learning rate lies at the edge** of what was tried: {told}. A better one may lie beyond."
        )
    table = pd.DataFrame([_line(results, row) for row in rows])
    return Part(data, "\n\n".join(says), table, views=drawn)


def _line(results: Results, row: Row) -> dict[str, str]:
    """A row of the table, in words."""
    metric, verdict = METRICS[row.metric], results.verdict(row.variant, row.data)
    score = "–" if row.mean is None else f"{row.mean:.4f}"
    gain = ""
    if verdict is not None and verdict.gain is not None and verdict.low is not None and verdict.high is not None:
        low, high = (metric.says(end).partition(" ")[0] for end in (verdict.low, verdict.high))
        gain = f"{metric.says(verdict.gain)} ({low} to {high})"
    return {
        "variant": row.variant,
        metric.words: score if row.sd is None else f"{score} ± {row.sd:.2g}",
        "gain": gain,
        "verdict": _word(results, row),
        "learning rate": "–" if row.learning_rate is None else f"{row.learning_rate:g}{' (edge)' if row.edge else ''}",
        "parameters": f"{row.parameters:,}",
        "FLOPs": f"{row.flops:.3g}",
        "time": "–" if row.seconds is None else duration(row.seconds),
        "numbers kept per row": f"{row.state_size:,}",
        "FLOPs of a token forward": f"{row.decode_flops:.3g}",
        "effect (Hedges g)": "" if verdict is None or verdict.effect is None else f"{verdict.effect:+.1f}",
    }


def _word(results: Results, row: Row) -> str:
    verdict = results.verdict(row.variant, row.data)
    if row.void or verdict is None:
        return VOID if row.void else "reference"
    word, more = briefly(verdict)
    return f"{word} ({more})" if verdict.word == UNSETTLED else word


def _grid(results: Results) -> pd.DataFrame:
    """Variants down, data across, in words."""
    lines: dict[str, dict[str, str]] = {}
    for row in results.rows:
        spread = half(row)
        score = "–" if row.mean is None else f"{row.mean:.3f}{'' if spread is None else f' ± {spread:.2g}'}"
        lines.setdefault(row.variant, {"variant": row.variant})[row.data] = f"{score}, {_word(results, row)}"
    return pd.DataFrame(list(lines.values()))


def _fixed(results: Results) -> Part:
    table = pd.DataFrame(
        [{"variant": row.variant, "data": row.data, "changed": _changed(row), "steps": f"{row.steps:,}",
          "how its budget was matched": row.rule} for row in results.rows]
    )  # fmt: skip
    return Part("What was held equal", "\n".join(f"- {sentence}" for sentence in results.fixed), table)


def _changed(row: Row) -> str:
    return ", ".join(f"{name} = {value}" for name, value in row.changes.items()) or "nothing"


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
    return Part("What was compared, and where it comes from", "", table, bibtex(one.source for one in found))


def _plate(view: View, seen: str) -> Plate:
    says = f"{view.says} Taught by notebook 08, *an honest ablation*." if view.name == "forest" else view.says
    return Plate(view.figure("light"), view.figure("dark"), says, view.code(seen), view.numbers())


def _seen(folder: Path) -> str:
    """The study's folder as seen from here; its name alone where that would tell of this machine."""
    place = folder.resolve()
    return str(place.relative_to(Path.cwd())) if place.is_relative_to(Path.cwd()) else folder.name


def _table(table: pd.DataFrame) -> str:
    """A table in Markdown; bars in its entries are escaped."""
    rows = [list(map(str, table.columns)), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    rows = [rows[0], rows[1], *([entry.replace("|", "\\|") for entry in row] for row in rows[2:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
