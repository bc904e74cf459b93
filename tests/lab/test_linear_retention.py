"""A probe of the Retention Mechanism's linear and delta forms, whose weights are base plus memory at every token."""

import numpy as np
import pytest

import lab
import strawberry
from lab import figures
from lab.probe import Probe
from strawberry.data import Tokenizer


@pytest.fixture(scope="module", params=["linear", "delta"])
def read(request: pytest.FixtureRequest, tokenizer: Tokenizer, text: str) -> Probe:
    """Four whole chunks of 16 tokens and a shorter one."""
    model = strawberry.build(strawberry.preset("strawberry-pico", pooling=request.param))
    return lab.probe(model, tokenizer, text, max_tokens=70)


def test_one_set_for_each_chunk_in_the_same_shapes(read: Probe) -> None:
    assert (read.chunks, read.chunk, read.frames, read.kept_chunks) == (5, 16, 3, [0, 2, 4])
    for projection in read.projections:
        rows, columns = read.shape(projection)
        assert read.spectrum(0, projection).shape == (3, min(rows, columns))
        assert read.picture(0, projection, 1, chunk=0).shape == tuple(len(n) for n in read.picture_grid(projection))


def test_all_that_is_added_to_the_base_was_read(read: Probe) -> None:
    """The share of what the memory adds, in the first chunk too; the base owes the text nothing, the memory all."""
    share, change = (read.measure(name, 0, "swiglu") for name in ("input_share", "change"))
    sizes = read.measure("rms", 0, "swiglu")
    assert not share[0].any()
    np.testing.assert_allclose(share[1:], (change * sizes[0])[1:] / sizes[1:], rtol=1e-5)
    assert (share[1:] > 0.05).all()
    np.testing.assert_array_equal(read.measure("input_share", 0, "swiglu", which="transformed"), np.ones((3, 5)))


def test_a_text_of_one_chunk_has_its_share_too(tokenizer: Tokenizer) -> None:
    model = strawberry.build(strawberry.preset("strawberry-pico", pooling="linear"))
    short = lab.probe(model, tokenizer, "so be it")
    assert short.chunks == 1
    share = short.measure("input_share", 0, "qkv")
    assert share[0] == 0 and (share[1:] > 0.05).all()


def test_the_figures_draw_it_and_say_what_it_is(read: Probe) -> None:
    assert "base weights" in figures.input_share(read, layer=0).to_json()
    for draw in (figures.filmstrip, figures.weight_change, figures.spectrum):
        assert draw(read, layer=1).data
