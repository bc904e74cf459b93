"""The leak maps: which outputs moved when a later token or another row changed; in a causal model none does."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from lab.causality import Verdict
from lab.figures.theme import FigureError, colorbar, colours, finish, scale

FLOOR = -12.0  # changes below ten to this are drawn as none
ROWS = ("other rows replaced", "other rows removed")


def leak_map(verdict: Verdict, *, theme: str = "light") -> go.Figure:
    """Row p: tokens from p on were changed. Column t: how far output t moved. Left of the diagonal all must stay blank.

    Outputs from p on may move; they are shaded evenly. Earlier ones are coloured by the logarithm of their change.
    """
    cuts = np.asarray(verdict.cuts)
    figure = _triangle(
        verdict.map,
        cuts,
        np.arange(verdict.map.shape[1]),
        np.arange(verdict.map.shape[1]) < cuts[:, None],
        theme,
        "change of an earlier output",
        "output %{x}, tokens from %{y} on changed",
        "moved by",
    )
    figure.update_xaxes(title_text="output position")
    figure.update_yaxes(title_text="first changed token")
    _frame(figure, "" if verdict.worst_earlier_change > verdict.tolerance else "no earlier output moved", theme)
    return finish(
        figure,
        theme,
        title=f"{verdict.name}: {'causal' if verdict.causal else 'LEAKS'}",
        about=f"largest change of an earlier output: {verdict.worst_earlier_change:.2g}"
        + (" (none)" if verdict.worst_earlier_change <= verdict.tolerance else ""),
        name="leak_map",
        height=520,
    )


def gradient_map(verdict: Verdict, *, theme: str = "light") -> go.Figure:
    """Row s: a token. Column t: how much, to autograd, output t depends on it. Left of the diagonal all is to be blank.

    The same question as :func:`leak_map`, asked of derivatives: they are blind to choices, such as the best of a
    sequence, and see what is too faint or too even to move anything.
    """
    outputs = np.asarray(verdict.outputs)
    if not len(outputs):
        raise FigureError("there are no gradients: the model has no embedding to take them of")
    inputs = np.arange(verdict.gradients.shape[1])
    figure = _triangle(
        verdict.gradients.T,
        inputs,
        outputs,
        outputs < inputs[:, None],
        theme,
        "gradient of an earlier output",
        "output %{x} by token %{y}",
        "gradient",
    )
    figure.update_xaxes(title_text="output position")
    figure.update_yaxes(title_text="input position")
    worst = verdict.worst_gradient
    _frame(figure, "" if worst > verdict.tolerance else "no gradient from later tokens", theme)
    return finish(
        figure,
        theme,
        title="Autograd's map",
        about=f"largest gradient that reaches a later token: {worst:.2g}"
        + (" (none)" if worst <= verdict.tolerance else ""),
        name="gradient_map",
        height=520,
    )


def row_check(verdict: Verdict, *, theme: str = "light") -> go.Figure:
    """How far each output of one row moved when only the other rows of its batch changed: all must stay blank."""
    shown = np.clip(_log(verdict.rows), FLOOR, None).astype(np.float32)
    figure = go.Figure()
    figure.add_heatmap(
        z=shown,
        x=np.arange(shown.shape[1]),
        y=list(ROWS),
        customdata=verdict.rows.astype(np.float32),
        ygap=4,
        hovertemplate="output %{x}, %{y}<br><b>moved by %{customdata:.3g}</b><extra></extra>",
        **_colour(verdict.rows, theme, "change"),
    )
    figure.update_xaxes(title_text="output position", showgrid=False)
    figure.update_yaxes(showgrid=False, autorange="reversed")
    worst = verdict.worst_other_row_change
    _frame(figure, "" if worst > verdict.tolerance else "nothing moved", theme)
    return finish(
        figure,
        theme,
        title="Does another row matter?",
        about=f"largest change {worst:.2g}" + (" (none)" if worst <= verdict.tolerance else ""),
        name="row_check",
        height=220,
    )


def _triangle(
    values: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    forbidden: np.ndarray,
    theme: str,
    word: str,
    hover: str,
    moved: str,
) -> go.Figure:
    """Values (rows, columns) where they are forbidden, in colours of their logarithm; elsewhere an even shade."""
    c = colours(theme)
    names = [str(row) for row in rows]
    change = np.where(forbidden, values, np.nan)
    figure = go.Figure()
    figure.add_heatmap(
        z=np.where(forbidden, np.nan, 0).astype(np.float32),
        x=columns,
        y=names,
        colorscale=[[0, c.grid], [1, c.grid]],
        showscale=False,
        hoverongaps=False,
        hovertemplate=f"{hover}<br>may move<extra></extra>",
    )
    figure.add_heatmap(
        z=np.where(forbidden, np.clip(_log(values), FLOOR, None), np.nan).astype(np.float32),
        x=columns,
        y=names,
        customdata=change.astype(np.float32),
        hoverongaps=False,
        hovertemplate=f"{hover}<br><b>{moved} %{{customdata:.3g}}</b><extra></extra>",
        **_colour(np.nan_to_num(change), theme, word),
    )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, nticks=12)
    return figure


def _frame(figure: go.Figure, words: str, theme: str) -> None:
    """A line around the panel, which would not be seen where nothing moved, and what its blank means."""
    c = colours(theme)
    figure.update_xaxes(showline=True, mirror=True, linecolor=c.grid)
    figure.update_yaxes(showline=True, mirror=True, linecolor=c.grid)
    if words:
        figure.add_annotation(
            x=0.03, xref="x domain", y=0.15, yref="y domain", text=words, showarrow=False, xanchor="left",
            yanchor="middle", font={"color": c.muted, "size": 12},
        )  # fmt: skip


def _log(values: np.ndarray) -> np.ndarray:
    return np.log10(np.where(values > 0, values, 1e-30))


def _colour(values: np.ndarray, theme: str, word: str) -> dict[str, object]:
    """One logarithmic scale for all leak maps, from the page's colour at FLOOR to at least 1."""
    ticks: Sequence[int] = (-12, -9, -6, -3, 0)
    bar = colorbar(theme, word, tickvals=list(ticks), ticktext=["≤ 1e-12", *(f"1e{tick}" for tick in ticks[1:-1]), "1"])
    top = max(0.0, float(np.log10(max(float(values.max(initial=0.0)), 1e-12))))
    return {"colorscale": scale(colours(theme).leaking), "zmin": FLOOR, "zmax": top, "colorbar": bar}
