"""The order in which shared layers run, for every scheme; they train, and decode with more passes than trained."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

import strawberry
from strawberry.errors import StrawberryError
from strawberry.learner import Learner
from strawberry.sharing import runs, visits

SCHEMES = ("cycle", "sequence", "middle-cycle")
NAMES = ("gpt-pico", "strawberry-pico", "strawberry-shared-pico", "retnet-pico")


def model_of(name: str, sharing: str, **fields: object) -> strawberry.Strawberry:
    shape = {"n_layers": 4, "loops": 2, "chunk": 5, "windows": (3, 8, 1, 0), "vocab_size": 64}
    return strawberry.build(strawberry.preset(name, sharing=sharing, **{**shape, **fields}))


def order(model: strawberry.Strawberry, loops: int) -> str:
    """The layers in the order in which they ran, A being the first."""
    heard: list[str] = []
    for index, block in enumerate(model.blocks):
        block.residual.attach(lambda x, call, index=index: heard.append("ABCD"[index]))
    model(torch.zeros(1, 3, dtype=torch.long), loops=loops)
    return "".join(heard)


@pytest.mark.parametrize(
    ("sharing", "expected"),
    [
        ("cycle", {1: "ABCD", 2: "ABCDABCD", 3: "ABCDABCDABCD"}),
        ("sequence", {1: "ABCD", 2: "AABBCCDD", 3: "AAABBBCCCDDD"}),
        ("middle-cycle", {1: "ABCD", 2: "ABCBCD", 3: "ABCBCBCD"}),
    ],
)
@torch.no_grad()
def test_order(sharing: str, expected: dict[int, str]) -> None:
    for loops, letters in expected.items():
        assert order(model_of("gpt-pico", sharing), loops) == letters
        config = model_of("gpt-pico", sharing).config
        walked = visits(config, loops)
        assert [runs(config, layer, loops) for layer in range(4)] == [letters.count(letter) for letter in "ABCD"]
        # Each layer counts its own runs.
        for layer in range(4):
            assert [one.step for one in walked if one.layer == layer] == list(range(letters.count("ABCD"[layer])))
        assert walked[-1].ends
        passes = 4 if sharing == "sequence" else loops
        assert sum(one.ends for one in walked) == passes


@pytest.mark.parametrize("sharing", SCHEMES)
@pytest.mark.parametrize("name", NAMES)
def test_learns_by_heart(name: str, sharing: str) -> None:
    model = model_of(name, sharing, seq_len=16, optimizer="adamw", decay_lr=False, warmup_steps=0, learning_rate=0.01)
    learner = Learner(model, model.config)
    rows = torch.randint(0, 64, (2, 17), generator=torch.Generator().manual_seed(1))
    losses = [learner.learn([(rows[:, :-1], rows[:, 1:])], step, 25).loss for step in range(25)]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("sharing", SCHEMES)
def test_every_layer_learns(sharing: str) -> None:
    model = model_of("gpt-pico", sharing)
    tokens = torch.randint(0, 64, (2, 12))
    model.loss(tokens, tokens.roll(-1, 1)).total.backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, path


@pytest.mark.parametrize("sharing", SCHEMES)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(1, 20), max_size=5), loops=st.sampled_from([1, 2, 5]))
@torch.no_grad()
def test_any_cut_with_any_number_of_passes(name: str, sharing: str, cuts: list[int], loops: int) -> None:
    model, tokens = model_of(name, sharing).double(), torch.randint(0, 64, (2, 21))
    state, logits = None, []
    for piece in tokens.tensor_split(sorted(set(cuts)), dim=1):
        part, state = model.step(piece, state, loops=loops)
        logits.append(part)
    assert_close(torch.cat(logits, dim=1), model(tokens, loops=loops), atol=1e-10, rtol=0)


@pytest.mark.parametrize("sharing", SCHEMES)
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_ragged_rows(name: str, sharing: str) -> None:
    model, tokens = model_of(name, sharing).double(), torch.randint(0, 64, (2, 20))
    whole: Tensor = model(tokens, loops=3)
    done, state = torch.zeros(2, dtype=torch.long), None
    for lengths in ([4, 7], [1, 1], [0, 3], [6, 2]):
        length = torch.tensor(lengths)
        places = (done[:, None] + torch.arange(max(lengths))).clamp(max=19)
        logits, state = model.step(tokens.gather(1, places), state, length, loops=3)
        for row in range(2):
            expected = whole[row, done[row] : done[row] + lengths[row]]
            assert_close(logits[row, : lengths[row]], expected, atol=1e-10, rtol=0)
        done = done + length


@pytest.mark.parametrize("sharing", SCHEMES)
@torch.no_grad()
def test_passes_beyond_those_trained_stay_in_bounds(sharing: str) -> None:
    """Each branch adds its gain and no more, so the residual stream grows no faster than the passes."""
    model, tokens = model_of("gpt-pico", sharing), torch.randint(0, 64, (2, 21))
    with strawberry.Trace.of(model, "passes") as trace:
        model(tokens, loops=12)
    gain = float(model.blocks[0].gains.mean())
    bound = 1 + 2 * gain * len(visits(model.config, 12))
    assert trace["passes"][-1].square().mean(dim=-1).sqrt().max() < bound + 1e-3


@torch.no_grad()
def test_a_mixture_has_its_own_passes() -> None:
    model, tokens = strawberry.build(strawberry.preset("mor-pico")), torch.zeros(1, 3, dtype=torch.long)
    assert torch.equal(model(tokens, loops=3), model(tokens))
    with pytest.raises(StrawberryError, match="passes it has"):
        model(tokens, loops=4)


@pytest.mark.parametrize("sharing", SCHEMES)
@torch.no_grad()
def test_a_text_keeps_its_number_of_passes(sharing: str) -> None:
    model, tokens = model_of("gpt-pico", sharing), torch.zeros(1, 3, dtype=torch.long)
    _, state = model.step(tokens, loops=3)
    with pytest.raises(StrawberryError, match="one number of loops"):
        model.step(tokens, state, loops=2)
