"""A new mixer is one file and one line of the registry: everything else takes it by its name."""

import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import lab
import strawberry
from lab import figures
from lab.causality import verdict
from strawberry.data import Tokenizer
from strawberry.events import Sampled, Step
from strawberry.mixers import MIXERS, TokenMixer
from tests.mixers.contract import Contract
from tests.mixers.toys import RunningMean, Signed

TOYS = {"toy": RunningMean, "signed-toy": Signed}
TEXT = "The state of the union is strong, and it is so. " * 40


@pytest.fixture(params=TOYS)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A name that the registry now knows: the one line."""
    monkeypatch.setitem(MIXERS, request.param, TOYS[request.param])
    return request.param


class TestContract(Contract):
    """All checks of the registered mixers, by inheriting them."""

    @pytest.fixture(params=TOYS.values(), ids=TOYS)
    def kind(self, request: pytest.FixtureRequest) -> type[TokenMixer]:
        return request.param


def test_before_that_line_it_is_unknown() -> None:
    with pytest.raises(strawberry.ConfigError, match="mixer 'toy' is unknown; the mixers are softmax"):
        strawberry.preset("gpt-pico", mixer="toy")


@pytest.mark.parametrize("preset", ["gpt-pico", "strawberry-pico", "strawberry-shared-pico"])
def test_it_trains_samples_and_resumes(name: str, preset: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    config = strawberry.preset(preset, mixer=name, tokenizer="bytes", vocab_size=257, batch_size=2, conv=3)
    options = {"sample_every": 2, "sample_tokens": 4, "sample_prompt": "the", "eval_batches": 1}
    events = list(strawberry.train(config, tmp_path / "text.txt", tmp_path / "run", 2, **options))
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert len(losses) == 2 and all(0 < loss < 8 for loss in losses)
    assert any(isinstance(event, Sampled) for event in events)
    run = strawberry.open_run(tmp_path / "run")
    assert len(list(strawberry.generate(run.model(), run.tokenizer, "the", max_tokens=5))) <= 5


@torch.no_grad()
def test_it_decodes_exactly_from_a_state_as_large_as_said(name: str) -> None:
    config = strawberry.preset("gpt-pico", mixer=f"{name},softmax")
    model = strawberry.build(config).double()
    tokens = torch.randint(config.vocab_size, (2, 19))
    whole = model(tokens)
    first, state = model.step(tokens[:, :7])
    pieces = [first]
    for place in range(7, 19):
        logits, state = model.step(tokens[:, place : place + 1], state)
        pieces.append(logits)
    assert_close(torch.cat(pieces, dim=1), whole, atol=1e-10, rtol=0)
    assert strawberry.estimate(config).state_size == model.state_size(config.seq_len)


def test_it_is_probed_and_drawn_by_its_name(name: str) -> None:
    model = strawberry.build(strawberry.preset("gpt-pico", mixer=f"{name},softmax"))
    probe = lab.probe(model, Tokenizer.train("bytes", [TEXT], 512), TEXT, max_tokens=40)
    assert probe.mixers == [name, "softmax", name]
    assert probe.map_name(0, 1) == f"{name}, head 1"
    for layer in range(3):
        assert probe.reconstruction(layer, 0)[1] < 1e-5
    for drawn in ("attention_map", "map_grid", "map_profile"):
        assert name in json.dumps(json.loads(getattr(figures, drawn)(probe, layer=0).to_json())["layout"])
        assert len(figures.table(drawn, probe, layer=0))
    assert len(figures.table("map_pair", probe, (0, 0, None), (1, 0, 2)))


def test_it_is_judged_by_the_leak_meter(name: str) -> None:
    assert verdict(strawberry.preset("gpt-pico", mixer=name)).causal


def test_a_probe_of_a_mixer_that_is_gone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MIXERS, "toy", RunningMean)
    model = strawberry.build(strawberry.preset("gpt-pico", mixer="toy"))
    probe = lab.probe(model, Tokenizer.train("bytes", [TEXT], 512), TEXT, max_tokens=9)
    monkeypatch.delitem(MIXERS, "toy")
    with pytest.raises(lab.archive.ProbeError, match="'toy', which is not registered here"):
        probe.map(0, 0)
