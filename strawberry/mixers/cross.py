"""Cross-attention: the upper half of a decoder–decoder reads one set of keys and values that the lower half made."""

from torch import Tensor

from strawberry.call import Call
from strawberry.mixers.base import ALONE
from strawberry.mixers.softmax import KVCache, Softmax, attend


class Cross(Softmax):
    """Causal softmax attention to the model's one global memory, which is handed in as k and v and kept elsewhere.

    k, v: (batch, kv_head, …) of all tokens so far, the new ones last; q: of the last (batch, seq) of them.
    """

    about = "softmax(qkᵀ/√d) v over one global memory of keys and values that all such layers share"
    source = "YOCO, Sun et al. 2024, arXiv 2405.05254"
    state = "none of its own; the model keeps one memory"

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: None = None, call: Call = ALONE
    ) -> tuple[Tensor, None]:
        new = q.shape[1]
        old = k.shape[1] - new
        cache = KVCache(k[:, :old], v[:, :old]) if old else None
        y, _ = attend(q, k[:, old:], v[:, old:], 0, cache, call)
        return self.context(y), None

    def state_size(self, seq_len: int) -> int:
        return 0
