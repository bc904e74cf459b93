"""How runs and studies take turns: who trains, who waits in which order, and how many may train at once."""

import os
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from lab import jobs, recorded, tickets
from lab import status as statuses
from lab.ablate import desk
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
            "counts as one run, and waits in the same line."
        )
        for path in statuses.training(folder):
            if recorded.is_study(path):
                shell.link("ablate", f":green[●] {path.name}, a study")
            else:
                _row(jobs.Job(path), ":green[●]", words.progress(jobs.Job(path).status()))
        for path in line:
            _waits(path)
        fixed = bool(os.environ.get(tickets.AT_ONCE))
        st.number_input(
            "Runs at once", 1, tickets.MOST, number, key="at-once", disabled=fixed, width=160,
            on_change=lambda: shell.attempt(_set), help=f"Set by {tickets.AT_ONCE}." if fixed else
            "More than one makes each of them slower on one processor, and their memory adds up.",
        )  # fmt: skip


def in_line(folder: Path, what: str) -> bool:
    """Say who comes before ``what`` is started now; returns whether it is to begin beside them all the same."""
    busy, line = statuses.training(folder), tickets.waiting(folder)
    names = " and ".join(f"**{words.literal(path.name)}**" for path in busy[:3] or line[:1])
    does = ("trains" if len(busy) < 2 else "train") if busy else "is next in line"
    st.info(
        f"{names} {does} now. This {what} waits, {statuses.nth(len(line) + 1)} in line, and begins by itself when its "
        "turn comes, also when no page is open.",
        icon=":material/schedule:",
    )
    return st.checkbox(
        "Start at once instead, beside it", key="beside", help="Each then gets only its share of the processor. How "
        "many runs train at once is set on the Runs page."
    )  # fmt: skip


def _waits(path: Path) -> None:
    study = recorded.is_study(path)
    job = desk.Desk(path) if study else jobs.Job(path)
    status = job.status()
    if study:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            shell.link("ablate", f":violet[○] {path.name}, a study")
            st.caption(status.sentence, width="stretch")
            slots = st.container(horizontal=True, gap="small", width="content")
    else:
        slots = _row(jobs.Job(path), ":violet[○]", status.sentence)
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
