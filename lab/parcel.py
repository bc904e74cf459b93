"""A run as one .zip that another machine can take in: checked name by name and byte by byte, and never unpickled."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lab import recorded, tickets
from lab.jobs import Job, JobError
from lab.shelf import INCOMING
from strawberry import checkpoint
from strawberry.config import Config
from strawberry.data import Tokenizer
from strawberry.errors import RunError, StrawberryError
from strawberry.runs import CONFIG, named_run, open_run

LIST = "parcel.json"  # names, sizes and SHA-256 of the files, and the run's name
FORMAT = 1
# Nothing else travels: no process's traces, no half-written files, nothing that could be run.
KNOWN = re.compile(
    r"config\.json|plan\.json|environment\.json|events\.jsonl|job\.json|text\.txt|leaks\.json|tokenizer/tokenizer\.json"
    r"|checkpoints/step-(0|[1-9]\d{0,11})/(manifest\.json|state\.json|[A-Za-z0-9_-]{1,32}\.safetensors)"
    r"|probes/step-(0|[1-9]\d{0,11})\.npz"
)
MOST_FILES = 5000
MOST_BYTES = 50 * 10**9
MOST_JSON = 10**8
ARRAYS = 2 * 10**9  # bytes that one picture may unpack to
CHUNK = 1 << 20


def contents(folder: Path, *, every: bool = False) -> list[str]:
    """The files of a run that travel, as relative names; of its checkpoints the newest sound one unless ``every``."""
    steps = recorded.checkpoints(folder)
    if not every and steps:
        newest, _ = checkpoint.newest_sound(folder / "checkpoints")
        steps = [] if newest is None else [newest]
    kept = {f"checkpoints/step-{step}/" for step in steps}
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file() or not KNOWN.fullmatch(name):
            continue
        if not name.startswith("checkpoints/") or any(name.startswith(place) for place in kept):
            found.append(name)
    return found


def weight(folder: Path, *, every: bool = False) -> int:
    """Bytes that :func:`contents` takes; the .zip is about as large."""
    return sum((folder / name).stat().st_size for name in contents(folder, every=every))


def export(folder: Path, target: IO[bytes], *, every: bool = False) -> None:
    """Write a run as a .zip into ``target``; raises RunError while it trains, for its files would change meanwhile."""
    status = Job(folder).status()
    if status.live and status.state != "paused":
        raise JobError(f"run {folder.name!r} is at work; pause or stop it first")
    listed: dict[str, Any] = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as parcel:
        for name in contents(folder, every=every):
            content = _content(folder / name)
            # Weights and pictures are as small as they get.
            packed = name.endswith((".safetensors", ".npz"))
            info = zipfile.ZipInfo(f"{folder.name}/{name}")
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            digest, count = hashlib.sha256(), 0
            with parcel.open(info, "w", force_zip64=True) as entry:
                for part in content:
                    entry.write(part)
                    digest.update(part)
                    count += len(part)
            listed[name] = {"bytes": count, "sha256": digest.hexdigest()}
        told = {"format": FORMAT, "name": folder.name, "files": listed}
        parcel.writestr(LIST, json.dumps(told, indent=1))


def take_in(runs_folder: Path, source: IO[bytes] | Path, name: str = "") -> Job:
    """Make a run of a .zip that :func:`export` wrote; it is called ``name``, or as it was.

    Nothing appears in the runs folder unless every name is a known one, every checksum holds, and configuration,
    tokenizer, checkpoints and pictures are sound; raises RunError with one sentence otherwise, or when the name is
    taken.
    """
    runs_folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(source) as parcel:
            told = _listed(parcel)
            folder = named_run(runs_folder, name or told["name"])
            if os.path.lexists(folder):
                raise JobError(f"a run called {folder.name!r} is already there; give this one another name")
            aside = Path(tempfile.mkdtemp(prefix=INCOMING, dir=runs_folder))
            try:
                # A level deeper, or what is half unpacked would be listed as a run.
                run = aside / "run"
                run.mkdir()
                _unpack(parcel, told, run)
                _check(run)
                with tickets.turn(runs_folder):
                    if os.path.lexists(folder):
                        raise JobError(f"a run called {folder.name!r} is already there; give this one another name")
                    run.rename(folder)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise RunError(f"this is no sound .zip file ({error}); export the run again") from None
    except OSError as error:
        raise RunError(f"the run could not be taken in: {error.strerror or error}") from error
    except RuntimeError as error:  # an encrypted one
        raise RunError(f"this .zip cannot be read ({error}); export the run again") from None
    return Job(folder)


def _listed(parcel: zipfile.ZipFile) -> dict[str, Any]:
    """The parcel's list, when it and the .zip's own table of contents agree to the letter."""
    infos = parcel.infolist()
    if len(infos) > MOST_FILES:
        raise RunError(f"this .zip has {len(infos):,} files; a run has {MOST_FILES:,} at most")
    if LIST not in parcel.namelist() or parcel.getinfo(LIST).file_size > 10**7:
        raise RunError(f"this .zip was not exported by the dashboard: it has no {LIST}")
    try:
        told = json.loads(parcel.read(LIST))
        name, files, version = told["name"], told["files"], told["format"]
        sizes = {str(file): int(values["bytes"]) for file, values in files.items()}
        whole = all(re.fullmatch(r"[0-9a-f]{64}", values["sha256"]) for values in files.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"the {LIST} of this .zip is damaged; export the run again") from None
    if version != FORMAT or not isinstance(name, str) or not whole:
        raise RunError(f"this .zip has a format that this version does not know ({version!r})")
    if bad := next((file for file in sizes if not KNOWN.fullmatch(file)), None):
        raise RunError(f"this .zip holds {bad!r}, which is no part of a run; it is not taken in")
    if CONFIG not in sizes:
        raise RunError(f"this .zip holds no run: {CONFIG} is missing")
    for info in infos:
        mode = info.external_attr >> 16
        if info.filename != LIST and (info.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode))):
            raise RunError(f"this .zip holds {info.filename!r}, which is no plain file; it is not taken in")
    names = sorted(info.filename for info in infos if info.filename != LIST)
    prefix = f"{PurePosixPath(names[0]).parts[0]}/" if names else ""
    if names != sorted(f"{prefix}{file}" for file in sizes):
        raise RunError(f"the files of this .zip are not those of its {LIST}; export the run again")
    if bad := next((file for file in sizes if file.endswith(".json") and sizes[file] > MOST_JSON), None):
        raise RunError(f"{bad} of this .zip is too large to be one; it is not taken in")
    if min(sizes.values()) < 0 or sum(sizes.values()) > MOST_BYTES:
        raise RunError(f"this run is larger than {MOST_BYTES / 1e9:.0f} GB; it is not taken in")
    return {"name": name, "files": files, "prefix": prefix}


def _unpack(parcel: zipfile.ZipFile, told: dict[str, Any], aside: Path) -> None:
    free = shutil.disk_usage(aside).free
    if sum(values["bytes"] for values in told["files"].values()) > 0.95 * free:
        raise RunError(f"there is no room for this run on the disk ({free / 1e9:.1f} GB are free)")
    for name, wanted in told["files"].items():
        path = aside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        digest, left = hashlib.sha256(), int(wanted["bytes"])
        with parcel.open(f"{told['prefix']}{name}") as entry, path.open("wb") as file:
            # Never more than was announced, however much the .zip unpacks to.
            while part := entry.read(min(CHUNK, left + 1)):
                left -= len(part)
                if left < 0:
                    break
                digest.update(part)
                file.write(part)
        if left or digest.hexdigest() != wanted["sha256"]:
            raise RunError(f"{name} does not match its checksum; export the run again")


def _check(folder: Path) -> None:
    """Open everything that the dashboard will open, as it will."""
    open_run(folder)
    try:
        if (folder / "tokenizer").exists():
            Tokenizer.load(folder / "tokenizer")
        for path in sorted((folder / "checkpoints").glob("step-*")):
            # The manifest decides what is read, so it may name only what lies beside it.
            files = json.loads((path / checkpoint.MANIFEST).read_bytes())["files"]
            if not set(files) <= {item.name for item in path.iterdir()}:
                raise RunError(f"checkpoint {path.name} names files that are not there")
            if problem := checkpoint.damage(path):
                raise RunError(problem)
        for path in sorted((folder / "probes").glob("*.npz")):
            with zipfile.ZipFile(path) as arrays:
                if sum(info.file_size for info in arrays.infolist()) > ARRAYS:
                    raise RunError(f"the picture {path.name} is too large to be one")
        if (folder / "job.json").exists():
            _check_job(folder / "job.json")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        if isinstance(error, StrawberryError):
            raise RunError(f"this run is damaged: {error}") from None
        raise RunError("this run is damaged, and not taken in") from None


def _check_job(path: Path) -> None:
    """What a resume reads; a request that cannot be read is left out, and the run can still be looked at."""
    try:
        asked = json.loads(path.read_bytes())
        Config.from_dict(asked["config"])
        sound = isinstance(asked["steps"], int) and isinstance(asked["data"], str)
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        path.unlink()


def _content(path: Path) -> Iterator[bytes]:
    """A file's bytes in parts; a record of events ends with its last whole line."""
    with path.open("rb") as file:
        if path.name == "events.jsonl":
            whole = file.read()
            yield whole[: whole.rfind(b"\n") + 1]
            return
        while part := file.read(CHUNK):
            yield part


@contextlib.contextmanager
def packed(folder: Path, *, every: bool = False) -> Iterator[IO[bytes]]:
    """The .zip as a file that is gone afterwards."""
    with tempfile.TemporaryFile() as file:
        export(folder, file, every=every)
        file.seek(0)
        yield file
