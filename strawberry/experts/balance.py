"""What keeps experts in use: the Switch loss, the z-loss, and DeepSeek's moving bias."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from strawberry.experts.router import Router


def switch_loss(probabilities: Tensor, load: Tensor) -> Tensor:
    """E · Σ_e f_e P_e: 1 when routing is uniform, E when one expert takes all (Fedus et al., arXiv 2101.03961, eq. 4).

    probabilities: (tokens, E), the router's; load: (E,), each expert's share of the assignments, summing to 1.
    Mixtral's loss is this times top_k, so coefficients are not comparable.
    """
    return load.shape[0] * (load * probabilities.mean(dim=0)).sum()


def z_loss(logits: Tensor) -> Tensor:
    """Mean squared log-sum-exp of router logits (tokens, E): keeps them small (arXiv 2202.08906, eq. 5)."""
    return logits.logsumexp(dim=-1).square().mean()


@torch.no_grad()
def move_bias(bias: Tensor, load: Tensor, rate: float) -> None:
    """Raise the bias of experts below the mean load and lower the others, in place (arXiv 2408.15664, algorithm 1)."""
    bias += rate * torch.sign(load.mean() - load)


@dataclass
class Ledger:
    """What every router did during one forward pass: losses summed over the calls, and loads by router."""

    balance: list[Tensor] = field(default_factory=list)
    z: list[Tensor] = field(default_factory=list)
    loads: dict["Router", list[Tensor]] = field(default_factory=dict)
    halting: list[Tensor] = field(default_factory=list)

    def add(self, router: "Router", logits: Tensor, probabilities: Tensor, gates: Tensor) -> None:
        """Enter one call: logits, probabilities and dense gates, each (..., E)."""
        logits, probabilities, gates = (x.flatten(0, -2) for x in (logits, probabilities, gates))
        chosen = (gates > 0).sum(dim=0)
        load = (chosen / chosen.sum()).to(logits.dtype)
        self.balance.append(switch_loss(probabilities, load))
        self.z.append(z_loss(logits))
        self.loads.setdefault(router, []).append(load)
