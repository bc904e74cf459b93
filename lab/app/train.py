"""Train: choose a model, start it, and watch it learn."""

import streamlit as st

from lab.app import shell
from lab.app.chooser import chooser
from lab.app.monitor import monitor


def page() -> None:
    """The form while no run is chosen; the run itself once one is."""
    job = shell.chosen()
    if job is not None:
        monitor(job)
        return
    st.title("Train a Strawberry", anchor=False)
    st.markdown(
        "Text goes in, a small language model learns to continue it, and you watch it rewrite its own weights as it "
        "reads. **Press Start**: the defaults train on this computer and show a first result within seconds."
    )
    shell.complain()
    chooser()
