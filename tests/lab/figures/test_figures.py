"""Every figure, of every family, in both themes: dressed alike, small, made of typed arrays, with a table beside it."""

import dataclasses
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import lab
import strawberry
from lab import figures
from lab.causality import Verdict, verdict
from lab.figures.depth import depths_of, has_depths
from lab.figures.lens import quantities
from lab.figures.overlay import BY, UNITS, Curve
from lab.interventions import Effect, SilenceHead, Transplant, effect
from lab.measure.calibration import Calibration, binned
from lab.measure.influence import Influence, influence
from strawberry.data import Tokenizer

LIMIT = 500_000


@pytest.fixture(scope="module")
def leak() -> Verdict:
    return verdict("strawberry-leaky")


TEXT = "The state of the union, <b>strong</b> & free:\n\tso be it."


@cache
def reached() -> tuple[Effect, Influence]:
    """A small model that was reached into, and what moved one of its predictions."""
    model = strawberry.build(strawberry.preset("strawberry-pico"))
    tokenizer = Tokenizer.train("bytes", [TEXT], 512)
    change = [Transplant("zero"), SilenceHead(1, 0)]
    return effect(model, tokenizer, TEXT, change, step=7), influence(model, tokenizer, TEXT, 30, step=7)


def claims(passes: int = 3) -> Calibration:
    """A confidence that is always 0.1 too high."""
    confidence = np.random.default_rng(0).uniform(0.1, 1, (passes, 500))
    return binned(confidence, confidence - 0.1, 6.0)


def arguments(name: str, probe: lab.Probe, leak: Verdict) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Calls of the figure `name` that this probe can answer."""
    made = [{"layer": layer, "projection": p} for layer in range(probe.layers) for p in probe.projections]
    every = [{"layer": layer, "loop": loop} for layer in range(probe.layers) for loop in range(probe.loops)]
    routed = [{"layer": layer, "kind": kind} for layer, kind in probe.routers]
    chosen: dict[str, list[dict[str, Any]]] = {
        "filmstrip": made,
        "weight_change": [{"which": which} for which in ("current", "transformed") if made],
        "spectrum": [{**each, "which": which} for each in made for which in ("current", "transformed")],
        "input_share": [*made, *([{"layer": None}] if made else [])],
        "expert_heatmap": [{**each, "values": values} for each in routed for values in ("gates", "probs")],
        "expert_load": [*routed, *[{**each, "loop": 0} for each in routed]],
        "attention_map": [{**each, **part} for each in every for part in ({}, {"index": 1, "tokens": (3, 20)})],
        "map_grid": every,
        "map_profile": [{**each, "index": 1} for each in every],
        "lens": [
            {"quantity": quantity, **part}
            for quantity in quantities(probe) for part in ({}, {"tokens": (3, 20), "loop": 0}, {"tokens": (69, 70)})
        ],
        "lens_curve": [{}],
        "exit_depth": [{}, *([{"threshold": 0.0}, {"threshold": 2.0}] if probe.depth is None else [])],
    }  # fmt: skip
    if name == "exit_depth" and not has_depths(probe):
        return []
    if name == "reliability":
        return [((claims(passes),), {"label": "a run"}) for passes in (1, 3)]
    if name == "effect_tokens":
        return [((reached()[0],), part) for part in ({}, {"tokens": (0, 1)}, {"tokens": (3, 20)})]
    if name == "effect_distribution":
        return [((reached()[0],), {"position": position}) for position in (0, 20, reached()[0].tokens - 1)]
    if name == "effect_map":
        places: list[dict[str, Any]] = [{"layer": 0}, {"layer": 1, "loop": 1, "index": 2, "tokens": (3, 20)}]
        return [((reached()[0],), place) for place in places]
    if name == "influence":
        return [((reached()[1],), part) for part in ({}, {"tokens": (3, 20)})]
    if name in ("leak_map", "gradient_map", "row_check"):
        return [((leak,), {})]
    if name == "loss_overlay":
        return [(([curve("a"), curve("b", 40)],), {"by": by, "unit": unit}) for by in BY for unit in UNITS]
    if name.startswith("contrast_"):
        wanted: list[dict[str, Any]] = {"filmstrip": made, "maps": every, "experts": [*routed]}[name[9:]]
        return [((probe, probe), each) for each in wanted]
    if name == "rounded_weights":
        weights = np.random.default_rng(0).normal(size=(200, 300))
        return [((part,), {"rounding": kind}) for kind in ("ternary", "sign") for part in (weights, weights[:9, :5])]
    if name == "state_growth":
        return [((range(3, 40), sizes), {"prompt": 3, "cache": 64}) for sizes in ([99] * 37, range(64, 2432, 64))]
    if name == "loss_curve":
        losses = np.exp(-np.arange(60) / 30) + 1
        validation = {"validation": ([10, 40], [1.9, 1.4]), "bytes_per_token": 2.9}
        return [((range(60), losses), more) for more in ({}, validation)]
    if name == "map_pair":
        return [((probe, (0, 0, None), (-1, -1, 2)), {})]
    if name == "weight_difference":
        return [((probe, probe), each) for each in made]
    return [((probe,), each) for each in chosen[name]]


def curve(name: str, steps: int = 60) -> Curve:
    """A run that learns as runs do."""
    losses = np.exp(-np.arange(steps) / 30) + 1
    return Curve(name, range(steps), range(0, 8 * steps, 8), np.arange(steps) / 7, losses, ([10, 39], [1.9, 1.4]), 2.9)


NAMES = list(figures.tables.TABLES)
FIGURES: dict[str, Callable[..., go.Figure]] = {name: getattr(figures, name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", strawberry.families())
def test_every_figure_is_drawn_dressed_and_small(probes, leak, name, family):
    for args, choices in arguments(name, probes[family], leak):
        text = FIGURES[name](*args, **choices).to_json()
        layout = json.loads(text)["layout"]
        assert len(text) < LIMIT
        assert layout["title"]["text"]
        assert layout["title"]["subtitle"]["text"]
        assert layout["height"] >= 200
        assert layout["uirevision"] == layout["meta"]["figure"] == name
        assert layout["template"]["layout"]["paper_bgcolor"] == figures.colours("light").page
        table = figures.table(name, *args, **choices, theme="dark")
        assert isinstance(table, pd.DataFrame)
        assert len(table)
        assert table.columns.is_unique


@pytest.mark.parametrize("name", NAMES)
def test_light_and_dark_differ_in_colour_alone(probes, leak, name):
    args, choices = next(call for probe in probes.values() for call in arguments(name, probe, leak))
    light, dark = (FIGURES[name](*args, **choices, theme=theme) for theme in ("light", "dark"))
    assert light.to_json() != dark.to_json()
    assert len(light.data) == len(dark.data)
    for first, second in zip(light.data, dark.data, strict=True):
        assert first.hovertemplate == second.hovertemplate


def test_matrices_travel_as_typed_arrays(probe):
    for figure in (figures.filmstrip(probe), figures.attention_map(probe), figures.expert_heatmap(probe)):
        for trace in json.loads(figure.to_json())["data"]:
            assert set(trace["z"]) == {"dtype", "bdata", "shape"}


def long_probe(probe: lab.Probe, tokens: int) -> lab.Probe:
    """The same, as if over a longer text."""
    arrays = {
        name: np.resize(values, (values.shape[0], tokens, *values.shape[2:])) if name[:2] in ("q.", "k.") else values
        for name, values in probe.arrays.items()
    }
    return lab.Probe({**probe.meta, "pieces": [f" piece{i}" for i in range(tokens)]}, arrays)


def deep_probe(probe: lab.Probe, tokens: int, passes: int) -> lab.Probe:
    """The same, as if it had read a longer text in more passes."""
    arrays = {
        name: np.resize(values, (passes, tokens - (name == "lens.loss")))
        for name, values in probe.arrays.items()
        if name.startswith("lens.")
    }
    pieces = [f" piece{i}" for i in range(tokens)]
    meta = {**probe.meta, "pieces": pieces, "lens_pieces": [pieces[::-1]] * passes}
    ids = {"ids": np.arange(tokens), "loss": arrays["lens.loss"][-1]}
    return lab.Probe({**meta, "config": {**probe.config, "loops": passes // 2}}, {**arrays, **ids})


@pytest.mark.parametrize("tokens", [256, 300, 513])
def test_long_maps_stay_under_half_a_megabyte(probe, tokens):
    long = long_probe(probe, tokens)
    for figure in (
        figures.attention_map(long),
        figures.map_pair(long, (0, 0, None), (1, 0, 3)),
        figures.map_grid(long),
        figures.map_profile(long),
    ):
        assert len(figure.to_json()) < LIMIT


def test_many_passes_over_a_long_text_stay_small_and_readable(probes):
    deep = deep_probe(probes["homunculus"], 256, 12)
    for quantity in quantities(deep):
        assert len(figures.lens(deep, quantity=quantity).to_json()) < LIMIT / 2
    assert len(figures.exit_depth(deep).to_json()) < LIMIT / 2
    few = figures.lens(deep, tokens=(100, 124))
    assert len(few.layout.xaxis.ticktext) == 24
    assert few.data[0].text[0][0] == "piece1…"


def test_the_lens_shows_the_probes_own_numbers_and_sets_untrained_passes_apart(probes):
    probe = probes["homunculus"]
    drawn = figures.lens(probe).data[0]
    assert list(drawn.y) == ["pass 1", "pass 2", "pass 3", "pass 4", " ", "pass 5", "pass 6", "pass 7", "pass 8"]
    cells = np.asarray(drawn.z)
    assert np.isnan(cells[4]).all() and np.isnan(cells[:, -1]).all()
    np.testing.assert_array_equal(np.delete(cells, 4, axis=0)[:, :-1], probe.lens("loss"))
    assert [name.removeprefix("␣") for name in drawn.customdata[0][:2]] == [
        piece.strip() for piece in probe.pieces[1:3]
    ]
    gained = np.asarray(figures.lens(probe, quantity="gain").data[0].z)
    np.testing.assert_array_equal(gained[2, :-1], probe.lens("loss")[2] - probe.lens("loss")[0])
    assert list(figures.lens(probes["mor"]).data[0].y) == ["pass 1", "pass 2", "pass 3"]


def test_tokens_stop_where_the_confidence_reaches_the_threshold(probes):
    probe = probes["homunculus"]
    confidence = np.array([[0.1, 0.6, 0.2], [0.5, 0.1, 0.2], [0.9, 0.9, 0.2], [0.1, 0.1, 0.2], [1, 1, 1]])
    few = lab.Probe(probe.meta, {**probe.arrays, "lens.confidence": confidence})
    found = depths_of(few, 0.5)
    assert found.depth.tolist() == [2, 1, 4]
    assert found.reached.tolist() == [True, True, False]
    assert found.at_exit.tolist() == [0.5, 0.6, 0.2]
    assert depths_of(few).threshold == 0.2
    learned = lab.Probe({**few.meta, "config": {**few.config, "halting": "distribution"}}, few.arrays)
    assert depths_of(learned, 0.5).depth.tolist() == [2, 1, 4]
    np.testing.assert_allclose(depths_of(learned, 0.5).sure[:, 2], 1 - 0.8 ** np.arange(1, 5))
    assert depths_of(probes["mor"]).depth.tolist() == probes["mor"].depth.tolist()


def test_each_layer_is_a_step_where_layers_run_several_times_in_a_row(tokenizer, text):
    model = strawberry.build(strawberry.preset("strawberry-pico", sharing="sequence", loops=3, weights="learned"))
    probe = lab.probe(model, tokenizer, text, max_tokens=20)
    assert list(figures.lens(probe).data[0].y) == ["layer 1", "layer 2"]
    np.testing.assert_allclose(probe.lens("loss")[-1], probe.loss, atol=1e-5)


def test_map_cells_are_the_probes_own_and_the_future_is_blank(probe):
    cells = np.asarray(figures.attention_map(probe, layer=1, index=2).data[0].z)
    weights = probe.map(1, 0, 2)
    past = np.tril_indices(len(weights))
    np.testing.assert_array_equal(cells[past], weights[past])
    assert np.isnan(cells[np.triu_indices(len(weights), 1)]).all()


def test_compared_panels_share_a_range(probe):
    for figure in (
        figures.filmstrip(probe, ranges="shared"),
        figures.map_grid(probe),
        figures.map_pair(probe, (0, 0, 1), (1, 0, 1)),
        figures.weight_difference(probe, probe),
    ):
        assert {trace.coloraxis for trace in figure.data} == {"coloraxis"}
    weights = figures.filmstrip(probe, ranges="shared").layout.coloraxis
    assert weights.cmin == -weights.cmax


def test_two_texts_at_one_moment_are_told_apart(probe):
    other = dataclasses.replace(probe, meta={**probe.meta, "text": "another"})
    titles = [note.text for note in figures.weight_difference(probe, other, frame=1, other_frame=1).layout.annotations]
    assert titles[0].endswith("first text") and titles[1].endswith("second text")
    titles = [note.text for note in figures.weight_difference(probe, other, frame=1).layout.annotations]
    assert not any("text" in title for title in titles)


def test_hover_names_tokens_and_markup_in_them_is_harmless(probe):
    labels = list(figures.attention_map(probe).data[0].x)
    assert labels[0] == "0 T"
    assert labels[3] == "3 ␣"
    assert any("&lt;" in label for label in labels)
    assert not any("<" in label for label in labels)


def test_dead_experts_are_named(probe):
    arrays = dict(probe.arrays)
    gates = arrays["gates.ffn.0"].copy()
    gates[..., 2] = 0
    dead = lab.Probe(probe.meta, {**arrays, "gates.ffn.0": gates})
    figure = figures.expert_load(dead, layer=0, kind="ffn")
    assert figure.layout.title.subtitle.text.endswith("dead: E2")
    assert "dead" in [note.text for note in figure.layout.annotations]
    table = figures.table("expert_load", dead, layer=0, kind="ffn")
    assert set(table.loc[table["dead"], "expert"]) == {"E2"}


def test_filmstrip_from_plain_matrices_equals_the_probes_picture_of_them():
    frames = [np.eye(4) * scale for scale in (1, 2, 3)]
    figure = figures.filmstrip_from(frames, frames, ranges="shared")
    assert [float(np.asarray(trace.z).max()) for trace in figure.data] == [1, 2, 3, 1, 2, 3]
    own = figures.filmstrip_from(frames, frames)
    assert {round(float(np.asarray(trace.z).max()), 5) for trace in own.data} == {2.0}


def test_loss_curve_of_events_forgets_what_a_resume_undid():
    step = [{"event": "step", "step": n, "loss": 10.0 - n} for n in range(1, 6)]
    events = [
        {"event": "started", "step": 0, "bytes_per_token": 2.0},
        *step,
        {"event": "evaluated", "step": 4, "loss": 6.5},
        {"event": "started", "step": 3, "bytes_per_token": 2.0},
        {"event": "step", "step": 4, "loss": "NaN"},
        {"event": "step", "step": 5, "loss": 1.0},
    ]
    figure = figures.loss_curve_of(events)
    raw = figure.data[0]
    assert np.asarray(raw.x).tolist() == [1, 2, 3, 5]
    assert np.asarray(raw.y).tolist() == [9, 8, 7, 1]
    assert "no validation yet" in figure.layout.title.subtitle.text
    assert figure.layout.yaxis2.range[0] == pytest.approx(figure.layout.yaxis.range[0] / (2 * np.log(2)))


def test_loss_curve_before_the_first_step_and_after_very_many():
    assert "waiting" in figures.loss_curve([], []).layout.title.subtitle.text
    long = figures.loss_curve(range(100_000), np.linspace(7, 2, 100_000))
    assert len(long.data[0].x) <= 2000
    assert len(long.to_json()) < 60_000


def test_what_cannot_be_drawn_gets_one_sentence(probe, probes):
    for wrong, answer in (
        (lambda: figures.filmstrip(probe, theme="blue"), "light or dark"),
        (lambda: figures.filmstrip(probe, ranges="none"), "shared or own"),
        (lambda: figures.filmstrip_from([np.eye(2)], []), "equally long"),
        (lambda: figures.attention_map(probe, tokens=(5, 5)), "tokens must be"),
        (lambda: figures.expert_heatmap(probe, values="both"), "gates or probs"),
        (lambda: figures.weight_difference(probe, probes["gpt"]), "has no made weights"),
        (lambda: figures.table("nothing", probe), "the tables are"),
        (lambda: figures.lens(probe, quantity="confidence"), "quantity must be one of"),
        (lambda: figures.exit_depth(probe), "nothing in this model decides"),
        (lambda: figures.rounded_weights(np.eye(3), rounding="none"), "ternary or sign"),
        (lambda: figures.rounded_weights(np.ones((2, 3, 4))), "matrix by matrix"),
    ):
        with pytest.raises(figures.FigureError, match=answer):
            wrong()
