"""How well a model predicts text that it was not trained on: nats per token and bits per byte."""

import math
from dataclasses import dataclass
from itertools import islice

import torch

from strawberry.config import Config
from strawberry.data import Dataset
from strawberry.model import Strawberry
from strawberry.precision import autocast, resolve_precision


@dataclass(frozen=True)
class Score:
    """``loss`` in nats per token, ``bits_per_byte`` of the UTF-8 text, measured on ``tokens`` targets."""

    loss: float
    bits_per_byte: float
    tokens: int


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
    total, count, mode = 0.0, 0, model.training
    model.eval()
    try:
        for inputs, targets in islice(source, batches):
            with autocast(device, precision):
                losses = model.loss(inputs.to(device), targets.to(device))
            total += losses.cross_entropy.item() * targets.numel()
            count += targets.numel()
    finally:
        model.train(mode)
    return Score(total / count, bits_per_byte(total / count, dataset.bytes_per_token), count)
