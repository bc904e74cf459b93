"""Small JSON files through which a worker and its watchers talk: replaced in one go, never seen half written."""

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or an empty one where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def write(path: Path, value: dict[str, Any]) -> None:
    """Replace the JSON object in a file; raises OSError, leaving the old one, when the disk refuses."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.write_text(json.dumps(value), encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def reserve(path: Path, size: int = 4096) -> None:
    """Make a file of blanks, in which :func:`engrave` finds room when the disk has none left."""
    path.write_bytes(b" " * size)


def engrave(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object over what was reserved, in place; raises OSError where it does not fit or cannot be."""
    content = json.dumps(value).encode()
    with open(path, "r+b", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if len(content) > size:
            raise OSError(f"{path.name} has room for {size} bytes, not for {len(content)}")
        file.write(content.ljust(size))


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left in a folder; nobody may be writing there."""
    for path in folder.glob("*.json.*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()
