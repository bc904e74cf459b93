"""A panel that measures which tokens moved one prediction of the model most."""

import streamlit as st

from lab.app import models, reach
from lab.app.scrub import Place
from lab.app.words import literal
from lab.figures.captions import caption
from lab.jobs import Job
from lab.measure.influence import Influence, influence

SAYS = (
    "Which earlier tokens made the model expect what it expects? Three answers, none of them the whole truth: what the "
    "**maps** say was read (layer by layer, pass by pass, back to the tokens), how much the prediction moves with each "
    "token's embedding (the **gradient**), and what the prediction loses when a token is blanked (**removal**)."
)


def influential(job: Job, place: Place) -> None:
    """Draw the panel."""
    with reach.drawer("Influential tokens: what moved a prediction", "influential", ":material/ads_click:") as is_open:
        if not is_open:
            return
        subject = models.subject_of(job, place.probe)
        if subject is None:
            return
        st.markdown(SAYS)
        tokens = place.probe.tokens
        position = st.slider(
            "Prediction after token", 0, tokens - 1, min(tokens - 1, 63), key=f"influential-{tokens}",
            help="The further on, the longer it takes: each token up to there is blanked once.",
        )  # fmt: skip
        st.caption(f"…{literal(''.join(place.probe.pieces[max(0, position - 11) : position + 1]))} **?**")
        asked = (subject, position)
        if st.button("Measure", key="influential-do", type="primary", icon=":material/ads_click:"):
            st.session_state["influential-asked"] = asked
        if st.session_state.get("influential-asked") != asked:
            return
        with st.spinner(f"The model is reading the text {position + 1} times, each time without one token…"):
            found = _influence(subject, subject.written, position)
        reach.show("influence", caption("influence")[0], found, told(subject, position))


def told(subject: models.Subject, position: int) -> str:
    """Python that finds the same, as ``found``."""
    lines = [
        "import strawberry",
        "from lab import figures",
        "from lab.measure.influence import influence",
        "",
        *subject.code,
        f"found = influence(run.model({subject.step}), run.tokenizer, text, {position}, {subject.named})",
    ]
    return "\n".join(lines)


@st.cache_resource(max_entries=8, hash_funcs=models.HASHED, **models.KEEP)
def _influence(subject: models.Subject, written: int, position: int) -> Influence:
    del written
    held = models.loaded(subject.folder, subject.step)
    taken = reach.before_of(subject).probe
    with models.alone():
        return influence(held.model, held.tokenizer, subject.text, min(position, taken.tokens - 1), taken=taken)
