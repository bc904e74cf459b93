"""The leak meter: whether any output moves when a later token, or another row of the batch, changes."""

import copy
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
    logits at each position, for each cut. tolerance: changes up to this are rounding. outputs: (m,) the positions t
    whose gradients were taken; none where the model has no embedding to take them of. gradients: (m, T) largest
    |∂(a random sum of logits_t)/∂embedding_s|. rows: (2, T) largest change at each position when the other rows were
    replaced, and when they were removed.
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
    outputs: np.ndarray
    gradients: np.ndarray
    rows: np.ndarray

    @property
    def worst_gradient(self) -> float:
        """Largest gradient of an output by a later token of its own row."""
        later = np.arange(self.gradients.shape[1]) > self.outputs[:, None]
        return float(np.where(later, self.gradients, 0.0).max(initial=0.0))


def verdict(
    model: str | Config | Strawberry | Run, *, seq_len: int | None = None, batch: int = 2, seed: int = 0
) -> Verdict:
    """Judge a preset ("strawberry-nano"), a family ("strawberry-leaky"), a config, a model, or a run.

    A preset, family or config is judged by a copy of pico width with the same mechanisms, seconds at most; a model or a
    run as it is, on a copy in double precision. Every cut point is tried when `seq_len` is at most 48, otherwise 48
    of them, chunk boundaries first. Raises ConfigError for an unknown name, StrawberryError for too small a test.
    """
    name, subject = _subject(model)
    config: Config = subject.config
    if seq_len is None:
        seq_len = min(config.seq_len, max(16, 2 * config.chunk + config.chunk // 2))
    # Threads only cost on matrices of pico width; a model of the person's own may have use for them.
    with one_thread() if isinstance(model, str | Config) else nullcontext():
        return judge(
            subject, name, vocab_size=config.vocab_size, seq_len=seq_len, chunk=config.chunk, batch=batch, seed=seed
        )


def judge(
    model: nn.Module,
    name: str,
    *,
    vocab_size: int,
    seq_len: int,
    chunk: int = 16,
    batch: int = 2,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> Verdict:
    """Judge any module that maps tokens (batch, seq) to logits (batch, seq, anything), as it is.

    Gradients are taken of what its ``nn.Embedding`` makes of the tokens, where it has one. Raises StrawberryError for
    too small a test, for outputs of another form, and for a model that gives the same tokens different outputs.
    """
    if batch < 2:
        raise StrawberryError(f"batch must be at least 2 to see one row move another; got {batch}")
    if seq_len < 2:
        raise StrawberryError(f"seq_len must be at least 2 for a token to be later than another; got {seq_len}")
    with torch.random.fork_rng([]):
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randint(vocab_size, (batch, seq_len), generator=generator)
        others = (tokens + torch.randint(1, vocab_size, tokens.shape, generator=generator)) % vocab_size
        cuts = _cuts(seq_len, chunk)
        changes, rows = _perturbed(model, tokens, others, cuts, tolerance)
        outputs, gradients, foreign = _autograd(model, tokens, generator)
    earlier = np.where(np.arange(seq_len) < cuts[:, None], changes, 0.0)
    later = np.where(np.arange(seq_len) > outputs[:, None], gradients, 0.0)
    worst, other = float(earlier.max(initial=0.0)), float(rows.max())
    autograd = max(float(later.max(initial=0.0)), foreign)
    causal = max(worst, other, autograd) <= tolerance
    sentence = _sentence(name, causal, worst, other, autograd, int(cuts[earlier.max(1).argmax()]), tolerance)
    return Verdict(
        causal, name, sentence, worst, other, autograd <= tolerance, cuts, changes, tolerance, outputs, gradients, rows
    )


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
def _perturbed(
    model: nn.Module, tokens: Tensor, others: Tensor, cuts: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Largest change of row 0's logits: (cuts, T) when its later tokens change, (2, T) when the other rows do."""
    logits = _logits(model, tokens)[0]
    if not bool(torch.isfinite(logits).all()):
        raise StrawberryError("the model's outputs are not finite numbers, so nothing can be said of how they move")

    def moved(changed: Tensor) -> np.ndarray:
        return (_logits(model, changed)[0] - logits).abs().amax(-1).double().numpy()

    noise = float(moved(tokens).max())
    if noise > tolerance:
        raise StrawberryError(
            f"the same tokens give outputs that differ by {noise:.2g}; take what is random out of its evaluation"
        )
    changes = np.empty((len(cuts), tokens.shape[1]))
    for place, cut in enumerate(cuts):
        changed = tokens.clone()
        changed[0, cut:] = others[0, cut:]
        changes[place] = moved(changed)
    return changes, np.stack([moved(torch.cat([tokens[:1], others[1:]])), moved(tokens[:1])])


def _autograd(model: nn.Module, tokens: Tensor, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Outputs t (m,), largest |∂(random sum of logit_t)/∂embedding_s| (m, T) in row 0, and the largest in other rows.

    All positions where they are few, MOST_GRADIENTS where they are many; none where there is no embedding.
    """
    length = tokens.shape[1]
    with torch.enable_grad(), _leaves(model, tokens) as leaves:
        logits = _logits(model, tokens)
    if not leaves or not logits.requires_grad:
        return np.empty(0, dtype=int), np.empty((0, length)), 0.0
    direction = torch.randn(logits.shape[-1], generator=generator, dtype=logits.dtype)
    count = length if length <= MOST_CUTS else MOST_GRADIENTS
    outputs = np.unique(np.linspace(0, length - 1, count).astype(int))
    gradients, foreign = np.zeros((len(outputs), length)), 0.0
    for place, t in enumerate(outputs):
        found = torch.autograd.grad(logits[0, t] @ direction, leaves, retain_graph=True, allow_unused=True)
        for gradient in found:
            if gradient is not None:
                sizes = gradient.abs().amax(-1).double()
                gradients[place] = np.maximum(gradients[place], sizes[0].numpy())
                foreign = max(foreign, float(sizes[1:].max()))
    return outputs, gradients, foreign


@contextmanager
def _leaves(model: nn.Module, tokens: Tensor) -> Iterator[list[Tensor]]:
    """While this lasts, the embedded tokens become leaves; the list holds them."""
    leaves: list[Tensor] = []

    def replace(value: Tensor) -> Tensor:
        leaves.append(value.detach().requires_grad_())
        return leaves[-1]

    def embedded(module: nn.Module, given: tuple[Any, ...], value: Tensor) -> Tensor | None:
        # Positions are embedded too, in many models.
        own = bool(given) and isinstance(given[0], Tensor) and given[0].shape == tokens.shape
        own = own and torch.equal(given[0], tokens)
        return replace(value) if own else None

    with ExitStack() as stack:
        if isinstance(model, Strawberry):
            stack.enter_context(strawberry.intervene(model, {"embedded": lambda value, _: replace(value)}))
        else:
            for module in model.modules():
                if isinstance(module, nn.Embedding):
                    stack.callback(module.register_forward_hook(embedded).remove)
        yield leaves


def _logits(model: nn.Module, tokens: Tensor) -> Tensor:
    """The model's logits (batch, seq, anything); StrawberryError when it gives something else."""
    out: Any = model(tokens)
    out = getattr(out, "logits", out)
    out = out[0] if isinstance(out, tuple | list) and out else out
    if not isinstance(out, Tensor) or out.dim() != 3 or out.shape[:2] != tokens.shape:
        gave = f"a tensor {tuple(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
        raise StrawberryError(
            f"the model must map tokens {tuple(tokens.shape)} to logits (batch, seq, vocabulary); it gave {gave}"
        )
    return out


def _sentence(name: str, causal: bool, worst: float, rows: float, autograd: float, cut: int, tolerance: float) -> str:
    if causal:
        change = f"largest change {max(worst, rows):.1g}"
        return f"{name} is causal: no output moved when a later token or another row changed ({change})"
    found = []
    if worst > tolerance:
        found.append(f"changing the tokens from {cut} on moved earlier logits by {worst:.2g}")
    if rows > tolerance:
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
