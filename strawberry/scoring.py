"""Which targets count: the loss of every token in nats, and means over those that are scored."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

IGNORED = -100  # a target that nobody scores


def nats(logits: Tensor, targets: Tensor) -> Tensor:
    """The loss of every token, (batch, seq), in nats; 0 where the target is :data:`IGNORED`."""
    wide = logits if logits.dtype == torch.float64 else logits.float()
    flat = cross_entropy(wide.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORED)
    return flat.view_as(targets)


def mean_scored(values: Tensor, targets: Tensor) -> Tensor:
    """The mean of ``values`` (…, batch, seq) over the scored ``targets`` (batch, seq); 0 where none is."""
    scored = targets != IGNORED
    kept = torch.where(scored, values, values.new_zeros(()))
    return kept.sum() / (scored.sum().clamp(min=1) * (values.numel() // targets.numel()))
