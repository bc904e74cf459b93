"""The reliability diagram: what a confidence claims, beside what comes true."""

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from lab.figures.theme import colours, finish, scale
from lab.measure.calibration import Calibration


def reliability(calibration: Calibration, *, label: str = "", theme: str = "light") -> go.Figure:
    """Mean target against mean confidence in each bin, over all passes (heavy, with bars: how often) and for each pass.

    The diagonal is a confidence that is exactly as high as it should be; the expected calibration error (ECE) is the
    mean distance from it, over the predictions. The target is soft, 1 − loss / threshold, cut to between 0 and 1.
    """
    c = colours(theme)
    whole = calibration.all
    share = whole.counts[0] / max(1, whole.counts.sum())
    bins = len(share)
    figure = go.Figure()
    figure.add_bar(
        x=(np.arange(bins) + 0.5) / bins,
        y=share.astype(np.float32),
        width=0.92 / bins,
        name="share of predictions",
        showlegend=False,
        marker={"color": c.muted, "opacity": 0.22, "line": {"width": 0}},
        hovertemplate="%{y:.1%} of predictions<extra></extra>",
    )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", hoverinfo="skip", showlegend=False,
        line={"color": c.muted, "width": 1.5, "dash": "dash"},
    )  # fmt: skip
    if calibration.passes > 1:
        shades = sample_colorscale(scale(c.making), list(np.linspace(0.45, 0.85, calibration.passes)))
        for step, shade in enumerate(shades):
            # A long legend says less than the hover.
            _line(figure, calibration, step, f"pass {step + 1}", str(shade), 1.2, step in (0, calibration.passes - 1))
    _line(figure, whole, 0, "all passes", c.accent, 3, True)
    figure.update_xaxes(title_text="confidence", range=[0, 1], nticks=6)
    figure.update_yaxes(title_text=f"target: 1 − loss / {calibration.loss_threshold:g}", range=[0, 1], nticks=6)
    about = f"ECE {calibration.error():.3f}"
    if calibration.passes > 1:
        about += f" (pass 1: {calibration.error(0):.3f}, pass {calibration.passes}: {calibration.error(-1):.3f})"
    told = f"{about} · {whole.counts.sum():,} predictions"
    return finish(
        figure,
        theme,
        title="Is the confidence what it claims?",
        about=f"{label} · {told}" if label else told,
        name="reliability",
        height=420,
    )


def _line(
    figure: go.Figure, calibration: Calibration, step: int, name: str, colour: str, width: float, named: bool
) -> None:
    there = calibration.counts[step] > 0
    figure.add_scatter(
        x=calibration.confidence[step][there].astype(np.float32),
        y=calibration.target[step][there].astype(np.float32),
        customdata=calibration.counts[step][there].astype(np.int32),
        name=name,
        showlegend=named,
        mode="lines+markers",
        line={"color": colour, "width": width},
        marker={"size": 9 if width > 2 else 5, "color": colour},
        hovertemplate=f"<b>{name}</b><br>confidence %{{x:.3f}}, target %{{y:.3f}}<br>%{{customdata:,}} predictions"
        "<extra></extra>",
    )
