"""How much of the made weights the text decided: against the learned prior, and between the text's own parts."""

import numpy as np
import plotly.graph_objects as go

from lab.figures.filmstrip import frame_names
from lab.figures.theme import colorbar, colours, finish, scale, subplots
from lab.probe import Probe

PANELS = {"input_share": "away from the prior", "spread": "apart from one another"}


def rows_of(probe: Probe, layer: int | None, projection: str) -> tuple[list[str], dict[str, np.ndarray]]:
    """Row labels, chunks of a layer or (layer=None) the last chunk of each layer, and (rows, frames) of each panel."""
    if layer is None:
        labels = [f"layer {number}" for number in range(probe.layers)]
        measured = {
            name: np.stack([probe.measure(name, number, projection)[:, -1] for number in range(probe.layers)])
            for name in PANELS
        }
        return labels, measured
    size = probe.chunk or probe.tokens
    starts = [number * size for number in range(probe.chunks)]
    labels = [f"chunk {j} · tokens {start}–{min(start + size, probe.tokens) - 1}" for j, start in enumerate(starts)]
    return labels, {name: probe.measure(name, layer, projection).T for name in PANELS}


def input_share(probe: Probe, *, layer: int | None = 0, projection: str = "qkv", theme: str = "light") -> go.Figure:
    """Left: RMS(wC − wC of chunk 0) / RMS(wC), per chunk and pass. Right: RMS(wC − mean of the later chunks) / RMS(wC).

    Chunk 0 is made from the learned prior alone. Left large and right small means that reading moved the weights, but
    whatever was read moved them the same way. Linear and delta pooling have read chunk 0 too, and are compared with the
    base weights. `layer=None` shows the last chunk of every layer.
    """
    c = colours(theme)
    labels, measured = rows_of(probe, layer, projection)
    names = [wc for wc, _ in frame_names(probe.frames)]
    crowded = len(names) > 5 or len(labels) > 16
    top = max(0.05, *(float(np.nanmax(values, initial=0)) for values in measured.values()))
    figure = subplots(1, 2, list(PANELS.values()), shared_yaxes=True, horizontal_spacing=0.03)
    for col, (name, values) in enumerate(measured.items(), start=1):
        trace = go.Heatmap(
            z=values.astype(np.float32),
            x=[name.removeprefix("pass ") for name in names] if crowded else names,
            y=labels,
            text=None if crowded else [["–" if np.isnan(value) else f"{value:.1%}" for value in row] for row in values],
            texttemplate=None if crowded else "%{text}",
            coloraxis="coloraxis",
            xgap=0 if crowded else 2,
            ygap=0 if crowded else 2,
            hoverongaps=False,
            hovertemplate=f"<b>%{{y}} · %{{x}}</b><br>{PANELS[name]}: %{{z:.3%}}<extra></extra>",
        )
        figure.add_trace(trace, row=1, col=col)
    figure.update_layout(
        coloraxis={
            "colorscale": scale(c.making),
            "cmin": 0,
            "cmax": top,
            "colorbar": colorbar(theme, "of wC's size", tickformat=".0%"),
        }
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, type="category")
    over = "last chunk of every layer" if layer is None else f"layer {layer % probe.layers}, chunk by chunk"
    return finish(
        figure,
        theme,
        title=f"What the text decided of wC ({projection}) · {over}",
        about=f"{probe.label} · {_note(probe)}",
        name="input_share",
        height=170 + (34 if len(labels) <= 8 else 18) * max(2, len(labels)),
    )


def _note(probe: Probe) -> str:
    if probe.config["pooling"] == "batch":
        return "one set of weights reads the whole text, so there is no prior to compare with"
    if probe.config["pooling"] == "static":
        return "these weights ignore the text"
    if probe.config["pooling"] in ("linear", "delta"):
        return "away from the base weights, after the last token of each chunk"
    return "chunk 0 is made from the learned prior alone"
