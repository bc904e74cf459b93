"""What can be taken away from a picture: numbers, code that redraws it, and a page that works offline."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from lab import Probe, figures, recorded
from lab.app import canvas, exhibit


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
    with np.load(io.BytesIO(exhibit.packed(table, "run · seed 0", "the code")), allow_pickle=False) as file:
        assert list(file["token"]) == ["a", "b"]
        assert list(file["weight"]) == [0.5, 0.25]
        assert (str(file["about"]), str(file["code"])) == ("run · seed 0", "the code")


def test_a_csv_says_what_it_is_about_and_is_read_whole() -> None:
    table = pd.DataFrame({"token": ["# a", 'say "b"', "c, d\n"], "weight": [0.5, 0.25, 0.125]})
    told = exhibit.listed(table, "run · seed 0", "first line\nsecond line")
    assert told.decode().startswith("# run · seed 0\n# \n# first line\n# second line\n")
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(told), comment="#"), table)


def test_the_page_is_self_contained_and_says_where_it_comes_from(probe: Probe) -> None:
    html = exhibit.page(figures.filmstrip(probe), probe.label, "the code", "filmstrip").decode()
    assert "Plotly" in html
    assert 'src="http' not in html
    for part in ("berry", "seed", "the code"):
        assert part in html


def test_a_drawing_is_plain_json_that_names_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    drawings = []
    monkeypatch.setattr(canvas, "mount", lambda drawing, key: drawings.append((json.loads(drawing), key)))
    exhibit.show(go.Figure(go.Scatter(y=[0.0, float("nan")]), {"title": {"text": "A <b>curve</b>"}}), "curve")
    [(drawing, key)] = drawings
    assert key == "figure-curve"
    assert drawing["alt"] == "A curve"
    # Zoom survives new numbers only if the figure says that it is still the same.
    assert drawing["figure"]["layout"]["uirevision"] == key
    assert drawing["plotly"].startswith("/component/")
