"""A mixture of recursions computes only the tokens that go on, and gets what computing all of them would give."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

import strawberry
from strawberry.call import Call
from strawberry.experts.balance import Ledger
from strawberry.norm import norm
from strawberry.recursion.crowd import Crowd

KINDS = [
    {"recursion": recursion, "depth_cache": cache, "mixer": mixer}
    for recursion in ("token-choice", "expert-choice")
    for cache, mixer in (("active", "softmax"), ("first", "softmax"), ("active", "aft"))
]


def model_of(**fields: object) -> strawberry.Strawberry:
    model = strawberry.build(strawberry.preset("mor-pico", n_kv_heads=2, **fields)).double()
    assert model.mixture is not None
    for name, weight in model.mixture.named_parameters():
        torch.nn.init.normal_(weight, 0, 0.5, generator=torch.Generator().manual_seed(len(name)))
    return model


def depths(model: strawberry.Strawberry, tokens: Tensor) -> Tensor:
    with strawberry.Trace.of(model, "mixture.depth") as trace:
        model(tokens)
    return trace["mixture.depth"][0]


def masked_pass(model: strawberry.Strawberry, x: Tensor, step: int, active: Tensor, first: list[Tensor] | None):
    """One pass over all tokens, attention by an explicit map that hides whoever is not active (or is later)."""
    _, call = model._embed(torch.zeros(x.shape[:2], dtype=torch.long), Call(keep=False))
    kept = []
    for index, block in enumerate(model.blocks):
        h = norm(x)
        q, k, v, _ = block._project(h, None, call, None)
        if first is None:
            kept += [k, v]
        else:
            k, v = first[2 * index : 2 * index + 2]
        k, v = (one.repeat_interleave(q.shape[2] // k.shape[2], dim=2) for one in (k, v))
        seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        if first is None:
            seen = seen & (active[:, None, None, :] | torch.eye(x.shape[1], dtype=torch.bool))
        scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(q.shape[-1])
        y = torch.einsum("bhts,bshd->bthd", scores.masked_fill(~seen, -math.inf).softmax(dim=-1), v)
        x = torch.where(active[..., None], block._finish(x, h, y, None, step, call), x)
    return x, kept


@torch.no_grad()
def densely(model: strawberry.Strawberry, tokens: Tensor) -> Tensor:
    """Logits by computing everybody everywhere."""
    config, mixture = model.config, model.mixture
    assert mixture is not None
    x, _ = model._embed(tokens, Call(keep=False))
    first: list[Tensor] | None = None
    if config.recursion == "token-choice":
        gates = mixture.router(norm(x))
        depth, y = gates.argmax(dim=-1) + 1, x
        for step in range(config.loops):
            y, kept = masked_pass(model, y, step, depth > step, first if config.depth_cache == "first" else None)
            first = first or kept
        return model.unembed(x + gates.sum(dim=-1, keepdim=True) * y)
    going = torch.ones_like(tokens, dtype=torch.bool)
    for step in range(config.loops):
        h = norm(x)
        if step:
            going = going & (h @ mixture.guess[step] > 0)
        y, kept = masked_pass(model, x, step, going, first if config.depth_cache == "first" else None)
        first = first or kept
        x = x + ((h @ mixture.choose[step]).sigmoid() * going)[..., None] * y
    return model.unembed(x)


@pytest.mark.parametrize("fields", [kind for kind in KINDS if kind["mixer"] == "softmax"])
@torch.no_grad()
def test_equals_the_dense_reference(fields: dict[str, str]) -> None:
    """fp64 to 1e-10."""
    model, tokens = model_of(**fields), torch.randint(0, 512, (3, 26))
    found = depths(model, tokens)
    assert found.min() == 1 and found.max() == 3
    assert_close(model(tokens), densely(model, tokens), atol=1e-10, rtol=0)


@pytest.mark.parametrize("fields", KINDS)
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(1, 25), max_size=5))
@torch.no_grad()
def test_any_cut(fields: dict[str, str], cuts: list[int]) -> None:
    model, tokens = model_of(**fields), torch.randint(0, 512, (2, 26))
    state, logits = None, []
    for piece in tokens.tensor_split(sorted(set(cuts)), dim=1):
        part, state = model.step(piece, state)
        logits.append(part)
    assert_close(torch.cat(logits, dim=1), model(tokens), atol=1e-10, rtol=0)


@pytest.mark.parametrize("fields", KINDS)
@torch.no_grad()
def test_ragged_rows(fields: dict[str, str]) -> None:
    model, tokens = model_of(**fields), torch.randint(0, 512, (3, 30))
    whole, done, state = model(tokens), torch.zeros(3, dtype=torch.long), None
    for lengths in ([5, 1, 9], [1, 1, 1], [0, 3, 1], [1, 1, 1], [6, 0, 2], [1, 1, 1]):
        length = torch.tensor(lengths)
        places = (done[:, None] + torch.arange(max(lengths))).clamp(max=29)
        logits, state = model.step(tokens.gather(1, places), state, length)
        for row in range(3):
            expected = whole[row, done[row] : done[row] + lengths[row]]
            assert_close(logits[row, : lengths[row]], expected, atol=1e-10, rtol=0)
        done = done + length


@torch.no_grad()
def test_tokens_that_stopped_are_not_computed() -> None:
    model, tokens = model_of(), torch.randint(0, 512, (3, 26))
    found = depths(model, tokens)
    with strawberry.Trace.of(model, "layers.0.residual") as trace:
        model(tokens)
    widths = [residual.shape[1] for residual in trace["layers.0.residual"]]
    assert widths == [int((found > step).sum(dim=1).max()) for step in range(3)]
    assert widths[0] == 26 > widths[2]


def test_expert_choice_without_its_auxiliary_router_reads_the_future() -> None:
    fair, leaky = (model_of(recursion="expert-choice", auxiliary=auxiliary) for auxiliary in (True, False))
    assert fair.causal and not leaky.causal
    tokens = torch.randint(0, 512, (4, 24))
    changed = tokens.clone()
    changed[:, 16:] = (changed[:, 16:] + 5) % 512
    with torch.no_grad():
        assert torch.equal(fair(tokens)[:, :16], fair(changed)[:, :16])
        assert (leaky(tokens)[:, :16] - leaky(changed)[:, :16]).abs().max() > 1e-3


def test_the_auxiliary_router_learns_the_choice_and_the_model_not_from_it() -> None:
    model, tokens = model_of(recursion="expert-choice"), torch.randint(0, 512, (2, 24))
    losses = model.loss(tokens, tokens)
    losses.halting.backward()
    assert model.mixture is not None
    assert model.mixture.guess.grad is not None and model.mixture.guess.grad[1:].abs().sum() > 0
    assert model.embedding.weight.grad is None
    with strawberry.Trace.of(model, "mixture.depth") as trace:
        model._run(tokens, None, Call(keep=False, ledger=Ledger()))
    counts = [(trace["mixture.depth"][0] > step).sum(dim=1).tolist() for step in range(3)]
    # While it is taught, the choice is nested top-k: all, two thirds, one third.
    assert counts == [[24, 24], [16, 16], [8, 8]]


def test_depth_choice_is_balanced() -> None:
    tokens, targets = torch.randint(0, 512, (2, 2, 24))
    losses = model_of().loss(tokens, targets)
    assert losses.loads["mixture.router"].sum() == pytest.approx(1)
    assert losses.balance > 0 and losses.z > 0


def test_a_crowd_is_gathered_in_order_and_scattered_back() -> None:
    chosen = torch.tensor([[False, True, False, True], [True, False, False, False]])
    x = torch.arange(8.0).view(2, 4, 1)
    crowd = Crowd.of(chosen)
    assert crowd.gather(x)[..., 0].tolist() == [[1, 3], [4, 5]]
    assert crowd.scatter(x, -crowd.gather(x))[..., 0].tolist() == [[0, -1, 2, -3], [-4, 5, 6, 7]]
