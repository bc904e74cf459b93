"""A Probe is one bundle of arrays that holds all that the views need of one model reading one text."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab import archive, gather
from lab.archive import ProbeError
from lab.reading import Reading

PROJECTIONS = gather.PROJECTIONS
MEASURES = gather.MEASURES


@dataclasses.dataclass(frozen=True)
class Probe(Reading):
    """What one model did with one text: weights over loops, routing, maps, predictions. Made by `lab.probe`.

    `meta` is JSON-able; `arrays` maps a key to a numpy array. Read them through the properties and methods below:
    layers, loops, heads and channels count from 0. A *frame* is a state of the made weights: frame 0 is
    (base, generated) and frame r the weights after r update steps, on which pass r (loop index r - 1) ran. Negative
    numbers of layers, loops, frames and chunks count from the end. Nothing here needs the model.
    """

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def family(self) -> str:
        """Family name, such as "strawberry"."""
        return self.meta["config"]["family"]

    @property
    def step(self) -> int | None:
        """Training step, or None when the caller gave none."""
        return self.meta["step"]

    @property
    def run(self) -> str | None:
        """Run name, or None when the caller gave none."""
        return self.meta["run"]

    @property
    def seed(self) -> int:
        """Seed of the model's config."""
        return self.meta["config"]["seed"]

    @property
    def text(self) -> str:
        """The text that was read, cut to the tokens that were used."""
        return self.meta["text"]

    @property
    def asked(self) -> str:
        """The text that a person asked for, whole; "" where the picture is of what the run shows by itself."""
        return self.meta.get("asked", "")

    @property
    def pieces(self) -> list[str]:
        """One printable string per token."""
        return self.meta["pieces"]

    @property
    def ids(self) -> np.ndarray:
        """(T,) int32 token ids."""
        return self.arrays["ids"]

    @property
    def loops(self) -> int:
        """R, passes over the layers."""
        return self.meta["config"]["loops"]

    @property
    def label(self) -> str:
        """One line that says which run, step and seed this is, for titles and exports."""
        step = [] if self.step is None else [f"step {self.step}"]
        return " · ".join([self.run or self.family, *step, f"seed {self.seed}"])

    @property
    def projections(self) -> tuple[str, ...]:
        """("qkv", "swiglu", "out"), or () for a family whose weights are plainly learned."""
        return tuple(self.meta["shapes"])

    @property
    def frames(self) -> int:
        """loops + 1, or 0 without made weights."""
        return self.loops + 1 if self.projections else 0

    @property
    def chunks(self) -> int:
        """J, the number of weight sets that the text used (1 for static and batch pooling, 0 without made weights)."""
        return self.meta["chunks"]

    @property
    def chunk(self) -> int | None:
        """Tokens per weight set, or None when one set serves all tokens."""
        return self.meta["chunk"]

    @property
    def kept_chunks(self) -> list[int]:
        """Chunks whose pictures and spectra were kept (first, a middle one, last); measures exist for all."""
        return self.meta["kept_chunks"]

    def shape(self, projection: str) -> tuple[int, int]:
        """(rows = outputs, columns = fan-in) of the full matrix."""
        rows, columns = self.meta["shapes"][projection]
        return rows, columns

    def picture(
        self, layer: int, projection: str, frame: int, *, which: str = "current", chunk: int = -1
    ) -> np.ndarray:
        """(rows, cols) float32: exact entries on a regular grid of rows and columns, to 1/254 of the largest.

        `picture_grid(projection)` names the rows and columns; `chunk` must be a kept one.
        """
        name = self._made(layer, projection)
        number = self.arrays[f"picture_index.{name}"][gather.SIDES.index(which), frame]
        place = number, self._kept(chunk)
        return self.arrays[f"pictures.{name}"][place] * self.arrays[f"picture_scales.{name}"][place]

    def picture_grid(self, projection: str) -> tuple[np.ndarray, np.ndarray]:
        """Row and column numbers of the full matrix that `picture` shows."""
        rows, columns = self.shape(projection)
        return gather.grid(rows), gather.grid(columns)

    def measure(self, name: str, layer: int, projection: str, *, which: str = "current") -> np.ndarray:
        """(frames, chunks) float32 of one of MEASURES, from full-precision weights; NaN where undefined.

        rms: root mean square · change: RMS(w_frame − base) / RMS(base) · cosine_base, cosine_previous: of the
        flattened matrices, with the base and with the same side's frame before · effective_rank: exp of the entropy
        of the normalised singular values (kept chunks only) · input_share: RMS(w − w of chunk 0) / RMS(w), chunk 0
        being made from the learned prior alone; with linear and delta pooling RMS(w − w of an empty memory) / RMS(w);
        0 for static weights and NaN for batch pooling · spread: RMS(w − mean of chunks 1, 2, …) / RMS(w), how far the
        text's parts disagree.
        """
        if name not in MEASURES:
            raise ProbeError(f"there is no measure {name!r}; the measures are {', '.join(MEASURES)}")
        values = self.arrays[f"measures.{self._made(layer, projection)}"]
        return values[MEASURES.index(name), gather.SIDES.index(which)]

    def spectrum(self, layer: int, projection: str, *, which: str = "current", chunk: int = -1) -> np.ndarray:
        """(frames, min(rows, cols)) float32 singular values, largest first; `chunk` must be a kept one."""
        values = self.arrays[f"spectra.{self._made(layer, projection)}"]
        return values[gather.SIDES.index(which), :, self._kept(chunk)]

    @property
    def routers(self) -> list[tuple[int, str]]:
        """(layer, kind) of every router, kind being "attention", "swiglu" (the made mini-SwiGLU's) or "ffn"."""
        return [(layer, kind) for layer, kind in self.meta["routers"]]

    def gates(self, layer: int, loop: int, kind: str) -> np.ndarray:
        """(T, E) float32 gate per token and expert, half precision: 0 where not chosen, else summing to 1 per token.

        A router that chooses one expert has its probability as the gate.
        """
        return self._routed("gates", layer, kind)[loop].astype(np.float32)

    def probs(self, layer: int, loop: int, kind: str) -> np.ndarray:
        """(T, E) float32 router probabilities before the choice, half precision."""
        return self._routed("probs", layer, kind)[loop].astype(np.float32)

    def expert_names(self, layer: int, kind: str) -> list[str]:
        """One name per expert; attention experts carry their window."""
        count = self._routed("gates", layer, kind).shape[-1]
        if kind != "attention":
            return [f"E{expert}" for expert in range(count)]
        return [f"E{e} · {f'last {w}' if w else 'all'}" for e, w in enumerate(self.config["windows"])]

    @property
    def lens_passes(self) -> int:
        """Passes that the lens looked at: those trained, and where the model can, as many again."""
        return len(self.arrays["lens.loss"])

    def lens(self, name: str) -> np.ndarray:
        """What the model would say after each pass P; see :func:`lab.measure.lens.lens`.

        loss (P, T−1) and entropy (P, T) in nats, top (P, T) likeliest next ids, top_probability (P, T), moved (P, T).
        """
        return self.arrays[f"lens.{name}"]

    @property
    def top_after_each(self) -> list[list[str]]:
        """The likeliest next token after each pass, (P, T) printable strings."""
        return self.meta["lens_pieces"]

    @property
    def confidence(self) -> np.ndarray | None:
        """(P, T) of the halting head after each pass; None for a model without one."""
        return self.arrays.get("lens.confidence")

    @property
    def depth(self) -> np.ndarray | None:
        """(T,) passes that a mixture of recursions gave each token; None for other models."""
        return self.arrays.get("lens.depth")

    @property
    def lens_unit(self) -> str:
        """What the lens counts: "pass" over the stack, or "layer" where each layer runs several times in a row."""
        return "layer" if self.config.get("sharing") == "sequence" else "pass"

    @property
    def loss(self) -> np.ndarray:
        """(T−1,) float32 nats: loss[t] is for predicting targets[t] at position t; NaN where nothing is asked."""
        return self.arrays["loss"]

    @property
    def targets(self) -> np.ndarray:
        """(T−1,) int32: what should follow, the next token of a text, the answer of a task; -100 where nobody asks."""
        return self.arrays.get("targets", self.ids[1:])

    @property
    def answers(self) -> list[str]:
        """One printable string per target."""
        return self.meta.get("answers", self.pieces[1:])

    @property
    def mean_loss(self) -> float:
        """Nats per target that is asked for; NaN where none is."""
        asked = self.loss[~np.isnan(self.loss)]
        return float(asked.mean()) if len(asked) else float("nan")

    def predictions(self, position: int) -> list[tuple[str, float]]:
        """The five likeliest next tokens after `position`, as (piece, probability), likeliest first."""
        probabilities = self.arrays["top.probabilities"][position].tolist()
        return list(zip(self.meta["top_pieces"][position], probabilities, strict=True))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one .npz, whole or not at all (temporary file, then rename); returns its path."""
        return archive.write(path, self.meta, self.arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Probe":
        """Read what `save` wrote; ProbeError names a file that is missing, damaged or of another format."""
        return cls(*archive.read(path))

    def _made(self, layer: int, projection: str) -> str:
        if projection not in self.projections:
            have = f"has {', '.join(self.projections)}" if self.projections else "makes no weights"
            raise ProbeError(f"there are no made weights {projection!r}; {self.family} {have}")
        return f"{projection}.{layer % self.layers}"

    def _kept(self, chunk: int) -> int:
        number = chunk + self.chunks if chunk < 0 else chunk
        if number not in self.kept_chunks:
            raise ProbeError(f"chunk {chunk} has measures but no picture; choose one of {self.kept_chunks}")
        return self.kept_chunks.index(number)

    def _routed(self, what: str, layer: int, kind: str) -> np.ndarray:
        name = f"{what}.{kind}.{layer % self.layers}"
        if name not in self.arrays:
            have = ", ".join(f"{kind} in layer {layer}" for layer, kind in self.routers) or "none"
            raise ProbeError(f"layer {layer} has no {kind} router; the routers are: {have}")
        return self.arrays[name]


def probe(
    model: Any,
    tokenizer: Any,
    text: str,
    *,
    step: int | None = None,
    run: str | None = None,
    max_tokens: int = 256,
    answers: Callable[[Sequence[int]], np.ndarray] | None = None,
) -> Probe:
    """Run `model` once over the first `max_tokens` tokens of `text` and keep what the views need.

    `answers` gives the target after each token where that is not the next one, as `strawberry.data.Dataset.answers`.

    Reads one row under `Trace` and inference mode; the model's train/eval state and torch's random state are as
    before afterwards. Raises ProbeError for a text of fewer than two tokens.
    """
    ids = list(tokenizer.encode(text))[:max_tokens]
    if len(ids) < 2:
        raise ProbeError(f"the text has {len(ids)} token{'s' * (len(ids) != 1)}; give at least two")
    targets = ids[1:] if answers is None else answers(ids)[:-1].tolist()
    return Probe(*gather.collect(model, tokenizer, ids, targets, step=step, run=run))
