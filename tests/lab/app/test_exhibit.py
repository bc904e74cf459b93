"""What can be taken away from a picture: numbers, code that redraws it, and a page that works offline."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from lab import Probe, figures, recorded
from lab.app import exhibit


@pytest.fixture
def probe(finished: Path) -> Probe:
    """The last look at the finished run."""
    return Probe.load(recorded.probe_path(finished / "berry", 12))


def test_the_code_redraws_the_figure(probe: Probe, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = exhibit.snippet("weight_difference", probe, (probe,), {"layer": 1, "frame": 0})
    monkeypatch.chdir(finished.parent)
    (finished.parent / "runs").symlink_to(finished, target_is_directory=True)
    shown = []
    monkeypatch.setattr("plotly.graph_objects.Figure.show", lambda figure: shown.append(figure))
    exec(told, {})
    (finished.parent / "runs").unlink()
    assert shown[0].to_json() == figures.weight_difference(probe, probe, layer=1, frame=0).to_json()


def test_numbers_are_packed_without_pickle() -> None:
    table = pd.DataFrame({"token": ["a", "b"], "weight": [0.5, 0.25]})
    with np.load(io.BytesIO(exhibit.packed(table)), allow_pickle=False) as file:
        assert list(file["token"]) == ["a", "b"]
        assert list(file["weight"]) == [0.5, 0.25]


def test_the_page_is_self_contained_and_says_where_it_comes_from(probe: Probe) -> None:
    html = exhibit.page(figures.filmstrip(probe), probe, "the code", "filmstrip").decode()
    assert "Plotly" in html
    assert 'src="http' not in html
    for part in ("berry", "seed", "the code"):
        assert part in html


def test_new_numbers_are_drawn_into_the_same_figure() -> None:
    """Otherwise each update would take the figure away, and with it the zoom."""

    def script() -> None:
        import plotly.graph_objects as go
        import streamlit as st

        from lab.app.exhibit import show

        st.session_state["turn"] = st.session_state.get("turn", 0) + 1
        show(go.Figure(go.Scatter(y=[0, st.session_state["turn"]])), "curve")

    app = AppTest.from_function(script, default_timeout=60).run()
    first = app.get("plotly_chart")[0].proto
    app.run()
    second = app.get("plotly_chart")[0].proto
    assert first.spec != second.spec
    assert first.id == second.id
