"""Maps whose weights have either sign are drawn around 0 and measured by their sizes; other families are drawn too."""

import numpy as np
import pytest

import lab
import strawberry
from lab import figures
from lab.figures.theme import colours
from lab.measure import maps
from strawberry.mixers import MIXERS
from tests.mixers.toys import Signed

DRAWN = ("attention_map", "map_grid", "map_profile")


@pytest.fixture
def signed(monkeypatch, tokenizer, text) -> lab.Probe:
    """A probe of a signed layer, a softmax layer and a signed layer."""
    monkeypatch.setitem(MIXERS, "signed", Signed)
    model = strawberry.build(strawberry.preset("gpt-pico", mixer="signed,softmax"))
    return lab.probe(model, tokenizer, text, max_tokens=70)


def test_the_map_is_the_mixers_and_has_either_sign(signed):
    assert [signed.averages(layer) for layer in range(3)] == [False, True, False]
    weights = signed.map(0, 0, 1)
    assert weights.min() < 0 < weights.max()
    assert not np.triu(weights, 1).any()
    assert signed.reconstruction(0, 0)[1] < 1e-5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_drawn_around_nought_and_an_average_from_nought(signed, theme):
    c = colours(theme)
    for figure in (
        figures.attention_map(signed, layer=0, index=1, theme=theme),
        figures.map_grid(signed, layer=0, theme=theme),
        figures.map_pair(signed, (0, 0, 1), (1, 0, 1), theme=theme),
        figures.map_pair(signed, (0, 0, 1), (-1, 0, 1), theme=theme),
    ):
        axis = figure.layout.coloraxis
        assert axis.cmin == -axis.cmax < 0
        assert [colour for _, colour in axis.colorscale] == list(c.diverging)
        places = [place for place, _ in axis.colorscale]
        assert places == sorted(places)
        np.testing.assert_allclose(np.array(places) + places[::-1], 1)
        assert axis.colorscale[3] == (0.5, c.diverging[3])
        assert list(axis.colorbar.tickvals) == sorted(axis.colorbar.tickvals)
        assert "red adds, blue subtracts" in figure.layout.title.subtitle.text
    axis = figures.attention_map(signed, layer=1, theme=theme).layout.coloraxis
    assert axis.cmin == 0
    assert [colour for _, colour in axis.colorscale] == list(c.reading)


def test_beside_an_average_each_has_a_range_of_its_own(signed):
    figure = figures.map_pair(signed, (1, 0, 1), (0, 0, 1))
    average, own = figure.layout.coloraxis, figure.layout.coloraxis2
    assert [trace.coloraxis for trace in figure.data] == ["coloraxis", "coloraxis2"]
    assert average.cmin == 0
    assert own.cmin == -own.cmax
    assert average.colorbar.x < 0.5
    assert "each on its own range" in figure.layout.title.subtitle.text


def test_its_cells_are_the_maps_own(signed):
    cells = np.asarray(figures.attention_map(signed, layer=0, index=1).data[0].z)
    weights = signed.map(0, 0, 1)
    past = np.tril_indices(len(weights))
    np.testing.assert_array_equal(cells[past], weights[past])


@pytest.mark.parametrize("size", [0.004, 1.0, 7.0, 300.0])
def test_long_ones_keep_their_sign_and_their_size_in_two_bytes(signed, monkeypatch, size):
    weights = size * np.tril(np.random.default_rng(0).uniform(-1, 1, (70, 70))).astype(np.float32)
    monkeypatch.setattr(lab.Probe, "map", lambda *_: weights)
    monkeypatch.setattr(figures.attention, "EXACT_CELLS", 100)
    for figure in (figures.attention_map(signed, layer=0), figures.map_pair(signed, (0, 0, 1), (1, 0, 1))):
        cells = np.asarray(figure.data[0].z)
        assert cells.dtype == np.int16
        unit = float(figure.data[0].hovertemplate.split("%{z}/")[1].split("<")[0])
        np.testing.assert_allclose(cells / unit, weights, atol=size / 1000)
        largest = np.quantile(np.abs(weights[np.tril_indices(70)]), 0.995)
        assert figure.layout.coloraxis.cmax == pytest.approx(largest * unit)


def test_measures_read_sizes(signed):
    weights = signed.map(0, 0, 1)
    shares = maps.shares(weights)
    np.testing.assert_allclose(shares.sum(-1), 1)
    for measure in (maps.entropy, maps.distance):
        np.testing.assert_allclose(measure(weights), measure(shares))
        np.testing.assert_allclose(measure(-3 * weights), measure(weights))
    lengths = np.arange(1, len(weights) + 1)
    assert (maps.entropy(weights) <= np.log(lengths) + 1e-9).all()
    assert (maps.distance(weights) <= lengths).all()
    apart = maps.divergence(weights, signed.map(1, 0, 1))
    assert ((apart >= 0) & (apart <= np.log(2))).all()
    assert not maps.divergence(weights, -weights).any()
    assert "absolute weights" in figures.map_profile(signed, layer=0).layout.title.subtitle.text
    assert "absolute weights" in figures.map_pair(signed, (0, 0, 1), (1, 0, 1)).layout.title.subtitle.text
    assert "absolute" not in figures.map_profile(signed, layer=1).layout.title.subtitle.text


def test_a_row_that_reads_nothing_has_neither_spread_nor_reach():
    nothing = np.zeros((4, 4))
    assert not maps.entropy(nothing).any()
    assert not maps.distance(nothing).any()


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("gpt", {"mixer": "window,aft,cross,cross", "n_layers": 4, "n_kv_heads": 2, "window": 8, "sinks": 2}),
        ("gpt", {"mixer": "aft,cross", "n_layers": 2, "loops": 2, "conv": 3, "input_gate": True}),
        ("strawberry-shared", {}),
    ],
)
def test_shared_memories_and_shared_weights_are_drawn(tokenizer, text, tmp_path, family, changes):
    model = strawberry.build(strawberry.preset(f"{family}-pico", **changes))
    probe = lab.Probe.load(lab.probe(model, tokenizer, text, max_tokens=70).save(tmp_path / "probe.npz"))
    assert probe.frames == probe.chunks == 0
    for layer in range(probe.layers):
        for loop in range(probe.loops):
            assert probe.reconstruction(layer, loop)[1] < 1e-5
            np.testing.assert_allclose(probe.map(layer, loop, 1).sum(-1), 1, atol=1e-5)
        for name in DRAWN:
            getattr(figures, name)(probe, layer=layer)
            assert len(figures.table(name, probe, layer=layer))
    figures.map_pair(probe, (0, 0, None), (-1, -1, 2))
