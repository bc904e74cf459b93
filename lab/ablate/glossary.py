"""What a report's names and words mean, for somebody who has not seen the code: data, mixers, fields, terms."""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from lab.ablate.metric import METRICS
from lab.ablate.results import Results, Row
from lab.ablate.verdict import BETTER, EQUAL, UNRANKED, UNSETTLED, WORSE, margin
from strawberry.config import Config
from strawberry.data.corpora import CORPORA
from strawberry.data.named import is_made, make, maker
from strawberry.mixers import MIXERS
from strawberry.scoring import IGNORED

VERDICTS = {
    (
        BETTER,
        WORSE,
    ): "a difference from zero that chance hardly makes, corrected for how many comparisons the study has (Holm).",
    (EQUAL,): "whatever difference there is lies within the margin, {margin}, that the study calls irrelevant, and it "
    "may be a real one: two one-sided tests against the margin, corrected likewise. Their interval is of 90 %, so that "
    "of 95 % may reach a little beyond.",
    (UNSETTLED,): "these seeds show neither a difference nor equality; the number of further seeds is what it would "
    "probably take, and for which claim.",
    (UNRANKED,): "the variant reads the future, so its score says nothing about prediction.",
}
SCORES = {
    "bits_per_byte": "how surprised the model is by each byte of text that it was not trained on",
    "accuracy": "the share of the answers that are right",
    "loss": "how surprised the model is by each token that it was not trained on, in nats",
}
_PLAIN = ("mixer", "preset")  # fields that have lines of their own, or need none


def words(results: Results) -> Iterator[str]:
    """A line for each verdict that was given."""
    given = {verdict.word for verdict in results.verdicts}
    metrics = dict.fromkeys(METRICS[row.metric] for row in results.rows)
    within = " or ".join(dict.fromkeys(margin(results.study["delta"], metric) for metric in metrics))
    for some, says in VERDICTS.items():
        if told := [f"**{word}**" for word in some if word in given]:
            yield f"{', '.join(told)}: {says.format(margin=within)}"


def names(results: Results) -> Iterator[tuple[str, list[str]]]:
    """A line for each data set, mixer, setting in which variants differ, and term, each kind under its heading."""
    study = results.settings()
    yield (
        "Data",
        [f"**{name}**: {about(name, study.config(study.reference, name), study.eval_batches)}" for name in study.data],
    )
    mixers = dict.fromkeys(name for pair in study.pairs for name in study.config(*pair).mixers)
    yield "Mixers: how tokens read earlier ones", [f"**{name}**: {MIXERS[name].about}." for name in mixers]
    helps = {item.name: item.metadata["help"] for item in dataclasses.fields(Config)}
    fields = dict.fromkeys(name for own in study.variants.values() for name in own if name not in _PLAIN)
    if fields:
        yield "Settings in which variants differ", [f"**{name}**: {helps[name]}." for name in fields]
    told = dict.fromkeys(name for own in (study.base, *study.data.values()) for name in own if name in helps)
    if shared := [name for name in told if name not in {*fields, *_PLAIN}]:
        yield "Settings that all variants share", [f"**{name}**: {helps[name]}." for name in shared]
    yield "Terms", list(_terms(results))


def about(data: str, config: Config, batches: int) -> str:
    """What a data set is, what a guess would reach, and on how much of it variants are judged."""
    rows = batches * config.batch_size
    if not is_made(data):
        told = inspect.cleandoc(CORPORA[data].__doc__ or "").split("\n")[0] if data in CORPORA else "a text of its own."
        return f"{told} Judged on {rows} rows of {config.seq_len} tokens, {rows * config.seq_len:,} in all."
    made = maker(data, config.seq_len)
    targets, chance = scored(data, config, batches), getattr(made, "chance", None)
    task = made.metric == "accuracy"
    guess = "" if chance is None else f" Chance level, of a guess among the possible answers: {chance:.3g}."
    what, kind = ("answers", "a task: the model") if task else ("tokens", "made by a known rule:")
    return f"{kind} {made.about}.{guess} Judged on {targets:,} {what} in {rows} rows of {made.length} tokens."


@cache
def scored(data: str, config: Config, batches: int) -> int:
    """How many targets an evaluation scores, of a task or a source."""
    dataset = make(data, config)
    return sum(int((dataset.batch("validation", index, config)[1] != IGNORED).sum()) for index in range(batches))


def _terms(results: Results) -> Iterator[str]:
    rows = results.rows
    for metric in dict.fromkeys(row.metric for row in rows):
        way = "higher" if METRICS[metric].higher else "lower"
        yield f"**{METRICS[metric].words}**: {SCORES[metric]}; {way} is better."
    yield (
        f"**reference**: {results.study['reference']}, the variant that each other one is compared with, seed by seed; "
        "what the others are to one another has a chapter of its own."
    )
    yield (
        "**gain**: how much better than the reference, in per cent of its score, or in points of accuracy: the mean of "
        "the differences by seed. Its 95 % interval is for this comparison alone, and rests on the sd of the gains, or "
        "on the larger one that is believed of few seeds."
    )
    yield "**Hedges g**: the gain in units of the scores' own sd; left out where the gains' own sd is not believed."
    cannot = "; none where a model reads the future, which is not there while it writes"
    yield (
        "**state**: the numbers that a model keeps per row of text while it writes on; of attention, its cache"
        f"{'' if all(row.causal for row in rows) else cannot}."
    )
    yield "**FLOPs**: additions and multiplications, of matrix products alone; G is a billion of them, T a thousand G."
    if any(row.active_parameters != row.parameters for row in rows):
        yield "**active parameters**: those that one token uses, of experts only the chosen ones."
    if any(row.floor is not None for row in rows):
        yield "**floor**: the entropy of a source, below which no honest model gets by more than chance."
    if results.study["control"]:
        wanted = "; ".join(f"{who} {least:g} on {data}" for data, (who, least) in results.study["control"].items())
        yield f"**control**: what must reach an accuracy, or nothing on that data counts: {wanted}."


def base(results: Results) -> str:
    """What all variants start from, and what a step sees of each data set."""
    study, own = results.settings(), dict(results.study["base"])
    named = f"the preset {own.pop('preset')}" if "preset" in own else "the presets that they name"
    says = [f"All start from {named}{f' with {_settings(own)}' if own else ''}."]
    steps: dict[str, list[str]] = {}
    for data, fields in study.data.items():
        configs = [study.config(variant, data) for variant in study.variants]
        if told := _settings({name: value for name, value in fields.items() if name != "steps"}):
            says.append(f"On {data}: {told}.")
        seen = dict.fromkeys(map(_seen, configs))
        chunks = {c.chunk for c in configs if c.weights == "retention" and c.pooling == "prefix"}
        read = f"; chunks are of {' or '.join(map(str, sorted(chunks)))} tokens" if chunks else ""
        steps.setdefault(f"step sees {' or '.join(seen)}{read}", []).append(data)
    for told, where in steps.items():
        says.append(f"On {', '.join(where)}, a {told}." if len(steps) > 1 else f"A {told}.")
    return " ".join(says)


def changed(row: Row) -> str:
    """In which settings a variant differs from the base."""
    return _settings(row.changes) or "nothing"


def _seen(config: Config) -> str:
    rows = config.batch_size * config.grad_accum
    slowly = f", {config.batch_size} at a time" if config.grad_accum > 1 else ""
    return f"{rows} rows of {config.seq_len} tokens{slowly}"


def _settings(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in fields.items())
