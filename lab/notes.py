"""Small JSON files through which a worker and its watchers talk: replaced in one go, never seen half written."""

import json
import os
import threading
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or an empty one where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write(path: Path, value: dict[str, Any]) -> None:
    """Replace the JSON object in a file."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    os.replace(temporary, path)
