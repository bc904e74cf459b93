"""Experts: which part of the model works on which token, and whether the work is shared."""

import pandas as pd
import streamlit as st

from lab.app import hands, reach
from lab.app.exhibit import exhibit
from lab.app.scrub import Place
from lab.app.view import view
from lab.jobs import Job
from lab.measure import experts as measure
from lab.probe import Probe

ABOUT = (
    "In each layer a **router** sends every token to a few of several **experts**: heads with different windows "
    "(attention), groups of the made SwiGLU (swiglu), or feed-forward networks (ffn)."
)
KINDS = {"attention": "attention experts", "swiglu": "SwiGLU experts", "ffn": "feed-forward experts"}


def page() -> None:
    """Token × expert, load, and a table over all routers."""
    view("Experts", ABOUT, "05_experts", draw)


def draw(job: Job, place: Place) -> None:
    """Everything about routing at one place of a run."""
    probe = place.probe
    if not probe.routers:
        st.info("This model has no experts: every token goes the same way. Choose a run with two experts or more.")
        return
    here = [kind for layer, kind in probe.routers if layer == place.layer]
    first, second = st.columns([3, 2])
    if not here:
        layers = sorted({layer for layer, _ in probe.routers})
        st.info(f"Layer {place.layer} has no router; choose layer {', '.join(map(str, layers))} above.")
        return
    if st.session_state.get("kind") not in here:
        st.session_state.pop("kind", None)
    kind = first.segmented_control(
        "Experts", here, default=here[0], key="kind", bind="query-params", required=True, format_func=KINDS.__getitem__
    )
    values = second.segmented_control(
        "Colour", ["gates", "probs"], default="gates", key="values", bind="query-params", required=True,
        format_func={"gates": "gate (how much it counts)", "probs": "router's probability"}.__getitem__,
    )  # fmt: skip
    exhibit("expert_heatmap", probe, layer=place.layer, loop=place.loop, kind=kind, values=values)
    left, right = st.columns(2, gap="medium")
    with left:
        exhibit("expert_load", probe, layer=place.layer, kind=kind, narrow=True)
    with right, st.container(border=True, key="exhibit-routers"):
        st.markdown(
            "**All routers at this step.** Evenness 1: all experts share alike, 0: one takes all. "
            "Flips: tokens that chose otherwise than one pass before."
        )
        st.dataframe(
            routers(probe), hide_index=True, key="routers",
            column_config={
                "evenness": st.column_config.NumberColumn(format="%.2f"),
            },
        )  # fmt: skip
    with st.container(border=True, key="exhibit-regulars"):
        st.markdown(
            "**Whom each expert takes**: the tokens of this text that lean to it most, in this layer and pass, and how "
            "often they occur. *Look for* a kind of word in a line; lines all alike would mean that the router does "
            "not tell words apart."
        )
        st.dataframe(regulars(probe, place.layer, place.loop, str(kind)), hide_index=True, key="regulars")
    reach.panel(
        job, place,
        "Silence an expert: its share goes to the token's other experts, or to the likeliest other one. Or force one: "
        "every token gets it, with a gate of 1, and no other. What you do stays when you go to another page.",
        lambda place: hands.experts(place, str(kind)),
        lambda effect, place, code: hands.routing(effect, place, code, str(kind)),
    )  # fmt: skip


def routers(probe: Probe) -> pd.DataFrame:
    """One row per router and pass: how even its load is, which experts are dead, how many tokens changed their mind."""
    rows = []
    for layer, kind in probe.routers:
        before = None
        for loop in range(probe.loops):
            gates = probe.gates(layer, loop, kind)
            dead = [probe.expert_names(layer, kind)[expert] for expert in measure.dead(gates)]
            flips = "–" if before is None else f"{measure.flips(before, gates):.0%}"
            even = measure.entropy(measure.load(gates))
            row = {"layer": layer, "experts": kind, "pass": loop + 1, "evenness": even}
            rows.append({**row, "dead": ", ".join(dead) or "none", "flips": flips})
            before = gates
    return pd.DataFrame(rows)


def regulars(probe: Probe, layer: int, loop: int, kind: str) -> pd.DataFrame:
    """One row per expert: its share of the work, and the tokens that lean to it."""
    gates, rows = probe.gates(layer, loop, kind), []
    shares, leaning = measure.load(gates), measure.regulars(gates, probe.pieces)
    for name, share, pieces in zip(probe.expert_names(layer, kind), shares, leaning, strict=True):
        # A blank that begins a word must be seen; and a word from right to left must not turn its neighbours round.
        seen = [(f"\u2068{piece.replace(' ', '␣')}\u2069", count) for piece, count in pieces]
        told = " · ".join(f"{piece} ×{count}" if count > 1 else piece for piece, count in seen)
        rows.append({"expert": name, "takes": f"{share:.0%}", "tokens that lean to it": told or "none"})
    return pd.DataFrame(rows)
