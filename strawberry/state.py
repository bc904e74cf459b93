"""What a model carries from token to token: a frozen value that can be kept, forked, rewound and rearranged by row."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from strawberry.block import BlockState
from strawberry.mixers.softmax import KVCache


@dataclass(frozen=True)
class State:
    """Everything that later tokens need of the earlier ones.

    To fork, go on from one state twice; to rewind, go on from an older one. position: tokens read so far, one number,
    or (batch,) once rows have differed. blocks: one state per layer. memories: one per pass, of a decoder–decoder.
    recursion: what a mixture of recursions keeps instead of blocks. tokens: the text itself, for a model that reads the
    future and so has no state smaller than its text.
    """

    position: int | Tensor
    blocks: tuple[BlockState, ...]
    memories: tuple[KVCache, ...] = ()
    recursion: Any = None
    tokens: Tensor | None = None

    def rows(self, index: Sequence[int] | Tensor) -> Self:
        """The state of the rows ``index``, in that order: to leave some out, or to fork one into several."""
        return _rows(self, torch.as_tensor(index))


def _rows(value: Any, index: Tensor) -> Any:
    """Every tensor in a nested state, its rows picked; what all rows share stays as it is."""
    if isinstance(value, Tensor):
        return value if value.dim() == 0 or (value.shape[0] == 1 and int(index.max()) > 0) else value[index]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {item.name: _rows(getattr(value, item.name), index) for item in dataclasses.fields(value)}
        return dataclasses.replace(value, **changed)
    if isinstance(value, dict):
        return {name: _rows(part, index) for name, part in value.items()}
    return tuple(_rows(part, index) for part in value) if isinstance(value, tuple) else value
