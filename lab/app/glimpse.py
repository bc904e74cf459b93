"""Three small pictures of the model that is training: its weights or passes, routing, maps; each leads to its page."""

import re

import plotly.graph_objects as go
import streamlit as st

from lab import figures, recorded
from lab.app import live, shell
from lab.app.exhibit import show
from lab.jobs import Job
from lab.probe import Probe


def glimpse(job: Job) -> None:
    """Draw the newest probe in small, or say that it is coming."""
    steps = recorded.probes(job.folder)
    probe = live.probe(job.folder, steps[-1]) if steps else None
    st.markdown("#### Inside the model" + (f", at step {probe.step:,}" if probe else ""))
    if probe is None:
        st.caption("The first look at the model is taken when it has begun to train.")
        return
    st.caption("The newest look. It is taken anew while the model trains; each picture has a page of its own.")
    weights, routing, maps = st.columns(3, gap="medium")
    thinks = not probe.projections and probe.loops > 1
    with weights, st.container(border=True, key="glimpse-retention"):
        if thinks:
            st.markdown("**How well each pass foresees the next token**")
            st.caption("One column per token, one row per pass; the stronger, the worse it was foreseen.")
            lens = figures.lens(probe, theme=shell.theme())
            lens.update_annotations(text="▲ beyond training")
            _small(lens, "lens")
            shell.link("recursion", "Recursion", ":material/arrow_forward:")
        else:
            st.markdown("**Weights it made for itself**")
            if probe.projections:
                st.caption("wC is what it works with, wT what it makes of the text; a column for each rewriting.")
            _weights(probe)
            shell.link("retention", "Retention", ":material/arrow_forward:")
    with routing, st.container(border=True, key="glimpse-experts"):
        st.markdown("**Which expert works on which token**")
        if probe.routers:
            st.caption("One column per token, one row per expert; the stronger, the more that expert counts.")
        _routing(probe)
        shell.link("experts", "Experts", ":material/arrow_forward:")
    with maps, st.container(border=True, key="glimpse-attention"):
        st.markdown("**Which token reads which**")
        st.caption("Row: the token that reads. Column: the token that is read. The future stays blank.")
        _maps(probe)
        shell.link("attention", "Attention and AFT", ":material/arrow_forward:")


def _weights(probe: Probe) -> None:
    if not probe.projections:
        st.caption("This model's weights are plainly learned; they do not change while it reads.")
        return
    _small(figures.filmstrip(probe, layer=probe.layers - 1, projection="out", theme=shell.theme()), "filmstrip")


def _routing(probe: Probe) -> None:
    if not probe.routers:
        st.caption("This model has no experts.")
        return
    layer, kind = probe.routers[0]
    _small(figures.expert_heatmap(probe, layer=layer, loop=probe.loops - 1, kind=kind, theme=shell.theme()), "routing")


def _maps(probe: Probe) -> None:
    layer = probe.layers - 1
    _small(figures.attention_map(probe, layer=layer, loop=probe.loops - 1, theme=shell.theme()), "map")


def _small(figure: go.Figure, name: str) -> None:
    """Strip a figure of all that has no room in a small one."""
    about = figure.layout.title.text  # type: ignore[union-attr]
    figure.update_layout(
        height=250, margin={"t": 24, "b": 4, "l": 4, "r": 4}, title={"text": "", "subtitle": {"text": ""}}
    )
    figure.update_coloraxes(showscale=False)
    figure.update_traces(showscale=False, selector={"type": "heatmap"})
    figure.update_xaxes(showticklabels=False, title_text="")
    figure.update_yaxes(showticklabels=name == "routing", title_text="")
    for note in figure.layout.annotations:  # type: ignore[union-attr]
        note.update(text=re.sub(r"[ ,·]*RMS.*", "", note.text), font_size=11)
    show(figure, f"glimpse-{name}", alt=about, displayModeBar=False)
