"""Who moves which parameter, at one learning rate: Muon the hidden matrices and AdamW the rest, or one Adam all."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from strawberry.config import Config
from strawberry.errors import CheckpointError
from strawberry.optim.muon import Muon
from strawberry.optim.schedule import learning_rate, muon_momentum
from strawberry.precision import has_bf16

ParameterRole = tuple[str, nn.Parameter, str, float]  # path, parameter, kind, lr_scale


class Model(Protocol):
    """What the optimisers ask of a model: each parameter once, with its path, its kind and its ``lr_scale``."""

    def parameter_roles(self) -> Iterable[ParameterRole]: ...


ADAMS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "muon": torch.optim.AdamW}
"""Who moves the parameters that Muon does not, by ``config.optimizer``."""


class Optimizers:
    """Muon and AdamW, or AdamW or Adam alone, over one model, stepped together.

    A parameter's learning rate is that of the schedule times its ``lr_scale``; its weight decay is made smaller to
    match, so that a matrix kept √fan_in times larger is trained as if it were not. Only matrices decay: Muon and AdamW
    shrink them by ``lr · weight_decay`` of their size, apart from the gradient (arXiv 1711.05101); Adam, as published
    (arXiv 1412.6980) and as ``torch.optim.Adam`` has it, adds ``weight_decay · w`` to the gradient, which its own
    normalisation then undoes in part. The same number is a far stronger pull there: 0 is Adam's usual choice.
    """

    def __init__(self, model: Model, config: Config) -> None:
        self.config = config
        roles = list(model.parameter_roles())
        self.names: dict[Tensor, str] = {param: name for name, param, _, _ in roles}
        device = roles[0][1].device
        muon = [entry for entry in roles if config.optimizer == "muon" and entry[2] == "matrix"]
        rest = [entry for entry in roles if config.optimizer != "muon" or entry[2] != "matrix"]
        self._parts: list[torch.optim.Optimizer] = []
        if muon:
            dtype = torch.bfloat16 if has_bf16(device) and config.precision != "fp32" else torch.float32
            self._parts.append(Muon(_groups(muon, config), lr=0.0, momentum=config.momentum, dtype=dtype))
        if rest:
            betas, kind = (config.beta1, config.beta2), ADAMS[config.optimizer]
            # One fused kernel instead of several small ones per parameter.
            self._parts.append(kind(_groups(rest, config), lr=0.0, betas=betas, eps=config.eps, fused=True))

    def step(self, step: int, steps: int) -> float:
        """Move the parameters by the gradients that they hold, as step ``step`` (from 0) of ``steps``; returns lr."""
        rate = learning_rate(step, steps, self.config)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate * group["lr_scale"]
                if isinstance(part, Muon):
                    group["momentum"] = muon_momentum(step, self.config.momentum)
            part.step()
        return rate

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """The state of both optimisers, one tensor per ``parameter|quantity``."""
        return {
            f"{self.names[param]}|{key}": value
            for part in self._parts
            for param, state in part.state.items()
            for key, value in state.items()
        }

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of :meth:`tensors`; raises :class:`CheckpointError` when a name or shape does not fit."""
        owners = {self.names[param]: (part, param) for part, param in self._pairs()}
        for name, value in tensors.items():
            owner, _, key = name.rpartition("|")
            if owner not in owners:
                raise CheckpointError(f"the checkpoint's optimiser knows a parameter {owner!r} that this model lacks")
            part, param = owners[owner]
            if value.ndim and value.shape != param.shape:
                raise CheckpointError(f"the checkpoint's optimiser holds {name!r} in another shape than this model")
            part.state[param][key] = value.to(param.device)

    def _pairs(self) -> Iterator[tuple[torch.optim.Optimizer, nn.Parameter]]:
        for part in self._parts:
            for group in part.param_groups:
                for param in group["params"]:
                    yield part, param


def _groups(roles: list[ParameterRole], config: Config) -> list[dict[str, Any]]:
    """One group per kind and factor, in the order in which they first appear."""
    groups: dict[tuple[str, float], dict[str, Any]] = {}
    # A decay apart from the gradient is multiplied by the learning rate. One inside it stands beside a gradient that is
    # lr_scale times smaller, and pulls at a matrix that is lr_scale times larger.
    power = 2 if config.optimizer == "adam" else 1
    for _, param, kind, lr_scale in roles:
        decay = config.weight_decay / lr_scale**power if kind == "matrix" else 0.0
        new = {"params": [], "kind": kind, "lr_scale": lr_scale, "weight_decay": decay}
        groups.setdefault((kind, lr_scale), new)["params"].append(param)
    return list(groups.values())
