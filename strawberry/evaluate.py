"""How well a model predicts what it was not trained on: loss, bits per byte or accuracy, and whether it can be true."""

import math
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from strawberry.config import Config
from strawberry.data import Dataset
from strawberry.model import Strawberry
from strawberry.precision import autocast, resolve_precision
from strawberry.scoring import IGNORED, nats

ERRORS = 4.0  # standard errors below the floor from which the alarm rings
NATS = 10.0  # and nats below it, over all that was scored


@dataclass(frozen=True)
class Score:
    """``loss`` in nats per scored target, measured on ``tokens`` of them; ``bits_per_byte`` where there is text.

    accuracy: share of the targets that were the likeliest token, of tasks. floor: the mean of -log of the true
    probabilities of these very targets, of sources. error: the standard error of the loss over rows; gap_error: that of
    loss − floor, which is much smaller, since both rise and fall with the same targets. None where not known.
    """

    loss: float
    bits_per_byte: float | None
    tokens: int
    accuracy: float | None = None
    floor: float | None = None
    error: float | None = None
    gap_error: float | None = None

    @property
    def impossible(self) -> bool:
        """Whether no honest model could score like this: the model reads the answers, or the meter is broken.

        The loss must lie below the floor by more than 4 standard errors of the difference, and by more than 10 nats in
        all. exp(floor − loss), over all targets, has mean 1 or less for a model that predicts each token from those
        before it, so by Markov's inequality one honest evaluation in e¹⁰ = 22,026 rings at most.
        """
        if self.floor is None:
            return False
        below = self.floor - self.loss
        return below > ERRORS * (self.gap_error or 0.0) and below * self.tokens > NATS

    @property
    def alarm(self) -> str:
        """What to tell a person when this is impossible."""
        return (
            f"the loss, {self.loss:.4f} nats per token, lies below the entropy of this data, {self.floor:.4f}, by more "
            "than chance allows: the model reads what it should predict, or the measurement is broken"
        )


def bits_per_byte(loss: float, bytes_per_token: float) -> float:
    """Nats per token as bits per byte of text; unlike the loss it does not depend on the tokenizer."""
    return loss / math.log(2) / bytes_per_token


@torch.no_grad()
def evaluate(model: Strawberry, dataset: Dataset, config: Config, *, batches: int | None = 16) -> Score:
    """Score ``model`` on the validation split.

    ``batches`` batches of ``config.batch_size`` rows at fixed random places, the same at every call and for every
    run; None reads the whole split once. The arithmetic is that of training. The model's mode is left as it was.
    """
    device = next(model.parameters()).device
    precision = resolve_precision(config, device)
    if batches is None:
        source = dataset.windows("validation", config.seq_len, config.batch_size)
    else:
        source = (dataset.batch("validation", index, config) for index in range(batches))
    rows, mode = [], model.training
    model.eval()
    try:
        for inputs, targets in islice(source, batches):
            wanted = targets.to(device)
            with autocast(device, precision):
                logits = model(inputs.to(device))
            scored = targets != IGNORED
            exact = dataset.surprisal(inputs, targets)
            parts = [
                nats(logits, wanted).double().cpu(),
                (logits.argmax(dim=-1) == wanted).cpu(),
                scored if exact is None else exact.masked_fill(~scored, 0.0),
                scored,
            ]
            rows.append(np.stack([part.double().sum(dim=1).numpy() for part in parts], axis=1))
    finally:
        model.train(mode)
    return _score(np.concatenate(rows), dataset)


def _score(rows: np.ndarray, dataset: Dataset) -> Score:
    """``rows``: for each its nats, right answers, nats of the source itself, and number of targets."""
    nats_, right, exact, counts = rows.T
    count = counts.sum()
    loss = float(nats_.sum() / count)
    per_byte = None if dataset.bytes_per_token is None else bits_per_byte(loss, dataset.bytes_per_token)
    known = dataset.metric == "loss"
    return Score(
        loss=loss,
        bits_per_byte=per_byte,
        tokens=int(count),
        accuracy=float(right.sum() / count) if dataset.metric == "accuracy" else None,
        floor=float(exact.sum() / count) if known else None,
        error=_error(nats_, counts),
        gap_error=_error(nats_ - exact, counts) if known else None,
    )


def _error(sums: np.ndarray, counts: np.ndarray) -> float | None:
    """The standard error of Σ sums / Σ counts, rows being independent; None for a single row."""
    if len(sums) < 2:
        return None
    left = sums - counts * (sums.sum() / counts.sum())
    return float(np.sqrt(np.square(left).sum() * len(sums) / (len(sums) - 1)) / counts.sum())
