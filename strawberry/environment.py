"""What a run was made with: versions, processor and threads, so that a difference can be traced."""

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("strawberry-lab", "torch", "numpy", "tokenizers", "safetensors")


def environment(device: torch.device) -> dict[str, Any]:
    """A JSON-ready description; names no user, host or folder."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "byteorder": sys.byteorder,
    }


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What could make two runs differ in their last bits, such as ``torch_threads 1 → 2``."""
    keys = ("torch_threads", "processor", "device")
    found = [f"{key} {then.get(key)} → {now.get(key)}" for key in keys if then.get(key) != now.get(key)]
    old, new = (values.get("packages", {}).get("torch") for values in (then, now))
    return found + ([f"torch {old} → {new}"] if old != new else [])


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
