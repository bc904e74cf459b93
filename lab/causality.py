"""The leak meter: whether any output moves when a later token, or another row of the batch, changes."""

import copy
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import strawberry
from lab.gather import one_thread
from strawberry.config import Config
from strawberry.errors import StrawberryError
from strawberry.model import Strawberry
from strawberry.runs import Run

TOLERANCE = 1e-9
MOST_CUTS = 48
MOST_GRADIENTS = 16


@dataclass(frozen=True)
class Verdict:
    """What the leak meter found, in double precision.

    causal: nothing moved that must not. name: the model's family or preset. sentence: the finding in words.
    worst_earlier_change: largest change of a logit at t < p when tokens from p on changed. worst_other_row_change:
    largest change of a row's logits when the other rows were replaced or removed. autograd_ok: ∂logit_t/∂embedding_s
    is nought for all s > t that were tried. cuts: (n,) the first changed tokens p. map: (n, T) largest change of the
    logits at each position, for each cut. tolerance: changes up to this are rounding.
    """

    causal: bool
    name: str
    sentence: str
    worst_earlier_change: float
    worst_other_row_change: float
    autograd_ok: bool
    cuts: np.ndarray
    map: np.ndarray
    tolerance: float


def verdict(
    model: str | Config | Strawberry | Run, *, seq_len: int | None = None, batch: int = 2, seed: int = 0
) -> Verdict:
    """Judge a preset ("strawberry-nano"), a family ("strawberry-leaky"), a config, a model, or a run.

    A preset, family or config is judged by a copy of pico width with the same mechanisms, seconds at most; a model or a
    run as it is, on a copy in double precision. Every cut point is tried when `seq_len` is at most 48, otherwise 48
    of them, chunk boundaries first. Raises ConfigError for an unknown name, StrawberryError for too small a test.
    """
    if batch < 2:
        raise StrawberryError(f"batch must be at least 2 to see one row move another; got {batch}")
    if seq_len is not None and seq_len < 2:
        raise StrawberryError(f"seq_len must be at least 2 for a token to be later than another; got {seq_len}")
    name, subject = _subject(model)
    config: Config = subject.config
    if seq_len is None:
        seq_len = min(config.seq_len, max(16, 2 * config.chunk + config.chunk // 2))
    # Threads only cost on matrices of pico width; a model of the person's own may have use for them.
    with torch.random.fork_rng([]), one_thread() if isinstance(model, str | Config) else nullcontext():
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randint(config.vocab_size, (batch, seq_len), generator=generator)
        others = (tokens + torch.randint(1, config.vocab_size, tokens.shape, generator=generator)) % config.vocab_size
        cuts = _cuts(seq_len, config.chunk)
        changes, rows = _perturbed(subject, tokens, others, cuts)
        autograd = _autograd(subject, tokens, generator)
    earlier = np.where(np.arange(seq_len) < cuts[:, None], changes, 0.0)
    worst = float(earlier.max(initial=0.0))
    causal = bool(worst <= TOLERANCE and rows <= TOLERANCE and autograd <= TOLERANCE)
    sentence = _sentence(name, causal, worst, rows, autograd, int(cuts[earlier.max(1).argmax()]))
    return Verdict(causal, name, sentence, worst, rows, autograd <= TOLERANCE, cuts, changes, TOLERANCE)


def shrunk(config: Config) -> Config:
    """The same mechanisms at pico width: every choice is kept, only sizes fall, so that a verdict takes seconds."""
    heads = len(config.windows) if "abundance" in config.mixers else 2
    layers = len(config.mixer.split(","))
    least = 3 if config.sharing == "middle-cycle" else 2
    return config.replace(
        vocab_size=min(config.vocab_size, 64),
        seq_len=16,
        d_model=config.n_experts * max(4, -(-16 // config.n_experts)),
        d_qkv=4 * heads,
        n_heads=heads,
        # Sharing stays sharing, and a head each stays a head each.
        n_kv_heads=int(config.kv_heads < config.n_heads),
        n_layers=max(layers, min(config.n_layers, least)),
        loops=min(config.loops, 3),
        chunk=min(config.chunk, 6),
        window=min(config.window, 4),
        sinks=min(config.sinks, 2),
        segment=min(config.segment, 5),
        windows=tuple(min(window, 3 + index) for index, window in enumerate(config.windows)),
        d_ff=8,
        prior=min(config.prior, 4.0),
    )


def _subject(model: str | Config | Strawberry | Run) -> tuple[str, Any]:
    if isinstance(model, str):
        preset = model if model in strawberry.presets() else f"{model}-pico"
        # An unknown name is reported as it was given.
        config = strawberry.preset(preset if model in strawberry.families() else model)
        return model, strawberry.build(shrunk(config)).double().eval()
    if isinstance(model, Config):
        return model.family, strawberry.build(shrunk(model)).double().eval()
    if isinstance(model, Strawberry):
        return model.config.family, copy.deepcopy(model).cpu().double().eval()
    return model.name, model.model().cpu().double().eval()


def _cuts(seq_len: int, chunk: int) -> np.ndarray:
    """First changed tokens 1..T-1: all, or the chunk boundaries and their neighbours, the ends, and evenly more."""
    if seq_len <= MOST_CUTS:
        return np.arange(1, seq_len)
    near = [boundary + offset for boundary in range(chunk, seq_len, chunk) for offset in (0, -1, 1)]
    wanted = [seq_len - 1, 1, *near, *np.linspace(1, seq_len - 1, MOST_CUTS).astype(int).tolist()]
    inside = dict.fromkeys(cut for cut in wanted if 0 < cut < seq_len)
    return np.array(sorted(list(inside)[:MOST_CUTS]))


@torch.inference_mode()
def _perturbed(model: Strawberry, tokens: Tensor, others: Tensor, cuts: np.ndarray) -> tuple[np.ndarray, float]:
    """(cuts, T) largest change of row 0's logits when its later tokens change, and that when other rows do."""
    logits = model(tokens)
    changes = np.empty((len(cuts), tokens.shape[1]))
    for place, cut in enumerate(cuts):
        changed = tokens.clone()
        changed[0, cut:] = others[0, cut:]
        changes[place] = (model(changed)[0] - logits[0]).abs().amax(-1).numpy()
    replaced = torch.cat([tokens[:1], others[1:]])
    moved = [model(replaced)[0] - logits[0], model(tokens[:1])[0] - logits[0]]
    return changes, max(float(difference.abs().max()) for difference in moved)


def _autograd(model: Strawberry, tokens: Tensor, generator: torch.Generator) -> float:
    """Largest ∂(random sum of logit_t)/∂embedding_s over s > t and over other rows, at up to MOST_GRADIENTS t."""
    leaf: list[Tensor] = []

    def replace(value: Tensor, _: int) -> Tensor:
        leaf.append(value.detach().requires_grad_())
        return leaf[0]

    with torch.enable_grad(), strawberry.intervene(model, {"embedded": replace}):
        logits = model(tokens)
    direction = torch.randn(logits.shape[-1], generator=generator, dtype=logits.dtype)
    worst = 0.0
    for t in sorted({int(t) for t in np.linspace(0, tokens.shape[1] - 1, MOST_GRADIENTS)}):
        (gradient,) = torch.autograd.grad(logits[0, t] @ direction, leaf, retain_graph=True)
        forbidden = torch.cat([gradient[0, t + 1 :].flatten(), gradient[1:].flatten()])
        worst = max(worst, float(forbidden.abs().max()) if len(forbidden) else 0.0)
    return worst


def _sentence(name: str, causal: bool, worst: float, rows: float, autograd: float, cut: int) -> str:
    if causal:
        change = f"largest change {max(worst, rows):.1g}"
        return f"{name} is causal: no output moved when a later token or another row changed ({change})"
    found = []
    if worst > TOLERANCE:
        found.append(f"changing the tokens from {cut} on moved earlier logits by {worst:.2g}")
    if rows > TOLERANCE:
        found.append(f"changing another row moved this one by {rows:.2g}")
    if not found:
        found.append(f"the gradient of an output reaches later tokens ({autograd:.2g})")
    return f"{name} LEAKS: {', and '.join(found)}"


def main() -> int:
    """Print the verdict on the preset named on the command line; 0 when causal, 1 when it leaks, 2 when unknown."""
    try:
        found = verdict(sys.argv[1] if len(sys.argv) > 1 else "strawberry")
    except StrawberryError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{found.sentence}\n")
    return 0 if found.causal else 1


if __name__ == "__main__":
    raise SystemExit(main())
