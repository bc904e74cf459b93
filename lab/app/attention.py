"""Attention and AFT: which token reads which, as attention's maps and as the maps that AFT implies."""

import streamlit as st

from lab.app import hands, reach
from lab.app.exhibit import exhibit
from lab.app.influential import influential
from lab.app.scrub import Place
from lab.app.view import view
from lab.jobs import Job
from lab.probe import Probe

ABOUT = (
    "Softmax attention has a map: how much each token takes from each earlier one. An attention-free mixer (AFT) has "
    "one too, **implied** by its keys, a different one for each channel; and so has a recurrent one like retention, "
    "whose weights may be negative. Any two over the same text, side by side."
)
AVERAGES = "Each row sums to 1."
SIGNED = (
    "Red adds what the other token holds, blue subtracts it, and rows sum to anything, for not every mixer here takes "
    "averages."
)


def page() -> None:
    """A pair of maps, the proof that they are true, all heads in miniature, spread and reach."""
    view("Attention and AFT", ABOUT, "04_attention_aft_retention", draw)


def draw(job: Job, place: Place) -> None:
    """Everything about reading at one place of a run."""
    probe, loop = place.probe, place.loop
    with st.container(border=True, key="pair"):
        first, second = st.columns(2, gap="large", vertical_alignment="bottom")
        with first:
            st.markdown(f"**Left: layer {place.layer}** · {probe.mixer_name(place.layer)}")
            left = (place.layer, loop, _index(probe, place.layer, "left"))
        with second:
            layer = _other(probe, place.layer)
            right = (layer, loop, _index(probe, layer, "right"))
    tokens = _part(probe)
    averages = probe.averages(place.layer) and probe.averages(layer)
    exhibit("map_pair", probe, left, right, tokens=tokens, also=AVERAGES if averages else SIGNED)
    _truth(probe, loop, [left, right])
    exhibit(
        "map_grid", probe, layer=place.layer, loop=loop, also="Click on one to see it large above, on the left.",
        pick=lambda index: st.session_state.update({f"left-{probe.map_axis(place.layer)}": index}),
    )  # fmt: skip
    sizes = "" if probe.averages(place.layer) else "Weights count by their size here, whichever their sign."
    exhibit("map_profile", probe, layer=place.layer, loop=loop, index=left[2], also=sizes)
    influential(job, place)
    reach.panel(
        job, place,
        f"Silence heads or channels of layer {place.layer}: what they would give on is 0. What you do stays when you "
        "go to another page.",
        hands.heads,
        lambda effect, place, code: hands.reading(effect, place, code, left[2], tokens),
    )  # fmt: skip


def _index(probe: Probe, layer: int, side: str) -> int | None:
    """The head or channel to show; None is the mean over all."""
    count, axis = probe.map_count(layer), probe.map_axis(layer)
    key = f"{side}-{axis}"
    options: list[int | None] = [None, *range(count)]
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    return st.selectbox(
        f"{axis.capitalize()} ({side})", options, key=key, bind="query-params", label_visibility="collapsed",
        format_func=lambda index: f"mean of all {count} {axis}s" if index is None else f"{axis} {index}",
    )  # fmt: skip


def _other(probe: Probe, layer: int) -> int:
    """The layer on the right: at first one whose mixer is of another kind."""
    others = [number for number in range(probe.layers) if probe.mixers[number] != probe.mixers[layer]]
    start = others[0] if others else (layer + 1) % probe.layers
    key = f"other-layer-{layer}"
    if st.session_state.get(key, 0) >= probe.layers:
        st.session_state.pop(key, None)
    return st.selectbox(
        "Layer on the right", range(probe.layers), index=start, key=key, bind="query-params",
        label_visibility="collapsed",
        format_func=lambda number: f"Right: layer {number} · {probe.mixer_name(number)}",
    )  # fmt: skip


def _part(probe: Probe) -> tuple[int, int] | None:
    """The tokens shown: all, or a part, so that a long text can be read token by token."""
    if probe.tokens < 4:
        return None
    start, stop = st.slider(
        "Tokens shown", 0, probe.tokens, (0, probe.tokens), key=f"tokens-{probe.tokens}", bind="query-params",
        help="Narrow it to read single tokens in a long text.",
    )  # fmt: skip
    start = min(start, probe.tokens - 1)
    return start, max(stop, start + 1)


def _truth(probe: Probe, loop: int, places: list[tuple[int, int, int | None]]) -> None:
    """Whether the maps are what the mixers computed with."""
    for layer in dict.fromkeys(layer for layer, _, _ in places):
        largest, relative = probe.reconstruction(layer, loop)
        good = relative < 1e-3
        mark, meaning = (":green[✓]", "the map is what was computed") if good else (":red[✗]", "do not trust this map")
        near = f"to {relative:.1e} (relative; {largest:.1e} at most)" if largest else "exactly"
        st.caption(
            f"{mark} Layer {layer} ({probe.mixer_name(layer)}): map × values gives back the mixer's own output "
            f"{near}: {meaning}."
        )
