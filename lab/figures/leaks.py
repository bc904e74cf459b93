"""The leak map: which outputs moved when a later token was changed; in a causal model none does."""

import numpy as np
import plotly.graph_objects as go

from lab.causality import Verdict
from lab.figures.theme import colorbar, colours, finish, scale


def leak_map(verdict: Verdict, *, theme: str = "light") -> go.Figure:
    """Row p: tokens from p on were changed. Column t: how far output t moved. Left of the diagonal all must stay dark.

    Outputs from p on may move; they are shaded evenly. Earlier ones are coloured by the logarithm of their change.
    """
    c = colours(theme)
    cuts = np.asarray(verdict.cuts)
    positions = np.arange(verdict.map.shape[1])
    earlier = positions < cuts[:, None]
    change = np.where(earlier, verdict.map, np.nan).astype(np.float32)
    floor, top = -12.0, max(0.0, float(np.log10(max(verdict.worst_earlier_change, 1e-12))))
    moved = np.clip(np.log10(np.where(change > 0, change, 1e-30)), floor, None)
    figure = go.Figure()
    figure.add_heatmap(
        z=np.where(earlier, np.nan, 0).astype(np.float32),
        x=positions,
        y=[str(cut) for cut in cuts],
        colorscale=[[0, c.grid], [1, c.grid]],
        showscale=False,
        hoverongaps=False,
        hovertemplate="output %{x}, tokens from %{y} on changed<br>may move<extra></extra>",
    )
    figure.add_heatmap(
        z=np.where(earlier, moved, np.nan).astype(np.float32),
        x=positions,
        y=[str(cut) for cut in cuts],
        customdata=change,
        colorscale=scale(c.leaking),
        zmin=floor,
        zmax=top,
        hoverongaps=False,
        colorbar=colorbar(
            theme,
            "change of an earlier output",
            tickvals=[-12, -9, -6, -3, 0],
            ticktext=["≤ 1e-12", "1e-9", "1e-6", "1e-3", "1"],
        ),
        hovertemplate="output %{x}, tokens from %{y} on changed<br><b>moved by %{customdata:.3g}</b><extra></extra>",
    )
    figure.update_xaxes(title_text="output position", showgrid=False)
    figure.update_yaxes(
        title_text="first changed token", autorange="reversed", type="category", showgrid=False, nticks=12
    )
    return finish(
        figure,
        theme,
        title=f"{verdict.name}: {'causal' if verdict.causal else 'LEAKS'}",
        about=verdict.sentence.split(": ", 1)[-1],
        name="leak_map",
        height=520,
    )
