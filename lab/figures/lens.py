"""The lens: what a model would say after each pass, token by token and on average, beyond the trained passes too."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from lab.figures import tokens as naming
from lab.figures.theme import FigureError, colorbar, colours, finish, scale
from lab.measure.lens import QUANTITIES
from lab.probe import Probe

WORDS_UP_TO = 24  # tokens among which there is room for a word in each cell
APART = " "  # the name of the empty row between the trained passes and those beyond


def trained_passes(probe: Probe) -> int:
    """How many of the lens's rows come from training; the others are passes beyond."""
    return probe.lens_passes if probe.lens_unit == "layer" else min(probe.loops, probe.lens_passes)


def beyond_words(probe: Probe) -> str:
    """What to call the passes after the trained number, given how it was trained."""
    config = probe.config
    if config.get("depth") == "random":
        return f"more passes than usual in training (drawn about {probe.loops})"
    if config.get("halting") == "confidence" and config.get("think_above", 0) > 0:
        return f"more than {probe.loops} passes: in training only while the loss was high"
    return f"more passes than in training ({probe.loops})"


def quantities(probe: Probe) -> list[str]:
    """What `lens` can show of this probe."""
    return [name for name in QUANTITIES if name != "confidence" or probe.confidence is not None]


def values_of(probe: Probe, quantity: str) -> np.ndarray:
    """(P, T) float32 of a quantity; the last token has no next one, so its loss is NaN."""
    if quantity not in quantities(probe):
        raise FigureError(f"quantity must be one of {', '.join(quantities(probe))}; got {quantity!r}")
    values = probe.lens("loss" if quantity == "gain" else quantity).astype(np.float32)
    values = values - values[0] if quantity == "gain" else values
    missing = probe.tokens - values.shape[1]
    return np.pad(values, ((0, 0), (0, missing)), constant_values=np.nan)


def averages(probe: Probe) -> dict[str, np.ndarray]:
    """Mean loss, mean entropy and share of right guesses after each pass, each (P,), where a next token is asked for.

    NaN where none is. Of plain text, the entropy counts the last token too.
    """
    asked = np.flatnonzero(probe.targets >= 0)
    if not len(asked):
        return dict.fromkeys(("loss", "entropy", "guessed right"), np.full(probe.lens_passes, np.nan))
    right = probe.lens("top")[:, asked] == probe.targets[asked]
    entropy = probe.lens("entropy")
    entropy = entropy if len(asked) == probe.tokens - 1 else entropy[:, asked]
    means = {"loss": probe.lens("loss")[:, asked], "entropy": entropy, "guessed right": right}
    return {name: values.mean(axis=1) for name, values in means.items()}


def lens(
    probe: Probe,
    *,
    quantity: str = "loss",
    tokens: tuple[int, int] | None = None,
    loop: int | None = None,
    theme: str = "light",
) -> go.Figure:
    """Pass × token: one of `quantities(probe)`, of which "gain" is the loss minus that of the first pass.

    Hover names the likeliest next token. Up to 24 `tokens` (start, stop) have it written in their cells. Passes beyond
    the trained number stand apart above; pass `loop`, from 0, is outlined.
    """
    c = colours(theme)
    start, stop = naming.part(probe.tokens, tokens)
    shown = values_of(probe, quantity)[:, start:stop]
    likeliest = [[naming.escaped(piece) for piece in row[start:stop]] for row in probe.top_after_each]
    chances = probe.lens("top_probability")[:, start:stop]
    following = [*(naming.escaped(piece) for piece in probe.answers[start:stop]), "–"][: stop - start]
    words = stop - start <= WORDS_UP_TO
    unit, trained = probe.lens_unit, trained_passes(probe)
    title, short = QUANTITIES[quantity]
    rows = [f"{unit} {step + 1}" for step in range(len(shown))]
    every = [*rows[:trained], *([APART] if trained < len(rows) else []), *rows[trained:]]
    hover = [
        [f"{piece}</b> {chance:.0%}" for piece, chance in zip(*row, strict=True)]
        for row in zip(likeliest, chances.tolist(), strict=True)
    ]
    cells, blank = shown, [""] * (stop - start)
    if len(every) > len(rows):
        cells = np.insert(cells, trained, np.nan, axis=0)
        hover.insert(trained, blank)
        likeliest.insert(trained, blank)
    trace = go.Heatmap(
        z=np.ascontiguousarray(cells),
        x=naming.names(probe.pieces[start:stop], start),
        y=every,
        coloraxis="coloraxis",
        xgap=1 if words else 0,
        ygap=1,
        hoverongaps=False,
        text=[[_cut(piece) for piece in row] for row in likeliest] if words else None,
        texttemplate="%{text}" if words else None,
        textfont={"size": 11},
        hovertext=hover,
        customdata=[following] * len(every),
        hovertemplate=f"token <b>%{{x}}</b> · %{{y}}<br>likeliest next <b>%{{hovertext}}<br>"
        f"true next <b>%{{customdata}}</b><br>{short} %{{z:.4f}}<extra></extra>",
    )
    figure = go.Figure(trace)
    figure.update_layout(coloraxis=_colours_of(quantity, shown, theme) | {"colorbar": colorbar(theme, short)})
    figure.update_xaxes(
        **naming.ticks(probe.pieces[start:stop], most=stop - start if words else 64),
        tickangle=-45 if words else -90,
        showgrid=False,
    )
    figure.update_yaxes(
        type="category", tickvals=rows, range=[-0.55, len(every) - 0.45], showgrid=False
    )  # fmt: skip
    if trained < len(rows):
        _set_apart(figure, trained, beyond_words(probe), c)
    if loop is not None and 0 <= loop < len(rows):
        _outline(figure, every.index(rows[loop]), c.text)
    span = "" if tokens is None else f", tokens {start} to {stop - 1}"
    return finish(
        figure,
        theme,
        title=f"{title}, {unit} by {unit}{span}",
        about=f"{probe.label} · {_about(probe, shown, trained, short)}",
        name="lens",
        height=170 + (30 if words else 24) * max(2, len(every)),
    )


def lens_curve(probe: Probe, *, theme: str = "light") -> go.Figure:
    """Mean loss and mean entropy after each pass, in nats; passes beyond the trained number have open marks."""
    c = colours(theme)
    unit, trained = probe.lens_unit, trained_passes(probe)
    steps = np.arange(1, probe.lens_passes + 1, dtype=np.int32)
    means = averages(probe)
    right = means["guessed right"]
    drawn = probe.config.get("depth") == "random" or probe.config.get("think_above", 0) > 0
    beyond = "beyond the usual" if drawn else "beyond training"
    figure = go.Figure()
    if trained < len(steps):
        figure.add_vrect(
            x0=trained + 0.5, x1=len(steps) + 0.5, fillcolor=c.grid, opacity=0.45, line_width=0, layer="below"
        )
        figure.add_vline(x=trained + 0.5, line={"color": c.muted, "width": 1.5, "dash": "dash"})
        figure.add_annotation(
            x=trained + 0.5, y=1, yref="y domain", text=f" {beyond}", showarrow=False, xanchor="left",
            yanchor="top", font={"color": c.muted, "size": 12},
        )  # fmt: skip
    for name, colour, symbol in (("loss", c.train, "circle"), ("entropy", c.validation, "diamond")):
        figure.add_scatter(
            x=steps,
            y=means[name].astype(np.float32),
            name=f"mean {name}",
            mode="lines+markers",
            line={"color": colour, "width": 2.5, "dash": "solid" if name == "loss" else "dot"},
            marker={
                "size": 9,
                "symbol": [symbol if step <= trained else f"{symbol}-open" for step in steps.tolist()],
                "line": {"width": 2, "color": colour},
            },
            customdata=right.astype(np.float32),
            hovertemplate=f"<b>{unit} %{{x}}</b><br>mean {name} %{{y:.4f}} nats<br>"
            "%{customdata:.1%} of next tokens guessed right<extra></extra>",
        )
    figure.update_xaxes(
        title_text=unit, tickvals=steps[:: 1 + len(steps) // 13], range=[0.5, len(steps) + 0.5], showgrid=False
    )
    figure.update_yaxes(title_text="nats per token", nticks=6)
    best, asked = int(means["loss"].argmin()) + 1, int((probe.targets >= 0).sum())
    return finish(
        figure,
        theme,
        title=f"Loss and entropy after each {unit}",
        about=f"{probe.label} · this text only, {asked} predictions · lowest loss after {unit} {best}",
        name="lens_curve",
        height=400,
    )


def _colours_of(quantity: str, shown: np.ndarray, theme: str) -> dict[str, Any]:
    c = colours(theme)
    if quantity in ("top_probability", "confidence"):
        return {"colorscale": scale(c.routing), "cmin": 0, "cmax": 1}
    there = np.abs(shown[~np.isnan(shown)])
    top = max(float(np.quantile(there, 0.99)), 1e-6) if there.size else 1.0
    if quantity == "gain":
        return {"colorscale": scale(c.diverging), "cmin": -top, "cmax": top}
    # The first pass moves most by far.
    colour = scale(c.making, gamma=4) if quantity == "moved" else scale(c.reading)
    return {"colorscale": colour, "cmin": 0, "cmax": top}


def _about(probe: Probe, shown: np.ndarray, trained: int, short: str) -> str:
    # Of one token alone there is no loss, and no mean.
    means = [float(np.mean(row[~np.isnan(row)])) if not np.isnan(row).all() else 0.0 for row in shown]
    told = f"mean {short}: {means[0]:.3f} after {probe.lens_unit} 1"
    if trained > 1:
        told += f", {means[trained - 1]:.3f} after {probe.lens_unit} {trained}"
    if probe.config.get("sharing") == "middle-cycle":
        told += " · the last layer only reads the last pass"
    return told


def _set_apart(figure: go.Figure, trained: int, words: str, c: Any) -> None:
    """A line and a label in the gap between the trained passes and those beyond."""
    figure.add_hline(y=trained - 0.35, line={"color": c.alarm, "width": 1.5})
    figure.add_annotation(
        x=0, xref="x domain", y=trained + 0.08, text=f"▲ {words}", showarrow=False, xanchor="left",
        yanchor="middle", font={"color": c.alarm, "size": 11},
    )  # fmt: skip


def _outline(figure: go.Figure, height: int, colour: str) -> None:
    figure.add_shape(
        type="rect", xref="x domain", x0=0, x1=1, y0=height - 0.5, y1=height + 0.5,
        line={"color": colour, "width": 1.5},
    )  # fmt: skip


def _cut(piece: str) -> str:
    """Short enough for a cell; a leading space says little there."""
    shown = piece.removeprefix("␣") or piece
    # An escaped character must not be cut in two.
    return shown if len(shown) <= 7 or "&" in shown else shown[:6] + "…"
