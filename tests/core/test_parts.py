"""The small parts: short convolution, gate, shared low-rank weights, the one memory of a decoder–decoder."""

import pytest
import torch
from torch.testing import assert_close

import strawberry
from strawberry.call import Call
from strawberry.conv import ShortConv
from strawberry.errors import ConfigError
from strawberry.gate import Gate


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_convolution_is_its_sum(size: int) -> None:
    conv = ShortConv(3, size).double()
    torch.nn.init.normal_(conv.taps)
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    y, state = conv(x, None, Call())
    for t in range(9):
        expected = sum(conv.taps[:, j] * x[:, t - j] for j in range(size) if t >= j)
        assert_close(y[:, t], expected, atol=1e-12, rtol=0)
    assert_close(state, x[:, 9 - size + 1 :])


def test_a_convolution_begins_as_the_identity() -> None:
    tokens = torch.randint(0, 512, (2, 20))
    plain, convolved = (strawberry.build(strawberry.preset("gpt-pico", conv=conv)) for conv in (0, 4))
    taps = {name for name, _ in convolved.named_parameters() if name.endswith("conv.taps")}
    assert len(taps) == convolved.config.n_layers
    convolved.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        assert_close(convolved(tokens), plain(tokens), atol=1e-5, rtol=0)


def test_the_gate_lets_a_part_of_each_channel_through() -> None:
    gate, x = Gate(4), torch.randn(2, 3, 4)
    torch.nn.init.normal_(gate.weight)
    assert_close(gate(x), torch.sigmoid(x @ gate.weight.T) * x)
    assert (gate(x).abs() <= x.abs()).all()


def test_a_gated_model_gates_what_its_mixer_reads() -> None:
    model, tokens = strawberry.build(strawberry.preset("gpt-pico", input_gate=True)), torch.randint(0, 512, (2, 9))
    with torch.no_grad(), strawberry.Trace.of(model, "layers.0.input") as trace:
        model(tokens)
    with torch.no_grad():
        for block in model.blocks:
            assert block.gate is not None
            block.gate.weight.zero_()
        with strawberry.Trace.of(model, "layers.0.input") as halved:
            model(tokens)
    # A gate of zero weights lets half through.
    assert_close(halved["layers.0.input"][0].square().mean().sqrt(), torch.tensor(0.5), atol=1e-3, rtol=0)
    assert not torch.equal(trace["layers.0.input"][0], halved["layers.0.input"][0])


def test_shared_weights_are_one_product_of_low_rank() -> None:
    model = strawberry.build(strawberry.preset("strawberry-shared-pico", d_model=32, d_qkv=16, n_heads=4, rank=5))
    assert model.shared is not None
    matrices = [model.shared.layer(index).matrices for index in range(model.config.n_layers)]
    for layer, made in enumerate(matrices):
        product = model.shared.layers[layer] @ model.shared.qkvo
        assert_close(made["qkv"], product[:, :48].T)
        assert_close(made["swiglu"], product[:, 48:80].reshape(64, 16))
        assert_close(made["out"], product[:, 80:].T)
        assert torch.linalg.matrix_rank(made["out"]) == 5
    assert not torch.equal(matrices[0]["out"], matrices[1]["out"])
    assert strawberry.preset("strawberry-shared-pico").sharing == "sequence"


def test_the_upper_half_reads_one_memory() -> None:
    model, tokens = strawberry.build(strawberry.preset("yoco-pico")), torch.randint(0, 512, (2, 11))
    with torch.no_grad(), strawberry.Trace.of(model, "layers.*.k") as trace:
        model(tokens)
    keys = {mixer: [] for mixer in model.config.mixers}
    for index, mixer in enumerate(model.config.mixers):
        keys[mixer].append(trace[f"layers.{index}.k"][0])
    assert all(torch.equal(one, keys["cross"][0]) for one in keys["cross"])
    assert not torch.equal(*keys["gated-retention"])
    with torch.no_grad():
        state = model.step(tokens)[1]
    assert [one.keys.shape[1] for one in state.memories] == [11]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"mixer": "cross"}, "lower layers make"),
        ({"mixer": "cross,softmax"}, "no other after the first cross"),
        ({"mixer": "softmax,softmax,cross", "weights": "shared"}, "set weights to learned"),
        ({"mixer": "softmax,softmax,cross", "sharing": "sequence"}, "set sharing to cycle"),
        ({"n_kv_heads": 3}, "must divide n_heads"),
        ({"recursion": "token-choice", "weights": "retention"}, "fixed weights"),
        ({"halting": "confidence", "sharing": "sequence"}, "whole passes"),
        ({"halting": "confidence", "recursion": "token-choice"}, "choose one"),
        ({"recursion": "token-choice", "depth_cache": "first", "mixer": "aft"}, "set mixer to softmax"),
        ({"sharing": "middle-cycle", "n_layers": 2}, "three layers or more"),
        ({"sharing": "sequence", "backprop_loops": 1}, "set sharing to cycle"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        strawberry.preset("gpt-pico", **fields)
