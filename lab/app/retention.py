"""Retention: the weights that the model makes for itself, pass by pass, step by step."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from lab import recorded
from lab.app import hands, live, reach, rounded
from lab.app.exhibit import exhibit
from lab.app.scrub import Place
from lab.app.view import view
from lab.jobs import Job

ABOUT = (
    "While it reads, the model makes weights out of what it has read so far (**wT**), and mixes them into the weights "
    "that it works with (**wC**), once before each pass over its layers. Here you see both."
)
PROJECTIONS = {"qkv": "qkv · queries, keys, values", "swiglu": "swiglu · the mixer's SwiGLU", "out": "out · output"}


def page() -> None:
    """Filmstrip, change, spectrum, input-dependent share, and the difference of any two states."""
    view("Retention", ABOUT, "02_retention_by_hand", draw, begin=True)


def draw(job: Job, place: Place) -> None:
    """Everything about the made weights at one place of a run."""
    probe = place.probe
    if not probe.projections and probe.config.get("rounding", "none") != "none":
        rounded.rounding(job, place)
        return
    if not probe.projections:
        st.info(
            "This model's weights are plainly learned: nothing rewrites them while it reads, so there is no filmstrip. "
            "Choose a run of the strawberry family to see one."
        )
        return
    first, second, third = st.columns([3, 2, 2])
    projection = first.segmented_control(
        "Projection", list(probe.projections), default="qkv", key="projection", bind="query-params", required=True,
        help=" · ".join(PROJECTIONS.values()),
    )  # fmt: skip
    side = second.segmented_control(
        "Weights in the charts below", ["wC", "wT"], default="wC", key="side", bind="query-params", required=True
    )
    which = "current" if side == "wC" else "transformed"
    chunk = _chunk(third, place)
    layer, frame = place.layer, place.frame
    exhibit(
        "filmstrip", probe, layer=layer, projection=projection, chunk=chunk, frame=frame,
        also="The outlined column is the pass chosen above.",
    )  # fmt: skip
    left, right = st.columns(2, gap="medium")
    with left:
        exhibit(
            "weight_change", probe, layer=layer, chunk=chunk, which=which, frame=frame, narrow=True,
        )  # fmt: skip
    with right:
        exhibit(
            "spectrum", probe, layer=layer, projection=projection, which=which, chunk=chunk, frame=frame, narrow=True,
        )  # fmt: skip
    exhibit("input_share", probe, layer=layer, projection=projection)
    _compare(job, place, projection, which, chunk)
    reach.panel(
        job, place,
        "Put other weights in the place of those that the model made, at the place chosen above, and it goes on from "
        "there: later passes make their weights of what you put. What you do stays when you go to another page.",
        lambda place: hands.transplant(place, str(projection)),
        lambda effect, place, code: hands.filmstrip(effect, place, code, str(projection), chunk),
    )  # fmt: skip


def _chunk(column: DeltaGenerator, place: Place) -> int:
    """The kept chunk whose weights are shown; the last one unless chosen."""
    kept = place.probe.kept_chunks
    if len(kept) < 2:
        return -1
    size = place.probe.chunk or place.probe.tokens
    with column:
        number = st.selectbox(
            "Weights made for", kept, index=len(kept) - 1, key="chunk", bind="query-params",
            format_func=lambda j: f"tokens {j * size}–{min((j + 1) * size, place.probe.tokens) - 1}",
            help="Each chunk of the text has weights of its own, made from the chunks before it. With linear and delta "
            "pooling each token has: these are the chunk's last token's.",
        )  # fmt: skip
    return int(number)


def _compare(job: Job, place: Place, projection: str, which: str, chunk: int) -> None:
    """The difference between the weights shown and those of any other step and pass."""
    st.markdown("#### Compare with another moment")
    steps = recorded.probes(job.folder)
    frames = ["start", *(f"pass {number + 1}" for number in range(place.probe.loops))]
    first, second = st.columns([3, 2])
    with first:
        step = steps[0]
        if len(steps) > 1:
            step = st.select_slider("Other training step", steps, value=step, key="other-step", bind="query-params")
    with second:
        default = frames[-1] if len(steps) > 1 else frames[0]
        chosen = st.segmented_control(
            "Other pass", frames, default=default, key="other-frame", bind="query-params", required=True
        )
    other = live.probe(job.folder, step)
    if other is None or chosen not in frames:
        return
    if other.kept_chunks != place.probe.kept_chunks:
        chunk = -1
    exhibit(
        "weight_difference", place.probe, other, layer=place.layer, projection=projection, frame=place.frame,
        other_frame=frames.index(chosen), which=which, chunk=chunk,
        also="The first is the moment chosen at the top, the second the other one.",
    )  # fmt: skip
