"""Who takes part in a pass: in a mixture of recursions only some tokens do, and pictures are of all of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from strawberry.config import Config
from strawberry.mixers import TokenMixer


def placed(heard: Mapping[str, list[Tensor]], depth: np.ndarray | None, config: Config) -> Mapping[str, list[Tensor]]:
    """What each pass's taps carried, every token in its place; 0 for tokens that did not take part in the pass.

    A layer that runs once, where others run several times, shows the same in each pass.
    """
    if depth is None:
        runs = {path: config.loops + (".w_" in path) for path in heard if path.startswith("layers.")}
        return {path: calls + calls[-1:] * (runs.get(path, 0) - len(calls)) for path, calls in heard.items()}
    whole = {}
    for path, calls in heard.items():
        if not path.startswith("layers."):
            whole[path] = calls
            continue
        whole[path] = []
        for step in range(config.loops):
            here = torch.from_numpy(np.flatnonzero(depth > step))
            like = calls[min(step, len(calls) - 1)]
            row = like.new_zeros(like.shape[0], len(depth), *like.shape[2:])
            if len(here):
                # Keys that are shared from the first pass are those of all tokens.
                row = like if like.shape[1] == len(depth) else row.index_copy(1, here.to(like.device), like)
            whole[path].append(row)
    return whole


def mixed(
    mixer: TokenMixer,
    q: Tensor,
    k: Tensor,
    told: Mapping[str, Tensor],
    takes_part: np.ndarray | None,
    shared: bool,
    channels: Sequence[int] | None,
) -> Tensor:
    """The maps (1, maps, T, T) of one pass (1, T, H, d), in which only some tokens may have taken part.

    Their rows are those of the mixer; the other tokens' rows are 0, and their columns too unless keys are ``shared``.
    """
    if takes_part is None or takes_part.all():
        return mixer.map(q, k, told, channels)
    here = torch.from_numpy(np.flatnonzero(takes_part))
    if shared:
        maps = mixer.map(q, k, told, channels)
        return maps * torch.from_numpy(takes_part)[:, None]
    few = mixer.map(q[:, here], k[:, here], {name: value[:, here] for name, value in told.items()}, channels)
    maps = few.new_zeros(*few.shape[:2], len(takes_part), len(takes_part))
    maps[:, :, here[:, None], here] = few
    return maps
