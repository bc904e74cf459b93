"""The loss curve: training loss raw and smoothed, validation points, what is known of how good it can get."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lab.figures.theme import Colours, colours, finish
from strawberry.events import Event

MOST_POINTS = 2000


def smoothed(losses: np.ndarray, span: float) -> np.ndarray:
    """Gaussian mean over about `span` neighbours on both sides, fewer at the ends: no lag, unlike a running mean."""
    reach = min(int(np.ceil(span)), len(losses) - 1)
    if reach < 1:
        return losses
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / (span / 2)))
    middle = slice(reach, reach + len(losses))
    return np.convolve(losses, kernel)[middle] / np.convolve(np.ones(len(losses)), kernel)[middle]


def loss_curve(
    steps: Sequence[float],
    losses: Sequence[float],
    *,
    validation: tuple[Sequence[float], Sequence[float]] | None = None,
    bytes_per_token: float | None = None,
    accuracy: tuple[Sequence[float], Sequence[float]] | None = None,
    floor: float | None = None,
    title: str = "",
    theme: str = "light",
) -> go.Figure:
    """Loss in nats per token over training steps; with `bytes_per_token` a second axis reads bits per byte.

    Curves of more than 2000 points are thinned to the mean of neighbours; validation = (steps, losses). accuracy =
    (steps, shares of right answers), of tasks, has the second axis to itself. floor: nats per token that no honest
    model can beat, of sources, as a line.
    """
    c = colours(theme)
    x, raw = np.asarray(steps, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    finite = np.isfinite(raw)
    x, raw = x[finite], raw[finite]
    smooth = smoothed(raw, min(50, len(raw) / 20))
    group = -(-len(raw) // MOST_POINTS) if len(raw) else 1
    if group > 1:
        whole = len(raw) // group * group
        x, raw, smooth = (values[:whole].reshape(-1, group).mean(-1) for values in (x, raw, smooth))
    at, validated = (np.asarray(values, dtype=np.float64) for values in validation or ((), ()))
    bits = "<br>%{customdata:.3f} bits/byte" if bytes_per_token else ""
    per_byte = 1 / (math.log(2) * bytes_per_token) if bytes_per_token else 1.0

    figure = go.Figure()
    figure.add_scatter(
        x=x.astype(np.float32),
        y=raw.astype(np.float32),
        name="training, each step",
        mode="lines",
        line={"color": c.train, "width": 1},
        opacity=0.4,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=x.astype(np.float32),
        y=smooth.astype(np.float32),
        customdata=(smooth * per_byte).astype(np.float32),
        name="training, smoothed",
        mode="lines",
        line={"color": c.train, "width": 2.5},
        hovertemplate=f"<b>training</b> · step %{{x:.0f}}<br>%{{y:.4f}} nats/token{bits}<extra></extra>",
    )
    if len(at):
        figure.add_scatter(
            x=at.astype(np.float32),
            y=validated.astype(np.float32),
            customdata=(validated * per_byte).astype(np.float32),
            name="validation",
            mode="lines+markers",
            line={"color": c.validation, "width": 2, "dash": "dot"},
            marker={"size": 8, "symbol": "diamond"},
            hovertemplate=f"<b>validation</b> · step %{{x:.0f}}<br>%{{y:.4f}} nats/token{bits}<extra></extra>",
        )
    figure.update_xaxes(title_text="training step")
    figure.update_yaxes(title_text="nats per token")
    values = np.concatenate([raw, validated[np.isfinite(validated)]])
    if bytes_per_token and len(values):
        _bits_axis(figure, float(values.min()), float(values.max()), per_byte)
    best = f"best validation {validated.min():.3f} nats/token" if len(at) else "no validation yet"
    if len(at) and bytes_per_token:
        best += f" = {validated.min() * per_byte:.3f} bits/byte"
    if accuracy is not None and len(accuracy[0]):
        _right_answers(figure, *accuracy, c.experts[2])
        best += f" · {max(accuracy[1]):.1%} right at best"
    if floor is not None:
        _floor(figure, floor, c)
        best += f" · the floor is {floor:.3f}"
    about = f"{len(finite)} steps · {best}" if len(finite) else "waiting for the first step"
    return finish(figure, theme, title=title or "Loss", about=about, name="loss_curve", height=420)


def losses_of(
    events: Iterable[Mapping[str, Any] | Event], bytes_per_token: float | None = None
) -> tuple[tuple[list[int], list[float]], dict[str, Any]]:
    """The arguments of `loss_curve`, (steps, losses) and options, from a run's events; a dict has the key "event".

    A resumed run's events after its checkpoint count no more; `bytes_per_token` is taken from the run's start.
    """
    trained: dict[int, float] = {}
    evaluated: dict[int, float] = {}
    right: dict[int, float] = {}
    floor = None
    for event in events:
        told = event.to_dict() if isinstance(event, Event) else event
        if told["event"] == "started":
            bytes_per_token = bytes_per_token or told.get("bytes_per_token")
            for values in (trained, evaluated, right):
                for step in [step for step in values if step > told["step"]]:
                    del values[step]
        elif told["event"] == "step":
            trained[told["step"]] = float(told["loss"])
        elif told["event"] == "evaluated":
            evaluated[told["step"]] = float(told["loss"])
            floor = told.get("floor") if floor is None else floor
            if told.get("accuracy") is not None:
                right[told["step"]] = float(told["accuracy"])
    options: dict[str, Any] = {"validation": (list(evaluated), list(evaluated.values()))}
    options |= {"bytes_per_token": bytes_per_token, "accuracy": (list(right), list(right.values())), "floor": floor}
    return (list(trained), list(trained.values())), options


def loss_curve_of(
    events: Iterable[Mapping[str, Any] | Event],
    *,
    bytes_per_token: float | None = None,
    title: str = "",
    theme: str = "light",
) -> go.Figure:
    """`loss_curve` of a run's events, such as `run.events()` or the lines of its event file as dicts."""
    args, options = losses_of(events, bytes_per_token)
    return loss_curve(*args, **options, title=title, theme=theme)


def _floor(figure: go.Figure, floor: float, c: Colours) -> None:
    """A line that no honest model gets below."""
    figure.add_hline(y=floor, line={"color": c.text, "width": 1.5, "dash": "dash"})
    figure.add_annotation(
        x=0, xref="x domain", xanchor="left", y=floor, yanchor="top", showarrow=False,
        font={"color": c.text, "size": 12}, text="entropy of the source",
    )  # fmt: skip


def _right_answers(figure: go.Figure, steps: Sequence[float], shares: Sequence[float], colour: str) -> None:
    """The share of right answers, on an axis of its own from 0 to 1."""
    figure.add_scatter(
        x=np.asarray(steps, dtype=np.float32),
        y=np.asarray(shares, dtype=np.float32),
        yaxis="y2",
        name="right answers",
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"size": 8, "symbol": "circle"},
        hovertemplate="<b>validation</b> · step %{x:.0f}<br>%{y:.1%} right<extra></extra>",
    )
    figure.update_layout(
        yaxis2={
            "title": {"text": "right answers"},
            "overlaying": "y",
            "side": "right",
            "range": [-0.03, 1.03],
            "tickmode": "array",
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
            "tickformat": ".0%",
            "fixedrange": True,
            "showgrid": False,
        }
    )


def _bits_axis(figure: go.Figure, low: float, high: float, per_byte: float) -> None:
    margin = (high - low) * 0.05 or 0.1
    low, high = low - margin, high + margin
    # Two axes agree only while neither is zoomed alone, so the vertical range is fixed; the horizontal one is free.
    figure.update_layout(
        yaxis={"range": [low, high], "fixedrange": True},
        yaxis2={
            "title": {"text": "bits per byte"},
            "overlaying": "y",
            "side": "right",
            "range": [low * per_byte, high * per_byte],
            "tickformat": ".3f",
            "fixedrange": True,
            "showgrid": False,
        },
    )
    figure.add_scatter(x=[None], y=[None], yaxis="y2", showlegend=False, hoverinfo="skip")
