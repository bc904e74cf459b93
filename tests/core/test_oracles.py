"""The parts agree with independent implementations of the same papers."""

import torch
from torch.testing import assert_close
from transformers.models.deepseek_v3.configuration_deepseek_v3 import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.mixtral.configuration_mixtral import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock, load_balancing_loss_func

from strawberry import preset
from strawberry.experts.balance import Ledger, move_bias, switch_loss, z_loss
from strawberry.experts.router import Router
from strawberry.feedforward import GLU, ExpertGLU, glu
from strawberry.rope import rotate, rotation


def test_rotation_is_llamas() -> None:
    """1-D RoPE, half-split, base 10000, against transformers' Llama; tolerance 1e-5 (its angles are fp32)."""
    heads, width, start, length = 2, 8, 5, 17
    config = LlamaConfig(hidden_size=heads * width, num_attention_heads=heads, head_dim=width)
    x = torch.randn(3, length, heads, width)
    cos, sin = LlamaRotaryEmbedding(config)(x, torch.arange(start, start + length)[None])
    expected, _ = apply_rotary_pos_emb(x.transpose(1, 2), x.transpose(1, 2), cos, sin)
    assert_close(
        rotate(x, rotation(torch.arange(start, start + length), width, 10000.0, x)),
        expected.transpose(1, 2),
        atol=1e-5,
        rtol=0,
    )


def test_rotation_keeps_lengths_and_sees_only_distance() -> None:
    x = torch.randn(1, 12, 1, 8, dtype=torch.float64)
    near, far = (rotate(x, rotation(torch.arange(start, start + 12), 8, 10000.0, x)) for start in (0, 1000))
    assert_close(near.norm(dim=-1), x.norm(dim=-1))
    assert_close(near[0, :, 0] @ near[0, :, 0].T, far[0, :, 0] @ far[0, :, 0].T)


def mixtral(experts: int = 6, top_k: int = 2) -> tuple[MixtralSparseMoeBlock, ExpertGLU]:
    config = preset("strawberry-pico", n_experts=experts, top_k=top_k, d_ff=12, d_model=36)
    theirs = MixtralSparseMoeBlock(
        MixtralConfig(hidden_size=36, intermediate_size=12, num_local_experts=experts, num_experts_per_tok=top_k)
    ).double()
    ours = ExpertGLU(config).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0, 0.3)
        ours.router.weight.copy_(theirs.gate.weight)
        # They store [gate, up], we store [u, v] with the gate on v.
        ours.w_in.copy_(theirs.experts.gate_up_proj.roll(12, dims=1))
        ours.w_out.copy_(theirs.experts.down_proj)
    return theirs, ours


def test_expert_swiglu_is_mixtrals() -> None:
    """Routing, gates, SwiGLU experts and their sum; tolerance 1e-6 as their router works in fp32."""
    theirs, ours = mixtral()
    x = torch.randn(2, 9, 36, dtype=torch.float64)
    assert_close(ours(x), theirs(x), atol=1e-6, rtol=0)


def test_sparse_dispatch_is_the_dense_mixture() -> None:
    _, ours = mixtral()
    x = torch.randn(3, 7, 36, dtype=torch.float64)
    gates = ours.router(x)
    every = torch.stack([glu(x, *pair, "silu") for pair in zip(ours.w_in, ours.w_out, strict=True)], dim=-1)
    assert_close(ours(x), (every * gates[..., None, :]).sum(dim=-1), atol=1e-12, rtol=0)
    assert ((gates > 0).sum(dim=-1) == 2).all()
    assert_close(gates.sum(dim=-1), torch.ones(3, 7, dtype=torch.float64))


def test_one_expert_is_a_dense_swiglu() -> None:
    config = preset("strawberry-pico", n_experts=1, top_k=1)
    many, one = ExpertGLU(config), GLU(config)
    with torch.no_grad():
        many.router.weight.zero_()
        for parameter in (many.w_in, many.w_out):
            parameter.normal_()
        one.w_in.copy_(many.w_in[0])
        one.w_out.copy_(many.w_out[0])
    x = torch.randn(2, 5, 32)
    assert_close(many(x), one(x))


def test_switch_loss_is_mixtrals_over_top_k() -> None:
    logits = torch.randn(40, 6)
    chosen = logits.topk(2, dim=-1).indices
    load = torch.bincount(chosen.flatten(), minlength=6) / chosen.numel()
    theirs = load_balancing_loss_func((logits,), num_experts=6, top_k=2)
    assert isinstance(theirs, torch.Tensor)
    assert_close(switch_loss(logits.softmax(dim=-1), load) * 2, theirs)


def test_switch_loss_is_one_when_even_and_e_when_one_takes_all() -> None:
    even = torch.full((5, 4), 0.25)
    assert_close(switch_loss(even, torch.full((4,), 0.25)), torch.tensor(1.0))
    single = torch.tensor([1.0, 0, 0, 0])
    assert_close(switch_loss(single.expand(5, 4), single), torch.tensor(4.0))


def test_z_loss_is_the_square_of_log_sum_exp() -> None:
    assert_close(z_loss(torch.zeros(3, 8)), torch.tensor(8.0).log().square())


def test_sigmoid_routing_with_a_bias_is_deepseeks() -> None:
    """DeepseekV3TopkRouter with one group: the bias steers the choice and never the gate."""
    config = DeepseekV3Config(
        hidden_size=32, n_routed_experts=8, num_experts_per_tok=3, n_group=1, topk_group=1, routed_scaling_factor=1.0
    )
    theirs = DeepseekV3TopkRouter(config)
    ours = Router(32, 8, 3, preset("strawberry-pico", routing="sigmoid"))
    with torch.no_grad():
        theirs.weight.normal_()
        ours.weight.copy_(theirs.weight)
        theirs.e_score_correction_bias.normal_()
        ours.bias.copy_(theirs.e_score_correction_bias)
    x = torch.randn(50, 32)
    _, weights, indices = theirs(x)
    assert_close(ours(x), torch.zeros(50, 8).scatter(1, indices, weights))


def test_moving_the_bias_evens_out_the_load() -> None:
    router = Router(16, 4, 1, preset("strawberry-pico"))
    with torch.no_grad():
        router.weight.normal_(0, 0.2)
        router.weight[0] += 0.2
    x = torch.randn(400, 16) + 0.5
    spread = []
    for _ in range(200):
        ledger = Ledger()
        router(x, ledger)
        (load,) = ledger.loads[router]
        spread.append(float(load.max()))
        move_bias(router.bias, load, 0.01)
    assert spread[0] > 0.4
    assert spread[-1] < 0.3
