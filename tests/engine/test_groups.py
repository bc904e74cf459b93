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
    for name, kind in (("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)):
        assert [type(part) for part in Optimizers(model, tiny.replace(optimizer=name))._parts] == [kind]


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


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
@pytest.mark.parametrize("schedule", ["constant", "step"])
def test_the_adams_equal_torch(tiny: Config, optimizer: str, weight_decay: float, schedule: str) -> None:
    """torch.optim.Adam and AdamW, under StepLR where the schedule is in steps; 1.3e-6 relative, 1e-5 absolute."""
    config = tiny.replace(
        optimizer=optimizer, base_scale="fan_in", weight_decay=weight_decay, warmup_steps=0, schedule="step",
        decay_lr=schedule == "step", step_size=2, step_gamma=0.3,
    )  # fmt: skip
    ours, theirs = strawberry.build(config), strawberry.build(config)
    optimizers = Optimizers(ours, config)
    decays = {"matrix": weight_decay}
    groups = [{"params": [p], "weight_decay": decays.get(kind, 0.0)} for _, p, kind, _ in theirs.parameter_roles()]
    oracle = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[optimizer](
        groups, config.learning_rate, (config.beta1, config.beta2), config.eps
    )
    falls = torch.optim.lr_scheduler.StepLR(oracle, config.step_size, config.step_gamma)
    for step in range(7):
        _gradients(ours)
        _gradients(theirs)
        assert optimizers.step(step, 10) == pytest.approx(oracle.param_groups[0]["lr"])
        oracle.step()
        if schedule == "step":
            falls.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


class Kept:
    """A model of one matrix that is kept ``scale`` times larger than it counts, its gradient that much smaller."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.weight = torch.nn.Parameter(torch.linspace(-2, 3, 12, dtype=torch.float64).view(3, 4) * scale)

    def parameter_roles(self) -> list[tuple[str, torch.nn.Parameter, str, float]]:
        return [("weight", self.weight, "matrix", self.scale)]


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "muon"])
def test_a_matrix_kept_larger_is_trained_as_if_it_were_not(tiny: Config, optimizer: str) -> None:
    """So with weight decay too, wherever it comes in. eps 0: it alone would tell the sizes apart."""
    config = tiny.replace(optimizer=optimizer, weight_decay=0.5, eps=0.0, warmup_steps=0, precision="fp32")
    plain, large = Kept(1.0), Kept(8.0)
    for model in (plain, large):
        optimizers = Optimizers(model, config)
        generator = torch.Generator().manual_seed(3)
        for step in range(4):
            gradient = torch.randn(3, 4, generator=generator, dtype=torch.float64)
            model.weight.grad = gradient / model.scale
            optimizers.step(step, 10)
    torch.testing.assert_close(large.weight / 8.0, plain.weight, rtol=1e-5, atol=1e-6)


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


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "muon"])
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
