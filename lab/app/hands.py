"""What can be reached into on each page: the choices of a panel, as descriptions of changes."""

from typing import Any

import numpy as np
import streamlit as st

from lab.app.reach import show, twice
from lab.app.scrub import Place
from lab.figures.effect_map import maps_of
from lab.interventions import Effect, ForceExpert, Intervention, SilenceChannels, SilenceExpert, SilenceHead, Transplant
from lab.measure import experts as measure

HOWS = {
    "zero": "set to 0", "base": "base only", "freeze": "keep the frame before", "swap": "swap wC and wT",
    "donor": "another text's",
}  # fmt: skip
SIDES = {"current": "wC", "transformed": "wT", "both": "wC and wT"}


def transplant(place: Place, projection: str) -> list[Intervention]:
    """Other weights in the place of those that were made."""
    how = _choice("What becomes of the weights", HOWS, "reach-how", "zero")
    first, second, third, fourth = st.columns(4)
    with first:
        layer = _here("Layer", "reach-layer", f"layer {place.layer}", "every layer", place.layer)
    with second:
        name = _here("Projection", "reach-projection", projection, "all three", projection)
    with third:
        when = f"pass {place.frame}" if place.frame else "the start"
        frame = _here("Pass", "reach-frame", when, "every pass", place.frame)
    with fourth:
        which = "both" if how == "swap" else _choice("Weights", SIDES, "reach-which", "current")
    donor = ""
    if how == "donor":
        donor = st.text_area(
            "The other text", key="reach-donor", height=100, max_chars=20_000,
            help="The model reads it, and its weights are put in the place of those of the text above, chunk by chunk; "
            "where it is shorter, its last chunk serves the rest. One that is shorter than a chunk brings weights "
            "without any text in them.",
        )  # fmt: skip
        if not donor.strip():
            return []
    return [Transplant(how, layer, name, frame, which, donor)]


def experts(place: Place, kind: str) -> list[Intervention]:
    """An expert silenced, or forced upon all tokens."""
    names = place.probe.expert_names(place.layer, kind)
    deeds = {"silence": "silence it", "force": "force it on all"}
    what = _choice("What becomes of an expert", deeds, "reach-do-expert", "silence")
    first, second, third = st.columns(3)
    with first:
        key = f"reach-expert-{kind}"
        expert = st.selectbox("Expert", range(len(names)), key=key, format_func=names.__getitem__)
    with second:
        layer = _here("Layer", "reach-layer", f"layer {place.layer}", "every layer that has it", place.layer)
    with third:
        loop = _here("Pass", "reach-loop", f"pass {place.loop + 1}", "every pass", place.loop, "all")
    if what == "silence" and len(names) < 2:
        return []
    return [(SilenceExpert if what == "silence" else ForceExpert)(kind, int(expert), layer, loop)]


def heads(place: Place) -> list[Intervention]:
    """Heads or channels that give out nothing."""
    config = place.probe.config
    first, second, third = st.columns([2, 3, 2])
    with first:
        what = _choice("What falls silent", {"head": "heads", "channel": "channels"}, "reach-silence", "head")
    with third:
        loop = _here("Pass", "reach-loop", f"pass {place.loop + 1}", "every pass", place.loop, "all")
    with second:
        if what == "head":
            count = config["n_heads"]
            _within("reach-heads", range(count))
            chosen = st.multiselect(f"Heads of layer {place.layer}", range(count), default=[0], key="reach-heads")
            return [SilenceHead(place.layer, int(head), loop) for head in sorted(chosen)]
        width = config["d_qkv"]
        start, stop = st.slider(
            f"Channels of layer {place.layer}", 0, width, (0, config["d_qkv"] // config["n_heads"]),
            key=f"reach-channels-{width}",
        )  # fmt: skip
    return [SilenceChannels(place.layer, start, stop, loop)] if stop > start else []


def filmstrip(effect: Effect, place: Place, code: str, projection: str, chunk: int) -> None:
    """The weights, as they are and altered."""
    frame = min(place.frame, effect.before.frames - 1, effect.after.frames - 1)
    if chunk not in effect.before.kept_chunks:
        chunk = -1
    before, after = (
        probe.picture(place.layer, projection, frame, chunk=chunk) for probe in (effect.before, effect.after)
    )
    apart = float(np.linalg.norm(after - before) / (np.linalg.norm(before) or 1))
    twice(
        "filmstrip",
        "**The weights themselves**, each panel in its own size, colours on equal scales. wC of the outlined column "
        f"moved by {apart:.1%} of its size.",
        effect, code, layer=place.layer, projection=projection, chunk=chunk, frame=frame,
    )  # fmt: skip


def routing(effect: Effect, place: Place, code: str, kind: str) -> None:
    """Who is sent where, as it is and altered."""
    loop = min(place.loop, effect.after.loops - 1)
    moved = measure.flips(*(probe.gates(place.layer, loop, kind) for probe in (effect.before, effect.after)))
    twice(
        "expert_heatmap",
        f"**The routing of layer {place.layer} in pass {loop + 1}**, on equal scales: {moved:.0%} of the tokens have "
        "other experts than before.",
        effect, code, layer=place.layer, loop=loop, kind=kind,
    )  # fmt: skip


def reading(effect: Effect, place: Place, code: str, index: int | None, tokens: tuple[int, int] | None) -> None:
    """Who reads whom, as it is and altered."""
    loop = min(place.loop, effect.after.loops - 1)
    before, after = maps_of(effect, place.layer, loop, index)
    words = "Red reads more than before, blue less."
    if np.array_equal(before, after):
        words = "It is the same, for what was changed comes after it: choose a later layer or pass above."
    show(
        "effect_map",
        f"**The map of layer {place.layer} in pass {loop + 1}**, as it is and altered on one scale, and their "
        f"difference. {words} What a silent head would have read still shows; it only does not go on.",
        effect, code, layer=place.layer, loop=loop, index=index, tokens=tokens,
    )  # fmt: skip


def _choice(label: str, options: dict[str, str], key: str, default: str) -> str:
    return str(
        st.segmented_control(
            label, list(options), default=default, key=key, required=True, format_func=options.__getitem__
        )
    )


def _here(label: str, key: str, here: str, everywhere: str, value: Any, default: str = "here") -> Any:
    """The place that the page looks at, or all of them, which is None."""
    chosen = _choice(label, {"here": here, "all": everywhere}, key, default)
    return value if chosen == "here" else None


def _within(key: str, options: range) -> None:
    """Forget a choice that this model doesn't offer."""
    if any(one not in options for one in st.session_state.get(key, [])):
        del st.session_state[key]
