"""Panels that are worked out once, and cells that are evenly apart, are what they were when made one by one."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from lab.figures.filmstrip import even
from lab.figures.theme import subplots
from lab.gather import grid

ARRANGED = [
    (1, 2, ["a", "b"], {"horizontal_spacing": 0.08}),
    (2, 3, ["a", "", "b", "c", "", ""], {"shared_xaxes": "all", "shared_yaxes": "all", "vertical_spacing": 0.09}),
    (3, 1, ["a", "b", "c"], {"row_heights": [3, 1, 2], "shared_xaxes": True}),
    (1, 2, ["", ""], {}),
]


@pytest.mark.parametrize(("rows", "cols", "titles", "more"), ARRANGED)
def test_panels_are_plotlys_own(rows: int, cols: int, titles: list[str], more: dict[str, object]) -> None:
    expected = make_subplots(rows=rows, cols=cols, subplot_titles=titles, **more)
    expected.update_annotations(font={"size": 13})
    # A figure that is drawn on must not be seen by the next one of its kind.
    for made in (subplots(rows, cols, titles, **more), subplots(rows, cols, titles, **more)):
        assert json.loads(str(made.to_json())) == json.loads(str(expected.to_json()))
        made.add_trace(go.Scatter(y=[1]), row=rows, col=cols)
        made.update_xaxes(title_text="x", row=rows, col=cols)
        made.update_annotations(text="changed")
    expected.add_trace(go.Scatter(y=[1]), row=rows, col=cols)
    assert made.data[0].xaxis == expected.data[0].xaxis


def test_titles_have_their_own_fonts() -> None:
    fonts = [{"color": "red"}, {"size": 9}, {}]
    figure = subplots(1, 3, ["a", "", "c"], fonts=fonts)
    first, second = figure.layout.annotations
    assert (first.text, first.font.size, first.font.color) == ("a", 13, "red")
    assert (second.text, second.font.size, second.font.color) == ("c", 13, None)


def test_even_places_round_to_the_rows_and_columns_that_are_shown() -> None:
    for size in (1, 2, 63, 64, 65, 100, 127, 128, 191, 256, 384, 768, 1536, 2304):
        numbers = grid(size)
        places = even(numbers)
        np.testing.assert_array_equal(np.rint(places).astype(int), numbers)
        assert len(places) < 3 or np.ptp(np.diff(places)) <= 1e-3 * np.diff(places).mean()
