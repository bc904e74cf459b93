"""Stopping token by token equals a slow reference that computes every token in every pass, mostly for nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

import strawberry
from strawberry.call import Call
from strawberry.errors import StrawberryError
from strawberry.recursion.exits import EXITS, After, exit_rule

# Thresholds at which untrained models stop now here, now there.
THRESHOLDS = {"confidence": 0.55, "gap": 0.01, "saturation": 0.93, "distribution": 0.75, "fixed": 2.0}
MIXERS = ("softmax", "aft", "abundance,softmax")


def model_of(mixer: str = "softmax", **fields: object) -> strawberry.Strawberry:
    fields = {"mixer": mixer, "windows": (3, 0), "n_kv_heads": 2, "loops": 4, **fields}
    model = strawberry.build(strawberry.preset("homunculus-pico", **fields)).double()
    assert model.halt is not None
    torch.nn.init.normal_(model.halt.weight, 0, 1.0, generator=torch.Generator().manual_seed(3))
    return model


@torch.no_grad()
def slowly(
    model: strawberry.Strawberry, tokens: Tensor, rule: str, threshold: float, most: int
) -> tuple[Tensor, Tensor]:
    """(logits, passes): every layer of every pass on all tokens; those that have stopped get their state back."""
    exits = exit_rule(rule, threshold)
    x, call = model._embed(tokens, Call(keep=False))
    active, depth, halts = torch.ones_like(tokens, dtype=torch.bool), torch.zeros_like(tokens), []
    for step in range(most):
        earlier = x
        for block in model.blocks:
            y, _, _ = block(x, step, None, call, None, None)
            x = torch.where(active[..., None], y, x)
        depth = depth + active
        halts.append(model.halt(x) if model.halt is not None else None)
        content = torch.zeros_like(active)
        seen = torch.stack([halt[active] for halt in halts]) if active.any() else torch.zeros(step + 1, 0)
        if active.any():
            content[active] = exits.enough(After(model, step + 1, earlier[active], x[active], seen))
        active = active & ~content
    return model.unembed(x), depth


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("rule", EXITS)
def test_equals_the_slow_reference(mixer: str, rule: str) -> None:
    model, tokens = model_of(mixer), torch.randint(0, 512, (3, 24), generator=torch.Generator().manual_seed(1))
    expected, depth = slowly(model, tokens, rule, THRESHOLDS[rule], 6)
    if rule != "fixed":
        assert 1 < depth.double().mean() < 6 and depth.unique().numel() >= 2
    thought = model.think(tokens, rule, THRESHOLDS[rule], max_loops=6)
    assert torch.equal(thought.passes, depth)
    assert_close(thought.logits, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("rule", EXITS)
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 23), max_size=6))
def test_any_cut(rule: str, cuts: list[int]) -> None:
    model, tokens = model_of(), torch.randint(0, 512, (3, 24), generator=torch.Generator().manual_seed(1))
    whole = model.think(tokens, rule, THRESHOLDS[rule], max_loops=5)
    state, logits, passes = None, [], []
    for piece in tokens.tensor_split(sorted(set(cuts)), dim=1):
        thought = model.think(piece, rule, THRESHOLDS[rule], 5, state)
        state = thought.state
        logits.append(thought.logits)
        passes.append(thought.passes)
    assert torch.equal(torch.cat(passes, dim=1), whole.passes)
    assert_close(torch.cat(logits, dim=1), whole.logits, atol=1e-10, rtol=0)


@pytest.mark.parametrize("mixer", MIXERS)
def test_ragged_rows_go_on_at_their_own_depths(mixer: str) -> None:
    model, tokens = model_of(mixer), torch.randint(0, 512, (3, 30), generator=torch.Generator().manual_seed(2))
    whole = model.think(tokens, "confidence", THRESHOLDS["confidence"])
    done, state = torch.zeros(3, dtype=torch.long), None
    for lengths in ([5, 1, 9], [1, 1, 1], [0, 3, 1], [1, 1, 1], [1, 1, 1], [6, 0, 2], [1, 1, 1]):
        length = torch.tensor(lengths)
        places = (done[:, None] + torch.arange(max(lengths))).clamp(max=29)
        thought = model.think(tokens.gather(1, places), "confidence", THRESHOLDS["confidence"], None, state, length)
        state = thought.state
        for row in range(3):
            part = slice(int(done[row]), int(done[row]) + lengths[row])
            assert torch.equal(thought.passes[row, : lengths[row]], whole.passes[row, part])
            assert (thought.passes[row, lengths[row] :] == 0).all()
            assert_close(thought.logits[row, : lengths[row]], whole.logits[row, part], atol=1e-10, rtol=0)
        done = done + length


def test_rows_part_after_a_common_beginning() -> None:
    model, tokens = model_of(), torch.randint(0, 512, (2, 20), generator=torch.Generator().manual_seed(2))
    whole = model.think(tokens, "confidence", THRESHOLDS["confidence"])
    thought, done = model.think(tokens[:, :7], "confidence", THRESHOLDS["confidence"]), torch.tensor([7, 7])
    for lengths in ([1, 0], [2, 3], [1, 1]):
        length = torch.tensor(lengths)
        new = tokens.gather(1, done[:, None] + torch.arange(max(lengths)))
        thought = model.think(new, "confidence", THRESHOLDS["confidence"], None, thought.state, length)
        done = done + length
        for row in range(2):
            if lengths[row]:
                expected = whole.logits[row, done[row] - 1]
                assert_close(thought.logits[row, lengths[row] - 1], expected, atol=1e-10, rtol=0)


def test_a_fixed_depth_is_the_plain_forward() -> None:
    model, tokens = model_of(), torch.randint(0, 512, (2, 20))
    for loops in (1, 3, 6):
        thought = model.think(tokens, "fixed", loops, max_loops=7)
        assert_close(thought.logits, model(tokens, loops=loops), atol=1e-10, rtol=0)
        assert (thought.passes == loops).all()


def test_deeper_passes_wait_for_somebody_to_come() -> None:
    model, tokens = model_of(), torch.randint(0, 512, (2, 9))
    thought = model.think(tokens, "fixed", 1, max_loops=4)
    assert thought.state.written == (9, 0, 0, 0)
    more = model.think(tokens[:, :1], "fixed", 3, max_loops=4, state=thought.state)
    assert more.state.written == (10, 10, 10, 0)


def test_stopping_is_causal() -> None:
    model, tokens = model_of(), torch.randint(0, 512, (1, 16))
    whole = model.think(tokens, "confidence", THRESHOLDS["confidence"])
    for cut in range(1, 16):
        changed = tokens.clone()
        changed[:, cut:] = (changed[:, cut:] + 7) % 512
        other = model.think(changed, "confidence", THRESHOLDS["confidence"])
        assert_close(other.logits[:, :cut], whole.logits[:, :cut], atol=1e-12, rtol=0)
        assert torch.equal(other.passes[:, :cut], whole.passes[:, :cut])


@pytest.mark.parametrize(
    ("name", "rule", "told"),
    [
        ("strawberry-pico", "gap", "fixed weights"),
        ("yoco-pico", "gap", "cross layers"),
        ("mor-pico", "gap", "recursion all"),
        ("gpt-pico", "confidence", "asks a head"),
        ("gpt-pico", "whim", "the rules are confidence"),
    ],
)
def test_what_cannot_stop_early_says_so(name: str, rule: str, told: str) -> None:
    with pytest.raises(StrawberryError, match=told):
        strawberry.build(strawberry.preset(name)).think(torch.zeros(1, 4, dtype=torch.long), rule)
