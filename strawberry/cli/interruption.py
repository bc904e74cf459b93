"""Ctrl-C and SIGTERM as a polite request: the step in hand is finished first, a second one stops at once."""

import os
import signal
from types import FrameType, TracebackType
from typing import Any, Self


class Interruption:
    """While the block lasts, ``asked`` becomes the exit code that the first signal calls for (130 or 143)."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None:
            raise KeyboardInterrupt
        self.asked = 128 + number
        # Python's own streams must not be entered twice, and the signal may have come in the middle of a write.
        os.write(2, b"\nstopping after this step; again to stop at once\n")
