"""Where training runs and in which arithmetic: what the machine has, and what ``auto`` means on it."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

import torch

from strawberry.config import Config
from strawberry.errors import ConfigError

# Below this width a CPU spends more on casting weights and activations than it gains in the products.
WIDE_ON_CPU = 256


def resolve_device(config: Config) -> torch.device:
    """The device that ``config.device`` asks for; raises :class:`ConfigError` when there is none."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda was asked for, but torch finds no CUDA GPU here; use device cpu or auto")
    return torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")


def resolve_precision(config: Config, device: torch.device) -> str:
    """``"bf16"`` or ``"fp32"``: ``auto`` takes bf16 where the hardware has it and the matrices are worth the casts."""
    if config.precision == "auto":
        wide = device.type != "cpu" or config.d_model >= WIDE_ON_CPU
        return "bf16" if wide and has_bf16(device) else "fp32"
    return config.precision


def has_bf16(device: torch.device) -> bool:
    """True when the device multiplies bf16 natively (CPU: AVX512-BF16 or AMX; NVIDIA: Ampere and later)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and _cpu_has_bf16()


@functools.cache
def _cpu_has_bf16() -> bool:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return False
    flags = next((line for line in info.read_text().splitlines() if line.startswith("flags")), "")
    return bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))


@contextlib.contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """Forward passes inside compute in ``precision``; parameters and their gradients stay fp32."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        yield
