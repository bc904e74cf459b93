"""What a study found, in words: its answer in a sentence or two, a score, a gain, and what lies at an edge."""

import math
from collections.abc import Iterator, Sequence

from lab.ablate import glossary
from lab.ablate.metric import METRICS
from lab.ablate.results import Results, Row
from lab.ablate.verdict import (
    BETTER,
    EQUAL,
    PENDING,
    SCATTER,
    UNRANKED,
    UNSETTLED,
    VOID,
    WORSE,
    Verdict,
    briefly,
    margin,
)  # fmt: skip

BUDGETS = {"flops": "FLOPs of training", "parameters": "parameters", "steps": "steps of training"}
MOST = 6  # scores that stand in a row, where they scatter


def answer(results: Results) -> str:
    """The answer to the question, for somebody who reads nothing else, in Markdown."""
    held, told = BUDGETS[results.study["equal"]], list(in_short(results))
    if len(told) == 1:
        return f"At equal {held}, {told[0][0].lower()}{told[0][1:]}"
    return "\n\n".join([f"At equal {held}:", "\n".join(f"- {sentence}" for sentence in told)])


def in_short(results: Results) -> Iterator[str]:
    """One sentence or two per data set: who is better, worse, equal, where that is not known, and what is in doubt."""
    for data in dict.fromkeys(row.data for row in results.rows):
        verdicts = [verdict for verdict in results.verdicts if verdict.data == data]
        told = "; ".join(_clauses(results, verdicts))
        yield f"On {data}: {told or 'nothing yet'}.{_doubt(results, data)}"


def _clauses(results: Results, verdicts: Sequence[Verdict]) -> Iterator[str]:
    by_word: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_word.setdefault(verdict.word, []).append(verdict)
    reference, than = results.study["reference"], f" than {results.study['reference']}"
    different = [one for one in verdicts if one.word in (BETTER, WORSE)]
    if different:
        first, *others = (f"{_size(one)} **{one.word}**" for one in different)
        rest = "".join(f", {one.variant} {told}" for one, told in zip(different[1:], others, strict=True))
        yield f"{different[0].variant} is {first}{than}{rest}"
    if same := by_word.get(EQUAL):
        verb, within = "is" if len(same) == 1 else "are", margin(results.study["delta"], METRICS[same[0].metric])
        real = [
            f"{one.variant} ({_seen(one, results.study['delta'])})"
            for one in same
            if _clear(one, results.study["delta"])
        ]
        more = f", though {_listed(real)} {'differs' if len(real) == 1 else 'differ'} by the interval" if real else ""
        yield f"{_listed([one.variant for one in same])} {verb} **equal** to {reference} within {within}{more}"
    if still := by_word.get(UNSETTLED):
        seen: dict[str, list[str]] = {}
        for one in still:
            seen.setdefault(_seen(one, results.study["delta"]), []).append(one.variant)
        told = [f"{_listed(names)} ({what} so far)" for what, names in seen.items()]
        yield f"**not enough evidence** to tell from {reference}: {_listed(told)}"
    if leaks := by_word.get(UNRANKED):
        s = "s" * (len(leaks) == 1)
        told = [f"{one.variant} (seems {_seen(one, results.study['delta'])}{_leak(results, one)})" for one in leaks]
        yield f"**not ranked**: {_listed(told)}, which read{s} the future"
    if void := by_word.get(VOID):
        yield f"**void**: {_listed([one.variant for one in void])}"
    if pending := by_word.get(PENDING):
        yield f"**still to come**: {_listed([one.variant for one in pending])}"


def leak_share(floor: float, reference: float, leaky: float, targets: int) -> float:
    """How much of what a variant that reads the future seems to gain is the leak, at least, as a share.

    Losses are in nats per token. An honest model can be better than the reference by as much as that lies above the
    entropy of the ``targets`` that all are judged on, ``floor``; and by luck, which goes beyond log(20) nats in all
    with a chance of 0.05 at most, for the same reason as in :class:`strawberry.evaluate.Score`.
    """
    honest = max(reference - floor, 0.0) + math.log(20) / targets
    return max(1 - honest / (reference - leaky), 0.0) if leaky < reference else 0.0


def _leak(results: Results, verdict: Verdict) -> str:
    """What is certain of the leak's share, where the entropy is known."""
    row, reference = (results.row(name, verdict.data) for name in (verdict.variant, verdict.reference))
    if row.floor is None or row.mean is None or reference.mean is None:
        return ""
    study = results.settings()
    targets = glossary.scored(verdict.data, study.config(verdict.reference, verdict.data), study.eval_batches)
    share = leak_share(row.floor, reference.mean, row.mean, targets)
    return f", at least {math.floor(1000 * share) / 10:g} % of it by the leak" if share else ""


def _doubt(results: Results, data: str) -> str:
    """A sentence on scores that may be too low, since the best learning rate was the last that was tried."""
    sides: dict[str, list[str]] = {}
    for row in results.rows:
        if row.data == data and row.edge:
            sides.setdefault(row.edge, []).append(row.variant)
    if not sides:
        return ""
    (side, names), *others = sides.items()
    rest = "".join(f", the {side} for {_listed(names)}" for side, names in others)
    return f" The {side} learning rate tried was the best for {_listed(names)}{rest}: a better one may lie beyond."


def edge(results: Results, row: Row) -> str:
    """What stands beside a verdict where a learning rate was the lowest or highest tried; else nothing."""
    own, theirs = bool(row.edge), bool(results.row(results.study["reference"], row.data).edge) and not row.reference
    if own and theirs:
        return "both learning rates at the edge"
    whose = "its" if own else "the reference's" if theirs else ""
    return f"{whose} learning rate at the edge" if whose else ""


def came_to(results: Results, row: Row) -> str:
    """The verdict on a variant in few words, with what it would take and what is in doubt."""
    verdict = results.verdict(row.variant, row.data)
    if row.void or verdict is None:
        word = VOID if row.void else "reference"
    else:
        word, more = briefly(verdict)
        word = f"{word} ({more})" if verdict.word == UNSETTLED else word
    doubt = "" if row.void else edge(results, row)
    return f"{word}; {doubt}" if doubt else word


def score(row: Row) -> str:
    """A mean with its spread over the seeds: ``2.063 ± 0.016`` (sd), or where they scatter the seeds' own scores."""
    if row.mean is None:
        return "–"
    return f"{row.mean:.{digits(row.sd)}f}{spread(row.mean, row.sd, list(row.scores.values()), row.metric)}"


def spread(mean: float, sd: float | None, scores: Sequence[float], metric: str) -> str:
    """What follows a mean: `` ± sd``, or the scores where an accuracy's scatter, or would seem to go beyond 0 or 1."""
    if sd is None:
        return ""
    if METRICS[metric].absolute and (sd > SCATTER or (mean + sd > 1 and sd > 0) or mean < sd) and scores:
        places = digits(sd) if sd < SCATTER else 2
        if len(scores) <= MOST:
            return f" ({', '.join(f'{one:.{places}f}' for one in scores)})"
        return f" ({min(scores):.{places}f} to {max(scores):.{places}f})"
    return f" ± {sd:.2g}"


def digits(sd: float | None) -> int:
    """Decimals of a mean with this spread: as many as its spread has with two digits, 3 where there is none."""
    return min(4, max(2, 1 - math.floor(math.log10(sd)))) if sd else 3


def gain(verdict: Verdict | None) -> str:
    """The mean gain and its 95 % interval: ``-20.3 % (-20.6 to -20.0)``."""
    if verdict is None or verdict.gain is None or verdict.low is None or verdict.high is None:
        return ""
    metric = METRICS[verdict.metric]
    low, high = (metric.says(end).partition(" ")[0] for end in (verdict.low, verdict.high))
    return f"{metric.says(verdict.gain)} ({low} to {high})"


def believed(verdict: Verdict | None) -> str:
    """The spread of the gains from seed to seed, and which one is believed where it is another."""
    if verdict is None or verdict.sd is None or verdict.own_sd is None:
        return ""
    told = [f"{100 * verdict.own_sd:.2g} {METRICS[verdict.metric].unit_words}"]
    if verdict.floored:
        told.append(f"{100 * verdict.sd:.2g} believed")
    if verdict.doubted is not None:
        told.append(f"{100 * verdict.doubted:.2g} believed for equality")
    return "; ".join(told)


def short(value: float) -> str:
    """A large number in three digits: ``1.01 T``."""
    for limit, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.3g}"


def _size(verdict: Verdict) -> str:
    """A gain without its sign, to two digits: ``7.2 %``, ``52 points``."""
    size = 100 * abs(verdict.gain or 0.0)
    return f"{size:.{0 if size >= 10 else 2}{'f' if size >= 10 else 'g'}} {METRICS[verdict.metric].unit_words}"


def _seen(verdict: Verdict, delta: float) -> str:
    """What the seeds show so far; nothing worth a number where it is a small part of the margin."""
    if not _worth_a_number(verdict, delta):
        return "alike"
    return f"{_size(verdict)} {_way(verdict)}"


def _way(verdict: Verdict) -> str:
    return BETTER if (verdict.gain or 0.0) > 0 else WORSE


def _clear(verdict: Verdict, delta: float) -> bool:
    """Whether the gain's own interval lies on one side of 0, and the gain is worth a number beside the margin."""
    return (verdict.low or 0.0) * (verdict.high or 0.0) > 0 and _worth_a_number(verdict, delta)


def _worth_a_number(verdict: Verdict, delta: float) -> bool:
    return abs(verdict.gain or 0.0) >= delta / 4


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
