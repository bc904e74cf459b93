"""The heartbeat of a page that shows a training: one small fragment that redraws the page when there is news."""

import contextlib
import time

import streamlit as st

from lab import recorded
from lab.app import scrub, words
from lab.app.shell import guarded
from lab.jobs import Job

# Seconds between two looks for news: while a run begins, while it is young, and later.
BEGINS, YOUNG, LATER = 1.0, 1.5, 4.0
YOUTH = 40.0
# State of the run and its place in the line; step of its newest probe, and when that was written.
Seen = tuple[tuple[str, int], tuple[int, int] | None]


def interval(job: Job) -> float | None:
    """Seconds between two looks for news; None when nothing can change by itself.

    Each look takes a moment of the processor that trains, so an older run is looked at less often.
    """
    status = job.status()
    if status.state in ("starting", "preparing data"):
        return BEGINS
    if status.place:
        return YOUNG
    if not status.live:
        return None
    young = time.time() - job.request.get("created", 0.0) < YOUTH
    return YOUNG if young or status.state == "paused" else LATER


def pulse(job: Job) -> None:
    """One line that says how the training fares; draws the whole page again when it has something new to show."""
    st.fragment(guarded(_beat), run_every=interval(job))(job, seen(job))


def seen(job: Job) -> Seen:
    """What a page knows of a run when it is drawn."""
    return _state(job), _newest(job)


def news(job: Job, seen: Seen) -> bool:
    """Whether the state has changed, or a newer probe has come to be followed, since the page was drawn."""
    state, newest = seen
    return _state(job) != state or (scrub.following() and _newest(job) != newest)


def _state(job: Job) -> tuple[str, int]:
    status = job.status()
    return status.state, status.place


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
