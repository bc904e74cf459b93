"""A study as it runs and what it has found so far: its progress, its verdicts, its figures, its runs, its report."""

import json
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from lab import jobs
from lab.ablate import desk
from lab.app import shell, words
from lab.app.exhibit import piece
from lab.app.words import literal
from strawberry.errors import StrawberryError

if TYPE_CHECKING:
    from lab.ablate.results import CellResult, Results

# Columns, and how their numbers are written.
READ = {"FLOPs": words.count, "parameters": "{:,}".format, "seconds": "{:,.1f}".format}
BADGES = {
    "waiting": ("violet", ":material/schedule:"),
    "starting": ("blue", ":material/hourglass_top:"),
    "preparing": ("blue", ":material/hourglass_top:"),
    "training": ("green", ":material/play_arrow:"),
    "finished": ("gray", ":material/check:"),
    "stopped": ("gray", ":material/stop:"),
    "failed": ("red", ":material/error:"),
}
BEAT = 2.0  # seconds between two looks while the study is at work
COLOURS = {"better": "green", "worse": "orange", "equal": "blue"}


def findings(one: desk.Desk) -> None:
    """Draw a study; its progress redraws itself, and the rest when there is news."""
    st.subheader(literal(one.study.question), anchor=False)
    seen = _seen(one)
    status = one.status()
    st.fragment(shell.guarded(_progress), run_every=BEAT if status.live or status.place else None)(one, seen)
    results = one.results()
    if results is None or not any(row.scores for row in results.rows):
        _nothing(one, results)
        return
    _answer(results)
    _downloads(one, results)
    _figures(one, results)
    _runs(one, results)
    _held(results)


def _seen(one: desk.Desk) -> tuple[str, float]:
    """What the page knows of a study when it is drawn."""
    path = one.folder / desk.RESULTS
    return one.status().state, path.stat().st_mtime if path.is_file() else 0.0


def _progress(one: desk.Desk, seen: tuple[str, float]) -> None:
    if _seen(one) != seen:
        st.rerun()
    status = one.status()
    first, second, third = st.columns([5, 2, 2], vertical_alignment="center")
    colour, icon = BADGES[status.state]
    with first:
        st.badge(status.state, color=colour, icon=icon)  # type: ignore[arg-type]
    if status.place:
        st.info(f"This study waits: {literal(status.sentence)}", icon=":material/schedule:")
        second.button(
            "Leave the line", icon=":material/close:", key="stop-study", width="stretch", on_click=shell.attempt,
            args=(one.stop,), help="It stays as it is until it goes on.",
        )  # fmt: skip
        third.button(
            "Start now", icon=":material/play_arrow:", key="resume-study", width="stretch", on_click=shell.attempt,
            args=(lambda: one.resume(beside=True),), help="Beside what trains; each gets its share of the processor.",
        )  # fmt: skip
        return
    second.button(
        "Stop", icon=":material/stop:", key="stop-study", disabled=not status.live, width="stretch",
        on_click=shell.attempt, args=(one.stop,), help="The workers save; it goes on from there.",
    )  # fmt: skip
    over = status.live or status.state == "finished"
    third.button(
        "Go on", icon=":material/play_arrow:", key="resume-study", disabled=over, width="stretch",
        on_click=shell.attempt, args=(one.resume,), help="Nothing is trained twice.",
    )  # fmt: skip
    if status.live:
        told = status.sentence if status.state == "training" else f"{status.state}: {status.sentence}"
        st.progress(min(status.share, 1.0), literal(told))
    elif status.state == "failed":
        st.error(literal(status.sentence), icon=":material/error:")
        if log := one.log():
            with st.expander("The end of its log"):
                st.code(log, language=None, height=240)
    elif status.state == "stopped":
        st.caption(literal(status.sentence))


def _nothing(one: desk.Desk, results: "Results | None") -> None:
    """Nobody has finished a training that counts yet."""
    with st.container(border=True, key="empty"):
        tuned = sum(cell.state == "done" and cell.stage == "tune" for cell in results.cells) if results else 0
        told = f" {tuned} of them are done." if tuned else ""
        if one.status().live or one.status().place:
            st.markdown(
                "**No training that counts has ended yet.** First learning rates are tried for each variant; then "
                f"the seeds are trained, and verdicts come once all of them are there.{told}"
            )
        else:
            st.markdown("**Nothing has been measured yet.** Press *Go on*.")
    if results is not None:
        with st.expander("What is held equal"):
            _held_lines(results)


def _answer(results: "Results") -> None:
    """The verdicts in words, and the table with intervals."""
    from lab.ablate import others
    from lab.ablate.wording import BUDGETS, in_short

    if not results.complete:
        st.caption("Not complete: what follows may still change.")
    st.markdown(f"At equal {BUDGETS[results.study['equal']]}:")
    st.markdown("\n".join(f"- {_coloured(sentence)}" for sentence in in_short(results)))
    if leaky := list(dict.fromkeys(row.variant for row in results.rows if not row.causal)):
        st.warning(f"**{literal(', '.join(leaky))}** reads the future: measured, and without a rank.")
    for void in dict.fromkeys(row.void for row in results.voided):
        st.warning(f"**Void.** {literal(void)}", icon=":material/block:")
    st.dataframe(
        words.styled(_table(results), READ), hide_index=True, key="table-results",
        height=min(600, 38 + 35 * len(results.rows)), placeholder="–",
        column_config={
            "variant": st.column_config.TextColumn(pinned=True),
            "score": st.column_config.TextColumn(
                help="Mean ± standard deviation over the seeds; where accuracies scatter, each seed's in brackets."
            ),
            "verdict": st.column_config.TextColumn(width=330),
            "gain": st.column_config.TextColumn(
                width=190, help="Mean of the differences by seed, with its 95 % interval; of the reference's mean, or "
                "in points of accuracy. Positive is better."
            ),
            "state": st.column_config.NumberColumn(help="Numbers that decoding carries for one row of text."),
        },
    )  # fmt: skip
    with st.expander("The verdicts in full"):
        st.markdown("\n".join(f"- {literal(said)}" for said in dict.fromkeys(v.sentence for v in results.verdicts)))
    if pairs := others.others(results):
        with st.expander("The others among themselves", key="others"):
            st.markdown(literal(others.told(results, pairs)))
            if len(table := others.settled(pairs)):
                height = min(360, 38 + 35 * len(table))
                st.dataframe(table, hide_index=True, key="table-others", height=height)


def _coloured(sentence: str) -> str:
    """The words that settle something in the colours that they have in the figures."""
    for word, colour in COLOURS.items():
        sentence = sentence.replace(f"**{word}**", f":{colour}[**{word}**]")
    return sentence.replace("~", "\\~").replace("$", "\\$")


def _table(results: "Results") -> pd.DataFrame:
    """One line per variant and data set."""
    from lab.ablate import wording
    from lab.ablate.metric import METRICS

    lines = []
    for row in results.rows:
        verdict = results.verdict(row.variant, row.data)
        rate = None if row.learning_rate is None else f"{row.learning_rate:g}{' (edge)' if row.edge else ''}"
        lines.append({
            "data": row.data, "variant": row.variant, "judged by": METRICS[row.metric].words,
            "score": None if row.mean is None else wording.score(row), "gain": wording.gain(verdict) or None,
            "verdict": wording.came_to(results, row), "sd of the gains": wording.believed(verdict) or None,
            "learning rate": rate,
            "parameters": row.parameters, "FLOPs": row.flops, "seconds": row.seconds, "state": row.state_size,
        })  # fmt: skip
    return pd.DataFrame(lines)


def _downloads(one: desk.Desk, results: "Results") -> None:
    """The report in both forms, and all numbers."""
    from lab.ablate import report

    def page() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return report.write(results, Path(folder) / one.name)[0].read_bytes()

    files = (
        ("Report (HTML, works offline)", page, f"{one.name}.html", "text/html"),
        ("Report (Markdown)", lambda: report.markdown(results).encode(), f"{one.name}.md", "text/markdown"),
        ("All numbers (JSON)", lambda: json.dumps(results.to_dict()).encode(), f"{one.name}.json", "application/json"),
    )
    with st.container(horizontal=True, key="study-downloads"):
        for label, make, name, mime in files:
            st.download_button(
                label, make, name, mime, key=f"download-{name}", icon=":material/download:", on_click="ignore"
            )


def _figures(one: desk.Desk, results: "Results") -> None:
    """The verdicts, the grid, and one data set's figures at a time."""
    from lab.ablate.views import views
    from lab.figures.study.bands import ALONG

    data = list(dict.fromkeys(row.data for row in results.rows))
    chosen, along = data[0], "step"
    for place, view in enumerate(found := views(results)):
        if view.name == "task_grid" and len(data) < 2:
            continue
        if view.data and not found[place - 1].data:
            first, second = st.columns([3, 2])
            chosen = first.segmented_control(
                "Data", data, default=data[0], key="findings-data", bind="query-params", required=True
            )
            along = second.segmented_control(
                "Learning along", list(ALONG), default="step", key="along", bind="query-params", required=True,
                format_func={"step": "steps", "flops": "FLOPs", "seconds": "time"}.__getitem__,
            )  # fmt: skip
            found = views(results, along=str(along))
        if view.data in ("", chosen):
            view = found[place]
            slim = view.figure(shell.theme(), narrow=True) if view.name == "forest" else None
            code = view.code(f"runs/{one.name}")
            piece(
                view.name, view.says, view.figure(shell.theme()), view.numbers, code, f"{one.name}-{view.name}",
                about=f"{one.name} · seeds {', '.join(map(str, results.study['seeds']))}", slim=slim,
            )  # fmt: skip


def _runs(one: desk.Desk, results: "Results") -> None:
    """Every training, and the way to look inside one."""
    with st.expander(f"The {len(results.cells)} trainings", key="study-runs"):
        table = pd.DataFrame([
            {
                "variant": cell.variant, "data": cell.data, "for": "tuning" if cell.stage == "tune" else "the answer",
                "seed": cell.seed, "learning rate": cell.learning_rate, "state": cell.state,
                "step": f"{cell.step:,} of {cell.steps:,}", "loss": cell.loss, "accuracy": cell.accuracy,
                "told": cell.why or "; ".join(cell.warnings),
            }
            for cell in results.cells
        ])  # fmt: skip
        table = table.dropna(axis="columns", how="all")
        st.dataframe(table, hide_index=True, key="table-cells", height=min(420, 38 + 35 * len(table)), placeholder="–")
        kept = [cell for cell in results.cells if (one.folder / "cells" / cell.name / "checkpoints").is_dir()]
        if not kept:
            return
        with st.container(horizontal=True, vertical_alignment="bottom"):
            cell = st.selectbox(
                "Look inside one", kept, key="look-inside",
                format_func=lambda cell: f"{cell.variant} · {cell.data} · seed {cell.seed} · {cell.learning_rate:g}",
            )  # fmt: skip
            st.button(
                "Copy it to Runs", icon=":material/visibility:", key="copy-cell", on_click=shell.attempt,
                args=(lambda: _copy(one, cell),), help="All pages can look at it then, and its own run stays as it is.",
            )  # fmt: skip
        if said := st.session_state.pop("copied", None):
            st.success(f"**{said}** is chosen now.", icon=":material/check:")
            shell.link("runs", "Go to Runs", ":material/folder_open:")


def _copy(one: desk.Desk, cell: "CellResult | None") -> None:
    """Make a run of a training, and choose it."""
    if cell is None:
        return
    slug, digest = re.sub(r"[^A-Za-z0-9]+", "-", cell.variant).strip("-")[:18], cell.name.rpartition("-")[2]
    name = f"{one.name[:20]}-{slug}-s{cell.seed}-{digest}"
    target = jobs.runs_folder() / name
    if not target.exists():
        part = target.with_name(f".{name}.{time.time_ns()}")
        try:
            shutil.copytree(one.folder / "cells" / cell.name, part, ignore=shutil.ignore_patterns("lock"))
            part.rename(target)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            raise StrawberryError(
                f"{name} could not be copied ({error.strerror or error}); make room on the disk"
            ) from None
    shell.choose(name)
    st.session_state["copied"] = name


def _held(results: "Results") -> None:
    with st.expander("What was held equal, and how to run it again"):
        _held_lines(results)
        st.code(results.command, language="sh")


def _held_lines(results: "Results") -> None:
    st.markdown("\n".join(f"- {literal(sentence)}" for sentence in results.fixed))
    lines = [{"variant": row.variant, "data": row.data, "how its budget was matched": row.rule} for row in results.rows]
    st.dataframe(pd.DataFrame(lines), hide_index=True, key="table-rules", height=min(300, 38 + 35 * len(lines)))
