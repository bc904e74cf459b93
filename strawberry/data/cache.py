"""A cache of sealed files: each is checked against its SHA-256 when opened, and appears whole or not at all.

A sealed file is one line with the SHA-256 of all that follows, one line of JSON padded to a multiple of 64 bytes,
and the payload. The name of an entry tells all that its content depends on, so two processes that write the same
entry at once write the same bytes. Nothing is ever written in place, and nothing is evicted: the folder may be
deleted at any time.
"""

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

STALE_SECONDS = 3600.0
_DIGEST_LINE = 65  # 64 hexadecimal digits and a newline


@dataclass(frozen=True)
class Entry:
    """What the cache holds under a name; ``remark`` says what went wrong on the way, in one sentence, or nothing."""

    header: dict[str, Any]
    payload: np.ndarray  # (bytes,) uint8: memory-mapped, or in memory where the folder cannot be written
    remark: str | None = None


class DamagedError(Exception):
    """A sealed file is truncated or altered."""


def cache_folder() -> Path:
    """``STRAWBERRY_CACHE``, else ``strawberry`` in the user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``)."""
    if chosen := os.environ.get("STRAWBERRY_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "strawberry")


def fetch(name: str, build: Callable[[], tuple[dict[str, Any], np.ndarray]]) -> Entry:
    """The entry ``name``: the one in the cache if it is sound, else what ``build`` returns, put there for next time.

    A damaged file is never used. A folder that cannot be written leaves the entry in memory. Neither raises.
    """
    path = cache_folder() / name
    remark = None
    try:
        return Entry(*unseal(path))
    except DamagedError as damage:
        remark = f"the cached file {str(path)!r} is damaged ({damage}) and was made anew"
    except OSError:
        pass
    header, payload = build()
    try:
        seal(path, header, payload)
        header, payload = unseal(path)
    except (OSError, DamagedError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        remark = f"nothing can be cached in {str(path.parent)!r} ({reason}); the text is prepared again for each run"
    return Entry(header, payload, remark)


def seal(path: Path, header: dict[str, Any], payload: np.ndarray) -> None:
    """Write a sealed file in one step; an existing one is replaced. Raises OSError."""
    line = json.dumps(header, sort_keys=True).encode()
    line += b" " * (-(_DIGEST_LINE + len(line) + 1) % 64) + b"\n"
    content = payload.view(np.uint8).data
    digest = hashlib.sha256(line)
    digest.update(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    write_atomically(path, digest.hexdigest().encode() + b"\n", line, content)


def unseal(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Header and memory-mapped payload (bytes,) uint8 of a sealed file.

    Raises :class:`DamagedError` when it does not match its checksum, OSError when it cannot be read.
    """
    try:
        content = np.memmap(path, dtype=np.uint8, mode="r")
    except ValueError:
        raise DamagedError("it is empty") from None
    head = bytes(content[:_DIGEST_LINE])
    if len(head) < _DIGEST_LINE or hashlib.sha256(content[_DIGEST_LINE:].data).hexdigest().encode() + b"\n" != head:
        raise DamagedError("it does not match its checksum")
    line = bytes(content[_DIGEST_LINE : _DIGEST_LINE + 4096]).split(b"\n", 1)[0]
    return json.loads(line), content[_DIGEST_LINE + len(line) + 1 :]


def write_atomically(path: Path, *parts: "bytes | memoryview") -> None:
    """Write a file so that a reader, a crash or a second writer finds the old content or the new, whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    with contextlib.suppress(OSError):  # some systems cannot open a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _sweep(folder: Path) -> None:
    """Remove what killed writers left behind."""
    for leftover in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
                leftover.unlink()
