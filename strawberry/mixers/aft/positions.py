"""Which learned position each token takes, and what is said when a text has more tokens than there are."""

import torch
from torch import Tensor

from strawberry.call import Call
from strawberry.errors import StrawberryError


def learned_positions(call: Call, seq: int, learned: int, device: torch.device) -> Tensor:
    """The positions (1, seq) or (batch, seq) of the new tokens, below ``learned``; padding takes any of them.

    Raises :class:`StrawberryError` when a token stands beyond.
    """
    end = call.position + seq if call.rows is None else int((call.rows.start + call.rows.length).max())
    if end > learned:
        raise StrawberryError(
            f"this model has learned biases for {learned} positions, and the text comes to {end} tokens; "
            "shorten it, or train with a larger seq_len"
        )
    return call.positions(seq, device).clamp(max=learned - 1)
