"""Runs: what there is, what tells runs apart, and whatever is done with a run as a whole."""

import datetime
import hashlib
from pathlib import Path

import pandas as pd
import streamlit as st

from lab import figures, jobs, shelf
from lab.app import live, shell, words
from lab.app.exhibit import piece
from lab.app.keeping import PICKED, delete_dialog, export_dialog, import_form, rename_dialog
from lab.app.turns import turns
from lab.figures.captions import caption
from lab.figures.overlay import BY, UNITS, Curve
from lab.shelf import Entry

ABOUT = (
    "Every run is a folder, and here are all of them. **Tick runs** to lay their curves over one another and see what "
    "tells them apart; tick one to look at it, rename it, take it elsewhere, or throw it away."
)
BEAT = 4.0  # seconds between two looks at the list while a run is at work
MOST = 6  # curves in one picture
READ = {"right": "{:.1%}".format, "parameters": words.count, "size": words.size}  # columns that are read in words


def page() -> None:
    """The list with its filter, curves and differences of what is ticked, and the way in for others' runs."""
    st.title("Runs", anchor=False)
    st.markdown(ABOUT)
    folder = jobs.runs_folder()
    shelf.sweep(folder)
    if said := st.session_state.pop("said", None):
        st.success(said, icon=":material/check:")
    shell.turned()
    shell.complain()
    every = shelf.entries(folder)
    if not every:
        with st.container(border=True, key="empty"):
            st.markdown(f"**There is no run yet.** Runs live in `{folder}`. Start one, or import one below.")
            shell.link("train", "Go to Train", ":material/play_circle:")
    else:
        st.text_input(
            "Filter", key="filter", bind="query-params", icon=":material/search:", max_chars=200,
            placeholder="such as: finished strawberry, mixer=softmax, loops=2",
            help="Words that must all be in a run's name, state, family, data, or in a field=value of its "
            "configuration.",
        )  # fmt: skip
        at_work = any(entry.status.place or (entry.status.live and entry.status.state != "paused") for entry in every)
        st.fragment(shell.guarded(_shelf), run_every=BEAT if at_work else None)(folder)
    import_form(folder)


def _shelf(folder: Path) -> None:
    said = str(st.session_state.get("filter") or "")
    found = [entry for entry in shelf.entries(folder) if entry.matches(said)]
    if not found:
        st.info(f"No run matches “{said}”.")
        return
    turns(folder)
    _list(found)
    names = set(st.session_state.get(PICKED, []))
    picked = [entry for entry in found if entry.name in names]
    _tools(folder, picked)
    chosen = picked or found
    _curves(chosen, picked=bool(picked))
    if len(picked) > 1:
        _differences(picked[:MOST])


def _list(found: list[Entry]) -> None:
    """The table; ticks are kept by name, since rows move when a run is added."""
    names = [entry.name for entry in found]
    # Another list is another table, which begins with the ticks that still hold.
    key = f"list-{hashlib.sha1(repr(names).encode()).hexdigest()[:12]}"
    before = set(st.session_state.get(PICKED, []))
    rows = [number for number, name in enumerate(names) if name in before]

    def pick() -> None:
        ticked = st.session_state[key]["selection"]["rows"]
        st.session_state[PICKED] = [names[row] for row in ticked if row < len(names)]

    st.dataframe(
        words.styled(listed(found), READ), hide_index=True, key=key, on_select=pick, selection_mode="multi-row",
        selection_default={"selection": {"rows": rows, "columns": [], "cells": []}},
        height=min(420, 38 + 35 * len(found)), placeholder="–", alt="All runs",
        column_config={
            "run": st.column_config.TextColumn(width="medium", pinned=True),
            "loss": st.column_config.NumberColumn(format="%.3f", help="Nats per token: on validation text, or in "
                                                  "training where it was never validated."),
            "bits/byte": st.column_config.NumberColumn(format="%.3f", help="On validation text."),
            "right": st.column_config.NumberColumn(help="Share of right answers, of a task."),
            "done": st.column_config.ProgressColumn(format="%.0f%%", min_value=0.0, max_value=100.0, width="small"),
            "size": st.column_config.NumberColumn(help="On the disk."),
            "begun": st.column_config.DatetimeColumn(format="distance"),
        },
    )  # fmt: skip


def listed(found: list[Entry]) -> pd.DataFrame:
    """One line per run, as the table shows it."""
    lines = []
    for entry in found:
        status = entry.status
        begun = datetime.datetime.fromtimestamp(entry.created, datetime.UTC) if entry.created else None
        lines.append({
            "run": entry.name, "state": words.badge(status), "family": entry.family, "step": status.step,
            "done": min(100 * status.step / status.steps, 100.0) if status.steps else None, "loss": entry.loss,
            "bits/byte": entry.bits_per_byte, "right": entry.accuracy, "parameters": entry.parameters,
            "size": entry.bytes, "begun": begun,
        })  # fmt: skip
    return pd.DataFrame(lines)


def _tools(folder: Path, picked: list[Entry]) -> None:
    """What can be done with the ticked runs, in places that never change."""
    one = picked[0] if len(picked) == 1 else None
    idle = bool(picked) and not any(entry.status.live for entry in picked)
    with st.container(horizontal=True, gap="small", key="tools"):
        name = one.name if one else ""
        if st.button("Look at it", icon=":material/visibility:", key="open", disabled=one is None):
            shell.turn_to(name)
        if st.button("Rename", icon=":material/edit:", key="rename", disabled=one is None or not idle):
            rename_dialog(folder, name)
        if st.button("Export", icon=":material/archive:", key="export", disabled=one is None):
            export_dialog(folder / name)
        label = "Delete" if len(picked) < 2 else f"Delete {len(picked)}"
        if st.button(label, icon=":material/delete:", key="delete", disabled=not idle):
            delete_dialog(folder, [(entry.name, entry.bytes) for entry in picked])
    if not picked:
        st.caption("Nothing is ticked: the boxes are at the left edge of the table.")
    elif not idle:
        st.caption("A run that is at work can be neither renamed nor deleted; stop it on the Train page first.")


def _curves(chosen: list[Entry], *, picked: bool) -> None:
    curves: list[Curve] = []
    drawn: list[Entry] = []
    for entry in chosen:
        if len(curves) < MOST and len((curve := curve_of(entry)).steps):
            curves.append(curve)
            drawn.append(entry)
    if not curves:
        st.caption("None of these runs has recorded a loss yet.")
        return
    tokens = {curve.bytes_per_token for curve in curves}
    known = None not in tokens
    first, second = st.columns(2)
    by = first.segmented_control(
        "Along", list(BY), default="step", key="by", bind="query-params", required=True,
        format_func={"step": "steps", "tokens": "tokens", "time": "time"}.__getitem__,
    )  # fmt: skip
    units = list(UNITS) if known else ["nats"]
    unit = second.segmented_control(
        "Loss in", units, default="bits" if known and len(tokens) > 1 else units[0], key="unit",
        bind="query-params", required=True, format_func=UNITS.__getitem__,
    )  # fmt: skip
    about = "" if picked else f"The {len(curves)} newest runs, since none is ticked. " if len(curves) > 1 else ""
    if len(tokens) > 1 and unit == "nats":
        about += "**These runs cut text into different tokens: compare them in bits per byte.** "
    if picked and len(chosen) > len(curves) == MOST:
        about += f"Only the first {MOST} are drawn. "
    figure = figures.loss_overlay(curves, by=str(by), unit=str(unit), theme=shell.theme())
    piece(
        "loss_overlay",
        f"{about}{caption('loss_overlay')[0]}",
        figure,
        lambda: figures.table("loss_overlay", curves, by=str(by), unit=str(unit)),
        _redraw(curves, str(by), str(unit)),
        "loss-" + "-".join(curve.name for curve in curves)[:80],
        about=", ".join(f"{entry.name} · seed {entry.fields.get('seed', '?')}" for entry in drawn),
    )


def curve_of(entry: Entry) -> Curve:
    """A run's losses, from its events."""
    record = live.record(entry.job.folder)
    steps = record.steps
    return Curve(
        entry.name, [step.step for step in steps], [step.tokens for step in steps], [step.seconds for step in steps],
        [step.loss for step in steps], record.validation, record.started.bytes_per_token if record.started else None,
    )  # fmt: skip


def _redraw(curves: list[Curve], by: str, unit: str) -> str:
    names = ", ".join(repr(curve.name) for curve in curves)
    return (
        "from pathlib import Path\n\nfrom lab import figures\nfrom lab.app.live import Record\n"
        "from lab.figures.overlay import Curve\n\n\n"
        "def curve(name):\n"
        '    record = Record(Path("runs") / name).refresh()\n'
        "    steps = record.steps\n"
        '    along = ([getattr(step, what) for step in steps] for what in ("step", "tokens", "seconds", "loss"))\n'
        "    return Curve(name, *along, record.validation, record.started.bytes_per_token)\n\n\n"
        f"figures.loss_overlay([curve(name) for name in ({names},)], by={by!r}, unit={unit!r}).show()"
    )


def _differences(picked: list[Entry]) -> None:
    """The fields in which the ticked runs differ, and no others."""
    told = shelf.differences(picked)
    with st.container(border=True, key="differences"):
        if told.empty:
            st.markdown("**Nothing tells these runs apart**: their configurations, data and steps are the same.")
            return
        st.markdown("**What tells them apart**; everything else is the same in all of them.")
        shown = told.reset_index()
        st.dataframe(shown, hide_index=True, key="table-differences", height=min(420, 38 + 35 * len(shown)))
