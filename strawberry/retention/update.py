"""The update rule: how the current and the transformed weights remake each other, once per pass."""

from torch import Tensor
from torch.nn.functional import silu

from strawberry.norm import norm


def update(w_transformed: Tensor, w_current: Tensor) -> Tensor:
    """The next current weights, ``norm(wT) ⊙ silu(wC) + norm(wC)``; the present current ones become the transformed.

    Both (..., rows, columns), broadcast against each other; ``norm`` is over the columns, a row's inputs.
    """
    return norm(w_transformed) * silu(w_current) + norm(w_current)
