"""Whether a confidence is what it claims to be, and how early tokens may stop for a loss that was promised."""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab.measure.lens import after_each
from strawberry.errors import StrawberryError
from strawberry.recursion.exits import exit_rule
from strawberry.recursion.halting import target_confidence
from strawberry.scoring import IGNORED, nats

Batches = Iterable[tuple[Tensor, Tensor]]

# Where between 0 (everybody stops after one pass) and 1 (hardly anybody ever does) a threshold lies.
# Directions of the residual stream differ little from pass to pass: fine steps near 1.
PLACES = {
    "confidence": lambda place, most: place,
    "gap": lambda place, most: place,
    "saturation": lambda place, most: 1 - 2 * (1 - place) ** 4,
    "distribution": lambda place, most: place,
    "fixed": lambda place, most: math.ceil(1 + place * (most - 1)),
}
CLOSE = 0.05  # passes per token between two thresholds, below which it is not worth looking between them


class CalibrationError(StrawberryError):
    """There is nothing to calibrate, or a promise that nobody can keep."""


@dataclass(frozen=True)
class Calibration:
    """A halting head's confidence beside what it is taught, clamp(1 − loss / ``loss_threshold``, 0, 1), in bins.

    ``counts``, ``confidence`` and ``target`` are (passes, bins): the predictions whose confidence lies in the bin, and
    their means; NaN in a bin without any. Bins divide [0, 1] evenly.
    """

    counts: np.ndarray
    confidence: np.ndarray
    target: np.ndarray
    loss_threshold: float

    @property
    def passes(self) -> int:
        """P, the passes that were looked at."""
        return len(self.counts)

    @property
    def all(self) -> "Calibration":
        """The same over all passes together, as one row."""
        total = self.counts.sum(axis=0)
        with np.errstate(invalid="ignore"):
            confidence, target = (
                np.nansum(self.counts * part, axis=0) / total for part in (self.confidence, self.target)
            )
        return Calibration(total[None], confidence[None], target[None], self.loss_threshold)

    def error(self, step: int | None = None) -> float:
        """Expected calibration error after pass ``step`` (from 0) or over all: Σ counts · |confidence − target| / N."""
        row = self.all if step is None else self
        counts, gap = row.counts[step or 0], (row.confidence - row.target)[step or 0]
        return float(np.nansum(counts * np.abs(gap)) / max(1, counts.sum()))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; bins without predictions hold None."""
        means = {name: _plain(getattr(self, name)) for name in ("confidence", "target")}
        return {"counts": self.counts.tolist(), **means, "loss_threshold": self.loss_threshold}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Calibration":
        """The inverse of :meth:`to_dict`."""
        confidence, target = (np.array(values[name], dtype=np.float64) for name in ("confidence", "target"))
        return cls(np.array(values["counts"], dtype=np.int64), confidence, target, values["loss_threshold"])


def binned(confidence: np.ndarray, target: np.ndarray, loss_threshold: float, bins: int = 10) -> Calibration:
    """Confidences and targets, each (passes, predictions), in ``bins`` bins of the confidence."""
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
    chosen = place[:, None] == np.arange(bins)[:, None]
    counts = chosen.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        means = tuple((chosen * part[:, None]).sum(axis=-1) / counts for part in (confidence, target))
    return Calibration(counts, means[0], means[1], loss_threshold)


def calibration(model: Any, batches: Batches, *, passes: int | None = None, bins: int = 10) -> Calibration:
    """The confidence of ``model`` on batches of tokens and targets (batch, seq), after each of ``passes`` passes.

    ``passes`` is the trained number by default. Raises :class:`CalibrationError` for a model whose head learns no
    confidence.
    """
    config = model.config
    if config.halting != "confidence":
        raise CalibrationError(
            "only a head that learns a confidence can be calibrated; this model has halting "
            f"{config.halting}: set halting to confidence"
        )
    device, found, wanted = next(model.parameters()).device, [], []
    with evaluating(model):
        for tokens, targets in batches:
            targets = targets.to(device)
            streams = after_each(model, tokens.to(device), passes or config.loops)
            losses = torch.stack([nats(model.unembed(x), targets) for x in streams])
            scored = targets != IGNORED
            found.append(torch.stack([model.halt(x).float().sigmoid()[scored] for x in streams]).cpu())
            wanted.append(target_confidence(losses, config.loss_threshold).float()[:, scored].cpu())
    if not found:
        raise CalibrationError("there are no batches to calibrate with; give at least one")
    confidence, target = (torch.cat(parts, dim=1).double().numpy() for parts in (found, wanted))
    return binned(confidence, target, config.loss_threshold, bins)


@dataclass(frozen=True)
class Trial:
    """One adaptive run: mean ``passes`` per token, ``loss`` in nats per token, and its ``increase`` over the loss of
    full depth, as a share of that; below 0 where stopping early did better. Threshold ∞ never stops anybody."""

    threshold: float
    passes: float
    loss: float
    increase: float


@dataclass(frozen=True)
class Promise:
    """The lowest threshold of ``rule`` that was found to keep ``promised``; ``trials`` are all that were tried, by
    threshold, and ``full`` is the loss of ``most`` passes for every token, both measured on ``tokens`` tokens."""

    rule: str
    promised: float
    most: int
    tokens: int
    full: float
    chosen: Trial
    trials: tuple[Trial, ...]


def adaptive(
    model: Any, batches: Batches, rule: str, threshold: float, most: int | None = None, full: float | None = None
) -> Trial:
    """What ``model.think`` with this rule takes and loses on batches; ``full`` is the loss to compare with.

    Without ``full`` it is compared with itself.
    """
    device, loss, passes, read, count = next(model.parameters()).device, 0.0, 0, 0, 0
    with evaluating(model):
        for tokens, targets in batches:
            thought = model.think(tokens.to(device), rule, threshold, most)
            loss += nats(thought.logits, targets.to(device)).double().sum().item()
            passes += int(thought.passes.sum())
            read += tokens.numel()
            count += int((targets != IGNORED).sum())
    if not count:
        raise CalibrationError("there are no batches to measure with; give at least one")
    loss /= count
    return Trial(threshold, passes / read, loss, loss / (full or loss) - 1)


def threshold_for(
    model: Any,
    batches: Batches,
    promised: float = 0.01,
    *,
    rule: str = "confidence",
    most: int | None = None,
    tries: int = 10,
    seconds: float = math.inf,
) -> Promise:
    """The threshold of an exit rule at which adaptive runs lose at most ``promised`` more than full depth does.

    ``promised`` is a share of the loss of ``most`` passes (the trained number by default), 0.01 being one per cent.
    Found by bisection on real runs of ``model.think`` over the batches, at most ``tries`` of them and for about
    ``seconds``; what is chosen was measured, and where nothing keeps the promise it never stops anybody. On other text
    it may come out a little different: measure there with :func:`adaptive`.
    """
    began = time.monotonic()
    if not promised >= 0:
        raise CalibrationError(f"a promised increase must be 0 or more; got {promised}")
    exit_rule(rule, 0.0)
    batches, passes = list(batches), int(most or model.config.loops)
    whole = adaptive(model, batches, "fixed", passes, passes)
    full, never = whole.loss, Trial(math.inf, float(passes), whole.loss, 0.0)
    low, high, stopped, going = 0.0, 1.0, None, never
    trials: list[Trial] = []
    while len(trials) < tries and time.monotonic() - began < seconds:
        # First everybody stops at once: where that is good enough, there is nothing to look for.
        place = (low + high) / 2 if trials else 0.0
        trial = adaptive(model, batches, rule, PLACES[rule](place, passes), passes, full)
        trials.append(trial)
        if trial.increase <= promised:
            high, going = place, trial
        else:
            low, stopped = place, trial
        if not stopped or going.passes - stopped.passes < CLOSE:
            break
    tokens = sum(targets.numel() for _, targets in batches)
    tried = tuple(sorted([*trials, never], key=lambda trial: trial.threshold))
    return Promise(rule, promised, passes, tokens, full, going, tried)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """The model in evaluation mode, without gradients; its own mode is given back."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(mode)


def _plain(values: np.ndarray) -> list[list[float | None]]:
    return [[None if math.isnan(value) else float(value) for value in row] for row in values]
