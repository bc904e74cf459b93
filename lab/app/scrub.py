"""The scrubbers that all views share: training step, pass over the layers, layer; they live in the page's address.

The training step also plays: from picture to picture, until the newest one is reached or somebody pauses.
"""

import time
from dataclasses import dataclass

import streamlit as st

from lab import recorded
from lab.app import linked, live, shell
from lab.app.words import literal
from lab.jobs import Job
from lab.probe import Probe

LATEST = "latest"
PACE = 1.0  # seconds that a picture is shown while training time plays


@dataclass(frozen=True)
class Place:
    """Where in a run the views look; ``loop`` and ``layer`` count from 0, and frame ``loop + 1`` is what pass ``loop``
    runs on."""

    probe: Probe
    loop: int
    layer: int
    begins: bool

    @property
    def frame(self) -> int:
        """The state of the made weights: 0 is where they begin, r is after r update steps."""
        return 0 if self.begins else self.loop + 1


def following() -> bool:
    """Whether the views show the newest probe, whichever that is."""
    return st.session_state.get("step", LATEST) == LATEST


def playing() -> bool:
    """Whether training time plays; a page that draws the scrubbers then draws them again every :data:`PACE` seconds."""
    return bool(st.session_state.get("playing"))


def scrubbers(job: Job, *, begin: bool = False) -> Place | None:
    """Draw the scrubbers and load what they point to; None when there is no probe yet.

    ``begin`` offers the state before the first pass as well, where the weights are (base, generated).
    """
    steps = recorded.probes(job.folder)
    if not steps:
        return None
    with st.container(key="scrubbers", border=True):
        left, middle, right = st.columns([5, 3, 2], vertical_alignment="center")
        options = [*map(str, steps), LATEST]
        with left, st.container(horizontal=True, vertical_alignment="bottom"):
            _keep("step", options)
            _advance(options)
            _play_button(options)
            step = st.select_slider(
                "Training step", options, value=LATEST, key="step", bind="query-params",
                help="Each mark is a look that was taken at the model; “latest” follows the training. Play goes from "
                "mark to mark.",
            )  # fmt: skip
        probe = live.probe(job.folder, steps[-1] if step == LATEST else int(step))
        if probe is None:
            st.info("This look was removed to save space; choose another step.")
            return None
        probe = linked.shown(job, str(step), probe)
        passes = ["start"] * begin + [f"pass {number + 1}" for number in range(probe.loops)]
        layers = [str(number) for number in range(probe.layers)]
        with middle:
            _keep("loop", passes)
            loop = st.segmented_control(
                "Pass", passes, default=passes[-1], key="loop", bind="query-params", required=True,
                help="The layers are run through several times; each pass sees weights rewritten once more.",
            )  # fmt: skip
        with right:
            _keep("layer", layers)
            layer = st.segmented_control(
                "Layer", layers, default=layers[0], key="layer", bind="query-params", required=True
            )
        words = "a look for this link" if "code" in probe.meta else "the newest look" if step == LATEST else "a look"
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
            st.caption(
                f"Run **{job.name}** · {words}, at step {probe.step:,} · {probe.tokens} tokens of “{_opening(probe)}”",
                width="content",
            )
            another_text(job)
        linked.address(job, probe)
    begins = loop == "start"
    return Place(probe, 0 if begins else int(str(loop).removeprefix("pass ")) - 1, int(str(layer)), begins)


def _play_button(options: list[str]) -> None:
    label, icon = ("Pause", ":material/pause:") if playing() else ("Play", ":material/play_arrow:")
    st.button(label, icon=icon, key="play", on_click=_toggle, args=(options,), disabled=len(options) < 3)


def _toggle(options: list[str]) -> None:
    """Play on from the picture that is shown, or from the first where that is the newest; or pause."""
    st.session_state["playing"] = not playing()
    st.session_state["played"] = time.monotonic()
    if playing() and st.session_state.get("step", LATEST) in options[-2:]:
        st.session_state["step"] = options[0]


def _advance(options: list[str]) -> None:
    """Go to the next picture when its time has come; at the newest one the play is over."""
    # Something else may have had the page drawn in between.
    if not playing() or time.monotonic() - st.session_state["played"] < 0.7 * PACE:
        return
    shown = st.session_state.get("step", LATEST)
    after = options.index(shown) + 1 if shown in options else len(options) - 1
    st.session_state["step"] = options[min(after, len(options) - 1)]
    st.session_state["played"] = time.monotonic()
    if after >= len(options) - 1:
        st.session_state["playing"] = False


def another_text(job: Job, label: str = "Read another text") -> None:
    """A button behind which the model can be given a text of the person's own to read."""
    with st.popover(label, icon=":material/edit_note:", type="tertiary"):
        text = st.text_area(
            "Text", key="read", height=140, max_chars=20_000, placeholder="Leave it empty for a default."
        )
        st.caption("The model reads its beginning, up to 1,024 tokens; all pictures from now on show it reading this.")
        if st.button("Read it", key="read-it", type="primary"):
            with st.spinner("The model is reading…"):
                shell.attempt(lambda: job.look_at(text))
            linked.leave()
            st.rerun()


def _keep(key: str, options: list[str]) -> None:
    """Forget a choice that this run or page doesn't offer."""
    if key in st.session_state and st.session_state[key] not in options:
        del st.session_state[key]


def _opening(probe: Probe, most: int = 60) -> str:
    text = " ".join(probe.text.split())
    # Isolated, since a text from right to left would turn round what the caption says about it.
    return f"\u2068{literal(text if len(text) <= most else text[:most].rstrip() + '…')}\u2069"
