"""From a study's folders to its results: rows of the table, comparisons and their verdicts, and what was held equal."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lab import notes
from lab.ablate.budget import TOLERANCE
from lab.ablate.cells import Cell, Record
from lab.ablate.halving import edge
from lab.ablate.metric import METRICS, Metric, metric_of
from lab.ablate.queue import Board
from lab.ablate.results import CellResult, Results, Routing, Row
from lab.ablate.statistics import least_luck
from lab.ablate.verdict import LEVEL, Comparison, judge
from lab.measure.experts import entropy, idle
from strawberry.runs import ENVIRONMENT

CURVE = 40  # points of a training curve
IMPOSSIBLE = "lies below the entropy of this data"


def gather(board: Board, command: str) -> Results:
    """The results of a study so far; the same folders give the same results, but for the seconds."""
    study = board.study
    rows = [_row(board, variant, data) for variant, data in study.pairs]
    by_pair = {(row.variant, row.data): row for row in rows}
    others = [(variant, data) for variant, data in study.pairs if variant != study.reference]
    comparisons = [_comparison(board, by_pair, variant, data) for variant, data in others]
    cells = [cell for pair in study.pairs for cell in (*board.trials(*pair), *board.finals(*pair))]
    return Results(
        study=study.to_dict(),
        question=study.question,
        command=command,
        complete=not board.tasks(),
        fixed=_fixed(board),
        rows=rows,
        verdicts=judge(comparisons, study.delta, study.alpha),
        cells=[_cell(board, cell) for cell in cells],
        environments=_environments(board, cells),
    )


def _row(board: Board, variant: str, data: str) -> Row:
    study, budget, stood = board.study, board.budgets[variant, data], board.standing(variant, data)
    finals = board.finals(variant, data)
    ended = {cell.seed: board.record(cell) for cell in finals if board.record(cell).last is not None}
    metric = _metric(board, data)
    scores = {str(seed): getattr(record.last, metric.name) for seed, record in ended.items()}
    tuned = {cell.rate: board.record(cell) for cell in board.trials(variant, data)}
    values = list(scores.values())
    seconds = statistics.mean(record.seconds for record in ended.values()) if ended else None
    return Row(
        data=data,
        variant=variant,
        reference=variant == study.reference,
        causal=budget.config.causal,
        changes=study.variants[variant],
        steps=budget.steps,
        rule=budget.rule,
        parameters=budget.parameters,
        active_parameters=budget.active_parameters,
        state_size=budget.state_size,
        tokens=budget.tokens,
        flops=budget.flops,
        decode_flops=budget.decode_flops,
        metric=metric.name,
        higher_is_better=metric.higher,
        learning_rate=stood.chosen,
        learning_rates={f"{rate:g}": getattr(record.last, metric.name, None) for rate, record in tuned.items()},
        edge="" if stood.chosen not in tuned else edge(list(tuned), stood.chosen, tuned[stood.chosen]),
        scores=scores,
        losses={str(seed): record.last.loss for seed, record in ended.items() if record.last is not None},
        mean=statistics.mean(values) if values else None,
        sd=statistics.stdev(values) if len(values) > 1 else None,
        floor=next((record.last.floor for record in ended.values() if record.last is not None), None),
        seconds=seconds,
        tokens_per_s=budget.tokens / seconds if seconds else None,
        void=_void(board, variant, data),
        routing=_routing(ended.values()),
    )


def _routing(records: Iterable[Record]) -> Routing | None:
    """How the experts of trained models shared the work; None where there are none."""
    loads = [record.loads for record in records if record.loads]
    if not loads:
        return None
    return Routing(
        experts=sum(map(len, loads[0].values())),
        dead=statistics.fmean(sum(len(idle(shares)) for shares in one.values()) for one in loads),
        evenness=statistics.fmean(entropy(shares) for one in loads for shares in one.values()),
    )


def _comparison(board: Board, rows: Mapping[tuple[str, str], Row], variant: str, data: str) -> Comparison:
    study = board.study
    ours, theirs = rows[variant, data], rows[study.reference, data]
    seeds = [str(seed) for seed in study.seeds]
    missing = sum(seed not in row.scores for row in (ours, theirs) for seed in seeds)
    void = ours.void or theirs.void
    pending = "" if void or not missing else f"{missing} of {2 * len(seeds)} trainings are missing."
    unranked = "" if void or pending or ours.causal else f"{variant} reads the future: it is measured, and has no rank."
    complete = not (void or pending)
    return Comparison(
        data,
        variant,
        study.reference,
        ours.metric,
        tuple(theirs.scores[seed] for seed in seeds) if complete else (),
        tuple(ours.scores[seed] for seed in seeds) if complete else (),
        void,
        unranked,
        pending,
    )


def _void(board: Board, variant: str, data: str) -> str:
    """Why a variant on a data set counts for nothing; the control that failed first, since it voids the rest."""
    if why := board.control_fails(data) or board.problem(variant, data):
        return why
    for cell in board.finals(variant, data):
        told = [warning for warning in board.record(cell).warnings if IMPOSSIBLE in warning]
        if told and board.budgets[variant, data].config.causal:
            return f"{variant} with seed {cell.seed} on {data}: {told[-1]}."
    return ""


def _metric(board: Board, data: str) -> Metric:
    """The metric of a data set: what the first evaluation that there is has."""
    for variant in board.study.variants:
        for cell in (*board.finals(variant, data), *board.trials(variant, data)):
            for evaluated in board.record(cell).evaluated.values():
                return metric_of(evaluated)
    return METRICS["loss"]


def _cell(board: Board, cell: Cell) -> CellResult:
    record, failure = board.record(cell), board.failure(cell)
    stood = board.standing(cell.variant, cell.data)
    stopped = cell.seed == board.study.tuning_seed and cell.rate in stood.stopped
    last = max(record.evaluated, default=None)
    end = record.evaluated[last] if last is not None else None
    state = (
        "failed" if failure
        else "done" if record.done
        else "diverged" if record.diverged
        else "stopped" if stopped
        else "begun" if record.step
        else "waiting"
    )  # fmt: skip
    metric = METRICS["loss"] if end is None else metric_of(end)
    return CellResult(
        name=cell.name,
        stage=cell.stage,
        data=cell.data,
        variant=cell.variant,
        learning_rate=cell.rate,
        seed=cell.seed,
        steps=cell.steps,
        step=record.step,
        state=state,
        events=f"cells/{cell.name}/events.jsonl",
        loss=None if end is None else end.loss,
        bits_per_byte=None if end is None else end.bits_per_byte,
        accuracy=None if end is None else end.accuracy,
        floor=None if end is None else end.floor,
        error=None if end is None else end.error,
        seconds=record.seconds,
        tokens=record.tokens,
        curve=[[step, one.loss, getattr(one, metric.name)] for step, one in sorted(record.evaluated.items())],
        training=_thinned(record),
        warnings=list(record.warnings),
        why=failure or record.diverged,
    )


def _thinned(record: Record) -> list[list[float]]:
    """The training loss as some forty means, each over the steps since the one before."""
    width = max(1, -(-len(record.losses) // CURVE))
    parts = [record.losses[begin : begin + width] for begin in range(0, len(record.losses), width)]
    return [[part[-1][0], round(statistics.fmean(loss for _, loss in part), 5)] for part in parts]


def _environments(board: Board, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The different machines and versions that the cells were trained with."""
    found: list[dict[str, Any]] = []
    for cell in cells:
        one = notes.read(board.path(cell) / ENVIRONMENT)
        if one and one not in found:
            found.append(one)
    return found


def _fixed(board: Board) -> list[str]:
    study = board.study
    seeds = ", ".join(map(str, study.seeds))
    budget = {
        "parameters": f"Parameters are equal to within {TOLERANCE:.0%}, by the width of the feed-forward layers, d_ff; "
        "steps are equal, FLOPs are not.",
        "flops": f"FLOPs of training are equal to within {TOLERANCE:.0%}, by the number of steps; the learning rate's "
        "schedule has the same shape over that number. Parameters are as they are.",
        "steps": "Only the number of steps is equal; parameters and FLOPs are as they are.",
    }[study.equal]
    tuned = "No learning rate was tuned."
    if any(len(study.rates(*pair)) > 1 for pair in study.pairs):
        halved = f"; successive halving by {study.halving} stopped the worse ones early" if study.halving else ""
        wider = f"; where the best lay at an edge, up to {study.widen} further ones were tried" if study.widen else ""
        tuned = (
            f"Learning rates were tuned for each variant and data set with seed {study.tuning_seed}, which is none "
            f"of the seeds that count{halved}{wider}. They were chosen on the validation data that the "
            "results are measured on."
        )
    sentences = [
        budget,
        f"Seeds {seeds} make the weights and the order of the data; "
        + (
            "with the same seed all variants see the same batches, and all are evaluated on the same validation data."
            if _alike(board)
            else "batches differ in shape or tokens between variants, so neither the order of the data is the same for "
            "all, nor how much validation data they are evaluated on."
        ),
        tuned,
        f"Differences are paired by seed: Student's t-test, Holm's correction over all comparisons of the study at "
        f"{study.alpha:g}; intervals are of {LEVEL:.0%}, for each comparison alone, and tell of seeds: the validation "
        "data is a sample too, the same for all. Equal means within "
        f"{study.delta:.2g} of the reference's mean (of accuracy: absolutely), by two one-sided tests. A spread of "
        f"accuracies below {100 * METRICS['accuracy'].resolution:g} points counts as "
        f"{100 * METRICS['accuracy'].resolution:g}. A task may be solved by some seeds and not by others: the p of a "
        "difference between accuracies is at least the chance of one as clear between two variants that solve it "
        f"equally often, with {len(study.seeds)} seeds never below {least_luck(len(study.seeds)):.2g} before "
        "correction; and to be called equal they must be so by the spread of all comparisons on the same data. "
        "These chances hold for seeds that were fixed beforehand: who adds seeds until a verdict comes has more of "
        "them wrong.",
        "FLOPs are those of matrix products, two per multiply-add, attention in full; training is three times a "
        "forward pass.",
        f"Each training used {study.threads} thread{'s' * (study.threads != 1)}.",
    ]
    return sentences


def _alike(board: Board) -> bool:
    """Whether all variants have the same batches on each data set."""
    shapes = {
        (data, c.batch_size, c.seq_len, c.grad_accum, c.tokenizer, c.vocab_size, c.train_fraction)
        for (_, data), c in ((pair, budget.config) for pair, budget in board.budgets.items())
    }
    return len(shapes) == len(board.study.data)
