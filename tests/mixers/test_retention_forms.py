"""Retention is one computation in three forms, and agrees with the reference code of its papers."""

from argparse import Namespace
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import strawberry
from strawberry.mixers.decayed import CHUNK, chunkwise, parallel, recurrent
from strawberry.mixers.retention import GatedRetention, MultiScaleRetention
from strawberry.norm import norm
from tests.oracles.loading import fla, torchscale

HEADS, WIDTH = 4, 8
Form = Callable[..., tuple[Tensor, Tensor]]
FORMS: dict[str, Form] = {
    "parallel": parallel,
    "chunks of 8": lambda *inputs: chunkwise(*inputs, chunk=8),
    "chunks of 1": lambda *inputs: chunkwise(*inputs, chunk=1),
    "chunkwise": chunkwise,
}
SEQS = [1, 2, 7, 8, 9, 16, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK + 5]


def drawn(seq: int, dtype: torch.dtype = torch.float64, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = torch.randn(3, batch, seq, HEADS, WIDTH, dtype=dtype)
    return q, k, v


def decays_per_head() -> Tensor:
    return torch.log1p(-torch.exp2(-5 - torch.arange(HEADS, dtype=torch.float64)))[None, None]


def decays_per_token(seq: int, batch: int = 2) -> Tensor:
    return torch.nn.functional.logsigmoid(3 * torch.randn(batch, seq, HEADS, dtype=torch.float64))


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("seq", SEQS)
@pytest.mark.parametrize("form", FORMS)
def test_the_forms_agree(form: str, seq: int, per_token: bool, carried: bool) -> None:
    """Each form against token by token: outputs, states and gradients; fp64 to 1e-10 of what is compared."""
    state = torch.randn(2, HEADS, WIDTH, WIDTH, dtype=torch.float64) if carried else None
    log_decay = decays_per_token(seq) if per_token else decays_per_head()
    inputs = [x.requires_grad_() for x in (*drawn(seq), log_decay, *([] if state is None else [state]))]
    results = []
    for function in (recurrent, FORMS[form]):
        o, after = function(*inputs)
        gradients = torch.autograd.grad(o.sin().sum() + after.cos().sum(), inputs)
        results.append((o, after, *gradients))
    for expected, result in zip(*results, strict=True):
        assert_close(result, expected, atol=1e-10 * max(1.0, float(expected.detach().abs().max())), rtol=0)


def test_all_forms_are_the_definition() -> None:
    """o_t = Σ_{s≤t} (Π_{s<r≤t} γ_r) (q_t·k_s) v_s, summed one by one; fp64 to 1e-12."""
    (q, k, v), log_decay = drawn(11), decays_per_token(11)
    for t in range(11):
        expected = torch.zeros_like(v[:, 0])
        for s in range(t + 1):
            faded = log_decay[:, s + 1 : t + 1].sum(dim=1).exp() * (q[:, t] * k[:, s]).sum(dim=-1)
            expected += faded[..., None] * v[:, s]
        for form in (recurrent, *FORMS.values()):
            assert_close(form(q, k, v, log_decay)[0][:, t], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_a_memory_that_forgets_at_once_stays_finite(form: str) -> None:
    """Decays of e⁻²⁰⁰ per token: their ratios would overflow above the diagonal; outputs and gradients do not."""
    inputs = [x.requires_grad_() for x in (*drawn(100, torch.float32), torch.full((2, 100, HEADS), -200.0))]
    o, after = FORMS[form](*inputs)
    q, k, v, _ = inputs
    assert_close(o, (q * k).sum(dim=-1, keepdim=True) * v)
    for gradient in torch.autograd.grad(o.sum() + after.sum(), inputs):
        assert gradient.isfinite().all()


def test_chunks_hold_their_precision_over_long_texts() -> None:
    """fp32 against fp64 over 8192 tokens: 1e-5 of the outputs' size."""
    (q, k, v), log_decay = drawn(8192, batch=1), decays_per_token(8192, 1) / 16
    exact = chunkwise(q, k, v, log_decay)[0]
    rough = chunkwise(*(x.float() for x in (q, k, v, log_decay)))[0]
    assert (rough - exact).abs().max() < 1e-5 * exact.abs().max()


def test_the_heads_fade_as_published() -> None:
    """γ = 31/32, 63/64, 127/128, 255/256."""
    mixer = MultiScaleRetention(strawberry.preset("retnet-pico", mixer="retention"))
    gamma = mixer.log_decay(torch.zeros(1, dtype=torch.float64)).exp().flatten()
    assert_close(gamma, torch.tensor([31 / 32, 63 / 64, 127 / 128, 255 / 256], dtype=torch.float64))


def theirs(eps: float) -> tuple[torch.nn.Module, torch.nn.Module]:
    """torchscale's retention, whose norm has this epsilon, and its relative positions, in fp64."""
    width = HEADS * WIDTH
    args = Namespace(
        multiway=False,
        layernorm_eps=eps,
        decoder_embed_dim=width,
        decoder_retention_heads=HEADS,
        recurrent_chunk_size=16,
    )
    module = torchscale("component/multiscale_retention.py").MultiScaleRetention(args, width, width, HEADS).double()
    places = torchscale("architecture/retnet.py").RetNetRelPos(args).double()
    places.decay = decays_per_head().flatten()  # theirs was rounded to fp32
    return module, places


def by_their_form(form: str, module: torch.nn.Module, places: torch.nn.Module, x: Tensor) -> Tensor:
    if form == "recurrent":
        carried: dict[str, Tensor] = {}
        steps = [
            module(x[:, t : t + 1], places(t + 1, activate_recurrent=True), incremental_state=carried)
            for t in range(x.shape[1])
        ]
        return torch.cat(steps, dim=1)
    chunked = form == "chunkwise"
    return module(x, places(x.shape[1], chunkwise_recurrent=chunked), chunkwise_recurrent=chunked)


@pytest.mark.parametrize("form", ["parallel", "recurrent", "chunkwise"])
@torch.no_grad()
def test_retention_is_torchscales(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchscale 0.3 MultiScaleRetention in each of its forms, on its projections and rotation; fp64 to 1e-7.

    Its norm computes in fp32. Its forms scale the outputs before the norm, each in its own way, so that no norm here
    may have an epsilon to speak of.
    """
    monkeypatch.setattr("strawberry.norm.EPS", 1e-30)
    module, places = theirs(eps=1e-30)
    mixer = MultiScaleRetention(strawberry.preset("retnet-pico", d_model=32, d_qkv=32, n_heads=HEADS))
    mixer.w_gate = torch.nn.Parameter(module.g_proj.weight)
    x = torch.randn(2, 48, HEADS * WIDTH, dtype=torch.float64)
    turn = torchscale("component/multiscale_retention.py").theta_shift
    q, k, v = (projection(x).unflatten(-1, (HEADS, -1)) for projection in (module.q_proj, module.k_proj, module.v_proj))
    (sin, cos), _ = places(48)
    q, k = (turn(z.transpose(1, 2), sin, cos).transpose(1, 2) for z in (q, k))
    y, _ = mixer(q, k, v, x)
    assert_close(by_their_form(form, module, places, x), module.out_proj(y.flatten(2)), atol=1e-7, rtol=0)


@torch.no_grad()
def test_the_norms_epsilon_is_small_against_the_signal() -> None:
    """Outputs of a hundredth of a block's usual size are normed alike, to 1e-3; 1e-6 parts torchscale's own forms."""
    q, k, v = drawn(48)
    mixer = MultiScaleRetention(strawberry.preset("retnet-pico", d_model=32, d_qkv=32, n_heads=HEADS)).double()
    torch.nn.init.normal_(mixer.w_gate)
    x = torch.randn(2, 48, HEADS * WIDTH, dtype=torch.float64)
    full, faint = (mixer(norm(q), norm(k), v * factor, x)[0] for factor in (1, 0.01))
    assert_close(faint, full, atol=1e-3, rtol=0)
    usual = theirs(eps=1e-6)
    forms = [by_their_form(form, *usual, x) for form in ("parallel", "chunkwise")]
    assert (forms[0] - forms[1]).abs().max() > 1e-3


@torch.no_grad()
def test_retention_is_flas() -> None:
    """fla's naive_retention, which computes in fp32; 2e-5."""
    q, k, v = drawn(100, torch.float32)
    expected = fla("ops/retention/naive.py").naive_retention(*(x.transpose(1, 2) for x in (q, k, v)))
    scaled = k * WIDTH**-0.5
    for form in (recurrent, *FORMS.values()):
        result, _ = form(q, scaled, v, decays_per_head().float())
        assert_close(result, expected.transpose(1, 2), atol=2e-5, rtol=0)


@torch.no_grad()
def test_gated_retention_is_flas() -> None:
    """fla's naive simple gated linear attention, parallel, recurrent and chunkwise, all in fp32; 2e-5."""
    naive = fla("ops/simple_gla/naive.py")
    q, k, v = drawn(100, torch.float32)
    mixer = GatedRetention(strawberry.preset("yoco-pico", d_model=16, d_qkv=HEADS * WIDTH, n_heads=HEADS))
    torch.nn.init.normal_(mixer.w_decay)
    log_decay = mixer.signals(torch.randn(2, 100, 16))["log_decay"]
    state = torch.randn(2, HEADS, WIDTH, WIDTH)
    scaled = k * WIDTH**-0.5
    for form in (recurrent, *FORMS.values()):
        result, _ = form(q, scaled, v, log_decay)
        assert_close(result, naive.naive_parallel_simple_gla(q, k, v, log_decay)[0], atol=2e-5, rtol=0)
        result, after = form(q, scaled, v, log_decay, state)
        for name, scale in (("naive_recurrent_simple_gla", 1.0), ("naive_chunk_simple_gla", 1.0)):
            expected = getattr(naive, name)(
                q, scaled, v, log_decay, scale=scale, initial_state=state, output_final_state=True
            )
            assert_close(result, expected[0], atol=2e-5, rtol=0)
            assert_close(after, expected[1], atol=2e-5, rtol=0)


def test_the_gate_is_the_sixteenth_root_of_a_sigmoid() -> None:
    """YOCO: γ = σ(x W)^(1/16), so that a decay of one half takes sixteen times as many tokens."""
    mixer = GatedRetention(strawberry.preset("yoco-pico", d_model=16, d_qkv=HEADS * WIDTH, n_heads=HEADS))
    torch.nn.init.normal_(mixer.w_decay)
    x = torch.randn(2, 5, 16)
    assert_close(mixer.signals(x)["log_decay"].exp() ** 16, (x @ mixer.w_decay.T).sigmoid())
