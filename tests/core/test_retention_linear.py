"""The Retention Mechanism's linear and delta forms equal their equations, and read a text in any pieces."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

import strawberry
from strawberry.call import Call
from strawberry.mixers import decayed
from strawberry.norm import norm
from strawberry.retention.linear import LinearRetention
from strawberry.retention.mechanism import NAMES, RetentionState
from tests.core.linear_by_hand import FORMS, matrices_by_hand, mechanism_of, memories_by_hand, model_of

# Longer than the chunks of the computation, which are of 64 tokens.
SEQ = 140


@pytest.mark.parametrize("decay", [1.0, 0.9])
@pytest.mark.parametrize("pooling", FORMS)
@torch.no_grad()
def test_every_tokens_weights_are_those_made_by_hand(pooling: str, decay: float) -> None:
    """Full matrices, built token by token, against the chunkwise products, at every pass; fp64 to 1e-10."""
    retention = mechanism_of(pooling, decay=decay)
    h = norm(torch.randn(2, SEQ, 12, dtype=torch.float64))
    weights = retention.begin(h, Call(), None)
    made = [[matrices_by_hand(retention, y) for y in memories_by_hand(retention, row)] for row in h]
    for step in range(2):
        weights = retention.evolve(weights, step, None)
        for name in NAMES:
            # Other inputs than those that the memory was built from, as at a later pass.
            inputs = torch.randn(2, SEQ, retention.shapes[name][1], dtype=torch.float64)
            result = weights.apply(name, inputs)
            for row in range(2):
                by_token = torch.stack([made[row][t][name] @ inputs[row, t] for t in range(SEQ)])
                assert_close(result[row], by_token / math.sqrt(inputs.shape[2]), atol=1e-10, rtol=0)


@pytest.mark.parametrize("decay", [1.0, 0.9])
@torch.no_grad()
def test_the_linear_form_is_retnets_retention(decay: float) -> None:
    """With h as its q, o as its k and a as its v: recurrent, parallel and chunkwise; fp64 to 1e-10.

    What q, k and v gain by the memory, √n_t (w_qkv h_t − base h_t), is W_Tᵀ of what one head of retention makes.
    """
    retention = mechanism_of("linear", decay=decay, scale="raw")
    h = norm(torch.randn(2, SEQ, 12, dtype=torch.float64))
    o, a = (norm(h @ w)[:, :, None] for w in (retention.w_original, retention.w_adjust))
    gained = retention.begin(h, Call(), None).apply("qkv", h) - h @ retention.base["qkv"].T
    n = torch.tensor([sum(decay**s for s in range(t + 1)) for t in range(SEQ)], dtype=torch.float64)
    log_decay = torch.full((1, 1, 1), math.log(decay), dtype=torch.float64)
    for form in (decayed.recurrent, decayed.parallel, decayed.chunkwise):
        read, _ = form(h[:, :, None], o, a, log_decay)
        expected = read[:, :, 0] @ retention.w_transform[:, : retention.shapes["qkv"][0]]
        assert_close(gained * n[:, None].sqrt(), expected, atol=1e-10, rtol=0)


@torch.no_grad()
def test_the_delta_form_replaces_what_it_holds() -> None:
    """One token again and again: the memory stays as after the first fifty, where the linear form's sum grows."""
    h = norm(torch.randn(1, 1, 12, dtype=torch.float64)).expand(1, 100, 12)
    linear, delta = (mechanism_of(pooling) for pooling in FORMS)
    delta.w_rate.zero_()  # η = 1/2
    for retention, grows in ((linear, 2), (delta, 1)):
        early, late = (retention.begin(h[:, :stop], Call(), None).written.end for stop in (50, 100))
        assert early is not None and late is not None
        assert_close(late, grows * early, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("pooling", FORMS)
@torch.no_grad()
def test_base_weights_act_alike_however_they_are_kept(pooling: str) -> None:
    """Scaled at use, base weights of RMS 1 and of fan_in^-1/2 make one model; raw ones are taken as they are."""
    h = norm(torch.randn(1, 9, 12, dtype=torch.float64))
    unit, small = (mechanism_of(pooling, base_scale=scale) for scale in ("unit", "fan_in"))
    for name in NAMES:
        unit.base[name].copy_(small.base[name] * math.sqrt(unit.shapes[name][1]))
    raw = mechanism_of(pooling, scale="raw", base_scale="unit")
    raw.base.load_state_dict(unit.base.state_dict())
    x = torch.randn(1, 9, 12, dtype=torch.float64)
    applied = [made.begin(h, Call(), None).apply("qkv", x) for made in (unit, small, raw)]
    assert_close(applied[0], applied[1])
    assert_close(applied[0], applied[2] / math.sqrt(12))


@pytest.mark.parametrize("pooling", FORMS)
@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(1, SEQ - 1), max_size=5),
    decay=st.sampled_from([1.0, 0.8]),
    loops=st.integers(1, 3),
)
@torch.no_grad()
def test_any_cut(pooling: str, cuts: list[int], decay: float, loops: int) -> None:
    model = model_of(pooling, decay=decay, loops=loops)
    tokens = torch.randint(0, 512, (2, SEQ))
    state, parts = None, []
    for piece in tokens.tensor_split(sorted(set(cuts)), dim=1):
        logits, state = model.step(piece, state)
        parts.append(logits)
    assert_close(torch.cat(parts, dim=1), model(tokens), atol=1e-10, rtol=0)


@pytest.mark.parametrize("pooling", FORMS)
@torch.no_grad()
def test_ragged_rows(pooling: str) -> None:
    """Rows that bring different numbers of tokens, padded with noise, each equal to the row alone."""
    model, tokens = model_of(pooling, decay=0.9), torch.randint(0, 512, (3, SEQ))
    whole, done, state = model(tokens), torch.zeros(3, dtype=torch.long), None
    for lengths in ([3, 0, 70], [1, 1, 1], [90, 1, 0], [0, 64, 5], [1, 1, 1], [10, 9, 8]):
        length = torch.tensor(lengths)
        places = (done[:, None] + torch.arange(max(lengths))).clamp(max=SEQ - 1)
        padding = torch.arange(max(lengths)) >= length[:, None]
        piece = torch.where(padding, torch.randint(0, 512, places.shape), tokens.gather(1, places))
        logits, state = model.step(piece, state, length)
        assert torch.isfinite(logits).all()
        for row in range(3):
            expected = whole[row, done[row] : done[row] + length[row]]
            assert_close(logits[row, : length[row]], expected, atol=1e-10, rtol=0)
        done = done + length


@pytest.mark.parametrize("pooling", FORMS)
@torch.no_grad()
def test_no_later_token_and_no_other_row_is_read(pooling: str) -> None:
    model, tokens = model_of(pooling), torch.randint(0, 512, (2, SEQ))
    before = model(tokens)
    for cut in (1, 5, 6, 63, 64, 65, 128, SEQ - 1):
        changed = torch.cat([tokens[:, :cut], (tokens[:, cut:] + 1) % 512], dim=1)
        after = model(changed)
        assert_close(after[:, :cut], before[:, :cut], atol=1e-12, rtol=0)
        assert (after - before)[:, cut:].abs().max() > 1e-3
    assert_close(model(tokens[:1]), before[:1], atol=1e-12, rtol=0)


@pytest.mark.parametrize("pooling", FORMS)
@torch.no_grad()
def test_the_first_pass_reads_every_earlier_token(pooling: str) -> None:
    """Nothing is stale: a token's own o and a are in its weights, and so are those of the token before it."""
    retention, h = mechanism_of(pooling), norm(torch.randn(1, 9, 12, dtype=torch.float64))
    x = torch.randn(1, 9, 12, dtype=torch.float64)
    before = retention.begin(h, Call(), None).apply("qkv", x)
    for changed in range(9):
        other = h.clone()
        other[:, changed] = other[:, changed].flip(-1)
        moved = (retention.begin(other, Call(), None).apply("qkv", x) - before)[0].abs().amax(dim=-1)
        assert (moved[:changed] < 1e-12).all() and (moved[changed:] > 1e-4).all()


@pytest.mark.parametrize("decay", [1.0, 0.8])
@pytest.mark.parametrize("pooling", FORMS)
def test_gradcheck(pooling: str, decay: float) -> None:
    retention = mechanism_of(pooling, decay=decay)
    named = dict(retention.named_parameters())
    h, x, y = (torch.randn(1, 5, width, dtype=torch.float64, requires_grad=True) for width in (12, 12, 8))

    class Applied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.made = retention

        def forward(self, h: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            weights = self.made.begin(norm(h), Call(), None)
            return weights.apply("qkv", x), weights.apply("swiglu", y), weights.apply("out", x)

    def output(h: Tensor, x: Tensor, y: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        replaced = {f"made.{name}": value for name, value in zip(named, values, strict=True)}
        return torch.func.functional_call(Applied(), replaced, (h, x, y))

    assert torch.autograd.gradcheck(output, (h, x, y, *named.values()), fast_mode=True)


@pytest.mark.parametrize("pooling", FORMS)
@torch.no_grad()
def test_the_state_is_one_matrix_however_long_the_text(pooling: str) -> None:
    model = model_of(pooling, mixer="aft")
    assert model.state_size(10) == model.state_size(100_000)
    _, state = model.step(torch.randint(0, 512, (1, 9)))
    for block, kept in zip(model.blocks, state.blocks, strict=True):
        assert isinstance(block.retention, LinearRetention) and isinstance(kept.retention, RetentionState)
        assert kept.retention.frames == () and kept.retention.statistics is not None
        assert kept.retention.statistics.sums.numel() == block.retention.state_size() == 32 * 32


@pytest.mark.parametrize("pooling", FORMS)
def test_every_parameter_learns_and_half_precision_stays_near(pooling: str) -> None:
    model, tokens = model_of(pooling).float(), torch.randint(0, 512, (2, SEQ))
    exact = model.loss(tokens, tokens.roll(-1, 1))
    exact.total.backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, path
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.loss(tokens, tokens.roll(-1, 1))
    assert_close(rough.cross_entropy.float(), exact.cross_entropy, atol=0.02, rtol=0)


def solving(a: Any, b: Any, *_: Any, **__: Any) -> int:
    """Flops of a triangular solve, which torch's counter does not know."""
    return math.prod(b) * a[-1]


@pytest.mark.parametrize("pooling", FORMS)
@torch.no_grad()
def test_flops_are_those_counted(pooling: str) -> None:
    """torch's counter over a forward pass agrees with the estimate to 1 %."""
    config = strawberry.preset("strawberry-nano", pooling=pooling, batch_size=2)
    model, tokens = strawberry.build(config), torch.randint(0, 512, (2, config.seq_len))
    known = {torch.ops.aten.linalg_solve_triangular: solving}
    with (
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        FlopCounterMode(display=False, custom_mapping=known) as counter,
    ):
        model(tokens)
    estimated = strawberry.estimate(config)
    assert counter.get_total_flops() == pytest.approx(estimated.forward_flops_per_token * tokens.numel(), rel=0.01)
    assert estimated.state_size == model.state_size(config.seq_len)
