"""How every parameter starts, and how its optimiser should treat it."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from strawberry.config import Config


class Role(NamedTuple):
    """How a parameter is trained. kind: matrix, router, embedding or vector; the learning rate is times lr_scale."""

    kind: str
    lr_scale: float


def role(name: str, parameter: Tensor, config: Config) -> Role:
    """The role of a parameter by its path: hidden matrices (or stacks of them), routers, the embedding, the rest.

    Base weights of unit RMS learn √fan_in times faster, as they are √fan_in times larger than what they stand for.
    """
    if name == "embedding.weight":
        return Role("embedding", 1.0)
    if "router." in name or name.startswith(("mixture.", "halt.weight")):
        return Role("router", 1.0)
    if parameter.dim() < 2 or name.endswith(("gains", "retention.prior", "conv.taps")) or ".mixer.position_" in name:
        return Role("vector", 1.0)
    unit = ".retention.base." in name or ".retention.learned." in name
    return Role("matrix", math.sqrt(parameter.shape[-1]) if unit and config.base_scale == "unit" else 1.0)


@torch.no_grad()
def initialise(model: nn.Module, config: Config) -> None:
    """Fill every parameter from ``config.seed``; the global random state is left as it was.

    Matrices are normal with variance 1/fan_in; base weights have RMS 1 (``base_scale="unit"``). The gains make all
    branches of all passes together add variance 1 to the residual stream. The embedding gives logits of size 1/2.
    A short convolution is the identity.
    """
    generator = torch.Generator().manual_seed(config.seed)

    def normal(parameter: Tensor, std: float) -> None:
        parameter.copy_(torch.empty(parameter.shape).normal_(0, std, generator=generator))

    for name, parameter in model.named_parameters():
        kind, lr_scale = role(name, parameter, config)
        if name.endswith("gains"):
            parameter.fill_((2 * config.n_layers * config.loops) ** -0.5)
        elif name == "halt.bias":
            parameter.zero_()
        elif name.endswith("conv.taps"):
            parameter.zero_()[:, 0] = 1
        elif name == "shared.qkvo":
            # So that the product with a layer's factor has variance 1/d_model.
            normal(parameter, config.d_model**-0.5)
        elif name.endswith("temperature"):
            parameter.fill_(math.sqrt(config.d_model))
        elif name.endswith("mixer.position_bias"):
            # AFT starts without biases; those made as products start small, since from 0 they would never move.
            parameter.zero_()
        elif name.endswith(("mixer.log_rate", "mixer.memory_bias")):
            parameter.zero_()
        elif name.endswith("mixer.decay_bias"):
            # A delta memory's heads forget at rates from 0.001 to 0.1 per token, the range of arXiv 2412.06464.
            parameter.copy_(torch.logspace(-3, -1, parameter.shape[0], dtype=torch.float64).expm1().log())
        elif kind == "embedding":
            normal(parameter, 0.5 * config.d_model**-0.5)
        elif name.endswith("w_transform"):
            normal(parameter, config.d_model**-0.5)
        else:
            normal(parameter, lr_scale * parameter.shape[-1] ** -0.5)
