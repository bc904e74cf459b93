"""Writing: text from a run's checkpoint, token by token, in a thread that can be stopped and gives way to training."""

import contextlib
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

import strawberry
from lab import jobs, process
from lab.gather import ROUTERS
from strawberry.config import Config
from strawberry.errors import StrawberryError
from strawberry.model import Strawberry
from strawberry.recursion.exits import EXITS, exit_rule
from strawberry.recursion.think import check
from strawberry.runs import open_run
from strawberry.tap import taps

MOST_TOKENS = 1000
LIKELIEST = 5  # alternatives kept of each token
PACE = 1 / 60  # seconds between two tokens at least: fast enough to watch
REST = 3.0  # while a run trains: rest after each token, in times of what it took of the processor
UNSEEN = 90.0  # seconds without a look after which nobody is taken to be there any more
KEPT_MODELS = 2

_numbers = count(1)
# One text at a time, whoever asks: training shares the machine.
_turn = threading.Semaphore(1)
_models: "OrderedDict[tuple[str, int, int], tuple[Any, Any]]" = OrderedDict()


@dataclass(frozen=True)
class Wish:
    """What is asked for, as :func:`strawberry.generate` takes it; ``step`` is the checkpoint."""

    step: int
    prompt: str = ""
    max_tokens: int = 100
    temperature: float = 0.8
    top_k: int | None = 50
    top_p: float | None = None
    seed: int = 0
    exit: str | None = None
    threshold: float = 0.8
    max_loops: int | None = None


@dataclass(frozen=True)
class Written:
    """One token: the characters that it completes, and its label, which always shows something.

    probability: the model's own. rank: 1 for the likeliest token. likeliest: the likeliest tokens, as (label,
    probability). confidence, passes: those of the position that predicted it, with an exit rule. state: numbers that
    the model declares to carry for this one text when it predicts the token. experts: (layer, kind of router, numbers
    of the experts) that worked on that position last, where all tokens go through all passes.
    """

    text: str
    piece: str
    probability: float
    rank: int
    likeliest: tuple[tuple[str, float], ...]
    confidence: float | None
    passes: int | None
    state: int
    experts: tuple[tuple[int, str, tuple[int, ...]], ...] = ()


class Writing:
    """A text that is being written; the thread appends to ``tokens``, and :meth:`look` keeps it going.

    ``number`` tells it from all others here; ``state`` is waiting, loading, writing, done, stopped or failed,
    and ``sentence`` says it in words.
    """

    def __init__(self, folder: Path, wish: Wish) -> None:
        self.folder, self.wish, self.number = folder, wish, next(_numbers)
        self.tokens: list[Written] = []
        self.prompt_tokens = 0
        self.seconds = 0.0
        self.state, self.sentence = "waiting", "Another text is being written; this one comes next."
        self._stop = threading.Event()
        self._seen = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="writing", daemon=True)

    def start(self) -> "Writing":
        """Begin; raises StrawberryError at once when the wish cannot be granted."""
        if not 1 <= self.wish.max_tokens <= MOST_TOKENS:
            raise StrawberryError(f"a text has 1 to {MOST_TOKENS:,} tokens; got {self.wish.max_tokens}")
        self._thread.start()
        return self

    @property
    def live(self) -> bool:
        """Whether more may come."""
        return self.state in ("waiting", "loading", "writing")

    def stop(self) -> None:
        """End after the present token; what is written stays."""
        self._stop.set()

    def look(self) -> None:
        """Say that somebody is there: a text that nobody looks at ends by itself."""
        self._seen = time.monotonic()

    def join(self, seconds: float = 60.0) -> "Writing":
        """Wait until it has ended."""
        self._thread.join(seconds)
        return self

    def _run(self) -> None:
        _give_way()
        while not _turn.acquire(timeout=0.1):
            if self._over():
                return
        try:
            self._write()
        except StrawberryError as error:
            self._end("failed", str(error))
        except Exception as error:
            logging.getLogger(__name__).exception("a text could not be written")
            self._end("failed", f"an unexpected error ended the text ({type(error).__name__}: {error})")
        finally:
            _turn.release()

    def _write(self) -> None:
        wish = self.wish
        self.state, self.sentence = "loading", f"Loading the checkpoint of step {wish.step:,}."
        model, tokenizer = load(self.folder, wish.step)
        with _Heard(model, experts=wish.exit is None) as heard:
            self._tokens(heard, tokenizer)

    def _tokens(self, heard: "_Heard", tokenizer: Any) -> None:
        wish = self.wish
        tokens = strawberry.generate(
            heard, tokenizer, wish.prompt, wish.max_tokens, wish.temperature, wish.top_k, wish.top_p, wish.seed,
            wish.exit, wish.threshold, wish.max_loops,
        )  # fmt: skip
        self.prompt_tokens = len(tokenizer.encode(wish.prompt)) or 1
        self.state, self.sentence = "writing", ""
        began = due = asked = time.monotonic()
        worked, rest = time.thread_time(), self._rest()
        for token in tokens:
            self.tokens.append(_written(token, heard, tokenizer, self.prompt_tokens + len(self.tokens)))
            now = time.monotonic()
            self.seconds = now - began
            if self._over():
                return
            if now - asked > 2.0:
                asked, rest = now, self._rest()
            took = time.thread_time() - worked
            due = max(due + PACE, now + rest * took)
            self._stop.wait(max(0.0, due - time.monotonic()))
            worked = time.thread_time()
        if len(self.tokens) < wish.max_tokens:
            self._end("done", "The model ended the text here.")
        else:
            self._end("done", f"{wish.max_tokens:,} tokens, as asked.")

    def _rest(self) -> float:
        """How long to rest after each token, in times of its work."""
        status = (job.status() for job in jobs.every(self.folder.parent))
        return REST if any(each.live and each.state != "paused" for each in status) else 0.0

    def _over(self) -> bool:
        if self._stop.is_set():
            self._end("stopped", "Stopped.")
        elif time.monotonic() - self._seen > UNSEEN:
            self._end("stopped", "Stopped, since nobody was looking.")
        return not self.live

    def _end(self, state: str, sentence: str) -> None:
        # A reader that sees the new state must find the new sentence.
        self.sentence = sentence
        self.state = state


def load(folder: Path, step: int) -> tuple[Strawberry, Any]:
    """The model at ``step`` and the run's tokenizer, from the few that are kept; call it in the writing thread only."""
    path = folder / "checkpoints" / f"step-{step}"
    try:
        key = str(path), step, (path / "manifest.json").stat().st_mtime_ns
        size = (path / "model.safetensors").stat().st_size
    except OSError:
        raise StrawberryError(f"the checkpoint of step {step} is not there any more; choose another one") from None
    if key not in _models:
        if 2.5 * size > process.free_memory():
            raise StrawberryError("there is not enough memory to load this model; stop something else first")
        run = open_run(folder)
        _models[key] = run.model(step), run.tokenizer
    _models.move_to_end(key)
    while len(_models) > KEPT_MODELS:
        _models.popitem(last=False)
    return _models[key]


def exits(config: Config) -> dict[str, str]:
    """Every exit rule, with the reason why this model cannot have it; no reason for one that it can."""
    with torch.device("meta"):
        model = Strawberry(config)
    found = {}
    for name in EXITS:
        found[name] = ""
        try:
            check(model, exit_rule(name, 0.5), None, config.loops)
        except StrawberryError as error:
            found[name] = str(error)
    return found


class _Heard:
    """A model as :func:`strawberry.generate` wants one, whose last logits (vocab_size,) stay to be looked at.

    With ``experts``, whom its routers chose stays too, unless tokens take different ways through the model.
    """

    def __init__(self, model: Strawberry, *, experts: bool = False) -> None:
        self.model = model
        self.logits = torch.empty(0)
        self.gates: dict[tuple[int, str], torch.Tensor] = {}
        self._detach: list[Callable[[], None]] = []
        if experts and model.config.recursion == "all":
            found = taps(model)
            for layer in range(model.config.n_layers):
                for kind, path in ROUTERS.items():
                    if tap := found.get(f"layers.{layer}.{path}.gates"):
                        self._detach.append(tap.attach(partial(self._hear, (layer, kind))))

    def __enter__(self) -> "_Heard":
        return self

    def __exit__(self, *_: object) -> None:
        for detach in self._detach:
            detach()

    def _hear(self, router: tuple[int, str], gates: torch.Tensor, _: int) -> None:
        self.gates[router] = gates[0, -1]

    def experts(self) -> tuple[tuple[int, str, tuple[int, ...]], ...]:
        """Who worked on the last position, router by router."""
        chosen = ((router, gates.nonzero()[:, 0].tolist()) for router, gates in self.gates.items())
        return tuple((layer, kind, tuple(experts)) for (layer, kind), experts in chosen)

    def parameters(self) -> Any:
        return self.model.parameters()

    def prefill(self, tokens: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        logits, state = self.model.prefill(tokens, state)
        self.logits = logits[0]
        return logits, state

    def think(self, *arguments: Any) -> Any:
        thought = self.model.think(*arguments)
        self.logits = thought.logits[0, -1]
        return thought


def _written(token: Any, heard: _Heard, tokenizer: Any, tokens: int) -> Written:
    probabilities = heard.logits[: tokenizer.vocab_size].float().softmax(dim=0)
    top = probabilities.topk(min(LIKELIEST, len(probabilities)))
    pieces = tokenizer.pieces(top.indices.tolist())
    rank = int((probabilities > probabilities[token.id]).sum()) + 1
    return Written(
        token.text, tokenizer.pieces([token.id])[0], token.probability, rank,
        tuple(zip(pieces, top.values.tolist(), strict=True)), token.confidence, token.passes,
        heard.model.state_size(tokens), heard.experts(),
    )  # fmt: skip


def _give_way() -> None:
    """One thread, and the processor only when training leaves it."""
    torch.set_num_threads(1)
    if sys.platform == "linux":
        # There, a thread has a priority of its own.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
