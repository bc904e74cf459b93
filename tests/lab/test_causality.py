"""The leak meter: every causal preset is dark, the leaky family lights up, and small planted leaks are found."""

import numpy as np
import pytest
import torch

import strawberry
from lab import causality
from strawberry.errors import ConfigError, StrawberryError


@pytest.mark.parametrize("name", strawberry.presets())
def test_every_preset_is_judged_as_it_says_of_itself(name):
    found = causality.verdict(name)
    assert found.causal == strawberry.preset(name).causal
    assert found.sentence.startswith(f"{name} is causal" if found.causal else f"{name} LEAKS")
    assert found.cuts.tolist() == list(range(1, found.map.shape[1]))
    if found.causal:
        assert found.autograd_ok
        assert max(found.worst_earlier_change, found.worst_other_row_change) < 1e-12
    else:
        assert not found.autograd_ok
        assert min(found.worst_earlier_change, found.worst_other_row_change) > 1e-3


def test_outputs_do_move_where_they_may():
    found = causality.verdict("strawberry")
    allowed = np.arange(found.map.shape[1]) >= found.cuts[:, None]
    assert (found.map[allowed] > 0).mean() > 0.99


@pytest.fixture
def model() -> strawberry.Strawberry:
    return strawberry.build(strawberry.preset("strawberry-pico", chunk=8, seq_len=32))


def test_a_model_is_judged_as_it_is_and_left_so(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    assert causality.verdict(model, seq_len=20).causal
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_faint_look_at_the_next_token_is_found(model):
    model.layers[0].residual.attach(lambda value, call: value + 1e-6 * value.roll(-1, dims=1))
    found = causality.verdict(model, seq_len=16)
    assert not found.causal
    assert 1e-9 < found.worst_earlier_change < 1e-3
    assert "earlier logits" in found.sentence


def test_a_look_at_one_later_token_only_is_found(model):
    def peek(value: torch.Tensor, call: int) -> torch.Tensor:
        value = value.clone()
        value[:, 9] += 0.1 * value[:, 11]
        return value

    model.layers[1].q.attach(peek)
    found = causality.verdict(model, seq_len=16)
    moved = np.where(np.arange(16) < found.cuts[:, None], found.map, 0) > found.tolerance
    assert {tuple(place) for place in np.argwhere(moved)} <= {(cut - 1, t) for cut in (10, 11) for t in range(9, 11)}
    assert moved[9, 9]
    assert not found.causal


def test_a_look_at_other_rows_is_found(model):
    model.embedded.attach(lambda value, call: value + 0.01 * value.mean(0, keepdim=True))
    found = causality.verdict(model, seq_len=12)
    assert not found.causal
    assert found.worst_earlier_change == 0
    assert found.worst_other_row_change > 1e-3
    assert "another row" in found.sentence


def test_a_leak_of_the_gradient_alone_is_found(model):
    model.layers[0].residual.attach(lambda value, call: value + (value.sum() - value.sum().detach()))
    found = causality.verdict(model, seq_len=12)
    assert found.worst_earlier_change == 0
    assert not found.autograd_ok
    assert "gradient" in found.sentence


@pytest.mark.parametrize(
    "changes",
    [
        {"mixer": "aft"}, {"mixer": "softmax"}, {"mixer": "abundance", "n_layers": 1}, {"n_experts": 3, "d_model": 48},
        {"routing": "sigmoid", "balance": "bias"}, {"decay": 0.9}, {"scale": "raw"}, {"loops": 1}, {"chunk": 1},
        {"n_experts": 1, "top_k": 1}, {"windows": (4, 0), "attention_top_k": 1},
    ],
)  # fmt: skip
def test_every_choice_of_the_causal_form_is_causal(changes):
    config = strawberry.preset("strawberry-pico", **changes)
    assert causality.verdict(config).causal
    small = causality.shrunk(config)
    assert (small.mixers, small.loops, small.n_experts) == (config.mixers, config.loops, config.n_experts)


def test_long_models_are_cut_at_chunk_boundaries_first():
    cuts = causality._cuts(500, 100)
    assert len(cuts) <= causality.MOST_CUTS
    assert {1, 99, 100, 101, 199, 200, 201, 499} <= set(cuts.tolist())
    assert causality._cuts(10, 4).tolist() == list(range(1, 10))


def test_what_cannot_be_judged_gets_one_sentence():
    with pytest.raises(ConfigError, match="strawbery"):
        causality.verdict("strawbery")
    with pytest.raises(StrawberryError, match="batch"):
        causality.verdict("gpt", batch=1)
    with pytest.raises(StrawberryError, match="seq_len"):
        causality.verdict("gpt", seq_len=1)


@pytest.mark.parametrize(("name", "code"), [("gpt", 0), ("strawberry-leaky", 1), ("nothing", 2)])
def test_command_line_exit_codes(monkeypatch, capsys, name, code):
    monkeypatch.setattr("sys.argv", ["causality", name])
    assert causality.main() == code
    out, err = capsys.readouterr()
    assert len((out + err).splitlines()) == 1
