"""What teaches a model when to stop, and how training varies the number of passes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import strawberry
from strawberry.errors import ConfigError
from strawberry.events import Step
from strawberry.recursion.depth import MOST, drawn_loops
from strawberry.recursion.halting import GEOMETRIC, exit_distribution, target_confidence
from strawberry.runs import open_run
from strawberry.train import Trainer, train

LOOPS = 3
Pair = tuple[Tensor, Tensor]


def thinker(halting: str = "confidence", **fields: object) -> strawberry.Strawberry:
    """A pico homunculus in fp64 whose head has an opinion on every token."""
    model = strawberry.build(strawberry.preset("homunculus-pico", loops=LOOPS, halting=halting, **fields)).double()
    assert model.halt is not None
    torch.nn.init.normal_(model.halt.weight, 0, 1.0, generator=torch.Generator().manual_seed(3))
    return model


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "lines.txt"
    path.write_text("\n".join(f"line {number} of the text, and {number % 7} more" for number in range(200)))
    return path


@pytest.fixture
def pair() -> Pair:
    tokens = torch.randint(0, 512, (2, 17), generator=torch.Generator().manual_seed(1))
    return tokens[:, :-1], tokens[:, 1:]


def by_pass(model: strawberry.Strawberry, pair: Pair, loops: int = LOOPS) -> tuple[Tensor, Tensor]:
    """Each token's loss and halting logit after each pass, (passes, batch, seq), read off separate runs."""
    tokens, targets = pair
    assert model.halt is not None
    losses, halts = [], []
    for passes in range(1, loops + 1):
        with strawberry.Trace.of(model, "passes") as trace:
            logits = model(tokens, loops=passes)
        losses.append(-logits.log_softmax(dim=-1).gather(-1, targets[..., None])[..., 0])
        halts.append(model.halt(trace["passes"][-1]))
    return torch.stack(losses), torch.stack(halts)


def gradients(model: strawberry.Strawberry, value: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(value, parameters, materialize_grads=True, retain_graph=True)
    return dict(zip(names, found, strict=True))


def layer_runs(model: strawberry.Strawberry, work: Callable[[], Any]) -> tuple[Any, int]:
    """What ``work`` gives, and how often the first layer ran."""
    with strawberry.Trace.of(model, "layers.0.residual") as trace:
        done = work()
    return done, len(trace["layers.0.residual"])


def test_target_confidence() -> None:
    loss = torch.tensor([0.0, 1.5, 3.0, 6.0, 9.0], requires_grad=True)
    found = target_confidence(loss, 6.0)
    assert_close(found, torch.tensor([1.0, 0.75, 0.5, 0.0, 0.0]))
    assert not found.requires_grad


@pytest.mark.parametrize("passes", [1, 2, 5])
def test_exit_distribution_is_ponder_nets(passes: int) -> None:
    halts = torch.randn(passes, 4, 7, dtype=torch.float64) * 3
    found = exit_distribution(halts)
    assert_close(found.sum(dim=0), torch.ones(4, 7, dtype=torch.float64), atol=1e-14, rtol=0)
    for row in range(4):
        for token in range(7):
            left = 1.0
            for r in range(passes):
                chance = 1 / (1 + math.exp(-float(halts[r, row, token])))
                # Whoever has not stopped before the last pass stops there.
                expected = left if r == passes - 1 else left * chance
                left *= 1 - chance
                assert float(found[r, row, token]) == pytest.approx(expected, abs=1e-14)


def test_exit_distribution_has_the_right_slope() -> None:
    halts = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(exit_distribution, halts)


def test_confidence_learns_from_the_losses_of_all_passes(pair: Pair) -> None:
    model = thinker(halting_coef=0.3, loss_threshold=7.0)
    losses, (nats, halts) = model.loss(*pair), by_pass(model, pair)
    target = (1 - nats / 7.0).clamp(0, 1)
    # The written-out binary cross-entropy of σ(halt) against the target.
    entropy = -(target * halts.sigmoid().log() + (1 - target) * (-halts).sigmoid().log()).mean()
    assert_close(losses.halting, 0.3 * entropy)
    assert_close(losses.cross_entropy, nats[-1].mean())
    assert_close(losses.total, nats.mean() + 0.3 * entropy)
    assert losses.passes == LOOPS


def test_confidence_looks_on_and_does_not_touch(pair: Pair) -> None:
    model = thinker()
    moved = {name for name, grad in gradients(model, model.loss(*pair).halting).items() if grad.abs().sum() > 0}
    assert moved == {"halt.weight", "halt.bias"}


@pytest.mark.parametrize("prior", ["entropy", "geometric"])
def test_an_exit_distribution_weighs_the_losses(prior: str, pair: Pair) -> None:
    model = thinker("distribution", halting_coef=0.3, halting_prior=prior)
    losses, (nats, halts) = model.loss(*pair), by_pass(model, pair)
    stop = halts.sigmoid()
    p = torch.stack([stop[0], (1 - stop[0]) * stop[1], (1 - stop[0]) * (1 - stop[1])])
    if prior == "entropy":
        expected = 0.3 * (p * p.log()).sum(dim=0).mean()
        assert -0.3 * math.log(LOOPS) <= losses.halting < 0
    else:
        geometric = torch.tensor([GEOMETRIC, (1 - GEOMETRIC) * GEOMETRIC, (1 - GEOMETRIC) ** 2], dtype=p.dtype)
        expected = 0.3 * (p * (p / geometric[:, None, None]).log()).sum(dim=0).mean()
        assert losses.halting > 0
    assert_close(losses.halting, expected)
    assert_close(losses.cross_entropy, nats[-1].mean())
    assert_close(losses.total, (p * nats).sum(dim=0).mean() + expected)


def test_the_priors_pull_where_they_should(pair: Pair) -> None:
    """Going down the slope makes the distribution wider, or more like the geometric one."""
    for prior in ("entropy", "geometric"):
        model = thinker("distribution", halting_coef=1.0, halting_prior=prior)
        assert model.halt is not None
        before = model.loss(*pair).halting
        with torch.no_grad():
            for name, grad in gradients(model, before).items():
                model.get_parameter(name).sub_(grad, alpha=0.01)
        assert model.loss(*pair).halting < before
        torch.nn.init.zeros_(model.halt.weight)
        torch.nn.init.constant_(model.halt.bias, math.log(GEOMETRIC / (1 - GEOMETRIC)))
        if prior == "geometric":
            assert_close(model.loss(*pair).halting, torch.zeros_like(before), atol=1e-12, rtol=0)


def test_an_exit_distribution_teaches_the_whole_model(pair: Pair) -> None:
    """In fp64 the slope along all parameters is that of finite differences: nothing is detached."""
    model = thinker("distribution", halting_coef=0.3, d_ff=8, vocab_size=512)
    found, step = gradients(model, model.loss(*pair).total), 1e-6
    direction = {name: torch.randn_like(grad) for name, grad in found.items()}
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            for name, along in direction.items():
                model.get_parameter(name).add_(along, alpha=sign * step)
            values.append(float(model.loss(*pair).total))
        slope = sum(float((found[name] * along).sum()) for name, along in direction.items())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=1e-5)


def test_passes_are_added_while_the_loss_is_high(pair: Pair) -> None:
    """And each goes on from the present state: no layer runs twice for the same pass."""
    nats = by_pass(thinker(), pair, 8)[0].mean(dim=(1, 2)).tolist()
    expected = []
    for threshold in (0.1, *(min(nats[: n + 1]) + 1e-6 for n in range(LOOPS, 8)), 20.0):
        model = thinker(think_above=threshold, max_loops=7)
        losses, ran = layer_runs(model, lambda model=model: model.loss(*pair))
        expected.append(next((n for n in range(LOOPS, 7) if nats[n - 1] <= threshold), 7))
        assert losses.passes == ran == expected[-1]
    assert expected[0] == 7 and expected[-1] == LOOPS


def test_added_passes_are_those_of_a_longer_run(pair: Pair) -> None:
    thinking, fixed = thinker(think_above=0.1, max_loops=7), thinker()
    ours, theirs = thinking.loss(*pair), fixed.loss(*pair, loops=7)
    assert (ours.passes, theirs.passes) == (7, 7)
    for name, grad in gradients(fixed, theirs.total).items():
        assert torch.equal(gradients(thinking, ours.total)[name], grad), name


@pytest.mark.parametrize("fields", [{"halting": "confidence"}, {"halting": "distribution"}])
def test_no_pass_is_added_where_the_loss_is_measured(fields: dict[str, str], pair: Pair) -> None:
    model = thinker(think_above=0.1, **fields)
    assert model.eval().loss(*pair).passes == LOOPS
    assert model.train().loss(*pair).passes == (10 if fields["halting"] == "confidence" else LOOPS)


def test_random_depth_is_about_loops_and_decided_by_counters() -> None:
    for loops in (1, 2, 4, 9):
        config = strawberry.preset("gpt-pico", loops=loops, depth="random")
        drawn = torch.tensor([drawn_loops(config, step, micro) for step in range(1000) for micro in range(3)])
        assert drawn.min() >= 1 and drawn.max() <= MOST * loops
        # Of 1 + Poisson(e^τ), e^τ log-normal with σ = 1/2: variance λ + λ²(e^σ² − 1), λ = loops − 1.
        error = math.sqrt(((loops - 1) + (loops - 1) ** 2 * math.expm1(0.25)) / len(drawn))
        assert abs(drawn.double().mean() - loops) <= 4 * error
        again = [drawn_loops(config.replace(batch_size=3), step, micro) for step in range(1000) for micro in range(3)]
        assert drawn.tolist() == again
        if loops > 1:
            assert drawn.unique().numel() > 2
            other = config.replace(seed=1)
            assert [drawn_loops(other, step, 0) for step in range(99)] != drawn[: 3 * 99 : 3].tolist()
        assert {drawn_loops(config.replace(depth="fixed"), step, 0) for step in range(50)} == {loops}


@pytest.mark.parametrize(
    "fields",
    [
        {"family": "gpt", "depth": "random"},
        {"family": "homunculus", "depth": "random", "grad_accum": 2},
        {"family": "homunculus", "think_above": 5.5, "max_loops": 5},
        {"family": "mor", "recursion": "expert-choice"},
    ],
)
def test_runs_of_varying_depth_resume_bit_for_bit(fields: dict[str, Any], text_file: Path, tmp_path: Path) -> None:
    sizes = {"tokenizer": "bytes", "vocab_size": 257, "seq_len": 24, "batch_size": 2, "d_model": 16, "d_qkv": 16}
    fields = {**fields, **sizes, "n_heads": 2, "n_kv_heads": 2, "d_ff": 16, "loops": 3, "warmup_steps": 2}
    config = strawberry.preset(f"{fields.pop('family')}-pico", **fields)
    options: dict[str, Any] = {"steps": 10, "checkpoint_every": 4, "eval_batches": 1}
    list(train(config, text_file, tmp_path / "whole", **options))
    events = train(config, text_file, tmp_path / "cut", **options)
    while not (isinstance(event := next(events), Step) and event.step == 6):
        pass
    events.close()  # type: ignore[attr-defined]
    list(Trainer(run=tmp_path / "cut", resume=True))
    steps = [
        [event for event in open_run(tmp_path / name).events() if isinstance(event, Step)] for name in ("whole", "cut")
    ]
    assert [(step.loss, step.passes) for step in steps[0]] == [(step.loss, step.passes) for step in steps[1]]
    if config.depth == "random":
        assert [step.passes for step in steps[0]] == [
            sum(drawn_loops(config, n, micro) for micro in range(config.grad_accum)) / config.grad_accum
            for n in range(10)
        ]
        assert len({step.passes for step in steps[0]}) > 2
    weights = [
        (tmp_path / name / "checkpoints" / "step-10" / "model.safetensors").read_bytes() for name in ("whole", "cut")
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("name", ["gpt-pico", "yoco-pico"])
@pytest.mark.parametrize("back", [1, 2, 4, 6])
def test_gradients_go_back_through_the_last_passes(name: str, back: int, pair: Pair) -> None:
    """Equal to those of a model that goes back through everything, whose stream is detached by hand."""
    whole, cut = (strawberry.build(strawberry.preset(name, loops=4, backprop_loops=k)).double() for k in (0, back))

    def detach(x: Tensor, call: int) -> Tensor | None:
        return x.detach() if call == 4 - back - 1 else None

    with strawberry.intervene(whole, {"passes": detach}):
        expected = whole.loss(*pair)
    found = cut.loss(*pair)
    assert_close(found.total, expected.total, atol=0, rtol=0)
    theirs = gradients(whole, expected.total)
    for path, grad in gradients(cut, found.total).items():
        assert torch.equal(grad, theirs[path]), path
        if path.endswith("gains"):
            assert (grad.abs().sum(dim=(1, 2)) > 0).tolist() == [step >= 4 - back for step in range(4)]


def test_backprop_loops_costs_nothing_in_use(pair: Pair) -> None:
    """Only training cuts: the gradient of a model in evaluation mode is the whole one."""
    model = strawberry.build(strawberry.preset("gpt-pico", loops=3, backprop_loops=1)).double().eval()
    assert (gradients(model, model.loss(*pair).total)["layers.0.gains"].abs().sum(dim=(1, 2)) > 0).all()


@pytest.mark.parametrize(
    ("name", "fields", "told"),
    [
        ("homunculus-pico", {"backprop_loops": 2}, "backprop_loops"),
        ("mor-pico", {"backprop_loops": 2}, "backprop_loops"),
        ("mor-pico", {"depth": "random"}, "depth random"),
        ("mor-pico", {"sharing": "sequence"}, "sharing to cycle"),
        ("gpt-pico", {"sharing": "sequence", "backprop_loops": 1}, "set sharing to cycle"),
        ("gpt-pico", {"sharing": "middle-cycle", "n_layers": 2}, "three layers"),
    ],
)
def test_what_cannot_be_trained_says_so(name: str, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        strawberry.preset(name, **fields)
