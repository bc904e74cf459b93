"""Softmax attention and the feed-forward layers agree with transformers' models."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from transformers.models.gemma2.configuration_gemma2 import Gemma2Config
from transformers.models.gemma2.modeling_gemma2 import Gemma2MLP
from transformers.models.mistral.configuration_mistral import MistralConfig
from transformers.models.mistral.modeling_mistral import MistralModel

import strawberry
from strawberry.feedforward import GLU
from strawberry.mixers import MIXERS
from strawberry.rope import rotate, rotation

HEADS, WIDTH = 4, 32


def mistral(kv_heads: int, window: int | None, x: Tensor) -> tuple[nn.Module, Tensor, Tensor]:
    """A layer's attention module, with what it was given and what it made of it, in an eager one-layer Mistral."""
    config = MistralConfig(
        vocab_size=8,
        hidden_size=WIDTH,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=HEADS,
        num_key_value_heads=kv_heads,
        sliding_window=window,
        attn_implementation="eager",
    )
    model = MistralModel(config).double().eval()
    attention, heard = model.layers[0].self_attn, []
    attention.register_forward_hook(
        lambda module, args, kwargs, y: heard.extend([kwargs["hidden_states"], y[0]]), with_kwargs=True
    )
    model(inputs_embeds=x, use_cache=False)
    return attention, *heard


@pytest.mark.parametrize("window", [None, 1, 5, 16, 100])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@torch.no_grad()
def test_attention_is_mistrals(kv_heads: int, window: int | None) -> None:
    """MistralModel, attn_implementation="eager", with grouped heads and sliding windows; 1e-6, as it rotates and
    takes its softmax in fp32."""
    seq = 40
    theirs, h, expected = mistral(kv_heads, window, torch.randn(2, seq, WIDTH, dtype=torch.float64))
    turn = rotation(torch.arange(seq), WIDTH // HEADS, 10000.0, h)
    q, k, v = (
        projection(h).unflatten(-1, (-1, WIDTH // HEADS))
        for projection in (theirs.q_proj, theirs.k_proj, theirs.v_proj)
    )
    changes = {"mixer": "window", "window": window} if window else {"mixer": "softmax"}
    config = strawberry.preset("gpt-pico", d_qkv=WIDTH, n_heads=HEADS, n_kv_heads=kv_heads, **changes)
    y, _ = MIXERS[config.mixer](config)(rotate(q, turn), rotate(k, turn), v, h)
    assert_close(theirs.o_proj(y.flatten(2)), expected, atol=1e-6, rtol=0)


@torch.no_grad()
def test_geglu_is_gemmas() -> None:
    """Gemma2MLP with gelu in its tanh form; fp64 to 1e-12."""
    theirs = Gemma2MLP(
        Gemma2Config(hidden_size=16, intermediate_size=24, hidden_activation="gelu_pytorch_tanh")
    ).double()
    ours = GLU(strawberry.preset("gpt-pico", d_model=16, d_ff=24, activation="gelu"))
    # They gate on gate_proj, we store [u, v] with the gate on v.
    ours.w_in = nn.Parameter(torch.cat([theirs.up_proj.weight, theirs.gate_proj.weight]))
    ours.w_out = nn.Parameter(theirs.down_proj.weight)
    x = torch.randn(3, 7, 16, dtype=torch.float64)
    assert_close(ours(x), theirs(x), atol=1e-12, rtol=0)
