"""A person's own text in the page's address: written there while a picture is of it, read there when a link is opened.

A text from a link may be anybody's. It is short, it is only ever shown as text, and reading it changes nothing of the
run: where the run has no such picture, one is taken of a checkpoint and kept in memory for a while.
"""

from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import streamlit as st

from lab import recorded
from lab.app import live, models, shell
from lab.app.words import literal
from lab.jobs import Job
from lab.look import picture
from lab.probe import Probe
from strawberry.errors import StrawberryError

TEXT = "text"  # its name in the page's address
LONGEST = 1000  # characters of an address that a text may take, percent-encoded
HELD = "linked"  # in the session: where the link led, and its text


def shown(job: Job, step: str, probe: Probe) -> Probe:
    """The picture to show at the chosen ``step`` instead of the run's own ``probe``: of the link's text, if it has one.

    That holds until the person goes to another run or step, or has another text read. Says which one it is.
    """
    here = (job.name, step)
    if HELD not in st.session_state:
        # Once in a session: from then on the address says what is shown.
        st.session_state[HELD] = (here, _given())
    place, text = st.session_state[HELD]
    if place != here:
        leave()
        return probe
    if not text or text == probe.asked:
        return probe
    steps = recorded.checkpoints(job.folder)
    if not steps:
        st.caption("The link brings a text of its own, which the model can read once the run has saved a checkpoint.")
        return probe
    nearest = min(steps, key=lambda one: (abs(one - (probe.step or 0)), one))
    try:
        with st.spinner("The model is reading the link's text…"):
            taken = _reading(job.folder, nearest, models.written(job.folder, nearest), text)
    except StrawberryError as error:
        st.caption(f"The link's text could not be read. {literal(shell.sentence(error))}")
        return probe
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="linked-text"):
        st.caption(
            f":material/link: **The text of the link**, read by the checkpoint of step {nearest:,}; nothing of the run "
            "is changed.",
            width="content",
        )
        st.button("Show the run's own pictures", key="leave-link", type="tertiary", on_click=leave)
    return taken


def address(job: Job, probe: Probe) -> None:
    """Have the page's address name the text that is shown; a text that nobody asked for stays out of it."""
    text = "" if probe.asked == _default(job) else probe.asked
    fits = len(quote(text)) <= LONGEST
    if text and not fits:
        st.caption(
            "This text is too long for the page's address, so a link shows the run without it. To share it, give away "
            "a page instead: “Page (HTML, works offline)” below each figure."
        )
    if text and fits:
        if st.query_params.get(TEXT) != text:
            st.query_params[TEXT] = text
    elif TEXT in st.query_params:
        del st.query_params[TEXT]


def leave() -> None:
    """Look at the run's own pictures again."""
    st.session_state[HELD] = ("", "")


def _given() -> str:
    """The text that the address brings, if it is one that a link may carry."""
    text = st.query_params.get(TEXT, "").strip()
    if len(quote(text)) > LONGEST:
        st.caption(f"The link's text is longer than the {LONGEST:,} characters that a link may carry, and is not read.")
        return ""
    return text


def _default(job: Job) -> str:
    """What a run shows that was given no text: known where its first picture is of that."""
    steps = recorded.probes(job.folder)
    first = live.probe(job.folder, steps[0]) if steps else None
    return first.text if first and not first.asked else ""


@st.cache_resource(max_entries=4, ttl=900, show_spinner=False)
def _reading(folder: Path, step: int, written: int, text: str) -> Probe:
    """A picture of a checkpoint that reads a text; it knows the code that takes it again."""
    del written
    held = models.loaded(folder, step)
    with models.alone():
        taken = picture(
            held.model, held.tokenizer, text, own=True, step=step, run=folder.name, answers=held.answers
        )  # fmt: skip
    subject = models.Subject(folder, step, text, taken.tokens)
    code = [*subject.code, f"probe = lab.probe(run.model({step}), run.tokenizer, text, {subject.named})"]
    return replace(taken, meta={**taken.meta, "code": code})
