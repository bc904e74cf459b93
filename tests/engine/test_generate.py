"""Generation is repeatable, never breaks a character, and refuses what cannot work."""

import unicodedata
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import strawberry
from strawberry.config import Config
from strawberry.data import Tokenizer
from strawberry.errors import StrawberryError
from strawberry.generate import _choose, generate

BYTES = Tokenizer.train("bytes", ["x"], 300)


class Parrot:
    """Says the same ids whatever it reads, then ends the document; counts what it was fed."""

    def __init__(self, ids: list[int], logit: float = 9.0) -> None:
        self.ids = [*ids, BYTES.end_id]
        self.fed: list[int] = []
        self.logit = logit

    def parameters(self) -> Iterator[Tensor]:
        return iter([torch.zeros(1)])

    def prefill(self, tokens: Tensor, state: int | None = None) -> tuple[Tensor, int]:
        self.fed.append(tokens.shape[1])
        said = 0 if state is None else state
        logits = torch.zeros(1, 400)
        logits[0, self.ids[said]] = self.logit
        return logits, said + 1


TEXT = "é\N{STRAWBERRY} \N{FAMILY} 한글 \u200d end"


def test_many_bytes_become_whole_characters() -> None:
    tokens = list(generate(Parrot(BYTES.encode(TEXT)), BYTES, "go", 200, temperature=0))
    assert "".join(map(str, tokens)) == TEXT
    assert all("\N{REPLACEMENT CHARACTER}" not in token.text for token in tokens)
    assert [token.id for token in tokens] == BYTES.encode(TEXT)
    assert any(token.text == "" for token in tokens)
    assert unicodedata.name(tokens[-1].text)


def test_bytes_that_are_no_character_are_replaced() -> None:
    ids = {BYTES.token_bytes(index): index for index in range(BYTES.vocab_size)}
    broken = [ids[bytes([byte])] for byte in (0xC3, 0x28, 0x80, 0x61)]
    tokens = list(generate(Parrot(broken), BYTES, "go", 200, temperature=0))
    assert "".join(map(str, tokens)) == "\ufffd(\ufffda"


def test_the_prompt_is_read_once_and_then_one_token_at_a_time() -> None:
    parrot = Parrot(BYTES.encode("abc"))
    list(generate(parrot, BYTES, "hello", 10, temperature=0))
    assert parrot.fed == [5, 1, 1, 1]


def test_an_empty_prompt_begins_a_document() -> None:
    parrot = Parrot(BYTES.encode("abc"))
    assert "".join(map(str, generate(parrot, BYTES, "", 2, temperature=0))) == "ab"
    assert parrot.fed == [1, 1]


def test_ids_without_a_token_are_never_sampled() -> None:
    parrot = Parrot([350, 350])
    assert all(token.id < BYTES.vocab_size for token in generate(parrot, BYTES, "a", 2, seed=0))


@pytest.fixture(scope="module")
def model(tiny: Config) -> strawberry.Strawberry:
    return strawberry.build(tiny)


def _ids(model: strawberry.Strawberry, **options: object) -> list[int]:
    return [token.id for token in generate(model, BYTES, "the", 12, **options)]  # type: ignore[arg-type]


def test_a_seed_repeats_itself(model: strawberry.Strawberry) -> None:
    assert _ids(model, seed=1) == _ids(model, seed=1)
    assert _ids(model, seed=1) != _ids(model, seed=2)
    before = torch.random.get_rng_state()
    _ids(model, seed=None)
    assert torch.equal(before, torch.random.get_rng_state())


def test_greedy_takes_the_likeliest_of_the_full_forward(model: strawberry.Strawberry) -> None:
    tokens = list(generate(model, BYTES, "the", 12, temperature=0))
    text = BYTES.encode("the")
    for token in tokens:
        last = model(torch.tensor([text]))[0, -1, : BYTES.vocab_size]
        assert token.id == int(last.argmax())
        assert token.probability == pytest.approx(last.softmax(0).max().item(), abs=1e-4)
        text.append(token.id)
    assert _ids(model, top_k=1) == [token.id for token in tokens]
    assert _ids(model, top_p=1e-9) == [token.id for token in tokens]
    assert _ids(model, temperature=1e-30) == [token.id for token in tokens]


def test_cuts_keep_what_they_say() -> None:
    logits = torch.tensor([0.0, 2.0, 1.0, 3.0, -1.0])

    def drawn(top_k: int | None, top_p: float | None, temperature: float = 1.0) -> set[int]:
        generator = torch.Generator().manual_seed(0)
        return {_choose(logits, temperature, top_k, top_p, generator) for _ in range(400)}

    assert drawn(None, None) == {0, 1, 2, 3, 4}
    assert drawn(3, None) == {3, 1, 2}
    assert drawn(99, None) == {0, 1, 2, 3, 4}
    # The likeliest has 0.64 and the second 0.23.
    assert drawn(None, 0.6) == {3}
    assert drawn(None, 0.7) == {3, 1}
    assert drawn(None, 1.0) == {0, 1, 2, 3, 4}
    assert drawn(None, 0.99, temperature=0.1) == {3}


def test_draws_follow_the_probabilities() -> None:
    logits, generator = torch.tensor([0.0, 1.0, 2.0]), torch.Generator().manual_seed(0)
    counts = torch.bincount(torch.tensor([_choose(logits, 0.5, None, None, generator) for _ in range(4000)]))
    torch.testing.assert_close(counts / 4000, (logits / 0.5).softmax(0), atol=0.03, rtol=0)


BAD = [
    {"max_tokens": 0}, {"max_tokens": 1.5}, {"max_tokens": True}, {"temperature": -1}, {"temperature": float("nan")},
    {"temperature": float("inf")}, {"temperature": "hot"}, {"top_k": 0}, {"top_k": 2.0}, {"top_p": 0}, {"top_p": 1.1},
    {"top_p": float("nan")}, {"seed": -1}, {"seed": 2**63}, {"seed": "x"}, {"prompt": 3}, {"prompt": "\ud800"},
]  # fmt: skip


@pytest.mark.parametrize("options", BAD, ids=str)
def test_bad_arguments_raise_at_once_in_one_sentence(model: strawberry.Strawberry, options: dict[str, object]) -> None:
    with pytest.raises(StrawberryError) as caught:
        generate(model, BYTES, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_logits_that_are_not_finite_are_said() -> None:
    with pytest.raises(StrawberryError, match="not finite"):
        list(generate(Parrot([1], float("nan")), BYTES, "a", 3))
