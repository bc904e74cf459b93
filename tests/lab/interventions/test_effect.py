"""The effect of a change: the same text before and after, in numbers that agree with the model's own."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

import lab.interventions as interventions
import strawberry
from lab import figures
from lab.interventions import (
    ForceExpert,
    Intervention,
    InterventionError,
    Loops,
    SilenceChannels,
    SilenceExpert,
    SilenceHead,
    Transplant,
    effect,
)
from lab.measure.influence import influence
from strawberry.data import Tokenizer
from strawberry.errors import StrawberryError
from strawberry.model import Strawberry

EVERY = [
    Transplant("zero", layer=0, projection="qkv", frame=1),
    Transplant("swap"),
    Transplant("donor", donor="Other words altogether, and then a few more of them."),
    SilenceHead(1, 1),
    SilenceChannels(1, 0, 8),
    SilenceExpert("ffn", 0),
    ForceExpert("attention", 3),
    ForceExpert("swiglu", 1),
    Loops(3),
]


@pytest.fixture(scope="module")
def model() -> Strawberry:
    return strawberry.build(strawberry.preset("strawberry-pico")).eval()


@pytest.mark.parametrize("family", strawberry.families())
def test_every_family_does_it_or_says_in_one_sentence_why_not(family: str, tokenizer: Tokenizer, text: str) -> None:
    model = strawberry.build(strawberry.preset(f"{family}-pico"))
    did, refused = set(), []
    for change in EVERY:
        try:
            found = effect(model, tokenizer, text, change, max_tokens=40)
        except StrawberryError as error:
            refused.append(str(error))
            continue
        did.add(type(change))
        assert np.isfinite(found.difference).all() and np.isfinite(found.kl).all()
    assert all("\n" not in said and 20 < len(said) < 250 and " tap " not in said for said in refused), refused
    assert {SilenceHead, SilenceChannels} <= did
    assert (Transplant in did) == (model.config.weights == "retention")
    assert (Loops in did) == (model.config.recursion == "all")
    assert (SilenceExpert in did) == (model.config.n_experts > 1)
    assert (ForceExpert in did) == ("abundance" in model.config.mixers)
    assert model.training


def test_the_numbers_are_the_models_own(model: Strawberry, tokenizer: Tokenizer, text: str) -> None:
    ids = torch.tensor([tokenizer.encode(text)[:60]])
    found = effect(model, tokenizer, text, Loops(3), max_tokens=60, step=7, run="first")
    with torch.inference_mode():
        before, after = (model(ids, loops=loops)[0].log_softmax(-1) for loops in (2, 3))
    for log_p, probe in ((before, found.before), (after, found.after)):
        torch.testing.assert_close(torch.from_numpy(probe.loss), -log_p[:-1].gather(-1, ids[0, 1:, None])[:, 0])
    torch.testing.assert_close(torch.from_numpy(found.kl), (before.exp() * (before - after)).sum(-1))
    assert found.mean_loss == (found.before.loss.mean(), found.after.loss.mean())
    assert found.after.loops == 3 and found.after.frames == 4
    assert (found.label, found.after.run) == ("first · step 7 · seed 0", "first, altered")
    rows = found.distribution(10)
    assert 5 <= len(rows) <= 10
    assert len({piece for piece, _, _ in rows}) == len(rows)
    assert rows[0][1] == pytest.approx(before[10].exp().max()) or rows[0][2] == pytest.approx(after[10].exp().max())
    at = {piece: (first, second) for piece, first, second in rows}
    best = tokenizer.pieces([int(before[10].argmax())])[0]
    assert at[best] == pytest.approx((float(before[10].exp().max()), float(after[10].exp()[before[10].argmax()])))


def test_nothing_done_is_nothing_changed(model: Strawberry, tokenizer: Tokenizer, text: str) -> None:
    for nothing in ([], Transplant("donor", which="both", donor=text), Loops(2)):
        found = effect(model, tokenizer, text, nothing, max_tokens=len(tokenizer.encode(text)))
        assert not found.difference.any() and not found.kl.any() and found.changed == 0
        for name, before in found.before.arrays.items():
            np.testing.assert_array_equal(found.after.arrays[name], before, err_msg=name)


def test_the_probe_after_shows_what_was_done(model: Strawberry, tokenizer: Tokenizer, text: str) -> None:
    change = [Transplant("zero", layer=0, projection="qkv", frame=2), ForceExpert("ffn", 2, layer=1)]
    found = effect(model, tokenizer, text, change)
    assert not found.after.picture(0, "qkv", 2).any() and found.before.picture(0, "qkv", 2).any()
    np.testing.assert_array_equal(found.after.picture(0, "qkv", 1), found.before.picture(0, "qkv", 1))
    assert (found.after.gates(1, 0, "ffn")[:, 2] == 1).all()
    np.testing.assert_array_equal(found.after.gates(0, 0, "ffn"), found.before.gates(0, 0, "ffn"))
    assert found.words == (
        "wC of qkv in layer 0 is set to 0 in pass 2; "
        "every token gets feed-forward expert 2 of layer 1, and no other, in every pass"
    )


@pytest.mark.parametrize("change", EVERY)
def test_a_description_says_itself_in_words_and_in_python(change: Intervention) -> None:
    assert eval(change.code, dict(vars(interventions))) == change
    assert "\n" not in change.words and not change.words.endswith(".")
    assert "None" not in change.code


def test_words_read_as_a_sentence() -> None:
    assert Transplant("swap", frame=1).words == "wC and wT of all projections in every layer change places in pass 1"
    assert Transplant("zero", layer=1, frame=0, which="transformed", projection="out").words == (
        "wT of out in layer 1 is set to 0 before the first pass"
    )
    assert Transplant("freeze", which="both").words == (
        "wC and wT of all projections in every layer are kept from one frame earlier in every pass"
    )
    assert Transplant("donor", donor="x " * 60).words.count("…") == 1


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Transplant("paint"), "how must be one of"),
        (lambda: Transplant("zero", projection="w"), "projection must be one of"),
        (lambda: Transplant("zero", which="wC"), "which must be one of"),
        (lambda: Transplant("freeze", frame=0), "none before it"),
        (lambda: Transplant("donor"), "needs that text"),
        (lambda: ForceExpert("feed", 0), "kind must be one of"),
        (lambda: Loops(0), "once or more"),
        (lambda: Transplant("zero", layer=2), "no layer 2"),
        (lambda: Transplant("zero", frame=3), "no frame 3"),
        (lambda: SilenceHead(0, 4), "no head 4; this model has heads 0 to 3"),
        (lambda: SilenceHead(0, 0, loop=2), "no pass 3"),
        (lambda: SilenceChannels(0, 4, 4), "channels must be a part of 0 to 32"),
        (lambda: SilenceExpert("ffn", 4), "no expert 4"),
        (lambda: ForceExpert("attention", 0, layer=0), "no attention experts in layer 0; they are in layer 1"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    model: Strawberry, tokenizer: Tokenizer, text: str, make: Callable[[], Intervention], says: str
) -> None:
    with pytest.raises(InterventionError, match=says) as raised:
        effect(model, tokenizer, text, make())
    assert "\n" not in str(raised.value)


def test_texts_too_short_and_predictions_that_are_no_numbers(model: Strawberry, tokenizer: Tokenizer) -> None:
    with pytest.raises(InterventionError, match="1 token; give at least two"):
        effect(model, tokenizer, "a", Loops(1))
    broken = strawberry.build(strawberry.preset("gpt-pico"))
    broken.embedding.weight.data.fill_(float("nan"))
    with pytest.raises(InterventionError, match="no numbers any more"):
        effect(broken, tokenizer, "some text", Loops(2))


def test_of_a_task_the_answers_are_scored_that_it_asks_for() -> None:
    small = {"seq_len": 32, "d_model": 16, "d_qkv": 16, "d_ff": 16, "vocab_size": 64}
    config = strawberry.preset("gpt-pico", **small)
    task = strawberry.data.load("mqar:pairs=4", config)
    model, text = strawberry.build(config).eval(), task.passage()
    found = effect(model, task.tokenizer, text, SilenceHead(0, 0), answers=task.answers)
    ids = task.tokenizer.encode(text)
    targets = torch.from_numpy(task.answers(ids))[:-1]
    asked = targets != -100
    assert not found.of_text and 0 < asked.sum() < len(targets)
    assert found.asked.tolist() == [*asked.tolist(), False]
    logits = model(torch.tensor([ids]))[0, :-1]
    loss = torch.nn.functional.cross_entropy(logits[asked], targets[asked])
    assert found.mean_loss[0] == pytest.approx(loss.item(), rel=1e-5)
    others = found.likeliest[:-1, 0] != found.likeliest[:-1, 5]
    assert found.changed == pytest.approx(others[asked.numpy()].mean())
    # Scored as text, it would be another number: the next tokens are mostly noise.
    as_text = effect(model, task.tokenizer, text, SilenceHead(0, 0))
    assert as_text.of_text and as_text.asked.all() and as_text.mean_loss[0] != pytest.approx(loss.item(), rel=1e-3)

    figure, table = figures.effect_tokens(found), figures.table("effect_tokens", found)
    shown = np.asarray(figure.data[0].z).ravel()[: found.tokens]
    assert np.isfinite(shown).tolist() == found.asked.tolist()
    assert "nats per answer" in figure.layout.title.text and "nats per token" not in figure.layout.title.text
    assert list(table["answer"]) == task.tokenizer.pieces(targets[asked].tolist())
    place, elsewhere = int(np.flatnonzero(found.asked)[0]), int(np.flatnonzero(~found.asked)[0])
    marked = figures.table("effect_distribution", found, position=place).query("follows")["next token"]
    assert set(marked) <= {found.before.answers[place]}
    assert "nothing is asked here" in figures.effect_distribution(found, position=elsewhere).layout.title.subtitle.text
    blind = effect(model, task.tokenizer, "k1 v1 k2 v2", SilenceHead(0, 0), answers=task.answers)
    assert not blind.asked.any() and np.isnan(blind.changed)
    assert "asks for nothing" in figures.effect_tokens(blind).layout.title.text
    assert figures.table("effect_tokens", blind).empty

    cause = influence(model, task.tokenizer, text, place, answers=task.answers)
    assert (cause.target, cause.true) == (found.before.answers[place], True)
    assert not influence(model, task.tokenizer, text, elsewhere, answers=task.answers).true
