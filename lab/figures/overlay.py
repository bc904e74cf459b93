"""Loss curves of several runs in one picture: by step, by tokens or by time, in nats per token or bits per byte."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import plotly.graph_objects as go

from lab.figures.loss import smoothed
from lab.figures.theme import FigureError, colours, finish

BY = {"step": "training step", "tokens": "tokens trained on", "time": "seconds of training"}
UNITS = {"nats": "nats per token", "bits": "bits per byte"}
POINTS = 500


@dataclass(frozen=True)
class Curve:
    """One run's losses in nats per token: ``losses`` after ``steps``, by when ``tokens`` had been read and ``seconds``
    had passed; ``validation`` is (steps, losses). ``bytes_per_token`` turns them into bits per byte."""

    name: str
    steps: Sequence[float]
    tokens: Sequence[float]
    seconds: Sequence[float]
    losses: Sequence[float]
    validation: tuple[Sequence[float], Sequence[float]] = field(default=((), ()))
    bytes_per_token: float | None = None

    def places(self, by: str, steps: Sequence[float] | None = None) -> np.ndarray:
        """Where ``steps`` (all of them if None) lie on the axis ``by``."""
        every = {"step": self.steps, "tokens": self.tokens, "time": self.seconds}
        along = np.asarray(every[by], dtype=float)
        if steps is None or not len(along):
            return along if steps is None else np.asarray(steps, dtype=float)
        return np.interp(np.asarray(steps, dtype=float), np.asarray(self.steps, dtype=float), along)

    def factor(self, unit: str) -> float | None:
        """What nats per token are multiplied with; None where that is not known."""
        if unit == "nats":
            return 1.0
        return 1 / (math.log(2) * self.bytes_per_token) if self.bytes_per_token else None


def loss_overlay(curves: Sequence[Curve], *, by: str = "step", unit: str = "nats", theme: str = "light") -> go.Figure:
    """Smoothed training losses as lines, validation losses as diamonds on dots, one colour for each run.

    Nats per token compare runs of one tokenizer only; bits per byte compare all runs on the same text.
    """
    if by not in BY or unit not in UNITS:
        raise FigureError(f"by must be one of {', '.join(BY)} and unit one of {', '.join(UNITS)}; got {by!r}, {unit!r}")
    c = colours(theme)
    figure = go.Figure()
    left_out = [curve.name for curve in curves if curve.factor(unit) is None]
    shown = [curve for curve in curves if curve.factor(unit) is not None]
    low, high = [], []
    for number, curve in enumerate(shown):
        colour, factor = c.experts[number % len(c.experts)], curve.factor(unit) or 1.0
        name = curve.name if len(curve.name) <= 28 else f"{curve.name[:27]}…"
        x, y = curve.places(by), np.asarray(curve.losses, dtype=float) * factor
        x, y = x[np.isfinite(y)], y[np.isfinite(y)]
        if len(y):
            smooth = smoothed(y, min(50, len(y) / 20))
            keep = np.unique(np.linspace(0, len(y) - 1, min(len(y), POINTS)).astype(int))
            low.append(float(smooth.min()))
            # The first steps of all runs are alike, and tall.
            high.append(float(np.quantile(smooth, 0.98)))
            figure.add_scatter(
                x=x[keep].astype(np.float32),
                y=smooth[keep].astype(np.float32),
                name=name,
                legendgroup=curve.name,
                mode="lines",
                line={"color": colour, "width": 2},
                hovertemplate=f"<b>{curve.name}</b> · {BY[by]} %{{x:,.0f}}<br>%{{y:.4f}} {UNITS[unit]}<extra></extra>",
            )
        steps, losses = curve.validation
        if len(steps):
            validated = np.asarray(losses, dtype=float) * factor
            low.append(float(np.nanmin(validated)))
            figure.add_scatter(
                x=curve.places(by, steps).astype(np.float32),
                y=validated.astype(np.float32),
                name=name,
                legendgroup=curve.name,
                showlegend=not len(y),
                mode="lines+markers",
                line={"color": colour, "width": 1.5, "dash": "dot"},
                marker={"size": 7, "symbol": "diamond"},
                hovertemplate=f"<b>{curve.name}</b>, validation · {BY[by]} %{{x:,.0f}}<br>%{{y:.4f}} {UNITS[unit]}"
                "<extra></extra>",
            )
    if low and high:
        reach = max(high) - min(low) or 1.0
        figure.update_yaxes(range=[min(low) - 0.05 * reach, max(high) + 0.05 * reach])
    figure.update_xaxes(title_text=BY[by])
    figure.update_yaxes(title_text=UNITS[unit])
    runs = "1 run" if len(shown) == 1 else f"{len(shown)} runs"
    about = f"{runs} · lines: training, smoothed · diamonds: validation"
    if left_out:
        about += f" · without {', '.join(left_out)}, whose bytes per token are not recorded"
    return finish(figure, theme, title="Loss, run beside run", about=about, name="loss_overlay", height=460)
