"""Reaching in: for each intervention a case where the outcome is known beforehand."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import strawberry
from lab.interventions import (
    ForceExpert,
    Intervention,
    InterventionError,
    Loops,
    SilenceChannels,
    SilenceExpert,
    SilenceHead,
    Transplant,
    reaching,
)
from strawberry.data import Tokenizer
from strawberry.errors import TraceError
from strawberry.model import Strawberry
from strawberry.retention.update import update_rule
from strawberry.tap import Trace, intervene

WHICH = ("current", "transformed")


@pytest.fixture(scope="module")
def model() -> Strawberry:
    return strawberry.build(strawberry.preset("strawberry-pico")).eval()


@pytest.fixture(scope="module")
def tokens(tokenizer: Tokenizer, text: str) -> Tensor:
    return torch.tensor([tokenizer.encode(text)[:70]])


def logits(model: Any, tokens: Tensor, *interventions: Intervention, tokenizer: Any = None) -> Tensor:
    with torch.inference_mode(), reaching(model, interventions, tokenizer) as reached:
        return reached(tokens)


def heard(model: Any, tokens: Tensor, interventions: Sequence[Intervention], paths: str = "*") -> Trace:
    with torch.inference_mode(), reaching(model, interventions) as reached, Trace.of(model, paths) as trace:
        reached(tokens)
    return trace


def plain(model: Any, tokens: Tensor, loops: int | None = None) -> Tensor:
    with torch.inference_mode():
        return model(tokens, loops=loops)


def test_no_intervention_changes_nothing_and_none_outlasts_its_block(model: Strawberry, tokens: Tensor) -> None:
    before = plain(model, tokens)
    assert torch.equal(logits(model, tokens), before)
    assert not torch.equal(logits(model, tokens, SilenceHead(0, 0)), before)
    assert torch.equal(plain(model, tokens), before)


def test_each_forward_pass_inside_the_block_is_altered_alike(model: Strawberry, tokens: Tensor) -> None:
    change = [Transplant("zero", layer=0, projection="out", frame=2), SilenceHead(1, 0, loop=1)]
    with torch.inference_mode(), reaching(model, change) as reached:
        assert torch.equal(reached(tokens), reached(tokens))


def test_all_heads_silenced_is_a_mixer_that_gives_out_nothing(model: Strawberry, tokens: Tensor) -> None:
    heads = [SilenceHead(layer, head) for layer in range(2) for head in range(4)]
    with torch.inference_mode(), intervene(model, {"layers.*.mixed": lambda mixed, call: torch.zeros_like(mixed)}):
        nothing = model(tokens)
    assert torch.equal(logits(model, tokens, *heads), nothing)
    # The same by channels, a group at a time.
    channels = [SilenceChannels(layer, start, start + 16) for layer in range(2) for start in (0, 16)]
    assert torch.equal(logits(model, tokens, *channels), nothing)


def test_a_head_is_silent_in_its_pass_alone(model: Strawberry, tokens: Tensor) -> None:
    trace = heard(model, tokens, [SilenceHead(1, 2, loop=1)], "layers.*.mixed")
    for layer in range(2):
        for loop, mixed in enumerate(trace[f"layers.{layer}.mixed"]):
            silent = (mixed == 0).all(dim=(0, 1, 3)) if layer == 1 and loop == 1 else None
            assert silent is None or silent.tolist() == [False, False, True, False]
    rest = heard(model, tokens, [], "layers.*.mixed")
    assert torch.equal(trace["layers.1.mixed"][0], rest["layers.1.mixed"][0])


@pytest.mark.parametrize("kind", ["attention", "swiglu", "ffn"])
def test_a_forced_expert_has_a_gate_of_one_and_a_silent_one_of_nought(
    model: Strawberry, tokens: Tensor, kind: str
) -> None:
    path = {"attention": "mixer.router", "swiglu": "swiglu_router", "ffn": "feedforward.router"}[kind]
    paths = f"layers.*.{path}.gates"
    for gates in (call for calls in heard(model, tokens, [ForceExpert(kind, 2)], paths).values() for call in calls):
        assert torch.equal(gates, torch.eye(4)[2].expand_as(gates))
    before = heard(model, tokens, [], paths)
    after = heard(model, tokens, [SilenceExpert(kind, 1)], paths)
    first = next(iter(before))
    assert (before[first][0][..., 1] > 0).any(), "the planted case needs tokens that chose it"
    for path, calls in after.items():
        for gates in calls:
            assert (gates[..., 1] == 0).all()
            torch.testing.assert_close(gates.sum(dim=-1), torch.ones(gates.shape[:-1]))
        if path == first:
            untouched = before[path][0][..., 1] == 0
            assert torch.equal(calls[0][untouched], before[path][0][untouched])


def test_who_had_the_silent_expert_alone_gets_the_likeliest_other_at_the_same_gate(tokens: Tensor) -> None:
    model = strawberry.build(strawberry.preset("strawberry-pico", top_k=1)).eval()
    paths = "layers.0.feedforward.router.*"
    before = heard(model, tokens, [], paths)
    after = heard(model, tokens, [SilenceExpert("ffn", 0, layer=0, loop=0)], paths)
    gates, probabilities = (before[f"layers.0.feedforward.router.{name}"][0] for name in ("gates", "probs"))
    now = after["layers.0.feedforward.router.gates"][0]
    had = gates[..., 0] > 0
    assert had.any()
    assert torch.equal(now[had].sum(dim=-1), gates[had].sum(dim=-1))
    assert torch.equal(now[had].argmax(dim=-1), 1 + probabilities[had][:, 1:].argmax(dim=-1))


@pytest.mark.parametrize("loops", [1, 2, 5])
def test_loops_are_the_models_own(model: Strawberry, tokens: Tensor, loops: int) -> None:
    assert torch.equal(logits(model, tokens, Loops(loops)), plain(model, tokens, loops))


def test_other_changes_reach_passes_beyond_the_trained_ones(model: Strawberry, tokens: Tensor) -> None:
    late = logits(model, tokens, Loops(4), SilenceHead(0, 0, loop=3))
    assert not torch.equal(late, plain(model, tokens, 4))
    with pytest.raises(InterventionError, match="no pass 4 in layer 0, which runs 2 times"):
        logits(model, tokens, SilenceHead(0, 0, loop=3))


def frames(
    model: Any, tokens: Tensor, interventions: Sequence[Intervention]
) -> dict[tuple[int, str, str], list[Tensor]]:
    """What the weights' taps carried: (layer, projection, side) -> one tensor per frame."""
    trace = heard(model, tokens, interventions, "*.retention.w_*")
    return {
        (layer, name, side): trace[f"layers.{layer}.retention.w_{side}.{name}"]
        for layer in range(2) for name in ("qkv", "swiglu", "out") for side in WHICH
    }  # fmt: skip


def test_zero_base_and_freeze_put_what_they_say(model: Strawberry, tokens: Tensor) -> None:
    before = frames(model, tokens, [])
    for side in WHICH:
        zero = frames(model, tokens, [Transplant("zero", layer=0, projection="qkv", frame=1, which=side)])
        assert not zero[0, "qkv", side][1].any()
        assert zero[0, "out", side][1].any()
        base = frames(model, tokens, [Transplant("base", which=side)])
        kept = frames(model, tokens, [Transplant("freeze", layer=0, which=side)])
        for frame in (1, 2):
            assert torch.equal(
                base[0, "out", side][frame], before[0, "out", "current"][0].expand_as(base[0, "out", side][frame])
            )
            assert torch.equal(
                kept[0, "out", side][frame], before[0, "out", side][0].expand_as(kept[0, "out", side][frame])
            )


def test_frozen_weights_on_both_sides_are_evolved_one_pass_late(model: Strawberry, tokens: Tensor) -> None:
    before, after = frames(model, tokens, []), frames(model, tokens, [Transplant("freeze", frame=1, which="both")])
    for side in WHICH:
        torch.testing.assert_close(
            after[0, "out", side][2], before[0, "out", side][1].expand_as(after[0, "out", side][2])
        )


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_a_swap_exchanges_what_each_side_would_have_been(model: Strawberry, tokens: Tensor, frame: int) -> None:
    before = frames(model, tokens, [])
    after = frames(model, tokens, [Transplant("swap", layer=1, projection="out", frame=frame)])
    for side, other in (WHICH, WHICH[::-1]):
        mine, theirs = after[1, "out", side][frame], before[1, "out", other][frame]
        torch.testing.assert_close(mine, theirs.expand_as(mine))
    # Twice is once too many: everything is as before.
    twice = [Transplant("swap", layer=1, projection="out", frame=frame)] * 2
    assert torch.equal(logits(model, tokens, *twice), plain(model, tokens))


def test_what_follows_is_made_from_what_was_put(model: Strawberry, tokens: Tensor) -> None:
    after = frames(model, tokens, [Transplant("swap", layer=0, projection="qkv", frame=1)])
    transformed, current = (after[0, "qkv", side] for side in WHICH[::-1])
    torch.testing.assert_close(current[2], update_rule(transformed[1], current[1]))
    assert torch.equal(transformed[2], current[1])


def test_changes_act_in_their_order(model: Strawberry, tokens: Tensor) -> None:
    zero, swap = (Transplant(how, layer=0, projection="out", frame=1) for how in ("zero", "swap"))
    first = frames(model, tokens, [zero, swap])
    assert not first[0, "out", "transformed"][1].any()
    assert first[0, "out", "current"][1].any()
    second = frames(model, tokens, [swap, zero])
    assert not second[0, "out", "current"][1].any()
    assert second[0, "out", "transformed"][1].any()


def test_the_same_text_as_donor_changes_nothing(model: Strawberry, tokenizer: Tokenizer, text: str) -> None:
    tokens = torch.tensor([tokenizer.encode(text)])
    same = [Transplant("donor", frame=frame, which="both", donor=text) for frame in (0, 1, 2)]
    assert torch.equal(logits(model, tokens, *same, tokenizer=tokenizer), plain(model, tokens))


def test_a_donors_chunks_go_to_their_places_and_the_last_one_serves_the_rest(
    model: Strawberry, tokens: Tensor, tokenizer: Tokenizer
) -> None:
    other = "Completely different words, 1234567890, more than two chunks."
    ids = torch.tensor([tokenizer.encode(other)[:40]])
    given = frames(model, ids, [])[1, "swiglu", "current"][2]
    assert given.shape[1] == 3
    change = Transplant("donor", layer=1, projection="swiglu", frame=2, donor=tokenizer.decode(ids[0].tolist()))
    with (
        torch.inference_mode(),
        reaching(model, [change], tokenizer) as reached,
        Trace.of(model, "*.w_current.*") as trace,
    ):
        reached(tokens)
    got = trace["layers.1.retention.w_current.swiglu"][2]
    assert got.shape[1] == 5
    assert torch.equal(got[:, :3], given)
    assert torch.equal(got[:, 3:], given[:, 2:].expand_as(got[:, 3:]))


def test_a_donor_without_a_whole_chunk_brings_the_priors_weights(
    model: Strawberry, tokens: Tensor, tokenizer: Tokenizer
) -> None:
    got = [
        logits(model, tokens, Transplant("donor", frame=0, which="both", donor=donor), tokenizer=tokenizer)
        for donor in ("short", "brief")
    ]
    assert torch.equal(*got)


@pytest.mark.parametrize("pooling", ["linear", "delta"])
def test_weights_that_are_never_written_out_cannot_be_replaced(pooling: str, tokens: Tensor) -> None:
    model = strawberry.build(strawberry.preset("strawberry-pico", pooling=pooling)).eval()
    with pytest.raises(TraceError, match="cannot be replaced with pooling"):
        logits(model, tokens, Transplant("zero"))
    assert not torch.equal(logits(model, tokens, SilenceHead(0, 1)), plain(model, tokens))


def test_passes_count_within_a_layers_own_runs(tokens: Tensor) -> None:
    for sharing in ("sequence", "middle-cycle"):
        config = strawberry.preset("strawberry-pico", sharing=sharing, n_layers=3, mixer="softmax")
        model = strawberry.build(config).eval()
        trace = heard(model, tokens, [SilenceHead(1, 0, loop=1)], "layers.1.mixed")
        assert [bool(mixed[:, :, 0].any()) for mixed in trace["layers.1.mixed"]] == [True, False]
    with pytest.raises(InterventionError, match="no pass 2 in layer 0, which runs once"):
        logits(model, tokens, SilenceHead(0, 0, loop=1))
