"""Train: choose a model, start it, and watch it learn."""

import streamlit as st

from lab import jobs
from lab.app import shell, words
from lab.app.chooser import chooser
from lab.app.lesson import lesson
from lab.app.monitor import monitor

COMING = (
    ("show_chart", "The loss", "How badly the model guesses the next token. It falls, fast at first."),
    ("filter_frames", "The weights", "A filmstrip of the weights that the model makes from what it has just read."),
    ("alt_route", "The experts", "Which part of the model works on which token."),
    ("grid_on", "The maps", "Which token reads which, in attention and in what replaces it."),
)


def page() -> None:
    """The form while no run is chosen; the run itself once one is."""
    job = shell.chosen()
    if job is not None:
        monitor(job)
        lesson("01_first_bite")
        return
    st.title("Train a Strawberry", anchor=False)
    st.markdown(
        "Text goes in, a small language model learns to continue it, and you watch it rewrite its own weights as it "
        "reads. **Press Start**: the defaults train on this computer and show a first result within seconds."
    )
    lesson("01_first_bite")
    shell.complain()
    chooser()
    _what_comes()
    _recent()


def _what_comes() -> None:
    """What a person will see after the press, for somebody who has never seen it."""
    st.markdown("#### What you will see")
    for column, (icon, title, text) in zip(st.columns(4, gap="medium"), COMING, strict=True):
        with column:
            st.markdown(f":material/{icon}: **{title}**")
            st.caption(text)


def _recent() -> None:
    """The newest runs, to go on looking at them."""
    runs = jobs.every(jobs.runs_folder())[:6]
    if not runs:
        return
    st.markdown("#### Runs so far")
    for job in runs:
        status = job.status()
        colour, icon = words.BADGES[status.state]
        first, second, third = st.columns([3, 2, 5], vertical_alignment="center")
        first.button(job.name, key=f"open-{job.name}", on_click=shell.choose, args=(job.name,), type="tertiary")
        second.badge(words.badge(status), color=colour, icon=icon)  # type: ignore[arg-type]
        third.caption(status.sentence if status.state == "waiting" else words.progress(status))
