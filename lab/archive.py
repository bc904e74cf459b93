"""Named arrays and a JSON note in one .npz file, without pickle, written whole or not at all."""

import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from strawberry.errors import StrawberryError

FORMAT = 1


class ProbeError(StrawberryError):
    """A probe cannot be taken, read, or has not what was asked of it."""


def write(path: str | os.PathLike[str], meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Path:
    """Write to a temporary file beside `path`, then rename; returns the path. `meta` must be JSON-able."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    note = np.frombuffer(json.dumps({"format": FORMAT, **meta}).encode(), dtype=np.uint8)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, meta=note, **arrays)
        # mkstemp's 0600 would hide the file from everybody else.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The (meta, arrays) that `write` wrote; ProbeError names a file that is missing, damaged or of another format."""
    try:
        # Opened here, since numpy leaves the file open when it is damaged.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as bundle:
            arrays = {name: bundle[name] for name in bundle.files}
        meta = json.loads(bytes(arrays.pop("meta")))
        version = meta.pop("format")
    except FileNotFoundError:
        raise ProbeError(f"there is no probe at {path}; take one with lab.probe") from None
    except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error):
        raise ProbeError(f"{path} is damaged or not a probe; take it again with lab.probe") from None
    if version != FORMAT:
        raise ProbeError(f"{path} has probe format {version}, not {FORMAT}; take it again with this version")
    return meta, arrays
