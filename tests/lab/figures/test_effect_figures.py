"""What is drawn of a change and of influence: the numbers themselves, in their places, small enough to send."""

from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

import lab
import strawberry
from lab import figures
from lab.figures import FigureError
from lab.interventions import Effect, ForceExpert, Transplant, effect
from lab.measure.influence import influence
from strawberry.data import Tokenizer


@pytest.fixture(scope="module")
def found(tokenizer: Tokenizer, text: str) -> Effect:
    model = strawberry.build(strawberry.preset("strawberry-pico"))
    return effect(model, tokenizer, text, [Transplant("zero"), ForceExpert("ffn", 1)], step=7, run="first")


def cells(figure: go.Figure) -> np.ndarray:
    return np.asarray(figure.data[0].z, dtype=np.float64).ravel()


def test_each_token_has_the_change_of_its_own_prediction(found: Effect) -> None:
    drawn = cells(figures.effect_tokens(found))
    assert np.isnan(drawn[0])
    np.testing.assert_allclose(drawn[1 : found.tokens], found.difference, rtol=1e-6)
    assert np.isnan(drawn[found.tokens :]).all()
    part = cells(figures.effect_tokens(found, tokens=(5, 9)))
    np.testing.assert_allclose(part, found.difference[4:8], rtol=1e-6)
    table = figures.table("effect_tokens", found)
    np.testing.assert_allclose(table["loss after"] - table["loss before"], table["change"], atol=1e-6)
    assert table["token"][0] == f"1 {found.pieces[1]}"


def test_the_whole_text_is_written_once(found: Effect) -> None:
    figure = figures.effect_tokens(found)
    written = sum(len(trace.text) for trace in figure.data if trace.type == "scatter")
    assert written == found.tokens
    assert f"{found.mean_loss[0]:.3f} → {found.mean_loss[1]:.3f}" in figure.layout.title.text


def test_a_long_text_is_sent_small(found: Effect) -> None:
    def longer(probe: lab.Probe) -> lab.Probe:
        arrays = {**probe.arrays, "loss": np.resize(probe.loss, 999)}
        return lab.Probe({**probe.meta, "pieces": [f" piece{number}" for number in range(1000)]}, arrays)

    many = replace(
        found,
        before=longer(found.before),
        after=longer(found.after),
        kl=np.resize(found.kl, 1000),
        likeliest=np.resize(found.likeliest, (1000, 10)),
    )
    assert len(figures.effect_tokens(many).to_json()) < 500_000


def test_both_distributions_are_drawn_and_the_true_token_is_marked(found: Effect) -> None:
    position = int(
        np.flatnonzero([found.pieces[t + 1] in [row[0] for row in found.distribution(t)] for t in range(60)])[0]
    )
    figure = figures.effect_distribution(found, position=position)
    rows = found.distribution(position)
    for trace, values in zip(figure.data, ([row[1] for row in rows], [row[2] for row in rows]), strict=True):
        np.testing.assert_allclose(np.asarray(trace.x), values, rtol=1e-6)
    assert sum("✓" in name for name in figure.layout.yaxis.ticktext) == 1
    assert figures.table("effect_distribution", found, position=position)["follows"].sum() == 1
    with pytest.raises(FigureError, match="position must be one of"):
        figures.effect_distribution(found, position=found.tokens)


def test_three_ways_stand_above_one_another(tokenizer: Tokenizer, text: str) -> None:
    model = strawberry.build(strawberry.preset("strawberry-pico"))
    moved = influence(model, tokenizer, text, 30)
    figure = figures.influence(moved)
    for trace, way in zip(figure.data, ("map", "gradient", "removal"), strict=True):
        np.testing.assert_allclose(np.asarray(trace.y), getattr(moved, way)[:31], rtol=1e-6)
    assert len(figures.table("influence", moved)) == 31
    with pytest.raises(FigureError, match="tokens must be a part"):
        figures.influence(moved, tokens=(5, 5))


def test_a_model_that_reads_the_future_shows_it(tokenizer: Tokenizer, text: str) -> None:
    leaky = strawberry.build(strawberry.preset("strawberry-leaky-pico"))
    moved = influence(leaky, tokenizer, text, 10, max_tokens=20)
    assert len(np.asarray(figures.influence(moved).data[0].y)) == 20


@pytest.mark.parametrize(
    ("name", "options"),
    [("filmstrip", {"ranges": "shared"}), ("attention_map", {"layer": 1}), ("expert_heatmap", {"kind": "ffn"})],
)
def test_compared_figures_get_equal_scales(found: Effect, name: str, options: dict[str, Any]) -> None:
    drawn = [getattr(figures, name)(probe, **options) for probe in (found.before, found.after)]
    own = [scales(figure) for figure in drawn]
    figures.level(*drawn)
    first, second = (scales(figure) for figure in drawn)
    assert first == second
    assert first == [(min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(*own, strict=True)]


def scales(figure: go.Figure) -> list[tuple[float, float]]:
    axes = [figure.layout.coloraxis] if figure.layout.coloraxis.cmin is not None else []
    traces = [trace for trace in figure.data if trace.type == "heatmap" and trace.zmin is not None]
    return [*((axis.cmin, axis.cmax) for axis in axes), *((trace.zmin, trace.zmax) for trace in traces)]
