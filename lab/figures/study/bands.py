"""How each variant of a study learned: the mean over seeds and the band between the best and the worst of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lab.figures.study.palette import Look, faint, looks
from lab.figures.theme import FigureError, colours, finish

ALONG = {"step": "training step", "flops": "FLOPs of training", "seconds": "seconds of training"}


@dataclass(frozen=True)
class Trail:
    """The losses of one variant on one data set, in nats per scored token.

    training, validation: steps (n,), and losses (seeds, n) there. flops, seconds: of one step. note: what must be said
    of the variant, such as that it reads the future.
    """

    name: str
    training: tuple[Sequence[float], np.ndarray]
    validation: tuple[Sequence[float], np.ndarray]
    flops: float
    seconds: float
    note: str = ""

    def places(self, along: str, steps: Sequence[float]) -> np.ndarray:
        """Where steps lie on the axis ``along``."""
        each = {"step": 1.0, "flops": self.flops, "seconds": self.seconds}[along]
        return np.asarray(steps, dtype=float) * each


def loss_bands(
    trails: Sequence[Trail], *, data: str = "", along: str = "step", floor: float | None = None, theme: str = "light"
) -> go.Figure:
    """Training loss as lines with bands over seeds, validation as marks; ``floor``, in nats, where it is known.

    Below the floor, the entropy of the source, no model gets that does not cheat.
    """
    if along not in ALONG:
        raise FigureError(f"along must be one of {', '.join(ALONG)}; got {along!r}")
    c = colours(theme)
    figure = go.Figure()
    low, high = [] if floor is None else [floor], []
    for trail, look in zip(trails, looks([trail.name for trail in trails], theme).values(), strict=True):
        for mean in (_training(figure, trail, along, look), _validation(figure, trail, along, look)):
            if mean.size:
                low.append(float(mean.min()))
                # The first steps of all are alike, and tall.
                high.append(float(np.quantile(mean, 0.93)))
    if floor is not None:
        figure.add_hline(
            y=floor, line={"color": c.text, "width": 1.5, "dash": "dash"}, annotation_position="bottom right",
            annotation_text=f"floor {floor:.3f}: the entropy of the source",
            annotation_font={"color": c.text, "size": 11},
        )  # fmt: skip
    if high:
        reach = max(high) - min(low) or 1.0
        figure.update_yaxes(range=[min(low) - 0.08 * reach, max(high) + 0.05 * reach])
    figure.update_xaxes(title_text=ALONG[along])
    figure.update_yaxes(title_text="nats per scored token")
    seeds = max((len(trail.training[1]) for trail in trails), default=0)
    about = f"line: training, mean of {seeds} seeds · band: lowest to highest seed · marks: validation"
    title = f"How they learned{f' · {data}' if data else ''}"
    return finish(figure, theme, title=title, about=about, name="loss_bands", height=440)


def _training(figure: go.Figure, trail: Trail, along: str, look: Look) -> np.ndarray:
    """Draw the band and the line; returns the line."""
    losses = np.asarray(trail.training[1], dtype=float)
    if not losses.size:
        return losses
    x, mean = trail.places(along, trail.training[0]).astype(np.float32), losses.mean(0)
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]), y=np.concatenate([losses.max(0), losses.min(0)[::-1]]).astype(np.float32),
        fill="toself", fillcolor=faint(look.colour, 0.18), line={"width": 0}, mode="lines", hoverinfo="skip",
        legendgroup=trail.name, showlegend=False,
    )  # fmt: skip
    named = f"{trail.name} ({trail.note})" if trail.note else trail.name
    figure.add_scatter(
        x=x, y=mean.astype(np.float32), mode="lines", name=named, legendgroup=trail.name,
        line={"color": look.colour, "width": 2, "dash": "dot" if trail.note else "solid"},
        hovertemplate=f"<b>{trail.name}</b> · {ALONG[along]} %{{x:,.4s}}<br>%{{y:.4f}} nats<extra></extra>",
    )  # fmt: skip
    return mean


def _validation(figure: go.Figure, trail: Trail, along: str, look: Look) -> np.ndarray:
    """Draw the means over seeds with their spread as error bars; returns the means."""
    steps, losses = trail.validation[0], np.asarray(trail.validation[1], dtype=float)
    if not losses.size:
        return losses
    mean = losses.mean(0)
    figure.add_scatter(
        x=trail.places(along, steps).astype(np.float32), y=mean.astype(np.float32), mode="markers", name=trail.name,
        legendgroup=trail.name, showlegend=not np.size(trail.training[1]),
        marker={"color": look.colour, "symbol": look.symbol, "size": 8},
        error_y={"type": "data", "symmetric": False, "array": (losses.max(0) - mean).astype(np.float32),
                 "arrayminus": (mean - losses.min(0)).astype(np.float32), "thickness": 1.2, "width": 3},
        hovertemplate=f"<b>{trail.name}</b>, validation · {ALONG[along]} %{{x:,.4s}}<br>%{{y:.4f}} nats<extra></extra>",
    )  # fmt: skip
    return mean
