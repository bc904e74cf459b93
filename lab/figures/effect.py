"""What a change inside a model did: the text itself, coloured by what each token costs now, and one prediction."""

import numpy as np
import plotly.graph_objects as go

from lab.figures import tokens as naming
from lab.figures.theme import FigureError, colorbar, colours, finish, scale
from lab.interventions import Effect

ACROSS = 16  # tokens per line of text; twice as many where they are single characters
LONGEST = 9  # characters for which a cell has room


def effect_tokens(effect: Effect, *, tokens: tuple[int, int] | None = None, theme: str = "light") -> go.Figure:
    """The text, line by line, each token coloured by how much its own prediction got worse (red) or better (blue).

    The first token of the text is predicted by nobody and stays blank. Of a task, the tokens after which it asks for an
    answer have the colour of that answer, and all others stay blank. Colour grows with the root of the change.
    """
    c = colours(theme)
    start, stop = naming.part(effect.tokens, tokens)
    # A token of a text is what is predicted; an answer stands nowhere in the text.
    missing = (1, 0) if effect.of_text else (0, 1)
    cost, *losses = (
        np.pad(values.astype(np.float32), missing, constant_values=np.nan)[start:stop]
        for values in (effect.difference, effect.before.loss, effect.after.loss)
    )
    pieces = effect.pieces[start:stop]
    across = ACROSS * (2 if np.mean([len(piece) for piece in pieces]) < 2 else 1)
    across = min(across, len(pieces))
    lines = -(-len(pieces) // across)

    def laid(values: np.ndarray, fill: object) -> np.ndarray:
        return np.pad(values, (0, lines * across - len(values)), constant_values=fill).reshape(lines, across)  # type: ignore[call-overload]

    names = np.array(naming.names(pieces, start), dtype=object)
    if not effect.of_text:
        answers = [naming.escaped(answer) for answer in [*effect.before.answers, "–"][start:stop]]
        names = np.array([f"{answer}</b> after <b>{name}" for answer, name in zip(answers, names, strict=True)], object)
    largest = max(float(np.quantile(np.abs(cost[~np.isnan(cost)]), 0.98)) if np.isfinite(cost).any() else 0.0, 0.01)
    figure = go.Figure(
        go.Heatmap(
            z=laid(cost, np.nan),
            coloraxis="coloraxis",
            xgap=2,
            ygap=2,
            hoverongaps=False,
            hovertext=laid(names, "").tolist(),
            customdata=np.stack([laid(each, np.nan).astype(np.float32) for each in losses], axis=-1),
            hovertemplate="predicting <b>%{hovertext}</b><br>loss %{customdata[0]:.3f} → %{customdata[1]:.3f} nats"
            "<br>change %{z:+.3f}<extra></extra>",
        )
    )
    _write(figure, pieces, across, cost / largest, theme)
    figure.update_layout(
        coloraxis={
            "colorscale": scale(c.diverging, gamma=2, middle=0.5), "cmin": -largest, "cmax": largest,
            "colorbar": colorbar(theme, "change of loss, nats"),
        }
    )  # fmt: skip
    figure.update_xaxes(visible=False, fixedrange=True)
    figure.update_yaxes(
        autorange="reversed", showgrid=False, tickvals=list(range(lines)), fixedrange=True,
        ticktext=[str(start + line * across) for line in range(lines)],
    )  # fmt: skip
    before, after = effect.mean_loss
    unit, likeliest = ("token", "next token") if effect.of_text else ("answer", "answer")
    title = f"Mean loss {before:.3f} → {after:.3f} nats per {unit} ({after - before:+.3f})"
    told = f"the likeliest {likeliest} is another one after {effect.changed:.0%} of the tokens"
    if not effect.of_text:
        told += " that are asked about"
    if not effect.asked.any():
        title, told = "The task asks for nothing in this text", "so no prediction of it is judged"
    return finish(
        figure,
        theme,
        title=title,
        about=f"{effect.label} · red: predicted worse than before, blue: better · {told}",
        name="effect_tokens",
        height=max(200, 116 + 27 * lines),
    )


def effect_distribution(effect: Effect, *, position: int = 0, theme: str = "light") -> go.Figure:
    """The likeliest next tokens after one token, before and after; the one that follows in the text, or that the task
    asks for, is marked."""
    if not 0 <= position < effect.tokens:
        raise FigureError(f"position must be one of 0 to {effect.tokens - 1}; got {position}")
    c = colours(theme)
    rows = effect.distribution(position)
    following = effect.before.answers[position] if position + 1 < effect.tokens and effect.asked[position] else None
    labels = [f"{naming.escaped(piece)}{' ✓' if piece == following else ''}" for piece, _, _ in rows]
    places = np.arange(len(rows), dtype=np.int8)
    figure = go.Figure()
    for name, colour, values in (
        ("as it is", c.muted, [before for _, before, _ in rows]),
        ("altered", c.accent, [after for _, _, after in rows]),
    ):
        figure.add_bar(
            y=places,
            customdata=labels,
            x=np.array(values, dtype=np.float32),
            orientation="h",
            name=name,
            marker={"color": colour, "cornerradius": 3},
            hovertemplate=f"<b>%{{customdata}}</b> · {name}<br>probability %{{x:.2%}}<extra></extra>",
        )
    figure.update_layout(barmode="group", bargap=0.3, bargroupgap=0.06, legend={"traceorder": "normal"})
    figure.update_yaxes(
        autorange="reversed", showgrid=False, tickvals=places, ticktext=labels, ticklabelstandoff=6,
        tickfont={"size": 13, "color": c.text},
    )  # fmt: skip
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", title_text="probability of the next token")
    told = f"{effect.label} · changed by {effect.kl[position]:.3f} nats (KL)"
    if following is not None:
        before, after = (probe.loss[position] for probe in (effect.before, effect.after))
        told += f" · ✓ {'true next token' if effect.of_text else 'what is asked for'}, loss {before:.3f} → {after:.3f}"
    elif not effect.of_text:
        told += " · nothing is asked here"
    return finish(
        figure,
        theme,
        title=f"What comes after “{context(effect.pieces, position)}”",
        about=told,
        name="effect_distribution",
        height=190 + 34 * len(rows),
    )


def context(pieces: list[str], position: int, most: int = 8) -> str:
    """The last few tokens up to a position, as they stand in the text; their direction is theirs alone."""
    first = max(0, position + 1 - most)
    told = "".join(pieces[first : position + 1]).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"\u2068{'…' if first else ''}{told}\u2069"


def _write(figure: go.Figure, pieces: list[str], across: int, strength: np.ndarray, theme: str) -> None:
    """The tokens themselves, in their cells, in a colour that can be read on the cell's."""
    c = colours(theme)
    strong = np.abs(np.nan_to_num(strength)) > 0.3
    for chosen, colour in ((~strong, c.text), (strong, c.page if theme == "light" else "#0e1117")):
        places = np.flatnonzero(chosen)
        figure.add_scatter(
            x=(places % across).astype(np.int16),
            y=(places // across).astype(np.int16),
            mode="text",
            text=[_short(pieces[place]) for place in places],
            textfont={"color": colour, "size": 12},
            hoverinfo="skip",
            showlegend=False,
        )


def _short(piece: str) -> str:
    shown = naming.escaped(piece.strip(" ") or " ")
    # An escaped character must not be cut in two.
    return shown if len(shown) <= LONGEST or "&" in shown else shown[: LONGEST - 1] + "…"
