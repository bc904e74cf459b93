"""Runs a model once over a text and reduces what its taps carried to the arrays that a Probe holds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from lab.measure import maps, weights
from lab.measure.lens import lens, loss_of
from lab.turnout import mixed, placed
from strawberry.tap import Trace, taps

PICTURE = 64
CHECKED_MAPS = 8
ROUTERS = {"attention": "mixer.router", "swiglu": "swiglu_router", "ffn": "feedforward.router"}
PROJECTIONS = ("qkv", "swiglu", "out")
SIDES = ("current", "transformed")
# Poolings whose weights are the base and a memory of the text, empty before the first token.
READ = ("linear", "delta")
MEASURES = ("rms", "change", "cosine_base", "cosine_previous", "effective_rank", "input_share", "spread")

Arrays = dict[str, np.ndarray]
Frames = Sequence[Tensor]


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread while this lasts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def idle_threads() -> Iterator[None]:
    """Let torch use the processors that nobody else uses at the moment, while this lasts.

    Threads spin while they wait for one another: one more than there are idle processors would cost several times what
    it brings.
    """
    idle = (psutil.cpu_count() or 1) * (1 - psutil.cpu_percent(0.1) / 100)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, round(idle)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# Many small matrices: threads cost more here than they bring, and very much more on a machine that is busy.
@one_thread()
def collect(
    model: Any, tokenizer: Any, ids: Sequence[int], targets: Sequence[int], *, step: int | None, run: str | None
) -> tuple[dict[str, Any], Arrays]:
    """The (meta, arrays) of a Probe: one forward pass over one row of ids; targets (T−1,) as for a loss."""
    config = model.config
    logits, heard = watch(model, ids)
    arrays = predictions(logits, ids, targets)
    made, chunks = shapes(heard)
    kept = sorted({0, chunks // 2, chunks - 1}) if chunks else []
    arrays |= {f"lens.{name}": value for name, value in seen_through(model, ids, targets).items()}
    heard = placed(heard, arrays.get("lens.depth"), config)
    for layer in range(config.n_layers):
        arrays |= mixing(model, heard, layer, arrays.get("lens.depth")) | routing(heard, layer)
        for projection in made:
            arrays |= made_weights(heard, layer, projection, kept, config.pooling)
    meta = {
        "config": config.to_dict(),
        "step": step,
        "run": run,
        "text": tokenizer.decode(ids),
        "pieces": tokenizer.pieces(ids),
        "answers": ["–" if target < 0 else tokenizer.pieces([target])[0] for target in targets],
        "mixers": list(config.mixers),
        "shapes": made,
        "chunks": chunks,
        "chunk": config.chunk if config.weights == "retention" and config.pooling in ("prefix", *READ) else None,
        "kept_chunks": kept,
        "routers": routers(arrays),
        "lens_pieces": [tokenizer.pieces(row) for row in arrays["lens.top"].tolist()],
        "top_pieces": [tokenizer.pieces(row) for row in arrays["top.ids"].tolist()],
    }
    return meta, arrays


def watch(model: Any, ids: Sequence[int]) -> tuple[Tensor, Mapping[str, list[Tensor]]]:
    """Logits (T, V) of one row, and what the taps that a probe reads carried; the model is left as it was."""
    wanted = ("*.w_current.*", "*.w_transformed.*", "*.probs", "*.gates", "*.q", "*.k", "*.v", "*.context", "*.told.*")
    heard = [path for path in taps(model) if any(fnmatchcase(path, pattern) for pattern in wanted)]
    device = next(model.parameters()).device
    training = model.training
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.inference_mode(), Trace.of(model, heard) as trace:
        try:
            logits = model.eval()(torch.tensor([list(ids)], device=device))
        finally:
            model.train(training)
    return logits[0].float(), dict(trace)


def seen_through(model: Any, ids: Sequence[int], targets: Sequence[int]) -> Arrays:
    """The lens on one row of ids; the model is left as it was."""
    training, device = model.training, next(model.parameters()).device
    try:
        wanted = torch.tensor(list(targets), device=device)
        return lens(model.eval(), torch.tensor([list(ids)], device=device), targets=wanted)
    finally:
        model.train(training)


def predictions(logits: Tensor, ids: Sequence[int], targets: Sequence[int]) -> Arrays:
    """Loss of each target in nats, NaN where it is -100, and the five likeliest next tokens, from (T, V) logits."""
    log_probabilities = logits.log_softmax(-1)
    target = torch.tensor(list(targets), device=logits.device)
    top = log_probabilities.topk(min(5, logits.shape[-1]))
    return {
        "ids": np.asarray(ids, dtype=np.int32),
        "targets": np.asarray(targets, dtype=np.int32),
        "loss": loss_of(log_probabilities[:-1], target).cpu().numpy(),
        "top.ids": top.indices.int().cpu().numpy(),
        "top.probabilities": top.values.exp().cpu().numpy(),
    }


def routing(heard: Mapping[str, list[Tensor]], layer: int) -> Arrays:
    """gates.{kind}.{layer} and probs.{kind}.{layer}, each (loops, T, E) half precision, of the routers there are."""
    arrays = {}
    for kind, path in ROUTERS.items():
        for what in ("gates", "probs"):
            calls = heard.get(f"layers.{layer}.{path}.{what}")
            if calls:
                arrays[f"{what}.{kind}.{layer}"] = torch.cat(calls).half().cpu().numpy()
    return arrays


def routers(arrays: Arrays) -> list[list[Any]]:
    """[layer, kind] of every router whose gates were kept, in order of the layers."""
    keys = (key.split(".") for key in arrays if key.startswith("gates."))
    return [[layer, kind] for layer, kind in sorted((int(layer), kind) for _, kind, layer in keys)]


def mixing(model: Any, heard: Mapping[str, list[Tensor]], layer: int, depth: np.ndarray | None) -> Arrays:
    """q, k and what else the map is made of, a pass at a time, in half precision; how well maps rebuild the output.

    The check is made here, in full precision, for all heads or for CHECKED_MAPS channels spread over the layer's.
    """
    mixer, shared = model.layers[layer].mixer, model.config.depth_cache == "first"
    q, k, v, context = (torch.cat(heard[f"layers.{layer}.{name}"]).float() for name in ("q", "k", "v", "mixer.context"))
    told = {name: torch.cat(heard[f"layers.{layer}.mixer.told.{name}"]).float() for name in mixer.signal_names}
    chosen, rebuilt_from = None, context
    if mixer.map_axis == "channel":
        count = context.shape[-1] * context.shape[-2]
        chosen = sorted({int(channel) for channel in np.linspace(0, count - 1, CHECKED_MAPS)})
        rebuilt_from = context.flatten(2)[:, :, chosen]
    errors = []
    with torch.inference_mode():
        for step in range(len(q)):
            one = slice(step, step + 1)
            part = None if depth is None else depth > step
            parts = {name: value[one] for name, value in told.items()}
            rebuilt = mixer.mix(mixed(mixer, q[one], k[one], parts, part, shared and step > 0, chosen), v[one], chosen)
            errors.append(maps.reconstruction_error(rebuilt[0].cpu().numpy(), rebuilt_from[step].cpu().numpy()))
    arrays = {
        f"reconstruction.{layer}": np.array(errors, dtype=np.float32),
        f"k.{layer}": k.half().cpu().numpy(),
    }
    if mixer.map_axis != "channel":
        arrays[f"q.{layer}"] = q.half().cpu().numpy()
    return arrays | {f"told.{name}.{layer}": value.half().cpu().numpy() for name, value in told.items()}


def shapes(heard: Mapping[str, list[Tensor]]) -> tuple[dict[str, list[int]], int]:
    """(rows, columns) of each projection whose weights are made, and the number of chunk sets; ({}, 0) without any."""
    frames = {name: heard.get(f"layers.0.retention.w_transformed.{name}", [])[:1] for name in PROJECTIONS}
    found = {name: list(frame[0].shape[-2:]) for name, frame in frames.items() if frame}
    return found, frames["qkv"][0].shape[1] if found else 0


def grid(size: int) -> np.ndarray:
    """Up to PICTURE row (or column) numbers, evenly spread over `size`."""
    return np.unique(np.linspace(0, size - 1, min(size, PICTURE)).round().astype(np.int32))


def made_weights(
    heard: Mapping[str, list[Tensor]], layer: int, projection: str, kept: Sequence[int], pooling: str
) -> Arrays:
    """Measures (all chunks), spectra and pictures (kept chunks) of one layer's wC and wT over the frames."""
    # The transformed frame r is the current frame r - 1, so each distinct matrix is measured once and shared by index.
    distinct: list[Tensor] = []
    index = [
        [_place(_sets(frame), distinct) for frame in heard[f"layers.{layer}.retention.w_{side}.{projection}"]]
        for side in SIDES
    ]
    chosen = [list(kept) if len(sets) > 1 else [0] * len(kept) for sets in distinct]
    spectra = [_each(weights.spectrum, sets, chunks).cpu() for sets, chunks in zip(distinct, chosen, strict=True)]
    drawn = [_each(_picture, sets, chunks) for sets, chunks in zip(distinct, chosen, strict=True)]
    scales = [picture.abs().amax((-2, -1)).clamp(min=1e-30) / 127 for picture in drawn]
    codes = [
        (picture / scale[:, None, None]).round().to(torch.int8) for picture, scale in zip(drawn, scales, strict=True)
    ]

    chunks = max(len(sets) for sets in distinct)
    base = distinct[index[0][0]]
    values = np.full((len(MEASURES), len(SIDES), len(index[0]), chunks), np.nan, dtype=np.float32)
    for side, frames in enumerate(index):
        for r, number in enumerate(frames):
            sets, row = distinct[number], values[:, side, r]
            row[0] = weights.rms(sets).cpu()
            row[1] = weights.change(sets, base).cpu()
            row[2] = weights.cosine(sets, base).cpu()
            if r:
                row[3] = weights.cosine(sets, distinct[frames[r - 1]]).cpu()
            row[4, list(kept)] = weights.effective_rank(spectra[number])
            if pooling in READ:
                unread = base if SIDES[side] == "current" else torch.zeros_like(base)
                row[5] = (weights.rms(sets - unread) / weights.rms(sets)).cpu()
                row[6] = weights.spread(sets).cpu() if len(sets) > 1 else 0
            elif chunks == 1:
                # One set for a whole text that it may have read, which leaves nothing to compare with.
                row[5] = float("nan") if pooling == "batch" and sets is not base else 0
            elif len(sets) == 1:
                row[5:7] = 0
            else:
                row[5], row[6] = weights.input_share(sets).cpu(), weights.spread(sets).cpu()
    name = f"{projection}.{layer}"
    return {
        f"measures.{name}": values,
        f"spectra.{name}": np.stack([np.stack([spectra[i].float().numpy() for i in side]) for side in index]),
        f"pictures.{name}": np.stack([part.cpu().numpy() for part in codes]),
        f"picture_scales.{name}": np.stack([scale.cpu().numpy() for scale in scales]),
        f"picture_index.{name}": np.array(index, dtype=np.int16),
    }


def _sets(frame: Tensor) -> Tensor:
    """(1, J, rows, cols) -> (J, rows, cols), or (1, rows, cols) where one matrix was repeated for every chunk."""
    sets = frame[0].float()
    return sets[:1] if len(sets) > 1 and torch.equal(sets[:1].expand_as(sets), sets) else sets


def _place(sets: Tensor, distinct: list[Tensor]) -> int:
    for place, other in enumerate(distinct):
        if sets.shape == other.shape and torch.equal(sets, other):
            return place
    distinct.append(sets)
    return len(distinct) - 1


def _each(function: Callable[[Tensor], Tensor], sets: Tensor, chosen: Sequence[int]) -> Tensor:
    """`function` of the chosen sets, done once for those chosen twice."""
    once = sorted(set(chosen))
    return function(sets[once])[[once.index(chunk) for chunk in chosen]]


def _picture(sets: Tensor) -> Tensor:
    rows, columns = (torch.from_numpy(grid(size)).long().to(sets.device) for size in sets.shape[-2:])
    return sets[:, rows][:, :, columns]
