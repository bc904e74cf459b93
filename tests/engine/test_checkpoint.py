"""A checkpoint is whole or absent, and damage to any byte of it is named."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch

from strawberry import checkpoint
from strawberry.errors import CheckpointError

TENSORS = {"model": {"w": torch.arange(600.0).view(20, 30)}, "optimizer": {"w|step": torch.tensor(3.0)}}


def _write(folder: Path, *steps: int) -> None:
    for step in steps:
        checkpoint.write(folder, step, TENSORS, {"step": step})


def test_comes_back_as_it_was(tmp_path: Path) -> None:
    path = checkpoint.write(tmp_path, 7, {**TENSORS, "empty": {}}, {"step": 7, "seconds": 0.1})
    tensors, state = checkpoint.read(path)
    assert state == {"step": 7, "seconds": 0.1}
    assert torch.equal(tensors["model"]["w"], TENSORS["model"]["w"])
    assert tensors["optimizer"]["w|step"].shape == ()
    assert tensors["empty"] == {}


def test_is_readable_by_others_and_holds_no_pickle(tmp_path: Path) -> None:
    _write(tmp_path, 1)
    files = sorted((tmp_path / "step-1").iterdir())
    assert [file.name for file in files] == [
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    mask = os.umask(0)
    os.umask(mask)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o666 & ~mask}


def test_transposed_and_shared_views_are_written(tmp_path: Path) -> None:
    base = torch.randn(4, 6)
    path = checkpoint.write(tmp_path, 1, {"model": {"a": base, "b": base.T, "c": base[1:3]}}, {})
    tensors, _ = checkpoint.read(path)
    assert torch.equal(tensors["model"]["b"], base.T)
    assert torch.equal(tensors["model"]["c"], base[1:3])


def _truncate(path: Path) -> None:
    (path / "model.safetensors").write_bytes((path / "model.safetensors").read_bytes()[:-9])


def _delete(path: Path) -> None:
    (path / "optimizer.safetensors").unlink()


def _no_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()


def _half_manifest(path: Path) -> None:
    (path / "manifest.json").write_bytes((path / "manifest.json").read_bytes()[:40])


def _empty_manifest(path: Path) -> None:
    (path / "manifest.json").write_text('{"files": {}}')


def _list_manifest(path: Path) -> None:
    (path / "manifest.json").write_text("[]")


DAMAGE = [
    (_truncate, r"step-9 is damaged: model.safetensors has \d+ bytes instead of \d+"),
    (_delete, r"step-9 is damaged: optimizer.safetensors is missing"),
    (_no_manifest, r"step-9 has no manifest"),
    (_half_manifest, r"step-9 is damaged: its manifest cannot be read"),
    (_empty_manifest, r"step-9 is damaged: its manifest lacks files"),
    (_list_manifest, r"step-9 is damaged: its manifest cannot be read"),
]


@pytest.mark.parametrize(("harm", "match"), DAMAGE, ids=lambda value: getattr(value, "__name__", ""))
def test_damage_is_named_and_skipped(tmp_path: Path, harm, match: str) -> None:
    _write(tmp_path, 3, 6, 9)
    harm(tmp_path / "step-9")
    with pytest.raises(CheckpointError, match=match):
        checkpoint.read(tmp_path / "step-9")
    step, skipped = checkpoint.newest_sound(tmp_path)
    assert step == 6
    assert len(skipped) == 1
    assert skipped[0].endswith("; it is skipped")


def test_a_flipped_bit_is_found_wherever_it_is(tmp_path: Path) -> None:
    _write(tmp_path, 1)
    path = tmp_path / "step-1"
    for file in sorted(path.iterdir()):
        whole = file.read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 60)):
            for bit in (0, 3, 6):
                broken = bytearray(whole)
                broken[place] ^= 1 << bit
                file.write_bytes(broken)
                if file.name == "manifest.json":
                    # Its own whitespace and step number may change; the files it vouches for may not.
                    _same_or_named(path, file)
                else:
                    assert checkpoint.damage(path), f"bit {bit} of byte {place} of {file.name}"
        file.write_bytes(whole)
    assert checkpoint.damage(path) is None


def _same_or_named(path: Path, manifest: Path) -> None:
    if checkpoint.damage(path) is None:
        assert len(json.loads(manifest.read_bytes())["files"]) == 3


def test_nothing_sound_is_said(tmp_path: Path) -> None:
    assert checkpoint.newest_sound(tmp_path / "absent") == (None, [])
    _write(tmp_path, 1, 2)
    for step in (1, 2):
        _truncate(tmp_path / f"step-{step}")
    step, skipped = checkpoint.newest_sound(tmp_path)
    assert step is None
    assert [note.split()[1] for note in skipped] == ["step-2", "step-1"]


def test_steps_are_numbers_not_words(tmp_path: Path) -> None:
    _write(tmp_path, 10, 9, 100)
    for other in ("step-5.tmp", "step-x", "step-007", "notes"):
        (tmp_path / other).mkdir()
    assert checkpoint.steps(tmp_path) == [9, 10, 100]


def test_stale_temporaries_are_swept(tmp_path: Path) -> None:
    _write(tmp_path, 1)
    for name in ("step-2.tmp", "step-1.old.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"half")
    assert checkpoint.sweep(tmp_path) == ["step-1.old.tmp", "step-2.tmp"]
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


def test_the_newest_stay(tmp_path: Path) -> None:
    _write(tmp_path, 1, 2, 3, 4)
    assert checkpoint.rotate(tmp_path, 2) == []
    assert checkpoint.steps(tmp_path) == [3, 4]
    assert checkpoint.rotate(tmp_path, 0) == []
    assert checkpoint.steps(tmp_path) == [4]


def test_the_last_sound_one_is_never_rotated_away(tmp_path: Path) -> None:
    _write(tmp_path, 1, 2, 3, 4)
    for step in (3, 4):
        _truncate(tmp_path / f"step-{step}")
    notes = checkpoint.rotate(tmp_path, 1)
    assert len(notes) == 2
    assert checkpoint.newest_sound(tmp_path)[0] == 2
    assert checkpoint.steps(tmp_path) == [2, 3, 4]


@pytest.mark.parametrize("refused", ["model.safetensors", "state.json", "manifest.json"])
def test_a_full_disk_leaves_the_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    _write(tmp_path, 1)
    durable = checkpoint._durable

    def full(path: Path, content: bytes) -> None:
        if path.name == refused:
            path.write_bytes(content[:5])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        durable(path, content)

    monkeypatch.setattr(checkpoint, "_durable", full)
    with pytest.raises(CheckpointError, match="could not be written: No space left on device"):
        _write(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert checkpoint.newest_sound(tmp_path) == (1, [])


def test_a_damaged_one_is_replaced_by_a_later_save(tmp_path: Path) -> None:
    _write(tmp_path, 1)
    _truncate(tmp_path / "step-1")
    _write(tmp_path, 1)
    assert checkpoint.newest_sound(tmp_path) == (1, [])
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
