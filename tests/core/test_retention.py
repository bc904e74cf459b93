"""The Retention Mechanism equals its equations, written out token by token and chunk by chunk."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import strawberry
from strawberry.call import Call
from strawberry.retention import update as update_module
from strawberry.retention.mechanism import NAMES, Retention
from strawberry.retention.update import update, update_rule


def unit(w: Tensor) -> Tensor:
    return w / (w.pow(2).mean(dim=-1, keepdim=True) + 1e-10).sqrt()


def test_the_rule_is_its_equation() -> None:
    """wT, wC = wC, norm(wT) ⊙ silu(wC) + norm(wC), transcribed element by element."""
    w_t, w_c = torch.randn(2, 3, 5, dtype=torch.float64)
    expected = torch.empty_like(w_c)
    for row in range(3):
        rms_t = math.sqrt(sum(float(x) ** 2 for x in w_t[row]) / 5 + 1e-10)
        rms_c = math.sqrt(sum(float(x) ** 2 for x in w_c[row]) / 5 + 1e-10)
        for column in range(5):
            c, t = float(w_c[row, column]), float(w_t[row, column])
            expected[row, column] = (t / rms_t) * (c / (1 + math.exp(-c))) + c / rms_c
    for rule in (update_rule, update):
        assert_close(rule(w_t[None], w_c[None])[0], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("columns_first", [False, True])
@pytest.mark.parametrize(("sets_t", "sets_c"), [(5, 1), (1, 5), (5, 5), (1, 1)])
def test_the_fast_rule_is_the_rule(
    sets_t: int, sets_c: int, columns_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update_module, "CACHED_NUMBERS", 60)

    def weights(sets: int) -> Tensor:
        w = torch.randn(sets, 1, 6, 4, dtype=torch.float64)
        return (w if columns_first else w.mT.contiguous().mT).requires_grad_()

    w_t, w_c = weights(sets_t), weights(sets_c)
    assert_close(update(w_t, w_c), update_rule(w_t, w_c), atol=1e-12, rtol=0)
    assert torch.autograd.gradcheck(update, (w_t, w_c))


def by_hand(retention: Retention, x: Tensor, loops: int) -> list[dict[str, list[Tensor]]]:
    """For one row x (seq, C): the current weights of every frame, chunk by chunk, from sums over single tokens."""
    config = retention.config
    c, d = config.d_model, config.d_qkv
    o, a = unit(x @ retention.w_original), unit(x @ retention.w_adjust)
    frames: list[dict[str, list[Tensor]]] = [{name: [] for name in NAMES} for _ in range(loops + 1)]
    for start in range(0, x.shape[0], config.chunk):
        sums, weight = torch.zeros(c, c, dtype=x.dtype), 0.0
        for s in range(start):
            sums = config.decay * sums + torch.outer(o[s], a[s])
            weight = config.decay * weight + 1
        mean = (config.prior * retention.prior + sums) / (config.prior + weight)
        y = (retention.temperature * mean).softmax(dim=-1)
        generated = (y @ retention.w_transform).T
        parts = dict(zip(NAMES, generated.split([3 * d, 2 * d, c]), strict=True))
        parts["swiglu"] = parts["swiglu"].T.reshape(2 * c, d)
        for name in NAMES:
            w_t, w_c = parts[name], retention.base[name].detach()
            frames[0][name].append(w_c)
            for step in range(loops):
                w_t, w_c = w_c, unit(w_t) * torch.nn.functional.silu(w_c) + unit(w_c)
                frames[step + 1][name].append(w_c)
    return frames


@pytest.mark.parametrize("decay", [1.0, 0.9])
@torch.no_grad()
def test_prefix_weights_are_those_made_by_hand(decay: float) -> None:
    """Stepwise sums, one chunk after another, against the vectorised mechanism; d_qkv ≠ d_model; fp64 to 1e-10."""
    fields = {"chunk": 5, "decay": decay, "loops": 3, "d_model": 12, "d_qkv": 8, "n_heads": 2, "mixer": "aft"}
    model = strawberry.build(strawberry.preset("strawberry-pico", **fields)).double()
    retention = model.blocks[0].retention
    assert retention is not None
    x = torch.randn(2, 17, 12, dtype=torch.float64)
    weights = retention.begin(x, Call(), None)
    expected = [by_hand(retention, row, 3) for row in x]
    for step in range(3):
        weights = retention.evolve(weights, step, None)
        for name in NAMES:
            fan_in = retention.shapes[name][1]
            inputs = torch.randn(2, 17, fan_in, dtype=torch.float64)
            result = weights.apply(name, inputs)
            for row in range(2):
                sets = expected[row][step + 1][name]
                by_token = torch.stack([sets[t // 5] @ inputs[row, t] for t in range(17)]) / math.sqrt(fan_in)
                assert_close(result[row], by_token, atol=1e-10, rtol=0)


@torch.no_grad()
def test_batch_pooling_is_the_published_equation() -> None:
    """Y = softmax(OᵀA/√C) over the rows of all tokens of the batch, weights (Y W_T)ᵀ."""
    model = strawberry.build(strawberry.preset("strawberry-leaky-pico")).double()
    retention = model.blocks[0].retention
    assert retention is not None
    x = torch.randn(2, 9, 32, dtype=torch.float64)
    rows = unit(x.reshape(18, 32))
    o, a = unit(rows @ retention.w_original), unit(rows @ retention.w_adjust)
    y = (o.T @ a / math.sqrt(32)).softmax(dim=-1)
    weights = retention.begin(unit(x), Call(), None)
    qkv = weights.transformed["qkv"].head
    assert qkv is not None
    assert_close(qkv[0], (y @ retention.w_transform).T[:96], atol=1e-10, rtol=0)


@pytest.mark.parametrize("loops", [1, 2, 4, 8])
@pytest.mark.parametrize("family", ["strawberry", "strawberry-static", "gpt"])
@torch.no_grad()
def test_the_residual_stream_stays_of_order_one(family: str, loops: int) -> None:
    model = strawberry.build(strawberry.preset(f"{family}-pico", loops=loops))
    with strawberry.Trace.of(model, "passes") as trace:
        model(torch.randint(0, 512, (2, 64)))
    assert len(trace["passes"]) == loops
    # Independent branches add up to √2; eight passes that all push the same way would add up to 3.
    for stream in trace["passes"]:
        assert 0.5 < float(stream.square().mean().sqrt()) < 3


@torch.no_grad()
def test_the_published_scale_lets_the_residual_stream_explode() -> None:
    """The control for the test above: raw weights have RMS 1, so every pass multiplies the stream."""
    model = strawberry.build(strawberry.preset("strawberry-leaky-pico", loops=4))
    with strawberry.Trace.of(model, "passes") as trace:
        model(torch.randint(0, 512, (2, 64)))
    sizes = [float(stream.square().mean().sqrt()) for stream in trace["passes"]]
    assert sizes[-1] > 100 * sizes[0] > 100
