"""No output moves when a later token or another row changes, for every preset; the leaky one is caught."""

import pytest
import torch
from torch.testing import assert_close

import strawberry

CAUSAL = [name for name in strawberry.presets() if name.endswith("-pico") and strawberry.preset(name).causal]
LEAKY = [name for name in strawberry.presets() if name.endswith("-pico") and not strawberry.preset(name).causal]
SEQ = 21


def small(name: str, **fields: object) -> tuple[strawberry.Strawberry, torch.Tensor]:
    config = strawberry.preset(name, chunk=5, vocab_size=40, **fields)
    model = strawberry.build(config).double()
    return model, torch.randint(0, 40, (3, SEQ))


def change(tokens: torch.Tensor) -> torch.Tensor:
    return (tokens + torch.randint_like(tokens, 1, 40)) % 40


@torch.no_grad()
def earlier_change(model: strawberry.Strawberry, tokens: torch.Tensor) -> float:
    """How far any output before a cut moves when all tokens from the cut on change; the worst over every cut."""
    before, worst = model(tokens), 0.0
    for cut in range(1, tokens.shape[1]):
        changed = torch.cat([tokens[:, :cut], change(tokens[:, cut:])], dim=1)
        worst = max(worst, float((model(changed) - before)[:, :cut].abs().max()))
    return worst


@torch.no_grad()
def other_row_change(model: strawberry.Strawberry, tokens: torch.Tensor) -> float:
    """How far a row's output moves when the other rows change, or go."""
    before = model(tokens)[0]
    others = torch.cat([tokens[:1], change(tokens[1:])])
    return max(float((model(rows)[0] - before).abs().max()) for rows in (others, tokens[:1]))


@pytest.mark.parametrize("name", CAUSAL)
def test_no_output_moves(name: str) -> None:
    model, tokens = small(name)
    # Other rows change the shapes of matrix products, so their rounding; nothing else.
    assert earlier_change(model, tokens) < 1e-12
    assert other_row_change(model, tokens) < 1e-12


@pytest.mark.parametrize("name", CAUSAL)
def test_no_gradient_flows_back_from_the_future(name: str) -> None:
    model, tokens = small(name)
    seen: list[torch.Tensor] = []

    def leaf(value: torch.Tensor, _: int) -> torch.Tensor:
        seen.append(value.detach().requires_grad_())
        return seen[-1]

    with strawberry.intervene(model, {"embedded": leaf}):
        logits = model(tokens)
    for t in range(SEQ):
        (gradient,) = torch.autograd.grad(logits[0, t].square().sum(), seen[0], retain_graph=True)
        assert gradient[0, t].abs().max() > 0
        assert gradient[0, t + 1 :].abs().sum() == 0
        assert gradient[1:].abs().sum() == 0


@pytest.mark.parametrize("mixer", ["aft", "softmax", "abundance"])
@pytest.mark.parametrize("decay", [1.0, 0.9])
def test_every_mixer_under_retention_is_causal(mixer: str, decay: float) -> None:
    model, tokens = small("strawberry-pico", mixer=mixer, decay=decay)
    assert earlier_change(model, tokens) < 1e-12


@pytest.mark.parametrize("name", LEAKY)
def test_the_published_form_is_caught(name: str) -> None:
    model, tokens = small(name)
    assert not model.causal
    assert earlier_change(model, tokens) > 1e-3
    assert other_row_change(model, tokens) > 1e-3


def test_what_was_read_does_change_the_weights() -> None:
    """The other half of causality: the second chunk's weights do depend on the first chunk's tokens."""
    model, tokens = small("strawberry-pico")
    changed = torch.cat([change(tokens[:, :5]), tokens[:, 5:]], dim=1)
    path = "layers.0.retention.w_current.qkv"
    with strawberry.Trace.of(model, path) as first:
        model(tokens)
    with strawberry.Trace.of(model, path) as second:
        model(changed)
    assert_close(first[path][1][:, 0], second[path][1][:, 0])
    assert (first[path][1][:, 1] - second[path][1][:, 1]).abs().max() > 1e-3
