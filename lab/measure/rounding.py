"""Numbers about rounded weights: what each becomes, where one level ends, and how many there are of each."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from strawberry.bitlinear import sign, ternary


@dataclass(frozen=True)
class Levels:
    """One matrix as it is kept and as it multiplies.

    whole: (rows, columns) int8, −1, 0 or 1. sizes: (rows, columns) float32, the weights in units of their mean size.
    edges: where, in those units, one level ends and the next begins.
    """

    whole: np.ndarray
    sizes: np.ndarray
    edges: tuple[float, ...]

    @property
    def shares(self) -> dict[int, float]:
        """The share of the weights on each level, from the lowest up."""
        names = range(-1, 2, 3 - len(self.edges))
        return {level: float((self.whole == level).mean()) for level in names}


def levels(weight: Tensor, rounding: str) -> Levels:
    """What ``rounding`` ("ternary" or "sign") makes of a matrix (rows, columns)."""
    weight = weight.detach().float().cpu()
    with torch.no_grad():
        whole, scale = (ternary if rounding == "ternary" else sign)(weight)
    edges = (-0.5, 0.5) if rounding == "ternary" else (float(weight.mean() * scale),)
    return Levels(whole.to(torch.int8).numpy(), (weight * scale).numpy(), edges)


def rounded(model: Any) -> dict[str, Tensor]:
    """The matrices (rows, columns) that a model rounds where they multiply, by name; of experts each by its number.

    None where ``model.config.rounding`` is "none".
    """
    if model.config.rounding == "none":
        return {}
    found: dict[str, Tensor] = {}
    for name, weight, kind, _ in model.parameter_roles():
        if kind != "matrix":
            continue
        whole = weight.detach().reshape(-1, *weight.shape[-2:])
        found |= {name: whole[0]} if weight.dim() == 2 else {f"{name}[{place}]": one for place, one in enumerate(whole)}
    return found
