"""Checkpoints that survive a kill: written aside, checksummed, renamed into place, and verified when read.

A checkpoint is a folder ``step-N`` of safetensors and JSON files and ``manifest.json``, which is written last and
holds the size and SHA-256 of each of the others. Until the rename it is called ``step-N.tmp``.
"""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from strawberry.errors import CheckpointError

MANIFEST = "manifest.json"
_NAME = re.compile(r"step-(0|[1-9]\d*)")


def write(folder: Path, step: int, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> Path:
    """Write ``folder/step-N`` and return it: one ``NAME.safetensors`` per entry of ``tensors``, and ``state.json``.

    Either the whole checkpoint is there afterwards, on the disk itself, or nothing is. Raises
    :class:`CheckpointError` when the disk refuses.
    """
    final, aside = folder / f"step-{step}", folder / f"step-{step}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        manifest: dict[str, Any] = {"format": 1, "step": step, "files": {}}
        for name, group in tensors.items():
            _put(aside, f"{name}.safetensors", safetensors.torch.save(_plain(group)), manifest)
        _put(aside, "state.json", _json(state), manifest)
        _durable(aside / MANIFEST, _json(manifest))
        sync_folder(aside)
        _discard(final)
        aside.rename(final)
        sync_folder(folder)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise CheckpointError(f"checkpoint {final} could not be written: {error.strerror or error}") from error
    return final


def read(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors by file name and the state of one checkpoint; raises :class:`CheckpointError` if it is damaged."""
    problem = damage(path)
    if problem:
        raise CheckpointError(f"{problem}; choose another step or train again")
    try:
        tensors = {file.stem: safetensors.torch.load_file(file) for file in sorted(path.glob("*.safetensors"))}
        return tensors, json.loads((path / "state.json").read_bytes())
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"checkpoint {path.name} could not be read: {error}") from error


def damage(path: Path) -> str | None:
    """One phrase that names what is wrong with the checkpoint, or None when every byte is as it was written."""
    manifest = path / MANIFEST
    if not path.is_dir():
        return f"checkpoint {path.name} is missing"
    if not manifest.is_file():
        return f"checkpoint {path.name} has no manifest: its writing was cut short"
    try:
        files = json.loads(manifest.read_bytes())["files"]
        for name, wanted in files.items():
            problem = _damaged_file(path / name, wanted["bytes"], wanted["sha256"])
            if problem:
                return f"checkpoint {path.name} is damaged: {problem}"
        # A bit flipped in a file's name inside the manifest would else drop the file from the check.
        if not {"model.safetensors", "state.json"} <= files.keys():
            return f"checkpoint {path.name} is damaged: its manifest lacks files"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"checkpoint {path.name} is damaged: its manifest cannot be read"
    return None


def steps(folder: Path) -> list[int]:
    """The steps of all checkpoints that look complete, lowest first; :func:`damage` looks closer."""
    return sorted(step for step, path in _all(folder) if (path / MANIFEST).is_file())


def newest_sound(folder: Path) -> tuple[int | None, list[str]]:
    """The newest step whose every checksum holds (None if there is none), and what was skipped and why."""
    skipped = []
    for step, path in sorted(_all(folder), reverse=True):
        problem = damage(path)
        if problem is None:
            return step, skipped
        skipped.append(f"{problem}; it is skipped")
    return None, skipped


def sweep(folder: Path) -> list[str]:
    """Delete what a killed save left behind; returns the names."""
    stale = sorted(folder.glob("step-*.tmp")) if folder.is_dir() else []
    for path in stale:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in stale]


def set_aside(folder: Path, newest: int) -> None:
    """Rename what is newer than the ``newest`` sound step to ``step-N.damaged``, out of the way of later saves."""
    for step, path in _all(folder):
        if step > newest:
            aside = path.with_name(f"{path.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)


def rotate(folder: Path, keep: int) -> list[str]:
    """Delete all but the newest ``keep`` checkpoints, never the newest sound one; returns what was damaged.

    Damaged checkpoints do not count towards ``keep`` and are left where they are.
    """
    newest, notes = newest_sound(folder)
    if newest is None:
        return notes
    older = [step for step in steps(folder) if step < newest]
    for step in older[: max(len(older) - max(keep, 1) + 1, 0)]:
        _discard(folder / f"step-{step}")
    return notes


def sync_folder(folder: Path) -> None:
    """Ask the disk to remember the folder's list of names; a no-op where folders cannot be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _put(folder: Path, name: str, content: bytes, manifest: dict[str, Any]) -> None:
    # The checksum is of what was meant, not of what the disk says it has.
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    _durable(folder / name, content)


def _durable(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _damaged_file(path: Path, size: int, sha256: str) -> str | None:
    if not path.is_file():
        return f"{path.name} is missing"
    if path.stat().st_size != size:
        return f"{path.name} has {path.stat().st_size} bytes instead of {size}"
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            return f"{path.name} does not match its checksum"
    return None


def _discard(path: Path) -> None:
    # Renamed first, so that a kill halfway leaves a stale temporary and no checkpoint with files missing.
    if path.exists():
        doomed = path.with_name(path.name + ".old.tmp")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed)


def _all(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    matches = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    return [(int(match[1]), path) for match, path in matches if match]


def _plain(group: dict[str, Tensor]) -> dict[str, Tensor]:
    plain, seen = {}, set()
    for name, tensor in group.items():
        tensor = tensor.detach().contiguous().cpu()
        memory = tensor.untyped_storage().data_ptr()
        # safetensors refuses views of one memory.
        plain[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return plain


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()
