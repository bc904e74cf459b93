"""A head that learns when to stop thinking, and the losses that teach it."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from strawberry.norm import norm
from strawberry.scoring import mean_scored, nats

GEOMETRIC = 0.3  # chance to stop at each pass, of the geometric prior


class Halt(nn.Module):
    """One number per token, from its own hidden state after a pass: (batch, seq, C) -> (batch, seq).

    Never from a mean over the sequence, which would read the future.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, width))
        self.bias = nn.Parameter(torch.empty(1))

    def forward(self, x: Tensor) -> Tensor:
        return (norm(x) @ self.weight.T + self.bias)[..., 0]


def target_confidence(loss: Tensor, threshold: float) -> Tensor:
    """clamp(1 − loss / threshold, 0, 1): 1 where the next token is certain, 0 from ``threshold`` nats on."""
    return (1 - loss.detach() / threshold).clamp(0, 1)


def exit_distribution(halt: Tensor) -> Tensor:
    """The probability to stop after each pass, (passes, …), of halting logits (passes, …); the last takes the rest.

    p_r = λ_r Π_{s<r} (1 − λ_s), λ = σ(logit) (PonderNet, arXiv 2107.05407, equation 1).
    """
    stop, go = halt.sigmoid(), (-halt).sigmoid()
    still = torch.cat([torch.ones_like(go[:1]), go.cumprod(dim=0)[:-1]])
    return torch.cat([(stop * still)[:-1], still[-1:]])


def halting_losses(
    model: Any, passes: Iterator[Tensor], targets: Tensor, loops: int
) -> tuple[Tensor, Tensor, Tensor, int]:
    """(loss after the last pass, what is minimised, the halting part of it, number of passes run, ``loops`` or more).

    ``confidence``: each pass predicts, the mean of their losses is minimised, and the head learns
    :func:`target_confidence` of each. Training goes on from the present state for as long as the mean loss is above
    ``think_above``, for at most ``max_loops`` passes. ``distribution``: Σ_r p_r L_r is minimised, with the entropy of p
    rewarded (Ouro, arXiv 2510.25741) or its divergence from a geometric prior punished (PonderNet). Every mean is over
    the scored targets.
    """
    config = model.config
    losses, logits = [], []
    for x in passes:
        losses.append(nats(model.unembed(x), targets))
        logits.append(model.halt(x.detach() if config.halting == "confidence" else x))
        enough = len(losses) >= loops
        taught = model.training and config.halting == "confidence"
        thinks = taught and 0 < config.think_above < mean_scored(losses[-1], targets)
        if enough and not (thinks and len(losses) < config.max_loops):
            break
    loss, halt = torch.stack(losses), torch.stack(logits)
    if config.halting == "confidence":
        with torch.autocast(halt.device.type, enabled=False):
            wide = halt.to(loss.dtype)
            wanted = target_confidence(loss, config.loss_threshold)
            halting = mean_scored(binary_cross_entropy_with_logits(wide, wanted, reduction="none"), targets)
        halting = config.halting_coef * halting
        objective = mean_scored(loss, targets) + halting
    else:
        p = exit_distribution(halt.to(loss.dtype))
        log_p = p.clamp(min=1e-12).log()
        if config.halting_prior == "entropy":
            halting = config.halting_coef * mean_scored((p * log_p).sum(dim=0), targets)
        else:
            prior = exit_distribution(torch.full_like(halt[:, :1, :1], GEOMETRIC).logit().to(loss.dtype))
            halting = config.halting_coef * mean_scored((p * (log_p - prior.log())).sum(dim=0), targets)
        objective = mean_scored((p * loss).sum(dim=0), targets) + halting
    return mean_scored(losses[-1], targets), objective, halting, len(losses)
