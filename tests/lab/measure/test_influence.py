"""Which tokens moved a prediction: planted cases, and three ways that know what cannot have mattered."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lab
import strawberry
from lab.gather import idle_threads
from lab.measure import maps
from lab.measure.influence import InfluenceError, by_gradient, by_map, by_removal, influence
from strawberry.data import Tokenizer
from strawberry.state import State
from strawberry.tap import Tap

WAYS = ("map", "gradient", "removal")


class Copier(nn.Module):
    """Predicts the token before last, as surely as ``certainty`` says, and looks at nothing else."""

    causal = True

    def __init__(self, certainty: float = 5.0) -> None:
        super().__init__()
        self.config = strawberry.preset("gpt-pico", vocab_size=11)
        self.embedded, self.certainty = Tap(), certainty

    def forward(self, tokens: Tensor) -> Tensor:
        return self.step(tokens)[0]

    def step(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        x = self.embedded(torch.eye(11)[tokens])
        before = torch.zeros_like(x[:, :1]) if state is None else state.recursion
        read = torch.cat([before, x], dim=1)
        return self.certainty * read[:, :-1], State(0, (), recursion=read[:, -1:])

    def prefill(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        logits, after = self.step(tokens, state)
        return logits[:, -1], after


def test_a_copying_model_is_moved_by_the_token_that_it_copies() -> None:
    tokens = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    model = Copier()
    removal = by_removal(model, tokens, 5, 5)
    sure = torch.tensor([0.0] * 10 + [5.0]).log_softmax(-1)[-1]
    assert removal[4] == pytest.approx(float(sure - np.log(1 / 11)))
    assert not removal[[0, 1, 2, 3, 5, 6, 7]].any()
    gradient, log_p = by_gradient(model, tokens, 5, 5)
    assert log_p == pytest.approx(float(sure))
    assert gradient[4] > 0
    assert not gradient[[0, 1, 2, 3, 5, 6, 7]].any()
    # What it copies makes every other target less likely.
    assert by_removal(model, tokens, 5, 3)[4] < 0


@pytest.mark.parametrize("layers", [1, 2])
def test_what_no_window_reaches_has_no_influence(tokenizer: Tokenizer, text: str, layers: int) -> None:
    model = strawberry.build(strawberry.preset("gpt-pico", n_layers=layers, mixer="window", window=5))
    found = influence(model, tokenizer, text, 30, max_tokens=40)
    seen = slice(30 - 4 * layers, 31)
    for way in WAYS:
        values = getattr(found, way)
        assert np.abs(values[seen]).min() > 0
        np.testing.assert_allclose(np.delete(values, np.arange(40)[seen]), 0, atol=2e-6)
    assert not found.map[31:].any() and not found.gradient[31:].any() and not found.removal[31:].any()


@pytest.mark.parametrize("family", strawberry.families())
def test_every_family_says_which_tokens_moved_it(family: str, tokenizer: Tokenizer, text: str) -> None:
    model = strawberry.build(strawberry.preset(f"{family}-pico"))
    found = influence(model, tokenizer, text, 25, max_tokens=36)
    assert found.map.sum() == pytest.approx(1, abs=1e-4)
    assert found.map.min() >= 0 and found.gradient.min() >= 0
    later = [np.abs(getattr(found, way)[26:]).max() for way in WAYS]
    assert later[0] == 0
    assert (max(later[1:]) > 0) == (not model.causal)
    assert all(np.abs(getattr(found, way)[:26]).max() > 0 for way in WAYS)
    assert found.true and found.target == found.probe.pieces[26]
    assert found.log_p == pytest.approx(-found.probe.loss[25], abs=1e-4)
    assert found.strongest("removal", 40)[0] == np.abs(found.removal).argmax()
    assert model.training


@pytest.mark.parametrize("family", strawberry.families())
def test_removal_is_the_models_own_difference(family: str, tokenizer: Tokenizer, text: str) -> None:
    """However many texts go on from one state: each number is that of reading the text twice, from its beginning."""
    model = strawberry.build(strawberry.preset(f"{family}-pico")).eval()
    tokens = torch.tensor([tokenizer.encode(text)[:75]])
    found = by_removal(model, tokens, 69, 7)
    assert len(found) == 75

    def log_p() -> float:
        return float(model(tokens)[0, 69].log_softmax(-1)[7])

    with torch.inference_mode():
        for place in (0, 1, 11, 31, 32, 33, 64, 68, 69):

            def blank(embedded: Tensor, call: int, place: int = place) -> Tensor:
                return embedded.index_fill(1, torch.tensor([place]), 0)

            with strawberry.intervene(model, {"embedded": blank}):
                without = log_p()
            assert found[place] == pytest.approx(log_p() - without, abs=2e-5)


@pytest.mark.parametrize(("busy", "threads"), [(0.0, 4), (50.0, 2), (90.0, 1), (100.0, 1)])
def test_only_idle_processors_are_used(busy: float, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr("psutil.cpu_count", lambda: 4)
    monkeypatch.setattr("psutil.cpu_percent", lambda interval: busy)
    with idle_threads():
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == before


def test_the_gradient_is_that_of_small_turns(tokenizer: Tokenizer, text: str) -> None:
    model = strawberry.build(strawberry.preset("strawberry-pico")).eval().double()
    tokens = torch.tensor([tokenizer.encode(text)[:40]])
    size, _ = by_gradient(model, tokens, 39, 7)
    random = torch.randn(32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def shifted(by: float) -> float:
        def shift(embedded: Tensor, call: int) -> Tensor:
            embedded = embedded.clone()
            embedded[0, 20] += by * random
            return embedded

        with torch.inference_mode(), strawberry.intervene(model, {"embedded": shift}):
            return float(model(tokens)[0, 39].log_softmax(-1)[7])

    slope = (shifted(1e-4) - shifted(-1e-4)) / 2e-4
    # No direction is steeper than the gradient's own.
    bound = float(size[20]) / np.sqrt(32) * float(random.norm())
    assert 0 < abs(slope) < bound


def forward_rollout(probe: lab.Probe) -> np.ndarray:
    """The rollout the other way round: whole matrices, from the embeddings up."""
    state = np.eye(probe.tokens)
    for loop in range(probe.loops):
        memory = None
        for layer in range(probe.layers):
            if probe.mixers[layer] == "cross" and memory is None:
                memory = state
            heads = maps.shares(probe.maps(layer, loop, list(range(probe.map_count(layer)))))
            if (layer, "attention") in probe.routers:
                gates = probe.gates(layer, loop, "attention")
                read = sum(gates[:, [head]] * heads[head] for head in range(len(heads)))
            else:
                read = heads.mean(axis=0)
            state = maps.shares(read) @ (state if memory is None else memory) / 2 + state / 2
    return state


@pytest.mark.parametrize("family", ["strawberry", "gpt", "yoco", "retnet"])
def test_the_rollout_is_the_product_of_all_maps(probes: dict[str, lab.Probe], family: str) -> None:
    probe = probes[family]
    whole = forward_rollout(probe)
    for position in (0, 13, probe.tokens - 1):
        np.testing.assert_allclose(by_map(probe, position), whole[position], atol=1e-6)


@pytest.mark.parametrize("more", [{}, {"depth_cache": "first"}, {"recursion": "expert-choice"}])
def test_tokens_that_stopped_early_keep_what_they_have(tokenizer: Tokenizer, text: str, more: Any) -> None:
    model = strawberry.build(strawberry.preset("mor-pico", **more))
    taken = lab.probe(model, tokenizer, text, max_tokens=40)
    assert taken.depth is not None
    for position in range(0, 40, 13):
        row = by_map(taken, position)
        assert row.sum() == pytest.approx(1, abs=1e-4)
        assert not row[position + 1 :].any()
        assert row[position] >= 0.5 ** (taken.layers * taken.depth[position]) - 1e-6


def test_ways_are_compared_by_rank(tokenizer: Tokenizer, text: str) -> None:
    model = strawberry.build(strawberry.preset("gpt-pico"))
    found = influence(model, tokenizer, text, 20, max_tokens=30)
    assert found.agreement("map", "map") == pytest.approx(1)
    assert -1 <= found.agreement("gradient", "removal") <= 1
    assert np.isnan(influence(model, tokenizer, text, 0, max_tokens=30).agreement("map", "removal"))


def test_what_is_not_there_is_said_in_one_sentence(tokenizer: Tokenizer, text: str) -> None:
    model = strawberry.build(strawberry.preset("gpt-pico"))
    with pytest.raises(InfluenceError, match="no token 30; the text has tokens 0 to 29"):
        influence(model, tokenizer, text, 30, max_tokens=30)
    with pytest.raises(InfluenceError, match="no token id 512"):
        influence(model, tokenizer, text, 3, target=512)
    last = influence(model, tokenizer, text, 29, max_tokens=30)
    assert not last.true and last.target == last.probe.predictions(29)[0][0]
