"""Which experts each token went to, and how evenly the work was shared."""

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from lab.figures import tokens
from lab.figures.theme import FigureError, colorbar, colours, finish, scale
from lab.measure import experts
from lab.probe import Probe

ROUTER_NAMES = {
    "attention": "attention experts",
    "swiglu": "mini-SwiGLU experts",
    "ffn": "feed-forward experts",
}


def expert_heatmap(
    probe: Probe, *, layer: int = 0, loop: int = 0, kind: str = "ffn", values: str = "gates", theme: str = "light"
) -> go.Figure:
    """Token × expert: the gate (0 where not chosen), or with values="probs" the router's probability before that."""
    if values not in ("gates", "probs"):
        raise FigureError(f"values must be gates or probs; got {values!r}")
    c = colours(theme)
    shown = probe.gates(layer, loop, kind) if values == "gates" else probe.probs(layer, loop, kind)
    labels = probe.expert_names(layer, kind)
    word = "gate" if values == "gates" else "probability"
    trace = go.Heatmap(
        z=np.ascontiguousarray(shown.T),
        x=tokens.names(probe.pieces),
        y=labels,
        colorscale=scale(c.routing),
        zmin=0,
        zmax=max(float(shown.max()), 1e-6),
        ygap=2,
        colorbar=colorbar(theme, word),
        hovertemplate=f"token <b>%{{x}}</b><br>expert <b>%{{y}}</b><br>{word} %{{z:.4f}}<extra></extra>",
    )
    figure = go.Figure(trace)
    figure.update_xaxes(**tokens.ticks(probe.pieces, most=64), tickangle=-90, showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return finish(
        figure,
        theme,
        title=f"Layer {layer % probe.layers} · pass {loop % probe.loops + 1} · {ROUTER_NAMES[kind]}, token by token",
        about=f"{probe.label} · {_chosen(probe, layer, loop, kind)}",
        name="expert_heatmap",
        height=190 + 30 * len(labels),
    )


def expert_load(
    probe: Probe, *, layer: int = 0, kind: str = "ffn", loop: int | None = None, theme: str = "light"
) -> go.Figure:
    """Each expert's share of assignments, one bar per pass, beside the even share; dead experts are named."""
    c = colours(theme)
    loops = range(probe.loops) if loop is None else [loop % probe.loops]
    labels = probe.expert_names(layer, kind)
    figure = go.Figure()
    entropies, dead = [], set(range(len(labels)))
    shades = sample_colorscale(scale(c.routing), list(np.linspace(0.45, 0.85, probe.loops)))
    for number in loops:
        gates = probe.gates(layer, number, kind)
        shares = experts.load(gates)
        entropies.append(experts.entropy(shares))
        dead &= set(experts.dead(gates))
        figure.add_bar(
            x=labels,
            y=shares,
            name=f"pass {number + 1}",
            marker={"color": shades[number], "cornerradius": 3},
            customdata=experts.weight(gates),
            hovertemplate=f"<b>%{{x}}</b> · pass {number + 1}<br>%{{y:.2%}} of assignments<br>"
            "%{customdata:.2%} of gate weight<extra></extra>",
        )
    even = 1 / len(labels)
    figure.add_hline(y=even, line={"color": c.text, "width": 1.5, "dash": "dash"})
    for expert in sorted(dead):
        figure.add_annotation(x=labels[expert], y=0, text="dead", yshift=12, showarrow=False, font={"color": c.alarm})
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0.08)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", title_text="share of assignments")
    figure.update_xaxes(showgrid=False)
    low, high = f"{min(entropies):.3f}", f"{max(entropies):.3f}"
    evenness = low if low == high else f"{low}–{high}"
    names = ", ".join(labels[expert] for expert in sorted(dead)) or "none"
    return finish(
        figure,
        theme,
        title=f"Layer {layer % probe.layers} · load of the {ROUTER_NAMES[kind]}",
        about=f"{probe.label} · dashed: an even share, {even:.1%} · evenness {evenness} (1: all alike) · dead: {names}",
        name="expert_load",
        height=380,
    )


def _chosen(probe: Probe, layer: int, loop: int, kind: str) -> str:
    gates = probe.gates(layer, loop, kind)
    chosen = int((gates > 0).sum(-1).max())
    about = f"{chosen} of {gates.shape[-1]} experts per token"
    if loop % probe.loops:
        share = experts.flips(probe.gates(layer, loop % probe.loops - 1, kind), gates)
        about += f" · {share:.1%} of tokens chose otherwise than in the pass before"
    return about
