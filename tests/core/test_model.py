"""The whole model: gradients, taps, balance losses, seeds, and bad input."""

import pytest
import torch
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

import strawberry
from strawberry.errors import ConfigError, StrawberryError, TraceError

PICO = [name for name in strawberry.presets() if name.endswith("-pico")]
SMOOTH = [name for name in PICO if strawberry.preset(name).rounding == "none"]


def pico(name: str = "strawberry-pico", **fields: object) -> tuple[strawberry.Strawberry, torch.Tensor]:
    return strawberry.build(strawberry.preset(name, **fields)), torch.randint(0, 512, (2, 40))


@pytest.mark.parametrize("name", PICO)
def test_every_parameter_learns(name: str) -> None:
    model, tokens = pico(name)
    model.loss(tokens, tokens.roll(-1, 1)).total.backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, path


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    """A directional derivative of the loss along every parameter at once, in fp64.

    Where weights are rounded the loss has steps, and its gradient is not its slope: tests/core/test_bitlinear.py.
    """
    fields = {"chunk": 4, "d_model": 8, "d_qkv": 8, "d_ff": 4, "vocab_size": 11}
    # A confidence learns from the model and the model not from it: by design its gradient is not the whole slope.
    model = strawberry.build(strawberry.preset(name, halting_coef=0.0, **fields)).double()
    tokens = torch.randint(0, 11, (2, 10))
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(model.loss(tokens, tokens).total, parameters, materialize_grads=True)
    direction = [torch.randn_like(p) * p.std(correction=0).clamp(min=1e-2) for p in parameters]
    step, values = 1e-6, []
    with torch.no_grad():
        slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
        for sign in (1, -2):
            torch._foreach_add_(parameters, direction, alpha=sign * step)
            values.append(float(model.loss(tokens, tokens).total))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", PICO)
@torch.no_grad()
def test_watching_changes_nothing(name: str) -> None:
    model, tokens = pico(name)
    unwatched = model(tokens)
    with strawberry.Trace.of(model, "*") as trace:
        watched = model(tokens)
    assert torch.equal(unwatched, watched)
    assert {len(trace[path]) for path in trace if path.endswith(".q")} == {model.config.loops}


@torch.no_grad()
def test_weights_are_seen_frame_by_frame_and_chunk_by_chunk() -> None:
    model, tokens = pico(loops=3)
    with strawberry.Trace.of(model, "layers.*.retention.w_*") as trace:
        model(tokens)
    for name, rows, columns in (("qkv", 96, 32), ("swiglu", 64, 32), ("out", 32, 32)):
        current = trace[f"layers.0.retention.w_current.{name}"]
        transformed = trace[f"layers.0.retention.w_transformed.{name}"]
        assert [w.shape for w in current] == [(2, 3, rows, columns)] * 4 or current[0].shape[0] == 1
        for frame in range(3):
            assert_close(transformed[frame + 1].expand_as(current[1]), current[frame].expand_as(current[1]))


@torch.no_grad()
def test_weights_can_be_transplanted() -> None:
    model, tokens = pico()
    before = model(tokens)
    path = "layers.0.retention.w_current.qkv"
    with strawberry.intervene(model, {path: lambda w, call: torch.zeros_like(w) if call == 2 else None}):
        changed = model(tokens)
    with strawberry.intervene(model, {path: lambda w, call: w.clone()}):
        copied = model(tokens)
    assert (changed - before).abs().max() > 1e-3
    assert_close(copied, before, atol=1e-5, rtol=0)
    assert torch.equal(model(tokens), before)


@torch.no_grad()
def test_gates_can_be_forced() -> None:
    model, tokens = pico()

    def first_expert(gates: torch.Tensor, call: int) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.zeros_like(gates[..., 0], dtype=torch.long), gates.shape[-1]).float()

    with strawberry.intervene(model, {"layers.0.feedforward.router.gates": first_expert}):
        forced = model(tokens)
    assert (forced - model(tokens)).abs().max() > 1e-3


def test_a_trace_says_when_it_heard_nothing() -> None:
    model, _ = pico()
    with pytest.raises(TraceError, match="heard nothing"), strawberry.Trace.of(model, "*"):
        pass
    with pytest.raises(TraceError, match="no tap matches"):
        strawberry.Trace.of(model, "layers.9.*")
    with pytest.raises(TraceError, match="shape"), strawberry.intervene(model, {"final": lambda x, _: x[:1]}):
        model(torch.zeros(2, 3, dtype=torch.long))


def test_embeddings_are_tied() -> None:
    model, tokens = pico()
    with strawberry.Trace.of(model, "final") as trace:
        logits = model(tokens)
    assert_close(logits, trace["final"][0] @ model.embedding.weight.T)
    assert sum(p.shape == model.embedding.weight.shape for p in model.parameters()) == 1


def test_a_seed_repeats_bit_for_bit_and_leaves_the_global_one_alone() -> None:
    torch.manual_seed(5)
    first = strawberry.build(strawberry.preset("strawberry-pico", seed=3)).state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(6)
    second = strawberry.build(strawberry.preset("strawberry-pico", seed=3)).state_dict()
    other = strawberry.build(strawberry.preset("strawberry-pico", seed=4)).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))


def test_losses_tell_their_parts() -> None:
    model, tokens = pico()
    losses = model.loss(tokens, tokens)
    config = model.config
    assert_close(losses.total, losses.cross_entropy + config.balance_coef * losses.balance + config.z_coef * losses.z)
    for path, load in losses.loads.items():
        assert_close(load.sum(), torch.tensor(1.0)), path
    assert "layers.1.mixer.router" in losses.loads and "layers.1.swiglu_router" in losses.loads


def test_balance_biases_move_only_when_asked() -> None:
    for balance in ("bias", "switch"):
        model, tokens = pico(balance=balance)
        model.after_step(model.loss(tokens, tokens).loads)
        moved = float(model.get_buffer("layers.0.feedforward.router.bias").abs().sum())
        assert (moved > 0) == (balance == "bias")


@pytest.mark.parametrize("name", [*PICO, "strawberry-nano", "gpt-nano"])
@torch.no_grad()
def test_flops_are_those_counted(name: str) -> None:
    """torch's counter over a forward pass agrees with the formula to 2 %; attention is counted by its plain form."""
    config = strawberry.preset(name, batch_size=2)
    model, tokens = strawberry.build(config), torch.randint(0, 512, (2, config.seq_len))
    with (
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        model(tokens)
    estimated = strawberry.estimate(config).forward_flops_per_token * tokens.numel()
    assert counter.get_total_flops() == pytest.approx(estimated, rel=0.02)


def test_parameters_are_those_built() -> None:
    for name in PICO:
        config = strawberry.preset(name)
        built = sum(p.numel() for p in strawberry.build(config).parameters())
        assert strawberry.estimate(config).parameters == built


@pytest.mark.parametrize("family", strawberry.families())
def test_small_is_the_size_of_gpt2(family: str) -> None:
    assert 120e6 < strawberry.estimate(strawberry.preset(f"{family}-small")).parameters < 128e6


def test_bf16_stays_near_fp32() -> None:
    for name in PICO:
        model, tokens = pico(name)
        exact = model.loss(tokens, tokens).cross_entropy
        with torch.autocast("cpu", torch.bfloat16):
            rough = model.loss(tokens, tokens).cross_entropy
        assert_close(rough.float(), exact, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    "tokens", [torch.zeros(3, dtype=torch.long), torch.zeros(2, 3), torch.zeros(2, 0, dtype=torch.long)]
)
def test_bad_tokens_get_one_sentence(tokens: torch.Tensor) -> None:
    model, _ = pico()
    with pytest.raises(StrawberryError, match="tokens"):
        model(tokens)


@pytest.mark.parametrize("family", ["gpt", "retnet", "strawberry"])
def test_without_a_feed_forward_layer_only_the_mixer_is_left(family: str) -> None:
    config = strawberry.preset(f"{family}-pico", d_ff=0, n_experts=1, top_k=1)
    model = strawberry.build(config)
    assert not [name for name, _ in model.named_parameters() if "feedforward" in name]
    assert strawberry.estimate(config).parameters == sum(p.numel() for p in model.parameters())
    tokens = torch.arange(48).view(1, 48)
    model.loss(tokens, tokens).total.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_experts_need_a_width() -> None:
    with pytest.raises(ConfigError, match="set n_experts to 1"):
        strawberry.preset("strawberry-pico", d_ff=0)
