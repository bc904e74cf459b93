"""The router: scores every expert for every token and keeps the best few."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from strawberry.config import Config
from strawberry.experts.balance import Ledger
from strawberry.tap import Tap


class Router(nn.Module):
    """Token-choice top-k routing over (..., width) inputs.

    Scores are the softmax of the logits (Shazeer et al., arXiv 1701.06538) or their sigmoid (DeepSeek-V3, arXiv
    2412.19437); the bias steers the choice only, never the gate. Taps: ``probs`` and ``gates``, both (..., experts).
    """

    bias: Tensor

    def __init__(self, width: int, n_experts: int, top_k: int, config: Config) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_experts, width))
        self.register_buffer("bias", torch.zeros(n_experts))
        self.top_k, self.routing = top_k, config.routing
        self.probs, self.gates = Tap(), Tap()

    def forward(self, x: Tensor, ledger: Ledger | None = None) -> Tensor:
        """Dense gates (..., experts): 0 where not chosen; the chosen ones sum to 1.

        With top_k = 1 the gate is the score itself: a gate that is always 1 would teach the router nothing.
        """
        # Near ties decide who computes, so the scores are never formed in half precision.
        with torch.autocast(x.device.type, enabled=False):
            logits = x.to(self.weight.dtype) @ self.weight.T
            scores = logits.softmax(dim=-1) if self.routing == "softmax" else logits.sigmoid()
            chosen = (scores + self.bias).topk(self.top_k, dim=-1).indices
            kept = scores.gather(-1, chosen)
            if self.top_k > 1:
                kept = kept / kept.sum(dim=-1, keepdim=True)
            gates = torch.zeros_like(scores).scatter(-1, chosen, kept)
        probabilities = self.probs(scores if self.routing == "softmax" else scores / scores.sum(dim=-1, keepdim=True))
        gates = self.gates(gates)
        if ledger is not None:
            ledger.add(self, logits, probabilities, gates)
        return gates


class Dispatch(NamedTuple):
    """Which tokens go to which expert: pairs sorted by expert."""

    token: Tensor
    gate: Tensor
    counts: list[int]


def dispatch(gates: Tensor) -> Dispatch:
    """The (token, expert) pairs with a gate above 0, of dense gates (tokens, experts), sorted by expert."""
    expert, token = (gates.T > 0).nonzero(as_tuple=True)
    return Dispatch(token, gates[token, expert], (gates > 0).sum(dim=0).tolist())
