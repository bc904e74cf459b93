"""A model's tensors by name, each once however often it is shared, and back."""

import torch
from torch import Tensor, nn

from strawberry.errors import CheckpointError


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and lasting buffers by name; a tensor with several names has the first only."""
    named: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        named.setdefault(id(tensor), (name, tensor))
    return {name: tensor.detach() for name, tensor in named.values()}


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Copy the tensors into the model; raises :class:`CheckpointError` unless names and shapes are the same.

    ``source`` says in the error where they came from.
    """
    own = tensors_of(model)
    for name in sorted(own.keys() ^ tensors.keys()):
        where, other = ("the model", source) if name in own else (source, "the model")
        raise CheckpointError(
            f"{where} has a tensor {name!r} that {other} lacks; use the configuration of its training"
        )
    for name, tensor in own.items():
        if tensor.shape != tensors[name].shape:
            raise CheckpointError(
                f"{name!r} has shape {tuple(tensors[name].shape)} in {source} and {tuple(tensor.shape)} in the model; "
                "use the configuration of its training"
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
