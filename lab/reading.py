"""The part of a probe that says who reads whom: each layer's maps, made on demand by the layer's own mixer."""

from functools import cached_property
from typing import Any

import numpy as np
import torch

from lab.archive import ProbeError
from lab.turnout import mixed
from strawberry.config import Config
from strawberry.mixers import MIXERS, TokenMixer

# Names that say more than a mixer's own; any other mixer is called what the registry calls it.
SHOWN = {
    "aft": "AFT", "aft-full": "AFT-full", "aft-local": "AFT-local", "aft-conv": "AFT-conv",
    "softmax": "softmax attention", "window": "window attention", "abundance": "Expert Abundance",
    "cross": "attention to the one memory", "gated-retention": "gated retention", "linear": "linear attention",
    "delta": "gated delta rule", "infini": "Infini-attention",
}  # fmt: skip


CELLS = 1 << 22  # weights that are worked on at once
KEPT = 4  # maps of (T, T) that one probe keeps


class Reading:
    """The maps of a :class:`lab.probe.Probe`, by layer, loop and head or channel, all counted from 0."""

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def config(self) -> dict[str, Any]:
        """The model's config as a dict."""
        return self.meta["config"]

    @property
    def tokens(self) -> int:
        """T, the number of tokens."""
        return len(self.meta["pieces"])

    @property
    def layers(self) -> int:
        """Number of layers."""
        return self.config["n_layers"]

    @property
    def mixers(self) -> list[str]:
        """Mixer name per layer, such as "aft" or "softmax", as the registry of mixers has it."""
        return self.meta["mixers"]

    def mixer_name(self, layer: int) -> str:
        """What mixes tokens in this layer, in words."""
        return SHOWN.get(self.mixers[layer], self.mixers[layer])

    def map_axis(self, layer: int) -> str:
        """What `map` counts in this layer: "head", or "channel" for AFT."""
        return self._mixer(layer).map_axis

    def averages(self, layer: int) -> bool:
        """Whether this layer's maps are averages: rows ≥ 0 that sum to 1; otherwise weights have either sign."""
        return self._mixer(layer).averages

    def map_count(self, layer: int) -> int:
        """Heads or channels that `map` can show in this layer."""
        return self.config["d_qkv" if self.map_axis(layer) == "channel" else "n_heads"]

    def map_sample(self, layer: int, most: int = 16) -> list[int]:
        """All heads or channels, or `most` of them spread evenly over the layer's."""
        count = self.map_count(layer)
        return sorted({int(index) for index in np.linspace(0, count - 1, min(count, most))})

    def map_name(self, layer: int, index: int | None = None) -> str:
        """What `map(layer, loop, index)` shows, in words; None is the mean over all heads or channels."""
        axis, mixer = self.map_axis(layer), self.mixer_name(layer)
        if index is None:
            return f"{mixer}, mean of {self.map_count(layer)} {axis}s"
        if self.mixers[layer] != "abundance":
            return f"{mixer}, {axis} {index}"
        windows = self.config["windows"]
        expert = index * len(windows) // self.map_count(layer)
        window = f"last {windows[expert]} tokens" if windows[expert] else "all tokens before"
        return f"{mixer}, head {index} (expert {expert}), reads {window}"

    def map(self, layer: int, loop: int, index: int | None = None) -> np.ndarray:
        """(T, T) float32, row t: the weight of each token s ≤ t in output t, zero above the diagonal.

        Rows sum to 1 where the layer `averages`; elsewhere weights have either sign and any size. `index` is a head or
        a channel; None is the mean over all of them. Made on demand, by the mixer itself, from queries, keys and the
        mixer's signals, kept in half precision.
        """
        place = layer % self.layers, loop, index
        made = self._kept_maps.get(place)
        if made is None:
            made = self._kept_maps[place] = self._map(layer, loop, index)
            made.flags.writeable = False
            for old in list(self._kept_maps)[:-KEPT]:
                self._kept_maps.pop(old, None)
        return made

    @cached_property
    def _kept_maps(self) -> dict[tuple[int, int, int | None], np.ndarray]:
        """The newest maps, since one page shows the same one in several ways."""
        return {}

    def _map(self, layer: int, loop: int, index: int | None) -> np.ndarray:
        indices = range(self.map_count(layer)) if index is None else [index]
        if index is not None and not 0 <= index < self.map_count(layer):
            axis = self.map_axis(layer)
            raise ProbeError(f"there is no {axis} {index}; layer {layer} has {axis}s 0 to {self.map_count(layer) - 1}")
        total = np.zeros((self.tokens, self.tokens), dtype=np.float32)
        # A block at a time: all channels at once would be hundreds of MB, and far from any cache.
        block = max(1, min(32, CELLS // self.tokens**2))
        for start in range(0, len(indices), block):
            total += self.maps(layer, loop, list(indices[start : start + block])).sum(0)
        return total / len(indices)

    def maps(self, layer: int, loop: int, indices: list[int]) -> np.ndarray:
        """(len(indices), T, T) float32: several heads' or channels' maps, as `map` gives them one by one."""
        layer %= self.layers
        mixer = self._mixer(layer)(Config.from_dict(self.config))
        k = torch.from_numpy(self.arrays[f"k.{layer}"][[loop]]).float()
        q = torch.from_numpy(self.arrays[f"q.{layer}"][[loop]]).float() if f"q.{layer}" in self.arrays else k
        told = {
            name: torch.from_numpy(self.arrays[f"told.{name}.{layer}"][[loop]]).float() for name in mixer.signal_names
        }
        with torch.inference_mode():
            depth, shared = self.arrays.get("lens.depth"), self.config.get("depth_cache") == "first" and loop > 0
            return mixed(mixer, q, k, told, None if depth is None else depth > loop, shared, indices)[0].numpy()

    def reconstruction(self, layer: int, loop: int) -> tuple[float, float]:
        """(largest absolute, relative RMS) difference of map·v from the mixer's own output, in full precision.

        Measured when the probe was taken, over all heads, or over 8 channels spread evenly over the layer's.
        """
        largest, relative = self.arrays[f"reconstruction.{layer % self.layers}"][loop]
        return float(largest), float(relative)

    def _mixer(self, layer: int) -> type[TokenMixer]:
        name = self.mixers[layer]
        if name not in MIXERS:
            raise ProbeError(f"layer {layer} mixes by {name!r}, which is not registered here: {', '.join(MIXERS)} are")
        return MIXERS[name]
