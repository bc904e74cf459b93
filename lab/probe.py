"""A Probe is one bundle of arrays that holds all that the views need of one model reading one text."""

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lab.measure import maps
from strawberry.errors import StrawberryError

FORMAT = 1
PROJECTIONS = ("qkv", "swiglu", "out")
MEASURES = ("rms", "change", "cosine_base", "cosine_previous", "effective_rank", "input_share")
ROUTERS = ("attention", "swiglu", "ffn")
SIDES = ("current", "transformed")


class ProbeError(StrawberryError):
    """A probe cannot be taken, read, or has not what was asked of it."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """What one model did with one text: weights over loops, routing, maps, predictions. Made by `lab.probe`.

    `meta` is JSON-able; `arrays` maps a key to a numpy array. Read them through the properties and methods below:
    layers, loops, heads and channels count from 0; a *frame* is a state of the made weights, frame 0 being
    (base, generated) and frame r the weights after r update steps, so there are `loops + 1` frames and pass r
    (loop index r) runs on one of them. Negative chunk numbers count from the end. Nothing here needs the model.
    """

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]

    # -- what was looked at -------------------------------------------------------------------------------------
    @property
    def family(self) -> str:
        """Family name, such as "strawberry"."""
        return self.meta["family"]

    @property
    def config(self) -> dict[str, Any]:
        """The model's config as a dict."""
        return self.meta["config"]

    @property
    def step(self) -> int | None:
        """Training step, or None when the caller gave none."""
        return self.meta["step"]

    @property
    def run(self) -> str | None:
        """Run name, or None when the caller gave none."""
        return self.meta["run"]

    @property
    def seed(self) -> int | None:
        """Seed of the model's config."""
        return self.meta["seed"]

    @property
    def text(self) -> str:
        """The text that was read, cut to the tokens that were used."""
        return self.meta["text"]

    @property
    def pieces(self) -> list[str]:
        """One printable string per token."""
        return self.meta["pieces"]

    @property
    def ids(self) -> np.ndarray:
        """(T,) int32 token ids."""
        return self.arrays["ids"]

    @property
    def tokens(self) -> int:
        """T, the number of tokens."""
        return len(self.meta["pieces"])

    @property
    def loops(self) -> int:
        """R, passes over the layers."""
        return self.meta["loops"]

    @property
    def layers(self) -> int:
        """Number of layers."""
        return self.meta["layers"]

    @property
    def mixers(self) -> list[str]:
        """Mixer name per layer: "aft", "abundance" or "softmax"."""
        return self.meta["mixers"]

    @property
    def label(self) -> str:
        """One line that says which run, step and seed this is, for titles and exports."""
        parts = [self.run or self.family]
        if self.step is not None:
            parts.append(f"step {self.step}")
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        return " · ".join(parts)

    # -- the made weights ---------------------------------------------------------------------------------------
    @property
    def projections(self) -> tuple[str, ...]:
        """("qkv", "swiglu", "out"), or () for a family whose weights are plainly learned."""
        return tuple(self.meta["projections"])

    @property
    def frames(self) -> int:
        """loops + 1, or 0 without made weights."""
        return self.meta["frames"]

    @property
    def chunks(self) -> int:
        """J, the number of weight sets that the text used (1 for static and batch pooling)."""
        return self.meta["chunks"]

    @property
    def chunk(self) -> int | None:
        """Tokens per weight set, or None when one set serves all tokens."""
        return self.meta["chunk"]

    @property
    def kept_chunks(self) -> list[int]:
        """Chunks whose pictures and spectra were kept (first, a middle one, last); measures exist for all."""
        return self.meta["kept_chunks"]

    def picture(
        self, layer: int, projection: str, frame: int, *, which: str = "current", chunk: int = -1
    ) -> np.ndarray:
        """(rows, cols) float32: exact entries on a regular grid of rows and columns, to 1/127 of the largest.

        `picture_grid(projection)` names the rows and columns; `chunk` must be a kept one.
        """
        raise NotImplementedError

    def picture_grid(self, projection: str) -> tuple[np.ndarray, np.ndarray]:
        """Row and column numbers of the full matrix that `picture` shows."""
        raise NotImplementedError

    def shape(self, projection: str) -> tuple[int, int]:
        """(rows = outputs, columns = fan-in) of the full matrix."""
        raise NotImplementedError

    def measure(self, name: str, layer: int, projection: str, *, which: str = "current") -> np.ndarray:
        """(frames, chunks) float32 of one of MEASURES, from full-precision weights; NaN where undefined.

        rms: root mean square · change: RMS(w_frame − base) / RMS(base) · cosine_base, cosine_previous: of the
        flattened matrices, with the base and with the same side's frame before · effective_rank: exp of the entropy
        of the normalised singular values (kept chunks only) · input_share: RMS(w − w of chunk 0) / RMS(w), chunk 0
        being made from the learned prior alone; 0 for static weights and NaN for batch pooling.
        """
        raise NotImplementedError

    def spectrum(self, layer: int, projection: str, *, which: str = "current", chunk: int = -1) -> np.ndarray:
        """(frames, min(rows, cols)) float32 singular values, largest first; `chunk` must be a kept one."""
        raise NotImplementedError

    # -- routing ------------------------------------------------------------------------------------------------
    @property
    def routers(self) -> list[tuple[int, str]]:
        """(layer, kind) of every router, kind being "attention", "swiglu" or "ffn"."""
        return [(layer, kind) for layer, kind in self.meta["routers"]]

    def gates(self, layer: int, loop: int, kind: str) -> np.ndarray:
        """(T, E) float32 gate per token and expert: 0 where not chosen, rows sum to 1 (to half precision)."""
        raise NotImplementedError

    def probs(self, layer: int, loop: int, kind: str) -> np.ndarray:
        """(T, E) float32 router probabilities before the choice."""
        raise NotImplementedError

    def expert_names(self, layer: int, kind: str) -> list[str]:
        """One name per expert; attention experts carry their window."""
        raise NotImplementedError

    # -- maps ---------------------------------------------------------------------------------------------------
    def map_axis(self, layer: int) -> str:
        """ "head" for softmax and abundance, "channel" for AFT."""
        raise NotImplementedError

    def map_count(self, layer: int) -> int:
        """Heads or channels that `map` can show in this layer."""
        raise NotImplementedError

    def map_name(self, layer: int, index: int | None = None) -> str:
        """What `map(layer, loop, index)` shows, in words; None is the mean over all heads or channels."""
        raise NotImplementedError

    def map(self, layer: int, loop: int, index: int | None = None) -> np.ndarray:
        """(T, T) float32, row t: the weight of each token s ≤ t in output t; rows sum to 1, zero above the diagonal.

        `index` is a head or a channel; None is the mean over all of them. Computed on demand from stored q and k.
        """
        raise NotImplementedError

    def reconstruction(self, layer: int, loop: int) -> tuple[float, float]:
        """(largest absolute, relative RMS) difference of map·v from the mixer's own output, full precision."""
        raise NotImplementedError

    # -- predictions --------------------------------------------------------------------------------------------
    @property
    def loss(self) -> np.ndarray:
        """(T−1,) float32 nats: loss[t] is for predicting token t+1 at position t."""
        return self.arrays["loss"]

    def predictions(self, position: int) -> list[tuple[str, float]]:
        """The five likeliest next tokens after `position`, as (piece, probability), likeliest first."""
        raise NotImplementedError

    # -- on disk ------------------------------------------------------------------------------------------------
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one .npz, whole or not at all (temporary file, then rename); returns its path."""
        raise NotImplementedError

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Probe":
        """Read what `save` wrote; ProbeError names a file that is missing, damaged or of another format."""
        raise NotImplementedError


def probe(
    model: Any, tokenizer: Any, text: str, *, step: int | None = None, run: str | None = None, max_tokens: int = 256
) -> Probe:
    """Run `model` once over the first `max_tokens` tokens of `text` and keep what the views need.

    Reads one row under `Trace` and inference mode; the model's train/eval state and torch's random state are as
    before afterwards. Raises ProbeError for a text of fewer than two tokens.
    """
    raise NotImplementedError
