"""A run as a .zip: it comes back the same, and nothing that was tampered with comes in."""

import hashlib
import io
import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lab
import strawberry
from lab import jobs, notes, parcel, process, recorded
from lab.probe import Probe
from strawberry.errors import RunError
from tests.lab.test_writing import TEXT, small


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with two checkpoints, a picture, and what only its own machine needs."""
    folder = tmp_path_factory.mktemp("trained") / "berry"
    config = small("strawberry")
    for _ in strawberry.train(config, strawberry.Text(TEXT), folder, steps=4, checkpoint_every=2):
        pass
    run = strawberry.open_run(folder)
    taken = lab.probe(run.model(), run.tokenizer, "the strawberry", step=4, run="berry")
    (folder / "probes").mkdir()
    taken.save(recorded.probe_path(folder, 4))
    notes.write(folder / "job.json", {"config": config.to_dict(), "data": "text.txt", "steps": 4, "created": 9.0})
    for name in ("worker.log", "status.json", "worker.json", "evil.pkl"):
        (folder / name).write_text("{}")
    return folder


@pytest.fixture(scope="module")
def whole(trained: Path) -> bytes:
    """Its .zip, with every checkpoint."""
    file = io.BytesIO()
    parcel.export(trained, file, every=True)
    return file.getvalue()


def test_a_run_comes_back_the_same(trained: Path, whole: bytes, tmp_path: Path) -> None:
    job = parcel.take_in(tmp_path / "runs", io.BytesIO(whole), "again")
    assert job.name == "again"
    ours, theirs = strawberry.open_run(trained), strawberry.open_run(job.folder)
    assert theirs.config == ours.config
    assert theirs.steps() == ours.steps() == [2, 4]
    assert theirs.events() == ours.events()
    write = [list(strawberry.generate(run.model(2), run.tokenizer, "the", 8)) for run in (ours, theirs)]
    assert write[0] == write[1]
    assert Probe.load(recorded.probe_path(job.folder, 4)).text == "the strawberry"
    assert job.status().state == "finished" and job.steerable
    left_behind = {"worker.log", "status.json", "worker.json", "evil.pkl", "lock"}
    assert not left_behind & {path.name for path in job.folder.rglob("*")}
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {".line", "again"}


def test_the_newest_checkpoint_is_enough_and_smaller(trained: Path, whole: bytes, tmp_path: Path) -> None:
    with parcel.packed(trained) as file:
        size = len(file.read())
        file.seek(0)
        job = parcel.take_in(tmp_path, file)
    assert size < len(whole)
    assert (job.name, strawberry.open_run(job.folder).steps()) == ("berry", [4])
    assert parcel.weight(trained) < parcel.weight(trained, every=True)


def test_a_resumed_import_goes_on(whole: bytes, tmp_path: Path) -> None:
    job = parcel.take_in(tmp_path, io.BytesIO(whole))
    last = list(strawberry.train(None, None, job.folder, resume=True, steps=5))[-1]
    assert last.step == 5


def test_names_are_kept_free_and_in_the_folder(whole: bytes, tmp_path: Path) -> None:
    parcel.take_in(tmp_path, io.BytesIO(whole))
    with pytest.raises(RunError, match="already there"):
        parcel.take_in(tmp_path, io.BytesIO(whole))
    for name in ("../out", "a/b", ".hidden", "x" * 65):
        with pytest.raises(RunError, match="cannot be used"):
            parcel.take_in(tmp_path, io.BytesIO(whole), name)
    assert {path.name for path in tmp_path.iterdir()} == {".line", "berry"}


def test_a_run_that_trains_is_not_exported(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "alive", lambda folder: True)
    monkeypatch.setattr(jobs.Job, "status", lambda job: jobs.Status("training"))
    with pytest.raises(RunError, match="pause or stop it first"):
        parcel.export(trained, io.BytesIO())


Files = dict[str, bytes]
LIST = parcel.LIST


def files_of(content: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: Files, modes: dict[str, int] | None = None) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (modes or {}).get(name, 0o644) << 16
            archive.writestr(info, content)
    file.seek(0)
    return file


def listed(files: Files, **changes: Any) -> Files:
    """The files with a list that fits them: what somebody would make who knows how."""
    told = json.loads(files[LIST])
    told["files"] = {
        name.removeprefix("berry/"): {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items() if name != LIST
    }  # fmt: skip
    return {**files, LIST: json.dumps({**told, **changes}).encode()}


def flipped(files: Files) -> Files:
    name = "berry/checkpoints/step-4/model.safetensors"
    content = bytearray(files[name])
    content[-5] ^= 1
    return {**files, name: bytes(content)}


def without(name: str) -> Callable[[Files], Files]:
    return lambda files: {key: value for key, value in files.items() if key != name}


TAMPERED: dict[str, tuple[Callable[[Files], Files], str]] = {
    "a flipped bit": (flipped, "does not match its checksum"),
    "a flipped bit, with the list made to fit": (lambda files: listed(flipped(files)), "is damaged"),
    "a longer file": (lambda files: {**files, "berry/text.txt": files["berry/text.txt"] + b"!"}, "checksum"),
    "a shorter file": (lambda files: {**files, "berry/text.txt": files["berry/text.txt"][:-1]}, "checksum"),
    "no list": (without(LIST), "not exported by the dashboard"),
    "a damaged list": (lambda files: {**files, LIST: b"{"}, "is damaged"),
    "a list of nothing": (lambda files: {**files, LIST: b'{"format": 1, "name": "x", "files": {}}'}, "holds no run"),
    "another format": (lambda files: listed(files, format=2), "does not know"),
    "a name that leads out": (lambda files: listed(files, name="../../x"), "cannot be used"),
    "no name": (lambda files: listed(files, name=7), "does not know"),
    "a file that leads out": (lambda files: listed({**files, "berry/../../evil": b"x"}), "no part of a run"),
    "an absolute file": (lambda files: listed({**files, "/etc/evil": b"x"}), "no part of a run"),
    "a backslash": (lambda files: listed({**files, "berry/probes\\step-1.npz": b"x"}), "no part of a run"),
    "a pickle": (lambda files: listed({**files, "berry/checkpoints/step-4/model.pt": b"x"}), "no part of a run"),
    "code": (lambda files: listed({**files, "berry/train.py": b"x"}), "no part of a run"),
    "a file that is not listed": (lambda files: {**files, "berry/probes/step-9.npz": b"x"}, "are not those"),
    "a file that is not there": (without("berry/text.txt"), "are not those"),
    "no configuration": (lambda files: listed(without("berry/config.json")(files)), "config.json is missing"),
    "an impossible setting": (lambda files: listed({**files, "berry/config.json": b'{"loops": -1}'}), "loops"),
    "no tensors": (lambda files: listed(without("berry/checkpoints/step-4/model.safetensors")(files)), "not there"),
    "a picture that is none": (lambda files: listed({**files, "berry/probes/step-4.npz": b"x"}), "damaged"),
    "a tokenizer that is none": (
        lambda files: listed({**files, "berry/tokenizer/tokenizer.json": b"{}"}), "damaged",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERED)
def test_what_was_tampered_with_stays_out(whole: bytes, tmp_path: Path, how: str) -> None:
    change, words = TAMPERED[how]
    runs = tmp_path / "runs"
    with pytest.raises(RunError) as caught:
        parcel.take_in(runs, zipped(change(files_of(whole))))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(runs.iterdir()) == []
    assert list(tmp_path.iterdir()) == [runs]


def test_links_and_manifests_that_point_elsewhere_stay_out(whole: bytes, tmp_path: Path) -> None:
    files = files_of(whole)
    with pytest.raises(RunError, match="no plain file"):
        parcel.take_in(tmp_path, zipped(files, {"berry/text.txt": stat.S_IFLNK | 0o777}))
    name = "berry/checkpoints/step-4/manifest.json"
    manifest = json.loads(files[name])
    manifest["files"]["../../config.json"] = {"bytes": 1, "sha256": "0" * 64}
    with pytest.raises(RunError, match="not there"):
        parcel.take_in(tmp_path, zipped(listed({**files, name: json.dumps(manifest).encode()})))
    assert list(tmp_path.iterdir()) == []


def test_what_unpacks_to_more_than_it_says_is_not_unpacked(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of(whole)
    told = json.loads(files[LIST])
    told["files"]["text.txt"]["bytes"] = 3
    with pytest.raises(RunError, match="checksum"):
        parcel.take_in(tmp_path, zipped({**files, LIST: json.dumps(told).encode()}))
    monkeypatch.setattr(parcel, "MOST_BYTES", 1000)
    with pytest.raises(RunError, match="larger than"):
        parcel.take_in(tmp_path, zipped(files))
    monkeypatch.setattr(parcel, "MOST_FILES", 3)
    with pytest.raises(RunError, match="at most"):
        parcel.take_in(tmp_path, zipped(files))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04" + bytes(200)])
def test_what_is_no_zip_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(RunError, match=r"no sound \.zip"):
        parcel.take_in(tmp_path, io.BytesIO(content))
    path = tmp_path / "cut.zip"
    path.write_bytes(content)
    with pytest.raises(RunError):
        parcel.take_in(tmp_path, path)


def test_a_zip_that_is_cut_short_is_one_sentence(whole: bytes, tmp_path: Path) -> None:
    for length in (10, len(whole) // 2, len(whole) - 10):
        with pytest.raises(RunError):
            parcel.take_in(tmp_path, io.BytesIO(whole[:length]))
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_cannot_be_read_is_left_behind(whole: bytes, tmp_path: Path) -> None:
    files = listed({**files_of(whole), "berry/job.json": b'{"config": {"evil": 1}}'})
    job = parcel.take_in(tmp_path, zipped(files))
    assert not job.steerable
    assert job.status().state == "finished"


def test_half_a_run_is_never_listed(whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    check = parcel._check

    def watched(folder: Path) -> None:
        seen.append(len(jobs.every(tmp_path)))
        check(folder)

    monkeypatch.setattr(parcel, "_check", watched)
    parcel.take_in(tmp_path, io.BytesIO(whole))
    assert seen == [0]
    shutil.rmtree(tmp_path / "berry")
