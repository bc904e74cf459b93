"""How runs take turns: who trains, who waits in which order, and how many may train at once."""

import os
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from lab import jobs, tickets
from lab import status as statuses
from lab.app import shell, words


def turns(folder: Path) -> None:
    """The line with a button for whatever can be done about it; draws nothing of a line where nobody waits."""
    line = tickets.waiting(folder)
    number = tickets.at_once(folder)
    several = "One run trains" if number == 1 else f"Up to {number} runs train"
    told = f" · {len(line)} waiting" if line else ""
    with st.expander(f"{several} at once{told}", icon=":material/schedule:", expanded=bool(line), key="turns"):
        st.caption(
            "A run that is started while as many train as may waits in line. It begins by itself when one of those "
            "ends, fails or is paused, also when no page is open and when the dashboard was closed meanwhile. A study "
            "counts as one run, and waits for nobody."
        )
        for path in statuses.training(folder):
            if (path / "study.json").exists():
                shell.link("ablate", f":green[●] {path.name}, a study")
            else:
                _row(jobs.Job(path), ":green[●]", words.progress(jobs.Job(path).status()))
        for path in line:
            _waits(jobs.Job(path))
        fixed = bool(os.environ.get(tickets.AT_ONCE))
        st.number_input(
            "Runs at once", 1, tickets.MOST, number, key="at-once", disabled=fixed, width=160,
            on_change=lambda: shell.attempt(_set), help=f"Set by {tickets.AT_ONCE}." if fixed else
            "More than one makes each of them slower on one processor, and their memory adds up.",
        )  # fmt: skip


def _waits(job: jobs.Job) -> None:
    status = job.status()
    slots = _row(job, ":violet[○]", status.sentence)
    what = [
        ("Start now", "play_arrow", lambda: job.resume(beside=True), True),
        ("To the front", "vertical_align_top", job.first, status.place > 1),
        ("Leave the line", "close", job.leave, True),
    ]
    for label, icon, action, on in what:
        slots.button(
            label, icon=f":material/{icon}:", key=f"{label}-{job.name}", type="tertiary", disabled=not on,
            on_click=shell.attempt, args=(action,),
        )  # fmt: skip


def _row(job: jobs.Job, sign: str, says: str) -> DeltaGenerator:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.button(f"{sign} {job.name}", key=f"row-{job.name}", type="tertiary"):
            shell.turn_to(job.name)
        st.caption(says, width="stretch")
        return st.container(horizontal=True, gap="small", width="content")


def _set() -> None:
    tickets.set_at_once(jobs.runs_folder(), int(st.session_state["at-once"]))
