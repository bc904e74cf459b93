"""The heartbeat of a page that shows a training: one small fragment that redraws the page when there is news."""

import contextlib

import streamlit as st

from lab import recorded
from lab.app import scrub, words
from lab.app.shell import guarded
from lab.jobs import Job

EVERY = 2.0  # seconds
Seen = tuple[str, tuple[int, int] | None]  # state of the run; step of its newest probe, and when that was written


def interval(job: Job) -> float | None:
    """How often to look for news; None when nothing can change by itself."""
    state = job.status().state
    if state in ("starting", "preparing data"):
        return EVERY / 2
    return EVERY if state in ("training", "paused") else None


def pulse(job: Job) -> None:
    """One line that says how the training fares; draws the whole page again when it has something new to show."""
    st.fragment(guarded(_beat), run_every=interval(job))(job, seen(job))


def seen(job: Job) -> Seen:
    """What a page knows of a run when it is drawn."""
    return job.status().state, _newest(job)


def news(job: Job, seen: Seen) -> bool:
    """Whether the state has changed, or a newer probe has come to be followed, since the page was drawn."""
    state, newest = seen
    return job.status().state != state or (scrub.following() and _newest(job) != newest)


def _newest(job: Job) -> tuple[int, int] | None:
    for step in reversed(recorded.probes(job.folder)):
        with contextlib.suppress(OSError):
            return step, recorded.probe_path(job.folder, step).stat().st_mtime_ns
    return None


def _beat(job: Job, seen: Seen) -> None:
    if news(job, seen):
        st.rerun()
    status = job.status()
    colour, _ = words.BADGES[status.state]
    sentence = f" — {status.sentence}" if status.sentence else ""
    st.caption(f":{colour}[●] {status.state} · {words.progress(status)}{sentence}")
