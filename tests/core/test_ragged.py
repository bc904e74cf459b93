"""Rows may bring different numbers of tokens, be padded, forked, left out: each reads as if it were alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

import strawberry
from strawberry.errors import StrawberryError
from strawberry.model import State

CAUSAL = [name for name in strawberry.presets() if name.endswith("-pico") and strawberry.preset(name).causal]
CHUNK = 6
POOLINGS = ("prefix", "linear", "delta", "static")


def model_of(name: str, **fields: object) -> strawberry.Strawberry:
    fields = {"chunk": CHUNK, "window": 5, "segment": 4, **fields}
    return strawberry.build(strawberry.preset(name, **fields)).double()


def read_ragged(model: strawberry.Strawberry, tokens: Tensor, calls: list[list[int]]) -> State | None:
    """Feed rows by the lengths of each call, padding with noise, and hold every row to its own full forward."""
    whole = model(tokens)
    batch, seq = tokens.shape
    done, state = torch.zeros(batch, dtype=torch.long), None
    for lengths in calls:
        length = torch.minimum(torch.tensor(lengths), seq - done)
        new = max(1, int(length.max()))
        places = (done[:, None] + torch.arange(new)).clamp(max=seq - 1)
        given = tokens.gather(1, places)
        padding = torch.arange(new) >= length[:, None]
        given = torch.where(padding, torch.randint_like(given, 512), given)
        logits, state = model.step(given, state, length)
        for row in range(batch):
            expected = whole[row, done[row] : done[row] + length[row]]
            assert_close(logits[row, : length[row]], expected, atol=1e-10, rtol=0)
        done = done + length
        assert torch.equal(torch.as_tensor(state.position), done)
    return state


@pytest.mark.parametrize("name", CAUSAL)
@torch.no_grad()
def test_ragged_rows_in_every_family(name: str) -> None:
    tokens = torch.randint(0, 512, (3, 40))
    calls = [[7, 1, 13], [0, 5, 6], [1, 1, 1], [1, 1, 1], [6, 12, 0], [13, 2, 9], [1, 0, 1]]
    read_ragged(model_of(name), tokens, calls)


@pytest.mark.parametrize("pooling", POOLINGS)
@settings(max_examples=12, deadline=None)
@given(
    calls=st.lists(st.lists(st.integers(0, 14), min_size=3, max_size=3), min_size=1, max_size=6),
    decay=st.sampled_from([1.0, 0.8]),
    loops=st.integers(1, 3),
    conv=st.sampled_from([0, 3]),
)
@torch.no_grad()
def test_any_ragged_cuts(pooling: str, calls: list[list[int]], decay: float, loops: int, conv: int) -> None:
    fields = {"mixer": "aft,abundance", "windows": (3, 8, 1, 0), "n_kv_heads": 4}
    model = model_of("strawberry-pico", pooling=pooling, decay=decay, loops=loops, conv=conv, **fields)
    read_ragged(model, torch.randint(0, 512, (3, 29)), calls)


@pytest.mark.parametrize("name", CAUSAL)
@torch.no_grad()
def test_a_prompt_batch_decodes_row_by_row(name: str) -> None:
    """Prompts of different lengths, read at once, then one token each, again and again."""
    model, tokens = model_of(name), torch.randint(0, 512, (3, 30))
    whole, lengths = model(tokens), torch.tensor([3, 11, 6])
    logits, state = model.prefill(tokens[:, :11], None, lengths)
    assert_close(logits, whole[torch.arange(3), lengths - 1], atol=1e-10, rtol=0)
    for more in range(14):
        places = lengths + more
        logits, state = model.step(tokens[torch.arange(3), places][:, None], state)
        assert_close(logits[:, 0], whole[torch.arange(3), places], atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", CAUSAL)
@torch.no_grad()
def test_rows_of_a_state_can_be_picked_forked_and_rewound(name: str) -> None:
    model, tokens = model_of(name), torch.randint(0, 512, (3, 24))
    whole = model(tokens)
    _, uniform = model.step(tokens[:, :8])
    _, ragged = model.step(tokens[:, :8], None, [8, 3, 5])
    for state, at in ((uniform, [8, 8, 8]), (ragged, [8, 3, 5])):
        picked = [2, 0, 2]
        places = torch.tensor([at[row] for row in picked])
        more = torch.stack([tokens[row, at[row] : at[row] + 9] for row in picked])
        expected = torch.stack([whole[row, at[row] : at[row] + 9] for row in picked])
        first, _ = model.step(more, state.rows(picked))
        assert_close(first, expected, atol=1e-10, rtol=0)
        again, after = model.step(more, state.rows(picked))
        assert torch.equal(first, again)
        assert torch.equal(torch.as_tensor(after.position).expand(3), places + 9)


@pytest.mark.parametrize("name", ["strawberry-pico", "gpt-pico", "yoco-pico"])
@torch.no_grad()
def test_prefill_gives_what_step_gives(name: str) -> None:
    model, tokens = model_of(name), torch.randint(0, 512, (2, 26))
    logits, state = model.prefill(tokens[:, :9])
    expected, stepped = model.step(tokens[:, :9])
    assert_close(logits, expected[:, -1], atol=1e-10, rtol=0)
    for start, stop in ((9, 10), (10, 26)):
        logits, state = model.prefill(tokens[:, start:stop], state)
        expected, stepped = model.step(tokens[:, start:stop], stepped)
        assert_close(logits, expected[:, -1], atol=1e-10, rtol=0)
    assert_close(model.step(tokens[:, :1], state)[0], model.step(tokens[:, :1], stepped)[0], atol=1e-10, rtol=0)


@torch.no_grad()
def test_a_decoder_decoders_upper_half_sees_one_token_at_prefill() -> None:
    model = model_of("yoco-pico")
    with strawberry.Trace.of(model, "*.residual") as trace:
        model.prefill(torch.randint(0, 512, (2, 20)), None, [20, 13])
    upper = [name == "cross" for name in model.config.mixers]
    for index, reads in enumerate(upper):
        assert trace[f"layers.{index}.residual"][0].shape[1] == (1 if reads else 20)


@pytest.mark.parametrize(
    ("lengths", "told"),
    [
        ([1, 2], "one per row"),
        ([1, 2, 6], "from 0 to 5"),
        ([1, -1, 2], "from 0 to 5"),
        ([1.0, 1.0, 1.0], "whole numbers"),
    ],
)
def test_lengths_that_cannot_be_are_refused(lengths: list[float], told: str) -> None:
    with pytest.raises(StrawberryError, match=told):
        model_of("gpt-pico").step(torch.zeros(3, 5, dtype=torch.long), None, torch.tensor(lengths))


def test_a_row_without_a_token_predicts_nothing() -> None:
    with pytest.raises(StrawberryError, match="length 0"):
        model_of("gpt-pico").prefill(torch.zeros(2, 5, dtype=torch.long), None, [5, 0])


def test_a_model_that_reads_the_future_takes_no_lengths() -> None:
    with pytest.raises(StrawberryError, match="reads the future"):
        model_of("strawberry-leaky-pico").step(torch.zeros(2, 5, dtype=torch.long), None, [5, 2])
