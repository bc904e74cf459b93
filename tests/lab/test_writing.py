"""Writing in a thread: the same seed writes the same text, it can be stopped, and it ends when nobody looks."""

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

import strawberry
from lab import process, writing
from lab.jobs import Job, Status
from lab.writing import Wish, Writing
from strawberry.config import Config
from strawberry.errors import StrawberryError
from strawberry.recursion.exits import EXITS
from strawberry.runs import open_run
from strawberry.tap import taps

TEXT = "\n".join(f"the strawberry of line {number} is {'red' if number % 3 else 'green'}." for number in range(300))


def small(family: str) -> Config:
    """A model on bytes that trains in a moment."""
    fields = {
        "tokenizer": "bytes", "vocab_size": 257, "seq_len": 32, "chunk": 8, "batch_size": 2, "d_model": 16, "d_qkv": 16,
        "d_ff": 16, "windows": (4, 0), "n_heads": 2, "n_kv_heads": 0, "attention_top_k": 1,
    }  # fmt: skip
    return strawberry.preset(f"{family}-pico", **fields)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a Strawberry, a model that thinks again, and one that reads the future."""
    folder = tmp_path_factory.mktemp("runs")
    for family in ("strawberry", "homunculus", "strawberry-leaky"):
        for _ in strawberry.train(small(family), strawberry.Text(TEXT), folder / family, steps=2, checkpoint_every=1):
            pass
    return folder


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model never ends a text by itself."""
    once = strawberry.generate

    def again(model: Any, tokenizer: Any, *_: Any) -> Iterator[Any]:
        for seed in count():
            yield from once(model, tokenizer, "the", 5, seed=seed)

    monkeypatch.setattr(strawberry, "generate", again)


def write(folder: Path, **wish: object) -> Writing:
    """A text that has ended."""
    return Writing(folder, Wish(**{"step": 2, "max_tokens": 12, **wish})).start().join()


@pytest.mark.parametrize("family", ["strawberry", "strawberry-leaky"])
def test_the_same_seed_writes_the_same_text_as_the_core(runs: Path, family: str) -> None:
    run = open_run(runs / family)
    first, second, other = (write(runs / family, prompt="the", seed=seed) for seed in (3, 3, 4))
    core = list(strawberry.generate(run.model(2), run.tokenizer, "the", 12, seed=3))
    assert first.state == "done"
    assert [token.text for token in first.tokens] == [token.text for token in core]
    assert [token.probability for token in first.tokens] == [token.probability for token in core]
    assert first.tokens == second.tokens
    assert first.tokens != other.tokens


def test_each_token_says_what_else_it_could_have_been(runs: Path) -> None:
    held = write(runs / "strawberry", prompt="the", temperature=1.5)
    model = open_run(runs / "strawberry").model(2)
    assert held.prompt_tokens == 3
    for number, token in enumerate(held.tokens):
        chances = [chance for _, chance in token.likeliest]
        assert chances == sorted(chances, reverse=True) and len(chances) == writing.LIKELIEST
        if token.rank <= writing.LIKELIEST:
            assert token.likeliest[token.rank - 1][1] == pytest.approx(token.probability)
        else:
            assert token.probability <= chances[-1]
        assert token.state == model.state_size(3 + number)
        assert token.passes is None


def test_each_token_says_who_worked_on_it(runs: Path) -> None:
    held = write(runs / "strawberry", prompt="the")
    routers = {(layer, kind) for layer, kind, _ in held.tokens[0].experts}
    assert {(0, "ffn"), (1, "attention"), (1, "ffn")} <= routers
    config = small("strawberry")
    for token in held.tokens:
        for _, kind, experts in token.experts:
            assert len(experts) == (config.attention_top_k if kind == "attention" else config.top_k)
    # As the model itself says, of the position that predicted the last token.
    run = open_run(runs / "strawberry")
    model = run.model(2)
    read = torch.tensor([run.tokenizer.encode("the")])
    with strawberry.Trace.of(model, "layers.0.feedforward.router.gates") as trace:
        model(read)
    last = trace["layers.0.feedforward.router.gates"][-1][0, -1].nonzero()[:, 0].tolist()
    assert dict(((layer, kind), list(experts)) for layer, kind, experts in held.tokens[0].experts)[0, "ffn"] == last
    model = writing.load(runs / "strawberry", 2)[0]
    assert not any(tap.live for tap in taps(model).values())
    assert not write(runs / "homunculus", exit="fixed", threshold=1.0).tokens[0].experts


def test_with_an_exit_rule_tokens_say_how_deep_they_went(runs: Path) -> None:
    sure = write(runs / "homunculus", prompt="the", exit="confidence", threshold=0.0, max_loops=6)
    deep = write(runs / "homunculus", prompt="the", exit="confidence", threshold=1.0, max_loops=6)
    assert {token.passes for token in sure.tokens} == {1}
    assert {token.passes for token in deep.tokens} == {6}
    assert all(token.confidence is not None and 0 < token.confidence < 1 for token in deep.tokens)


def test_the_rules_that_a_model_can_have_are_known_before_it_is_loaded() -> None:
    assert all(writing.exits(small("strawberry")).values())
    assert not any(writing.exits(small("homunculus")).values())
    plain = writing.exits(small("gpt"))
    assert {name for name in EXITS if plain[name]} == {"confidence", "distribution"}
    assert "head" in plain["confidence"]


@pytest.mark.usefixtures("endless")
def test_stop_ends_it_and_what_is_written_stays(runs: Path) -> None:
    held = Writing(runs / "strawberry", Wish(2, max_tokens=writing.MOST_TOKENS)).start()
    waited(held, 3)
    held.stop()
    held.join(10)
    assert held.state == "stopped"
    assert 3 <= len(held.tokens) < 500


@pytest.mark.usefixtures("endless")
def test_it_ends_when_nobody_looks(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "UNSEEN", 0.5)
    held = Writing(runs / "strawberry", Wish(2, max_tokens=writing.MOST_TOKENS)).start().join(20)
    assert held.state == "stopped"
    assert "nobody" in held.sentence


@pytest.mark.usefixtures("endless")
def test_one_text_is_written_at_a_time(runs: Path) -> None:
    first = Writing(runs / "strawberry", Wish(2, max_tokens=writing.MOST_TOKENS)).start()
    waited(first, 1)
    second = Writing(runs / "strawberry", Wish(2, max_tokens=9)).start()
    time.sleep(0.3)
    assert second.state == "waiting" and not second.tokens
    third = Writing(runs / "strawberry", Wish(2, max_tokens=2)).start()
    third.stop()
    assert third.join(5).state == "stopped"
    first.stop()
    waited(second, 1)
    second.stop()
    assert second.join(20).state == "stopped"


def test_what_cannot_be_written_is_one_sentence(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wish, words in (
        ({"step": 77}, "step 77 is not there any more"),
        ({"temperature": -1.0}, "temperature must be"),
        ({"exit": "confidence"}, "fixed weights"),
    ):
        held = write(runs / "strawberry", **wish)
        assert held.state == "failed"
        assert words in held.sentence
    with pytest.raises(StrawberryError, match="1 to 1,000 tokens"):
        Writing(runs / "strawberry", Wish(2, max_tokens=10**9)).start()
    monkeypatch.setattr(process, "free_memory", lambda: 10.0)
    writing._models.clear()
    assert "not enough memory" in write(runs / "strawberry").sentence


def test_few_models_are_kept(runs: Path) -> None:
    for step in (0, 1, 2):
        write(runs / "strawberry", step=step, max_tokens=1)
    assert len(writing._models) <= writing.KEPT_MODELS


def waited(held: Writing, tokens: int) -> None:
    """Wait until so many tokens are there."""
    end = time.monotonic() + 30
    while len(held.tokens) < tokens and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.usefixtures("endless")
def test_it_rests_while_a_run_trains(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "REST", 1e6)
    idle = Writing(runs / "strawberry", Wish(2)).start()
    waited(idle, 3)
    idle.stop()
    monkeypatch.setattr(Job, "status", lambda job: Status("training"))
    busy = Writing(runs / "strawberry", Wish(2)).start()
    waited(busy, 1)
    time.sleep(0.5)
    assert len(busy.tokens) == 1
    busy.stop()
    assert busy.join(5).state == "stopped"
