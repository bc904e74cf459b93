"""The gated delta rule is its recurrence however it is computed, and agrees with the reference code of the field."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize, silu
from torch.testing import assert_close

import strawberry
from strawberry.mixers.decayed import CHUNK
from strawberry.mixers.delta import Delta, advance
from strawberry.mixers.written import Written, write, write_delta
from strawberry.norm import norm
from tests.oracles.loading import fla

HEADS, WIDTH = 3, 8
SEQS = [1, 2, 17, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5]


def drawn(seq: int, dtype: torch.dtype = torch.float64, batch: int = 2) -> dict[str, Tensor]:
    """q and k of unit length, v, beta and log_decay, each (batch, head, seq, …); values are wider than keys."""
    q, k, v = (torch.randn(batch, HEADS, seq, width, dtype=dtype) for width in (WIDTH, WIDTH, WIDTH + 2))
    beta, decay = torch.randn(2, batch, HEADS, seq, dtype=dtype)
    return {
        "q": normalize(q, dim=-1), "k": normalize(k, dim=-1), "v": v,
        "beta": beta.sigmoid(), "log_decay": logsigmoid(3 * decay),
    }  # fmt: skip


def by_hand(inputs: dict[str, Tensor], state: Tensor | None) -> tuple[Tensor, Tensor]:
    """S_t = α_t (I − β_t k_t k_tᵀ) S_{t−1} + β_t k_t v_tᵀ the bracket written out as a matrix: outputs and S."""
    q, k, v, beta, log_decay = inputs.values()
    memory = k.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1]) if state is None else state
    outputs = []
    for t in range(k.shape[2]):
        key, rate = k[:, :, t, :, None], beta[:, :, t, None, None]
        transition = torch.eye(k.shape[-1], dtype=k.dtype) - rate * key @ key.mT
        memory = log_decay[:, :, t].exp()[..., None, None] * transition @ memory + rate * key @ v[:, :, t, None]
        outputs.append((memory.mT @ q[:, :, t, :, None])[..., 0])
    return torch.stack(outputs, dim=2), memory


def written(inputs: dict[str, Tensor], state: Tensor | None = None) -> Written:
    return write_delta(inputs["k"], inputs["v"], inputs["beta"], inputs["log_decay"], state)


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("seq", SEQS)
def test_the_chunkwise_rule_is_the_recurrence(seq: int, carried: bool) -> None:
    """Outputs, the memory and all gradients, around every boundary; fp64 to 1e-10."""
    state = torch.randn(2, HEADS, WIDTH, WIDTH + 2, dtype=torch.float64, requires_grad=True) if carried else None
    inputs = {name: x.requires_grad_() for name, x in drawn(seq).items()}
    run = written(inputs, state)
    assert run.end is not None
    results = []
    for o, after in (by_hand(inputs, state), (run.read(inputs["q"]), run.end)):
        reached = [*inputs.values(), *([] if state is None else [state])]
        results.append((o, after, *torch.autograd.grad(o.sin().sum() + after.cos().sum(), reached)))
    for expected, result in zip(*results, strict=True):
        assert_close(result, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("carried", [False, True])
@torch.no_grad()
def test_one_token_is_the_recurrence(carried: bool) -> None:
    """The form that decoding takes, fp64 to 1e-12; it needs no chunk."""
    state = torch.randn(2, HEADS, WIDTH, WIDTH + 2, dtype=torch.float64) if carried else None
    inputs = drawn(1)
    q, k, v, beta, log_decay = inputs.values()
    for result, expected in zip(advance(q, k, v, beta, log_decay, state), by_hand(inputs, state), strict=True):
        assert_close(result, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("rule", ["plain", "delta"])
@torch.no_grad()
def test_what_was_written_can_be_read_both_ways_and_written_out(rule: str) -> None:
    """S_tᵀq, S_tq and S_t itself, all from the one sum Σ k_s w_sᵀ; fp64 to 1e-10."""
    seq, state = 2 * CHUNK + 7, torch.randn(2, HEADS, WIDTH, WIDTH + 2, dtype=torch.float64)
    inputs = drawn(seq)
    k, v, log_decay = inputs["k"], inputs["v"], inputs["log_decay"]
    run = written(inputs, state) if rule == "delta" else write(k, v, log_decay, state)
    values = run.values.flatten(2, 3)[:, :, :seq]
    memory, every = state, []
    for t in range(seq):
        memory = memory * log_decay[:, :, t].exp()[..., None, None] + k[:, :, t, :, None] @ values[:, :, t, None]
        every.append(memory)
    expected = torch.stack(every, dim=2)
    assert_close(run.at(torch.arange(seq)), expected, atol=1e-10, rtol=0)
    assert_close(run.read(inputs["q"]), (expected.mT @ inputs["q"][..., None])[..., 0], atol=1e-10, rtol=0)
    assert_close(run.read_back(v), (expected @ v[..., None])[..., 0], atol=1e-10, rtol=0)
    if rule == "plain":
        assert_close(values, v)


@torch.no_grad()
def test_a_value_is_replaced_not_added_to() -> None:
    """With β = 1 and nothing forgotten, a key holds its last value, and an orthogonal key is left alone."""
    k, v = torch.eye(WIDTH, dtype=torch.float64)[[0, 1, 0]][None], torch.randn(1, 3, 5, dtype=torch.float64)
    run = write_delta(k, v, torch.ones(1, 3), torch.zeros(1, 3), None)
    assert run.end is not None
    assert_close(run.end[0, :2], v[0, [2, 1]])


def test_a_memory_that_forgets_at_once_stays_finite() -> None:
    """Decays of e⁻²⁰⁰ per token, whose ratios overflow above the diagonal: outputs and gradients do not."""
    inputs = drawn(100, torch.float32) | {"log_decay": torch.full((2, HEADS, 100), -200.0)}
    inputs = {name: x.requires_grad_() for name, x in inputs.items()}
    o = written(inputs).read(inputs["q"])
    q, k, v, beta, _ = inputs.values()
    assert_close(o, (beta * (q * k).sum(dim=-1))[..., None] * v)
    for gradient in torch.autograd.grad(o.sum(), list(inputs.values())):
        assert gradient.isfinite().all()


@torch.no_grad()
def test_equal_keys_do_not_blow_up_in_single_precision() -> None:
    """4096 times nearly the same key with β near 1, the hardest case of the triangular solve; fp32 to 1e-4."""
    inputs = drawn(4096, batch=1)
    inputs["k"] = normalize(inputs["k"][:, :, :1] + 1e-3 * inputs["k"], dim=-1)
    inputs |= {"beta": torch.full_like(inputs["beta"], 0.99), "log_decay": 1e-3 * inputs["log_decay"]}
    rough = {name: x.float() for name, x in inputs.items()}
    exact = written(inputs).read(inputs["q"])
    assert_close(written(rough).read(rough["q"]).double(), exact, atol=1e-4, rtol=0)


def told_by_the_mixer(seq: int) -> tuple[dict[str, Tensor], Tensor]:
    """(batch, seq, head, …) inputs of the rule inside an untrained fp32 mixer, and its output before norm and gate."""
    mixer = Delta(strawberry.preset("gpt-pico", d_model=32, d_qkv=HEADS * WIDTH, n_heads=HEADS))
    for parameter in mixer.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5)
    q, k, v = torch.randn(3, 2, seq, HEADS, WIDTH)
    x = torch.randn(2, seq, 32)
    with strawberry.Trace.of(mixer, "*") as trace:
        y, _ = mixer(q, k, v, x)
    context, beta, log_decay = (trace[name][0] for name in ("context", "told.beta", "told.log_decay"))
    assert_close(beta, (x @ mixer.w_beta.T).sigmoid())
    rate = mixer.log_rate.exp() * torch.nn.functional.softplus(x @ mixer.w_decay.T + mixer.decay_bias)
    assert_close(log_decay, -rate)
    assert_close(y, norm(context) * silu(x @ mixer.w_gate.T).view_as(context))
    units = {"q": normalize(q, dim=-1), "k": normalize(k, dim=-1)}
    # The reference implementations scale q by d^-½, which the norm of each head takes out again.
    return {**units, "v": v, "beta": beta, "g": log_decay}, context * WIDTH**-0.5


@pytest.mark.parametrize("form", ["naive_recurrent_gated_delta_rule", "naive_chunk_gated_delta_rule"])
@torch.no_grad()
def test_the_mixer_is_flas_gated_delta_rule(form: str) -> None:
    """fla's naive forms, which compute in fp32: 1e-5."""
    inputs, expected = told_by_the_mixer(150)
    o, _ = getattr(fla("ops/gated_delta_rule/naive.py"), form)(**inputs)
    assert_close(o, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_mixer_is_transformers_gated_delta_rule() -> None:
    """transformers' Qwen3-Next, chunked and token by token, fp32, 1e-5; q and k are normalised there, with eps 1e-6."""
    from transformers.models.qwen3_next import modeling_qwen3_next as qwen

    inputs, expected = told_by_the_mixer(150)
    raw = {"query": 3 * inputs["q"], "key": 3 * inputs["k"], "value": inputs["v"]}
    gates: dict[str, Any] = {"beta": inputs["beta"], "g": inputs["g"], "initial_state": None}
    for form in (qwen.torch_chunk_gated_delta_rule, qwen.torch_recurrent_gated_delta_rule):
        o, _ = form(**raw, **gates, output_final_state=False, use_qk_l2norm_in_kernel=True)
        assert_close(o, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_without_decay_it_is_flas_delta_rule() -> None:
    """fla's recurrence, chunkwise and parallel forms of the plain delta rule (arXiv 2406.06484); fp32, 1e-5."""
    naive = fla("ops/delta_rule/naive.py")
    inputs = {name: x.float() for name, x in drawn(256).items() if name != "log_decay"}
    q, k, v, beta = inputs.values()
    run = write_delta(k, v, beta, torch.zeros(1, 256), None)
    o = run.read(q) * WIDTH**-0.5
    for form in (naive.delta_rule_recurrence, naive.delta_rule_chunkwise):
        expected, memory = form(q, k, v, beta)
        assert_close(o, expected, atol=1e-5, rtol=0)
        assert_close(run.end, memory, atol=1e-5, rtol=0)
    assert_close(o, naive.delta_rule_parallel(q, k, v, beta)[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_its_map_is_flas() -> None:
    """The map of the plain delta rule, with β taken out, is the A that fla's parallel form returns; fp32, 1e-5."""
    mixer = Delta(strawberry.preset("gpt-pico", d_model=32, d_qkv=HEADS * WIDTH, n_heads=HEADS))
    inputs = {name: x.float() for name, x in drawn(128).items() if name != "log_decay"}
    q, k, _, beta = inputs.values()
    _, expected = fla("ops/delta_rule/naive.py").delta_rule_parallel(**inputs)
    signals = {"beta": beta.mT, "log_decay": torch.zeros(1, 128, HEADS)}
    maps = mixer.map(q.transpose(1, 2), k.transpose(1, 2), signals)
    assert_close(maps * WIDTH**-0.5, expected * beta[:, :, None], atol=1e-5, rtol=0)
