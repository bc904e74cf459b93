"""The lens: what a model would predict after each pass, for as many passes as one likes."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from strawberry.model import Strawberry
from strawberry.scoring import IGNORED
from strawberry.tap import Trace

MOST = 12  # passes that the lens looks at, at most
# What it tells of each token after each pass, as a title and in short.
QUANTITIES = {
    "loss": ("Loss of the next token", "loss, nats"),
    "gain": ("Change of the loss since the first pass", "change, nats"),
    "entropy": ("Entropy of the prediction", "entropy, nats"),
    "top_probability": ("Probability of the likeliest next token", "probability"),
    "moved": ("Movement of the state", "movement"),
    "confidence": ("Confidence of the halting head", "confidence"),
}


def beyond(model: Strawberry) -> int:
    """Passes to look at: twice the trained number, where the model can be run that often."""
    config = model.config
    # Where each layer runs several times in a row, more runs of the first ones would change all that follows.
    fixed = model.mixture is not None or not config.causal or config.sharing == "sequence"
    return config.loops if fixed else min(2 * config.loops, max(MOST, config.loops))


def after_each(model: Strawberry, tokens: Tensor, passes: int) -> list[Tensor]:
    """The residual stream (batch, seq, C) after each pass: of the whole stack, or of each layer's runs in a row.

    Of a mixture of recursions it is what would come out if nobody went deeper than that pass.
    """
    path = "mixture.after" if model.mixture is not None else "passes"
    with torch.inference_mode(), Trace.of(model, path) as trace:
        model(tokens, loops=passes)
    return list(trace[path])


def loss_of(log_p: Tensor, targets: Tensor) -> Tensor:
    """-log p of each target: (T, V), (T,) -> (T,) nats, NaN where the target is -100."""
    found = -log_p.gather(-1, targets.clamp(min=0)[:, None])[:, 0]
    return found.masked_fill(targets == IGNORED, float("nan"))


def lens(
    model: Strawberry, tokens: Tensor, passes: int | None = None, targets: Tensor | None = None
) -> dict[str, np.ndarray]:
    """What the model would say after each pass P about one row of tokens (1, T).

    loss: (P, T−1) nats for the next token, or for ``targets`` (T−1,), NaN where these are -100. entropy: (P, T) nats.
    top: (P, T) likeliest next ids, and top_probability. moved: (P, T), RMS of what the pass changed, over the RMS of
    what it found; the first pass is measured from the embedding. confidence: (P, T) of the halting head, where there is
    one. depth: (T,) passes that a mixture of recursions gave each token.
    """
    passes = passes or beyond(model)
    with Trace.of(model, "embedded") as trace, torch.inference_mode():
        streams = after_each(model, tokens, passes)
    before = trace["embedded"][0]
    rows: dict[str, list[np.ndarray]] = {}
    for x in streams:
        with torch.inference_mode():
            found = _read(model, before, x, tokens[0, 1:] if targets is None else targets)
        for name, value in found.items():
            rows.setdefault(name, []).append(value.float().cpu().numpy())
        before = x
    arrays = {name: np.stack(values) for name, values in rows.items()}
    arrays["top"] = arrays["top"].astype(np.int32)
    if model.mixture is not None:
        with Trace.of(model, "mixture.depth") as trace, torch.inference_mode():
            model(tokens)
        arrays["depth"] = trace["mixture.depth"][0][0].cpu().numpy().astype(np.int32)
    return arrays


def _read(model: Any, before: Tensor, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
    log_p = model.unembed(x)[0].float().log_softmax(dim=-1)
    best = log_p.max(dim=-1)
    moved = (x - before).square().mean(dim=-1).sqrt() / before.square().mean(dim=-1).sqrt()
    found = {
        "loss": loss_of(log_p[:-1], targets),
        "entropy": -(log_p.exp() * log_p).sum(dim=-1),
        "top": best.indices,
        "top_probability": best.values.exp(),
        "moved": moved[0],
    }
    return found if model.halt is None else found | {"confidence": model.halt(x)[0].sigmoid()}
