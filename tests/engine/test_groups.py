"""Each parameter has one optimiser, its own learning rate, and decays only if it is a matrix."""

import pytest
import torch

import strawberry
from strawberry.config import Config
from strawberry.errors import CheckpointError
from strawberry.optim import Muon, Optimizers


def _gradients(model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    for param in model.parameters():
        param.grad = torch.empty(param.shape).normal_(generator=generator) * 1e-2


@pytest.mark.parametrize("name", strawberry.presets())
def test_every_parameter_is_moved_once(name: str) -> None:
    config = strawberry.preset(name, d_model=32, d_qkv=96, d_ff=16, vocab_size=64, n_layers=2, mixer="softmax")
    model = strawberry.build(config)
    parts = Optimizers(model, config)._parts
    moved = [param for part in parts for group in part.param_groups for param in group["params"]]
    assert len(moved) == len({id(param) for param in moved}) == len(list(model.parameters()))


def test_muon_takes_matrices_and_stacks_and_nothing_else(tiny: Config) -> None:
    model = strawberry.build(tiny)
    kinds = {id(param): kind for _, param, kind, _ in model.parameter_roles()}
    for part in Optimizers(model, tiny)._parts:
        for group in part.param_groups:
            for param in group["params"]:
                assert isinstance(part, Muon) == (kinds[id(param)] == "matrix")
    adamw = Optimizers(model, tiny.replace(optimizer="adamw"))._parts
    assert [type(part) for part in adamw] == [torch.optim.AdamW]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_only_matrices_decay_and_all_at_one_rate(tiny: Config, optimizer: str) -> None:
    config = tiny.replace(optimizer=optimizer, warmup_steps=0, decay_lr=False, learning_rate=0.5, weight_decay=0.5)
    model = strawberry.build(config)
    before = {name: param.detach().clone() for name, param in model.named_parameters()}
    optimizers = Optimizers(model, config)
    for param in model.parameters():
        param.grad = torch.zeros_like(param)
    optimizers.step(0, 10)
    for name, param, kind, _ in model.parameter_roles():
        wanted = before[name] * (1 - 0.25) if kind == "matrix" else before[name]
        torch.testing.assert_close(param.detach(), wanted, msg=name)


def test_adamw_equals_torch(tiny: Config) -> None:
    config = tiny.replace(optimizer="adamw", base_scale="fan_in", warmup_steps=0, decay_lr=False, weight_decay=0.0)
    ours, theirs = strawberry.build(config), strawberry.build(config)
    optimizers = Optimizers(ours, config)
    oracle = torch.optim.AdamW(
        theirs.parameters(), config.learning_rate, (config.beta1, config.beta2), config.eps, weight_decay=0.0
    )
    for step in range(3):
        _gradients(ours)
        _gradients(theirs)
        optimizers.step(step, 10)
        oracle.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_learning_rate_is_scaled_per_parameter(tiny: Config) -> None:
    model = strawberry.build(tiny)
    optimizers = Optimizers(model, tiny)
    _gradients(model)
    rate = optimizers.step(3, 100)
    scales = {id(param): lr_scale for _, param, _, lr_scale in model.parameter_roles()}
    assert len(set(scales.values())) > 1
    for part in optimizers._parts:
        for group in part.param_groups:
            assert {rate * scales[id(param)] for param in group["params"]} == {group["lr"]}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_its_tensors_bring_it_back_bit_for_bit(tiny: Config, optimizer: str) -> None:
    config = tiny.replace(optimizer=optimizer)
    model, twin = strawberry.build(config), strawberry.build(config)
    first = Optimizers(model, config)
    _gradients(model)
    first.step(0, 10)
    twin.load_state_dict(model.state_dict())
    second = Optimizers(twin, config)
    second.load_tensors({name: value.clone() for name, value in first.tensors().items()})
    for one, other in ((model, first), (twin, second)):
        _gradients(one)
        other.step(1, 10)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


def test_tensors_of_another_model_are_refused(tiny: Config) -> None:
    model = strawberry.build(tiny)
    optimizers = Optimizers(model, tiny)
    with pytest.raises(CheckpointError, match=r"'layers\.9\.w' that this model lacks"):
        optimizers.load_tensors({"layers.9.w|momentum": torch.zeros(2)})
    with pytest.raises(CheckpointError, match="another shape"):
        optimizers.load_tensors({"embedding.weight|exp_avg": torch.zeros(2)})
