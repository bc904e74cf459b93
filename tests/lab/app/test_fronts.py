"""One probe bundle, three fronts: a notebook, the dashboard and the offline page show the same numbers."""

import json
import re
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io
import pytest
from streamlit.testing.v1 import AppTest

import lab
from lab import figures
from lab.app import canvas
from lab.causality import verdict
from lab.figures.tables import TABLES
from tests.lab.figures.test_figures import arguments

HIDDEN = re.compile(r'<script type="application/json">(.*?)</script>', re.DOTALL)
# Where a figure stands, and so how much room it has, each front decides for itself.
OWN = {"title", "margin", "uirevision", "autosize"}
Call = tuple[str, tuple[Any, ...], dict[str, Any]]


def shown(figure: dict[str, Any]) -> dict[str, Any]:
    """What a figure says: its traces, and its layout but for its place on the page."""
    return {"data": figure["data"], "layout": {key: part for key, part in figure["layout"].items() if key not in OWN}}


@pytest.fixture(scope="module")
def calls(probes: dict[str, lab.Probe]) -> dict[str, Call]:
    """One call of every figure that is registered."""
    leak, found = verdict("strawberry-leaky"), {}
    for name in TABLES:
        probe = probes["homunculus" if name == "exit_depth" else "strawberry"]
        found[name] = (name, *arguments(name, probe, leak)[0])
    return found


@pytest.fixture(scope="module")
def on_the_page(
    probes: dict[str, lab.Probe], calls: dict[str, Call], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """Every figure as the offline page holds it, by name."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    lab.report(probes["strawberry"], path, also=list(calls.values()))
    held = [json.loads(part)["figure"] for part in HIDDEN.findall(path.read_text(encoding="utf-8"))]
    return dict(zip(calls, held[-len(calls) :], strict=True))


def in_a_notebook(call: Call) -> dict[str, Any]:
    """The figure as a notebook's cell gives it to the browser."""
    name, args, options = call
    figure: go.Figure = getattr(figures, name)(*args, **options)
    bundle = plotly.io.renderers["plotly_mimetype"].to_mimebundle(figure.to_dict())
    return json.loads(json.dumps(bundle["application/vnd.plotly.v1+json"]))


def exhibited() -> None:
    """A page of the dashboard with one figure on it."""
    import streamlit as st

    from lab import Probe, figures
    from lab.app.exhibit import exhibit, piece
    from lab.app.shell import theme

    name, args, options = st.session_state["call"]
    if isinstance(args[0], Probe):
        exhibit(name, *args, says="What it shows.", **options)
    else:
        figure = getattr(figures, name)(*args, **options, theme=theme())
        piece(
            name,
            "What it shows.",
            figure,
            lambda: figures.table(name, *args, **options),
            "its code",
            name,
            about="its run",
        )


@pytest.mark.parametrize("name", TABLES)
def test_every_figure_is_the_same_on_all_fronts(
    calls: dict[str, Call], on_the_page: dict[str, dict[str, Any]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, Any]] = []
    monkeypatch.setattr(canvas, "mount", lambda drawing, key: drawn.append(json.loads(drawing)["figure"]))
    app = AppTest.from_function(exhibited, default_timeout=60)
    app.session_state["call"] = calls[name]
    assert not app.run().exception
    [dashboard] = drawn
    notebook, page = in_a_notebook(calls[name]), on_the_page[name]
    assert notebook["data"], "there is something to compare"
    assert shown(notebook) == shown(page)
    assert shown(dashboard) == shown(page)
    assert (
        dashboard["layout"]["title"]["text"] == page["layout"]["title"]["text"] == notebook["layout"]["title"]["text"]
    )


def test_a_saved_bundle_says_the_same(probes: dict[str, lab.Probe], tmp_path: Path) -> None:
    """What is loaded from a file draws what was drawn before, in the notebook and on the page."""
    probe = probes["strawberry"]
    again = lab.Probe.load(probe.save(tmp_path / "probe.npz"))
    pages = [
        lab.report(one, tmp_path / f"{place}.html") for place, one in enumerate((probe, again, tmp_path / "probe.npz"))
    ]
    first, *others = (HIDDEN.findall(page.read_text(encoding="utf-8")) for page in pages)
    assert len(first) > 10
    assert all(other == first for other in others)
