"""Two probes side by side: equal scales, a difference where there is one to draw, and curves on any axis."""

import numpy as np
import pytest

import lab
import strawberry
from lab import figures
from lab.figures.overlay import Curve
from lab.figures.theme import FigureError
from strawberry.data import Tokenizer


@pytest.fixture(scope="module")
def later(tokenizer: Tokenizer, text: str) -> lab.Probe:
    """Another model of the same kind reading the same text."""
    model = strawberry.build(strawberry.preset("strawberry-pico", seed=3))
    return lab.probe(model, tokenizer, text, step=90, run="second", max_tokens=70)


@pytest.fixture(scope="module")
def elsewhere(tokenizer: Tokenizer) -> lab.Probe:
    """A wider and deeper model reading a shorter, other text."""
    config = strawberry.preset("strawberry-pico", d_model=48, n_layers=3, loops=3, n_experts=3)
    return lab.probe(strawberry.build(config), tokenizer, "Something else, shorter.", step=1, run="third")


def drawn(figure: object) -> list[np.ndarray]:
    """The numbers of every panel."""
    return [np.asarray(trace.z, dtype=float) for trace in figure.data]  # type: ignore[attr-defined]


def test_weights_differ_by_what_is_drawn_as_their_difference(probe: lab.Probe, later: lab.Probe) -> None:
    figure = figures.contrast_filmstrip(probe, later, layer=1, projection="out", ranges="shared")
    panels = drawn(figure)
    assert len(panels) == 3 * probe.frames
    for first, second, left in zip(*(panels[k * probe.frames : (k + 1) * probe.frames] for k in range(3)), strict=True):
        assert np.allclose(first - second, left, atol=1e-6)
    assert np.allclose(panels[1], probe.picture(1, "out", 1), atol=1e-6)
    axis = figure.layout.coloraxis
    assert axis.cmin == -axis.cmax
    assert (
        "first · step 7" in figure.layout.title.subtitle.text
        and "second · step 90" in figure.layout.title.subtitle.text
    )


def test_experts_and_maps_share_one_scale_and_differ(probe: lab.Probe, later: lab.Probe) -> None:
    figure = figures.contrast_experts(probe, later, layer=1, loop=0, kind="attention")
    first, second, left = drawn(figure)
    assert np.allclose(first - second, left, atol=1e-6)
    assert figure.layout.coloraxis.cmax == max(first.max(), second.max()) == figure.layout.coloraxis2.cmax
    assert "go to other experts" in figure.layout.title.subtitle.text
    figure = figures.contrast_maps(probe, later, layer=1, loop=1)
    first, second, left = drawn(figure)
    assert np.allclose(np.nan_to_num(first - second), np.nan_to_num(left), atol=1e-6)
    assert np.isnan(left[np.triu_indices(len(left), 1)]).all()
    assert figure.layout.coloraxis2.cmin == -figure.layout.coloraxis.cmax


def test_where_shapes_or_texts_differ_both_are_drawn_without_a_difference(
    probe: lab.Probe, elsewhere: lab.Probe
) -> None:
    panels = drawn(figures.contrast_filmstrip(probe, elsewhere, other_layer=2))
    assert len(panels) == probe.frames + elsewhere.frames
    for figure in (
        figures.contrast_experts(probe, elsewhere, kind="ffn"), figures.contrast_maps(probe, elsewhere),
    ):  # fmt: skip
        assert len(figure.data) == 2
        assert "no difference to draw" in figure.layout.title.subtitle.text
    table = figures.table("contrast_maps", probe, elsewhere)
    assert set(table["of"]) == {"A", "B"}


def test_the_tables_hold_the_differences(probe: lab.Probe, later: lab.Probe) -> None:
    table = figures.table("contrast_maps", probe, later, layer=0, loop=0)
    assert np.allclose(table["A"] - table["B"], table["difference"])
    assert set(figures.table("contrast_filmstrip", probe, later)["of"]) == {"A", "B"}


def test_layers_and_weights_that_are_not_there_are_named(probe: lab.Probe, probes: dict[str, lab.Probe]) -> None:
    with pytest.raises(FigureError, match="layer 9"):
        figures.contrast_maps(probe, probe, layer=9)
    with pytest.raises(FigureError, match="no made weights"):
        figures.contrast_filmstrip(probe, probes["gpt"])


def test_curves_lie_where_tokens_and_time_put_them() -> None:
    slow = Curve("slow", [1, 2, 3], [10, 20, 30], [1.0, 2.0, 3.0], [3.0, 2.0, 1.0], ([2], [2.5]), 2.0)
    fast = Curve("fast", [1, 2, 3], [40, 80, 120], [0.1, 0.2, 0.3], [3.0, np.nan, 1.0])
    figure = figures.loss_overlay([slow, fast], by="tokens")
    places = {trace.name: list(trace.x) for trace in figure.data if trace.mode == "lines"}
    assert places == {"slow": [10, 20, 30], "fast": [40, 120]}
    diamonds = next(trace for trace in figure.data if "markers" in trace.mode)
    assert list(diamonds.x) == [20]
    figure = figures.loss_overlay([slow, fast], by="time", unit="bits")
    assert {trace.name for trace in figure.data} == {"slow"}
    assert "without fast" in figure.layout.title.subtitle.text
    assert figure.data[0].y[0] == pytest.approx(3.0 / (np.log(2) * 2.0), rel=1e-6)
    assert len(figures.loss_overlay([]).data) == 0
    with pytest.raises(FigureError, match="by must be"):
        figures.loss_overlay([slow], by="moon")
