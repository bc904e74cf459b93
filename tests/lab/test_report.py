"""The report: one file that needs no network, with all figures that suit its subject, in light and in dark."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import lab
import strawberry
from lab import figures
from lab.causality import Verdict, verdict
from lab.figures.captions import CAPTIONS
from lab.figures.digest import digest
from lab.figures.page import changes
from lab.figures.tables import TABLES
from lab.probe import ProbeError

HIDDEN = re.compile(r'<script type="application/json">(.*?)</script>', re.DOTALL)
ROOT = Path(__file__).resolve().parents[2]


def told(path: Path) -> list[dict[str, Any]]:
    """What the page holds of each figure: the figure drawn light, and what changes in the dark."""
    return [json.loads(part) for part in HIDDEN.findall(path.read_text(encoding="utf-8"))]


def in_the_dark(held: dict[str, Any]) -> dict[str, Any]:
    """The figure as the page's script draws it for a reader who prefers dark."""
    figure = json.loads(json.dumps(held["figure"]))
    for path, *value in held["dark"]:
        at = figure
        for key in path[:-1]:
            at = at[key]
        if value:
            at[path[-1]] = value[0]
        else:
            del at[path[-1]]
    return figure


def names(path: Path) -> list[str]:
    return [held["figure"]["layout"]["meta"]["figure"] for held in told(path)]


@pytest.fixture(scope="module")
def leak() -> Verdict:
    return verdict("strawberry-leaky")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, text: str) -> strawberry.Run:
    """A run of a few steps that was probed at two of them."""
    folder = tmp_path_factory.mktemp("runs") / "berry"
    config = strawberry.preset("strawberry-pico", seq_len=32, batch_size=2, tokenizer="bytes")
    with strawberry.Trainer(config, strawberry.Text(text * 20), folder, 4, eval_every=2, eval_batches=1) as trainer:
        for event in trainer:
            if event.event == "evaluated":
                taken = lab.probe(trainer.model, trainer.tokenizer, text, step=trainer.step, run="berry", max_tokens=50)
                taken.save(folder / "probes" / f"step-{trainer.step}.npz")
    return strawberry.open_run(folder)


def test_the_page_needs_no_network_and_has_plotly_once(probe: lab.Probe, tmp_path: Path) -> None:
    page = lab.report(probe, tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert page.count("plotly.js v") == 1
    # Nothing is loaded: neither scripts nor styles, fonts or pictures, but for what plotly.js itself could.
    own = re.sub(r"<script>/\*\*.*?</script>", "", page, flags=re.DOTALL)
    assert len(own) < len(page) - 1_000_000
    assert not re.search(r"(src|href)=.?https?:|@import|url\(", own)
    assert "<b>strong" not in own


def test_it_says_what_it_shows(probe: lab.Probe, tmp_path: Path) -> None:
    page = lab.report(probe, tmp_path / "page.html").read_text(encoding="utf-8")
    for words in ("first · step 7 · seed 0", "<dt>Seed</dt><dd>0</dd>", "&lt;b&gt;strong&lt;/b&gt;", "d_model", "qkv"):
        assert words in page
    assert 'class="alarm"' not in page


@pytest.mark.parametrize("family", strawberry.families())
def test_every_family_has_the_figures_that_suit_it(probes: dict[str, lab.Probe], tmp_path: Path, family: str) -> None:
    probe = probes[family]
    found = set(names(lab.report(probe, tmp_path / "page.html")))
    assert {"attention_map", "map_grid", "map_profile"} <= found
    assert ("filmstrip" in found) == bool(probe.projections)
    assert ("expert_load" in found) == bool(probe.routers)
    assert ("map_pair" in found) == (len(set(probe.mixers)) > 1)
    assert ("lens" in found) == (probe.lens_passes > 1)
    assert ("exit_depth" in found) == (probe.depth is not None or probe.confidence is not None)
    assert "loss_curve" not in found


def test_a_model_that_cheats_is_called_so(probes: dict[str, lab.Probe], tmp_path: Path) -> None:
    page = lab.report(probes["strawberry-leaky"], tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'class="alarm">This model reads the future' in page


def test_light_and_dark_are_what_the_figures_draw(probe: lab.Probe, leak: Verdict, tmp_path: Path) -> None:
    path = lab.report(probe, tmp_path / "page.html", verdict=leak)
    page, drawn = path.read_text(encoding="utf-8"), told(path)
    place = next(number for number, name in enumerate(names(path)) if name == "input_share")
    for theme, held in (("light", drawn[place]["figure"]), ("dark", in_the_dark(drawn[place]))):
        figure = figures.input_share(probe, layer=None, projection="qkv", theme=theme)
        assert held == json.loads(str(figure.to_json()))
        assert f"--page: {figures.colours(theme).page}" in page
    assert "prefers-color-scheme: dark" in page
    # Numbers are there once: in the dark, only colours change.
    for held in drawn:
        assert len(json.dumps(held["dark"])) < 20_000
        assert all("z" not in path and "bdata" not in path for path, *_ in held["dark"])


def test_changes_are_complete() -> None:
    light = {"a": [1, {"b": 2}], "gone": 1, "c": [1, 2], "d": {"e": 1}}
    dark = {"a": [1, {"b": 3}], "c": [1], "d": 5, "new": None}
    assert in_the_dark({"figure": light, "dark": changes(light, dark)}) == dark


def test_a_run_brings_its_loss_its_verdict_and_its_first_picture(run: strawberry.Run, tmp_path: Path) -> None:
    for number, subject in enumerate((run, str(run.path))):
        path = lab.report(subject, tmp_path / f"{number}.html")
        assert {"loss_curve", "weight_difference", "filmstrip"} <= set(names(path))
    page = path.read_text(encoding="utf-8")
    for words in ("<dt>Validation</dt>", "<dt>Parameters</dt>", "berry · step 4 · seed 0", "step-4.npz", "step-2.npz"):
        assert words in page
    again = lab.report(run, tmp_path / "again.html", text="another text altogether").read_text(encoding="utf-8")
    assert "another text altogether" in again


def test_a_run_without_a_picture_is_read_from_its_checkpoint(run: strawberry.Run, tmp_path: Path) -> None:
    taken = run.path / "probes"
    away = taken.rename(run.path / "away")
    try:
        path = lab.report(run, tmp_path / "page.html")
    finally:
        away.rename(taken)
    assert "filmstrip" in names(path)
    assert "weight_difference" not in names(path)


def test_the_code_on_the_page_draws_what_the_page_shows(
    run: strawberry.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lab.report(run, tmp_path / "page.html")
    page = path.read_text(encoding="utf-8")
    code = [re.sub("&#x27;|&quot;", "'", part) for part in re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)]
    source = next(part for part in code if part.startswith("import lab"))
    lines = [part for part in code if part.startswith("figures.")]
    shown: list[go.Figure] = []
    monkeypatch.setattr("plotly.graph_objects.Figure.show", lambda figure: shown.append(figure))
    exec("\n".join([source, *lines]), {})
    assert [json.loads(str(figure.to_json())) for figure in shown] == [held["figure"] for held in told(path)]


def test_what_is_no_probe_and_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="no probe at"):
        lab.report(tmp_path / "nothing.npz", tmp_path / "page.html")
    with pytest.raises(strawberry.StrawberryError, match="no run folder"):
        lab.report(tmp_path, tmp_path / "page.html")


@pytest.mark.slow
def test_every_planned_figure_has_its_words_and_its_notebook(
    probes: dict[str, lab.Probe], run: strawberry.Run, leak: Verdict, tmp_path: Path
) -> None:
    pages = [lab.report(probe, tmp_path / f"{family}.html", verdict=leak) for family, probe in probes.items()]
    planned = {name for path in (*pages, lab.report(run, tmp_path / "run.html")) for name in names(path)}
    assert planned <= set(CAPTIONS)
    assert set(CAPTIONS) <= set(TABLES)
    there = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    for says, notebook in CAPTIONS.values():
        assert "**" in says
        assert "Surprising would be" in says or "Look for" in says
        assert notebook in there or not any(name.startswith(notebook[:2]) for name in there)


def test_long_tables_are_brief_and_short_ones_are_whole(probe: lab.Probe) -> None:
    for name in ("expert_load", "spectrum", "map_profile", "lens_curve"):
        table = figures.table(name, probe)
        assert digest(table) == (table, "") or digest(table)[0].equals(table)
    brief, words = digest(figures.table("filmstrip", probe))
    assert len(brief) == 2 * probe.frames
    np.testing.assert_allclose(
        brief["weight, RMS"][1], np.sqrt(np.square(probe.picture(0, "qkv", 1)).mean()), rtol=1e-5
    )
    assert "size (RMS)" in words
    brief, words = digest(figures.table("attention_map", probe))
    assert list(brief.columns) == ["token", "largest 1", "largest 2", "largest 3"]
    assert len(brief) == probe.tokens
    entries = figures.table("weight_difference", probe, probe)
    assert len(digest(entries)[0]) == 1
    course = pd.DataFrame({"step": range(5000), "loss": np.linspace(5, 2, 5000)})
    assert list(digest(course)[0]["step"][[0, 4999]]) == [0, 4999]
    assert digest(figures.table("map_pair", probe, (0, 0, None), (1, 0, 2)))[0]["left"].is_monotonic_decreasing
