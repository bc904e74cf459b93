"""One optimiser step does what its parts say, in every precision, in any number of micro-batches."""

from typing import Any

import pytest
import torch
from torch import Tensor

import strawberry
from strawberry.config import Config
from strawberry.errors import ConfigError
from strawberry.learner import DivergedError, Learner
from strawberry.precision import WIDE_ON_CPU, has_bf16, resolve_device, resolve_precision

CPU = torch.device("cpu")


def _batch(config: Config, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(config.vocab_size, (config.batch_size, config.seq_len + 1), generator=generator)
    return rows[:, :-1], rows[:, 1:]


@pytest.fixture
def config(tiny: Config) -> Config:
    """Without the routers' losses, whose mean over micro-batches is not that over the whole batch."""
    return tiny.replace(precision="fp32", balance="none", z_coef=0.0, batch_size=4)


def test_micro_batches_are_one_batch(config: Config) -> None:
    tokens, targets = _batch(config)
    models = [strawberry.build(config) for _ in range(2)]
    whole = Learner(models[0], config).learn([(tokens, targets)], 0, 10)
    halves = Learner(models[1], config).learn([(tokens[:2], targets[:2]), (tokens[2:], targets[2:])], 0, 10)
    assert halves.loss == pytest.approx(whole.loss, rel=1e-5)
    assert halves.grad_norm == pytest.approx(whole.grad_norm, rel=1e-4)
    assert halves.tokens == whole.tokens == tokens.numel()
    assert halves.loads.keys() == whole.loads.keys()


def test_the_gradient_is_clipped_to_its_norm(config: Config) -> None:
    for limit, wanted in ((1e-3, 1e-3), (0.0, None), (1e9, None)):
        learner = Learner(strawberry.build(config), config.replace(grad_clip=limit))
        learner._accumulate([_batch(config)], 0)
        before = learner._clipped().item()
        after = torch.nn.utils.get_total_norm([p.grad for p in learner.model.parameters() if p.grad is not None]).item()
        assert after == pytest.approx(wanted or before, rel=1e-3)


def test_the_step_reports_the_loss_before_it(config: Config) -> None:
    model = strawberry.build(config)
    tokens, targets = _batch(config)
    wanted = model.loss(tokens, targets).cross_entropy.item()
    assert Learner(model, config).learn([(tokens, targets)], 0, 10).loss == pytest.approx(wanted)
    assert model.loss(tokens, targets).cross_entropy.item() < wanted


def test_bf16_computes_less_precisely_and_keeps_fp32_weights(config: Config) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        model = strawberry.build(config)
        losses.append(Learner(model, config.replace(precision=precision)).learn([_batch(config)], 0, 10).loss)
        assert {param.dtype for param in model.parameters()} == {torch.float32}
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


def test_auto_is_what_the_hardware_has(config: Config) -> None:
    auto = config.replace(precision="auto")
    assert resolve_precision(auto, CPU) == "fp32"
    wide = auto.replace(d_model=WIDE_ON_CPU)
    assert resolve_precision(wide, CPU) == ("bf16" if has_bf16(CPU) else "fp32")
    assert resolve_precision(config.replace(precision="bf16"), CPU) == "bf16"
    assert resolve_device(config.replace(device="cpu")) == CPU


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(config: Config) -> None:
    assert resolve_device(config) == CPU
    with pytest.raises(ConfigError, match="torch finds no CUDA GPU"):
        resolve_device(config.replace(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_learns_on_a_gpu(config: Config, optimizer: str) -> None:
    config = config.replace(optimizer=optimizer, precision="auto")
    learner = Learner(strawberry.build(config).cuda(), config)
    losses = [learner.learn([_batch(config)], step, 20).loss for step in range(20)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_nothing_moves_when_it_is_not_finite(config: Config, what: str) -> None:
    model = strawberry.build(config)
    learner = Learner(model, config)
    learner.learn([_batch(config)], 0, 10)
    before = {
        name: tensor.clone() for name, tensor in [*model.state_dict().items(), *learner.optimizers.tensors().items()]
    }
    if what == "gradient":
        model.embedding.weight.register_hook(lambda grad: grad * float("inf"))
    else:
        learner._loss = _infinite(model)
    with pytest.raises(DivergedError, match=f"the {what} of step 2 is not finite; the weights of step 1 are kept"):
        learner.learn([_batch(config)], 1, 10)
    after = {**model.state_dict(), **learner.optimizers.tensors()}
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert all(param.grad is None for param in model.parameters())


def _infinite(model: strawberry.Strawberry) -> Any:
    def loss(tokens: Tensor, targets: Tensor, loops: int) -> strawberry.Losses:
        losses = model.loss(tokens, targets, loops)
        return losses._replace(cross_entropy=losses.cross_entropy / 0)

    return loss


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from inside torch
def test_compiled_equals_eager_and_the_model_stays_eager() -> None:
    config = strawberry.preset("gpt-pico", n_layers=1, d_model=16, d_qkv=16, d_ff=16, seq_len=16, precision="fp32")
    batch, losses = _batch(config), []
    for compiled in (False, True):
        model = strawberry.build(config)
        learner = Learner(model, config.replace(compile=compiled))
        losses.append([learner.learn([batch], step, 10).loss for step in range(3)])
        with strawberry.Trace.of(model, "layers.*.q") as trace:
            model(batch[0])
        assert list(trace) == ["layers.0.q"]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
