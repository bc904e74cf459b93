"""Taps: named places in the model where a reader may look, or reach in and replace what flows by."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Self

from torch import Tensor, nn

from strawberry.errors import TraceError

Listener = Callable[[Tensor, int], Tensor | None]


class Tap(nn.Module):
    """An identity module whose path in the model is its public name.

    With nobody listening it returns its input untouched. Each listener is called with the value and the index of
    this call since the listener was attached (shared layers call a tap once per pass); it may return a replacement.
    """

    def __init__(self) -> None:
        super().__init__()
        self._listeners: list[Callable[[Tensor], Tensor | None]] = []

    @property
    def live(self) -> bool:
        """True while somebody listens, so that costly views are built only on demand."""
        return bool(self._listeners)

    def attach(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(value, call_index)`` at every pass; returns the function that detaches it again."""
        calls = 0

        def numbered(value: Tensor) -> Tensor | None:
            nonlocal calls
            calls += 1
            return listener(value, calls - 1)

        self._listeners.append(numbered)
        return lambda: self._listeners.remove(numbered)

    def forward(self, value: Tensor) -> Tensor:
        for listener in self._listeners:
            replacement = listener(value)
            if replacement is not None:
                if replacement.shape != value.shape:
                    raise TraceError(
                        f"a replacement has shape {tuple(replacement.shape)}, but this tap carries "
                        f"{tuple(value.shape)}; return a tensor of that shape"
                    )
                value = replacement
        return value


def taps(model: nn.Module) -> dict[str, Tap]:
    """Every tap of a model by its path, such as ``layers.0.q``."""
    return {path: module for path, module in model.named_modules() if isinstance(module, Tap)}


def _matching(model: nn.Module, patterns: Sequence[str]) -> dict[str, Tap]:
    found = taps(model)
    chosen = {path: tap for path, tap in found.items() if any(fnmatchcase(path, pattern) for pattern in patterns)}
    if not chosen:
        raise TraceError(f"no tap matches {', '.join(patterns)}; the model's taps are: {', '.join(found) or 'none'}")
    return chosen


class Trace(Mapping[str, list[Tensor]]):
    """What flowed through the chosen taps: path -> list, one tensor per call, detached.

    A looped layer calls its taps once per pass, so the list index is the pass. Leaving the ``with`` block without
    having heard anything raises :class:`TraceError`: a compiled copy of the model does not call its taps.
    """

    def __init__(self, chosen: dict[str, Tap]) -> None:
        self._chosen = chosen
        self._heard: dict[str, list[Tensor]] = {}
        self._detach: list[Callable[[], None]] = []

    @classmethod
    def of(cls, model: nn.Module, patterns: str | Sequence[str] = "*") -> Self:
        """A trace of every tap whose path matches one of the shell-style patterns (``"layers.*.q"``)."""
        return cls(_matching(model, [patterns] if isinstance(patterns, str) else patterns))

    def __enter__(self) -> Self:
        for path, tap in self._chosen.items():

            def hear(value: Tensor, _: int, path: str = path) -> None:
                self._heard.setdefault(path, []).append(value.detach())

            self._detach.append(tap.attach(hear))
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        for detach in self._detach:
            detach()
        self._detach.clear()
        if kind is None and not self._heard:
            raise TraceError("the trace heard nothing; run the eager model (not a compiled copy) inside the with block")

    def __getitem__(self, path: str) -> list[Tensor]:
        try:
            return self._heard[path]
        except KeyError:
            raise KeyError(f"{path} was not heard; heard: {', '.join(self._heard) or 'nothing'}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._heard)

    def __len__(self) -> int:
        return len(self._heard)


@contextmanager
def intervene(model: nn.Module, replacements: Mapping[str, Listener]) -> Iterator[None]:
    """Replace what flows through taps while the block lasts: ``{"layers.0.q": lambda q, call: q * 0}``.

    A function gets (value, index of the call) and returns the replacement of the same shape, or None to leave it.
    """
    detach = [
        tap.attach(function)
        for pattern, function in replacements.items()
        for tap in _matching(model, [pattern]).values()
    ]
    try:
        yield
    finally:
        for undo in detach:
            undo()
