"""Recursion: what the model would say after each pass, how deep each token goes, and when it may stop."""

import numpy as np
import streamlit as st

from lab.app.exhibit import exhibit
from lab.app.pondering import asking, can_ask, findings
from lab.app.scrub import Place
from lab.app.view import view
from lab.figures.depth import depths_of, has_depths
from lab.figures.lens import WORDS_UP_TO, quantities
from lab.jobs import Job
from lab.probe import Probe

ABOUT = (
    "The same layers run several times over; each pass goes on from where the one before stopped. The **lens** asks "
    "after every pass what the model would say if it stopped there, also for more passes than it was trained with. "
    "And where something decides how deep a token goes, you see what it decided."
)
SHOWN = {
    "loss": "loss", "gain": "change since pass 1", "entropy": "entropy", "top_probability": "probability",
    "moved": "movement", "confidence": "confidence",
}  # fmt: skip
# What the colours of the lens say, and what would be surprising.
SAYS = {
    "loss": "The stronger the colour, the worse the true next token was foreseen. *Surprising would be:* a column that "
    "grows stronger on its way up within the trained passes: thinking on made it worse.",
    "gain": "Blue: the true next token has become likelier than it was after the first pass; red: less likely. "
    "*Surprising would be:* no colour within the trained passes, for then one pass would do.",
    "entropy": "The stronger the colour, the less decided. *Surprising would be:* a column that grows stronger on its "
    "way up.",
    "top_probability": "The stronger the colour, the surer of its likeliest next token, right or wrong. *Surprising "
    "would be:* rows that all look alike.",
    "moved": "How much of the state a pass changed, as a share of its size. *Surprising would be:* a late pass that "
    "moves as much as an early one: then nothing settles.",
    "confidence": "How sure the halting head is that the next token is foreseen well. *Surprising would be:* a "
    "strong column where the loss is high.",
}


def page() -> None:
    """The lens, its mean, the depth of each token; and for runs at rest what stopping early would cost."""
    view("Recursion", ABOUT, "06_recursion_and_confidence", draw)


def draw(job: Job, place: Place) -> None:
    """Everything about passes at one place of a run."""
    probe = place.probe
    if "lens.loss" not in probe.arrays:
        st.info("This look was taken before there was a lens; “Read another text” above takes one with it.")
        return
    _kind(probe)
    first, second = st.columns([3, 2], gap="large", vertical_alignment="center")
    offered = quantities(probe)
    if st.session_state.get("quantity") not in offered:
        st.session_state.pop("quantity", None)
    quantity = first.segmented_control(
        "Colour", offered, default="loss", key="quantity", bind="query-params", required=True,
        format_func=SHOWN.__getitem__,
    )  # fmt: skip
    with second:
        tokens = _part(probe)
    exhibit(
        "lens", probe, quantity=quantity, tokens=tokens, loop=place.loop,
        says=f"**One column per token, one row per {probe.lens_unit}**, the first at the bottom. {SAYS[quantity]} "
        "Hover names the likeliest next token and the true one; with the words, the likeliest stands in each cell.",
    )  # fmt: skip
    if has_depths(probe):
        _depth(probe)
    if not can_ask(probe):
        _curve(probe, narrow=False)
        return
    left, right = st.columns(2, gap="medium")
    with left:
        _curve(probe, narrow=True)
    with right:
        asking(job, probe)
    findings(job)


def _curve(probe: Probe, *, narrow: bool) -> None:
    """The lens, on average."""
    exhibit("lens_curve", probe, narrow=narrow)


def _kind(probe: Probe) -> None:
    """What decides about depth in a model of this kind, in a sentence."""
    config = probe.config
    if config["recursion"] == "token-choice":
        says = "A **router** looks at each token once, before the first pass, and gives it its number of passes."
    elif config["recursion"] == "expert-choice":
        says = "Before each pass a **router** decides which tokens go on; those that stop keep the state they have."
    elif config["halting"] == "confidence":
        says = (
            "After each pass a **halting head** says how sure it is of every token. It has learned the model's own "
            f"loss: 1 where there is none, 0 from {config['loss_threshold']:g} nats on."
        )
    elif config["halting"] == "distribution":
        says = "After each pass a **halting head** gives the chance to stop there; training weighs the passes by it."
    elif probe.loops == 1:
        says = (
            "**This model runs its layers once**; nothing in it has learned to think again. What lies beyond the first "
            "pass below is what happens if it does so all the same, which mostly goes badly. Choose a run of the "
            "homunculus, mor or strawberry family to see passes that were trained."
        )
    else:
        says = f"**Every token takes all {probe.loops} passes**: nothing in this model decides about depth."
        if not can_ask(probe):
            says += " None could stop before the others either: its passes need all tokens."
    st.info(says, icon=":material/all_inclusive:")


def _part(probe: Probe) -> tuple[int, int] | None:
    """The tokens shown in the lens: all, or so few that the words can be read."""
    last = probe.tokens - WORDS_UP_TO
    if last <= 0:
        return None
    told = f"Shows {WORDS_UP_TO} tokens; each cell says what the model would say next, if it stopped there."
    if not st.toggle("Read the words", key="words", bind="query-params", help=told):
        return None
    if not 0 <= st.session_state.get("from", 0) <= last:
        st.session_state.pop("from")
    start = st.slider("From token", 0, last, 0, key="from", bind="query-params", label_visibility="collapsed")
    return start, start + WORDS_UP_TO


def _depth(probe: Probe) -> None:
    """How deep each token goes: as routed, or for a threshold that can be moved."""
    if probe.depth is not None:
        exhibit("exit_depth", probe)
        return
    start = depths_of(probe).threshold or 0.5
    threshold = st.slider(
        "Confidence at which a token stops", 0.0, 1.0, round(float(np.clip(start, 0, 1)), 2), 0.01, key="threshold",
        bind="query-params",
        help="At first it is the median confidence after the first pass, so that half of the tokens stop there.",
    )  # fmt: skip
    exhibit(
        "exit_depth", probe, threshold=threshold,
        also="It is computed as if all tokens went to full depth, so that the threshold can be moved freely; tokens "
        "that really stop leave deeper passes their last state to read, which changes a little.",
    )  # fmt: skip
