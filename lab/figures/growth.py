"""What a model carries while it writes: numbers per text after each token, growing or not."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from lab.figures.theme import colours, finish


def state_growth(
    tokens: Sequence[int],
    sizes: Sequence[int],
    *,
    prompt: int = 0,
    cache: int = 0,
    label: str = "",
    theme: str = "light",
) -> go.Figure:
    """``sizes`` of the state, in numbers, after ``tokens`` of a text, of which the first ``prompt`` were given.

    ``cache``: numbers that keys and values of one token take in all layers and passes, for the dashed line of a cache
    that keeps them all; 0 draws none.
    """
    c = colours(theme)
    x, y = np.asarray(tokens, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    figure = go.Figure()
    if cache and len(x):
        figure.add_scatter(
            x=x[[0, -1]].astype(np.float32),
            y=(x[[0, -1]] * cache).astype(np.float32),
            name="keys and values of every token",
            mode="lines",
            line={"color": c.muted, "width": 1.5, "dash": "dash"},
            hovertemplate="a cache of every token's keys and values<br>%{y:,.0f} numbers<extra></extra>",
        )
    figure.add_scatter(
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        name="this model's state",
        mode="lines",
        line={"color": c.accent, "width": 2.5},
        hovertemplate="after %{x:.0f} tokens<br><b>%{y:,.0f} numbers</b><extra></extra>",
    )
    figure.update_xaxes(title_text="tokens read, the prompt's included", rangemode="normal")
    figure.update_yaxes(title_text="numbers per text", rangemode="tozero", tickformat="~s")
    if len(y) > 1 and y[-1] > y[0]:
        each = (y[-1] - y[0]) / (x[-1] - x[0])
        about = f"grows by {each:,.0f} numbers a token on average: {y[0]:,.0f} to {y[-1]:,.0f}"
    else:
        about = f"{y[-1]:,.0f} numbers, however long the text" if len(y) else "waiting for the first token"
    if prompt:
        about += f" · {prompt} token{' was' if prompt == 1 else 's were'} given"
    # In so low a figure the legend would run into the axis.
    figure.update_layout(legend_y=-0.42)
    return finish(
        figure,
        theme,
        title="What it carries from token to token",
        about=f"{label} · {about}" if label else about,
        name="state_growth",
        height=280,
    )
