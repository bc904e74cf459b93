"""A text may be cut anywhere: feeding the pieces, carrying the state, equals feeding the whole."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

import strawberry
from strawberry.model import State

CAUSAL = [name for name in strawberry.presets() if name.endswith("-pico") and strawberry.preset(name).causal]
CHUNK = 6


def in_pieces(model: strawberry.Strawberry, tokens: Tensor, cuts: list[int]) -> tuple[Tensor, State]:
    state, parts = None, []
    for piece in tokens.tensor_split(sorted(cuts), dim=1):
        if piece.shape[1]:
            logits, state = model.step(piece, state)
            parts.append(logits)
    assert state is not None
    return torch.cat(parts, dim=1), state


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", CAUSAL)
@torch.no_grad()
def test_one_token_at_a_time_at_every_boundary(name: str, dtype: torch.dtype, tolerance: float) -> None:
    model = strawberry.build(strawberry.preset(name, chunk=CHUNK)).to(dtype)
    if model.config.rounding != "none" and dtype == torch.float32:
        # An input next to the edge between two of its 255 steps may fall to either side of it.
        tolerance = 0.02
    for seq in (1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 1):
        tokens = torch.randint(0, 512, (2, seq))
        logits, state = in_pieces(model, tokens, list(range(1, seq)))
        assert_close(logits, model(tokens), atol=tolerance, rtol=0)
        assert state.position == seq


@pytest.mark.parametrize("mixer", ["aft", "softmax", "abundance", "aft,abundance"])
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 29), max_size=5), decay=st.sampled_from([1.0, 0.8]), loops=st.integers(1, 3))
@torch.no_grad()
def test_any_cut(mixer: str, cuts: list[int], decay: float, loops: int) -> None:
    fields = {"chunk": CHUNK, "mixer": mixer, "decay": decay, "loops": loops, "windows": (3, 8, 1, 0)}
    model = strawberry.build(strawberry.preset("strawberry-pico", **fields)).double()
    tokens = torch.randint(0, 512, (2, 29))
    assert_close(in_pieces(model, tokens, cuts)[0], model(tokens), atol=1e-10, rtol=0)


@torch.no_grad()
def test_a_state_can_be_forked_and_rewound() -> None:
    model = strawberry.build(strawberry.preset("strawberry-pico", chunk=CHUNK)).double()
    tokens = torch.randint(0, 512, (1, 20))
    _, state = model.step(tokens[:, :9])
    first, _ = model.step(tokens[:, 9:], state)
    model.step((tokens[:, 9:] + 1) % 512, state)
    again, _ = model.step(tokens[:, 9:], state)
    assert_close(first, again, atol=0, rtol=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.position = 0  # type: ignore[misc]


def numbers(value: object) -> int:
    """How many numbers a state holds, one row's."""
    if isinstance(value, Tensor):
        return value.numel()
    if dataclasses.is_dataclass(value):
        return sum(numbers(getattr(value, item.name)) for item in dataclasses.fields(value))
    if isinstance(value, dict):
        return sum(map(numbers, value.values()))
    return sum(map(numbers, value)) if isinstance(value, tuple) else 0


@pytest.mark.parametrize("name", CAUSAL)
@torch.no_grad()
def test_the_state_is_as_large_as_declared(name: str) -> None:
    model = strawberry.build(strawberry.preset(name, chunk=CHUNK))
    for seq in (1, CHUNK, 40):
        _, state = model.step(torch.randint(0, 512, (1, seq)))
        declared = model.state_size(seq)
        assert numbers(state) <= declared if model.mixture is not None else numbers(state) == declared


def test_aft_with_retention_keeps_a_state_of_constant_size() -> None:
    model = strawberry.build(strawberry.preset("strawberry-pico", mixer="aft"))
    assert model.state_size(10) == model.state_size(100_000)


@torch.no_grad()
def test_a_model_that_reads_the_future_reads_its_whole_text_again() -> None:
    model = strawberry.build(strawberry.preset("strawberry-leaky-pico")).double()
    tokens = torch.randint(0, 512, (1, 12))
    _, state = model.step(tokens[:, :7])
    logits, state = model.step(tokens[:, 7:], state)
    assert_close(logits, model(tokens)[:, 7:], atol=1e-10, rtol=0)
    assert state.position == 12


@torch.no_grad()
def test_watching_a_step_changes_nothing() -> None:
    model = strawberry.build(strawberry.preset("strawberry-pico", chunk=CHUNK)).double()
    tokens = torch.randint(0, 512, (2, 14))
    state, watched = None, None
    for piece in tokens.split((4, 1, 1, 5, 3), dim=1):
        unwatched, _ = model.step(piece, state)
        with strawberry.Trace.of(model, "*") as trace:
            watched, state = model.step(piece, state)
        assert torch.equal(unwatched, watched)
        assert len(trace["layers.0.retention.w_current.qkv"]) == model.config.loops + 1
