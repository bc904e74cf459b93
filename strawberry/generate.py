"""Text from a model, one token at a time, with the state carried along."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from strawberry.data import Tokenizer
from strawberry.errors import StrawberryError
from strawberry.recursion.exits import exit_rule


class LanguageModel(Protocol):
    """What generation asks of a model."""

    def prefill(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]: ...
    def parameters(self) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Token:
    """A sampled token. ``probability`` is the model's own, before temperature and cuts.

    ``confidence`` and ``passes`` are those of the position that predicted it, where an exit rule was asked for.

    ``text`` holds the characters that it completes: none while a character's bytes are still incomplete, so that the
    texts in a row are always valid and, joined, are the whole text.
    """

    id: int
    text: str
    probability: float
    confidence: float | None = None
    passes: int | None = None

    def __str__(self) -> str:
        return self.text


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str = "",
    max_tokens: int = 100,
    temperature: float = 0.8,
    top_k: int | None = 50,
    top_p: float | None = None,
    seed: int | None = 0,
    exit: str | None = None,
    threshold: float = 0.8,
    max_loops: int | None = None,
) -> Iterator[Token]:
    """Up to ``max_tokens`` tokens after ``prompt``, ending early where the model ends the document.

    An empty prompt begins a document. ``temperature`` 0 always takes the likeliest token; ``top_k`` keeps the k
    likeliest, ``top_p`` the fewest whose probability (after temperature) reaches p; ``seed`` None draws anew each time.
    ``exit`` names a rule by which each token stops going through the stack (see :meth:`strawberry.Strawberry.think`).
    Raises :class:`StrawberryError` at once when an argument cannot work.
    """
    _check(max_tokens, temperature, top_k, top_p, seed)
    if not isinstance(prompt, str):
        raise StrawberryError(f"prompt must be text; got {prompt!r}")
    ids = tokenizer.encode(prompt) or [tokenizer.start_id]
    read = _reader(model, exit, threshold, max_loops)
    return _tokens(model, read, tokenizer, ids, max_tokens, temperature, top_k, top_p, seed)


def _reader(
    model: Any, exit: str | None, threshold: float, max_loops: int | None
) -> Callable[[Tensor, Any], tuple[Tensor, Any, float | None, int | None]]:
    """Reads new tokens (1, new): the logits (1, vocab_size) after the last, the state, confidence and passes."""
    if exit is None:
        return lambda tokens, state: (*model.prefill(tokens, state), None, None)
    exit_rule(exit, threshold)

    def read(tokens: Tensor, state: Any) -> tuple[Tensor, Any, float, int]:
        thought = model.think(tokens, exit, threshold, max_loops, state)
        return thought.logits[:, -1], thought.state, thought.confidence[0, -1].item(), int(thought.passes[0, -1])

    return read


def _tokens(
    model: LanguageModel,
    read: Callable[[Tensor, Any], tuple[Tensor, Any, float | None, int | None]],
    tokenizer: Tokenizer,
    ids: list[int],
    max_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int | None,
) -> Iterator[Token]:
    generator = torch.Generator()
    generator.manual_seed(seed) if seed is not None else generator.seed()
    device = next(model.parameters()).device
    complete = tokenizer.streamer()
    state = None
    for _ in range(max_tokens):
        with torch.no_grad():
            logits, state, confidence, passes = read(torch.tensor([ids], device=device), state)
        # On the CPU in fp32, so that a seed gives one text on every device; ids beyond the tokenizer's have no text.
        last = logits[0, : tokenizer.vocab_size].float().cpu()
        if not torch.isfinite(last).all():
            raise StrawberryError("the model's logits are not finite; choose an earlier checkpoint or train again")
        chosen = _choose(last, temperature, top_k, top_p, generator)
        if chosen == tokenizer.end_id:
            return
        ids = [chosen]
        yield Token(chosen, complete(chosen), last.softmax(dim=0)[chosen].item(), confidence, passes)


def _choose(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, generator: torch.Generator
) -> int:
    """One token id from ``logits`` (vocab_size,)."""
    if temperature == 0:
        return int(logits.argmax())
    order = (logits - logits.max()).div(temperature).sort(descending=True, stable=True)
    probabilities = order.values[: top_k or len(logits)].softmax(dim=0)
    if top_p is not None:
        # The token that crosses the threshold stays, so that one always does.
        before = probabilities.cumsum(dim=0) - probabilities
        probabilities = probabilities * (before < top_p)
    return int(order.indices[torch.multinomial(probabilities, 1, generator=generator)])


def _check(max_tokens: Any, temperature: Any, top_k: Any, top_p: Any, seed: Any) -> None:
    def number(value: Any, *kinds: type) -> bool:
        return isinstance(value, kinds) and not isinstance(value, bool)

    if not number(max_tokens, int) or max_tokens < 1:
        raise StrawberryError(f"max_tokens must be a whole number of at least 1; got {max_tokens!r}")
    if not number(temperature, int, float) or not 0 <= temperature < float("inf"):
        raise StrawberryError(f"temperature must be a number, 0 (always the likeliest) or more; got {temperature!r}")
    if top_k is not None and (not number(top_k, int) or top_k < 1):
        raise StrawberryError(f"top_k must be a whole number of at least 1, or left out; got {top_k!r}")
    if top_p is not None and (not number(top_p, int, float) or not 0 < top_p <= 1):
        raise StrawberryError(f"top_p must lie above 0 and not above 1, or be left out; got {top_p!r}")
    if seed is not None and (not number(seed, int) or not 0 <= seed < 2**63):
        raise StrawberryError(f"seed must be a whole number from 0 to 2^63 - 1; got {seed!r}")
