"""A picture shows as much of a text as it may: little of a passage that nobody chose, and much of a person's own."""

import pytest

import strawberry
from lab import look
from strawberry.data import Tokenizer


@pytest.mark.parametrize(
    ("mixer", "own", "tokens"),
    [("aft", True, 150), ("aft", False, 64), ("aft-full", True, 64), ("aft-full", False, 64)],
)
def test_a_persons_own_text_is_read_beyond_the_trained_length_where_positions_are_not_learned(
    tokenizer: Tokenizer, text: str, mixer: str, own: bool, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "LONGEST", 150)
    model = strawberry.build(strawberry.preset("strawberry-pico", mixer=mixer, seq_len=64))
    taken = look.picture(model, tokenizer, text * 4, own=own, step=3, run="berry")
    assert taken.tokens == tokens
    assert taken.label == "berry · step 3 · seed 0"
