"""Training as a supervised subprocess: started, paused and found again by name, and never the server's problem."""

import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import strawberry
from lab import notes, process, recorded
from lab.look import look
from strawberry.config import Config
from strawberry.errors import RunError
from strawberry.runs import PASTED, named_run

# A worker is alive in these states, and only in these.
LIVE = ("starting", "preparing data", "training", "paused")
STATES = (*LIVE, "finished", "stopped", "failed")
QUIET = 30.0  # seconds without a heartbeat after which a reader is told
starting = threading.Lock()  # held while a run is begun, resumed, renamed or removed


class JobError(RunError):
    """A run cannot be started, resumed or steered as asked."""


@dataclass(frozen=True)
class Status:
    """What a job is doing: ``state`` is one of :data:`STATES`, ``sentence`` says it in words; times in seconds."""

    state: str
    sentence: str = ""
    step: int = 0
    steps: int = 0
    tokens_per_s: float | None = None
    eta: float | None = None
    updated: float = 0.0

    @property
    def live(self) -> bool:
        """Whether a worker is at it, paused or not."""
        return self.state in LIVE


@dataclass(frozen=True)
class Job:
    """A run folder together with the subprocess that trains in it, if there is one."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name, by which the run is found again."""
        return self.folder.name

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for: ``config``, ``data``, ``steps``, ``text``; empty for a run made on the command line."""
        return notes.read(self.folder / "job.json")

    @property
    def steerable(self) -> bool:
        """Whether this run was started here, so that it can be paused and resumed from here."""
        return bool(self.request)

    def status(self) -> Status:
        """What the job is doing now; a worker that died without a word is reported as failed, in words."""
        # Liveness first: a worker that ends well writes its last status before it goes.
        alive = process.alive(self.folder)
        said = notes.read(self.folder / "status.json")
        if not said:
            if alive:
                return Status("starting", "The worker is starting.", steps=self.request.get("steps", 0))
            if (self.folder / "worker.json").exists():
                return Status("failed", "The worker ended before it said a word; its log says why.")
            return Status(*recorded.ending(self.folder))
        status = Status(**{key: said[key] for key in Status.__dataclass_fields__ if key in said})
        if status.live and not alive:
            return replace(status, state="failed", sentence=_died(self.folder, status), eta=None)
        silence = time.time() - status.updated
        if status.state == "training" and silence > QUIET:
            words = f"No sign of life for {silence:.0f} s: a step may be long, or the machine busy."
            return replace(status, sentence=words)
        return status

    def pause(self) -> None:
        """Ask the worker to save a checkpoint after the present step and wait."""
        self._want("pause")

    def step(self) -> None:
        """Ask a paused worker for one training step."""
        self._want("step")

    def stop(self) -> None:
        """Ask the worker to save a checkpoint and end; before its first step there is nothing to save."""
        status = self.status()
        if status.state in ("starting", "preparing data"):
            process.kill(self.folder)
            told = {"state": "stopped", "sentence": "Stopped before the first step.", "steps": status.steps}
            notes.write(self.folder / "status.json", {**told, "step": status.step, "updated": time.time()})
        else:
            self._want("stop")

    def resume(self, *, alone: bool = True) -> None:
        """Go on: tell a paused worker, or start a new one from the newest sound checkpoint."""
        with starting:
            if alone:
                _check_alone(self.folder.parent, besides=self)
            if self.status().live:
                self._want("run")
                return
            asked = self.request
            if not asked:
                raise JobError(
                    f"run {self.name!r} was made on the command line; go on with `strawberry train --run … --resume`"
                )
            check_memory(Config.from_dict(asked["config"]))
            notes.write(self.folder / "job.json", {**asked, "resume": True})
            process.spawn(self.folder)

    def look_at(self, text: str) -> None:
        """Have pictures taken of the model reading ``text`` (empty: a passage of the validation text).

        While a worker is at it, that goes for all pictures from now on; otherwise the newest checkpoint is pictured,
        which takes seconds. Raises :class:`RunError` when there is no checkpoint, or no picture can be taken.
        """
        if self.steerable:
            notes.write(self.folder / "job.json", {**self.request, "text": text.strip()})
        if self.status().live and self.steerable:
            path = self.folder / "control.json"
            notes.write(path, {"want": "run", "presses": 0, **notes.read(path), "text": text.strip()})
        else:
            look(self.folder, text)

    def kill(self) -> None:
        """End a worker that no longer listens; what came after its last checkpoint is lost."""
        process.kill(self.folder)

    def log(self, lines: int = 40) -> str:
        """The last lines that the worker wrote to its output."""
        try:
            with open(self.folder / "worker.log", "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 200 * lines))
                return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _want(self, want: str) -> None:
        if not self.status().live:
            raise JobError(f"run {self.name!r} is not training, so it cannot {want}; resume it first")
        path = self.folder / "control.json"
        control = notes.read(path)
        notes.write(path, {**control, "want": want, "presses": control.get("presses", 0) + (want == "step")})


def runs_folder() -> Path:
    """Where runs live: ``STRAWBERRY_RUNS``, or ``runs`` under the working directory."""
    return Path(os.environ.get("STRAWBERRY_RUNS") or "runs").resolve()


def start(
    runs_folder: str | Path,
    name: str,
    config: Config,
    data: str = "sotu",
    steps: int = 1000,
    *,
    text: str = "",
    pasted: str | None = None,
    alone: bool = True,
) -> Job:
    """Begin a run called ``name`` and return at once.

    ``data`` is a corpus or a path, as :func:`strawberry.train` takes it; ``pasted`` is a text of the person's own, kept
    in the run folder and used in its place. ``text`` is what the probes look at, by default a passage
    of the validation text. Raises :class:`JobError` when the
    name is taken, another run is training (unless ``alone`` is False), or the model would not fit into memory.
    """
    folder = named_run(runs_folder, name)
    if steps < 1:
        raise JobError(f"a run needs at least 1 step; got {steps}")
    with starting:
        if alone:
            _check_alone(Path(runs_folder))
        check_memory(config)
        Path(runs_folder).mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            raise JobError(f"a run called {name!r} is already there; choose another name") from None
        if pasted is not None:
            data = PASTED
            (folder / PASTED).write_bytes(pasted.encode())
        asked = {"config": config.to_dict(), "data": data, "steps": steps, "text": text.strip()}
        notes.write(folder / "job.json", {**asked, "resume": False, "created": time.time()})
        process.spawn(folder)
    return Job(folder)


def find(runs_folder: str | Path, name: str) -> Job | None:
    """The run of that name, or None; the name may come from a link, so it cannot lead out of the folder."""
    try:
        folder = named_run(runs_folder, name)
    except RunError:
        return None
    return Job(folder) if _is_run(folder) else None


def every(runs_folder: str | Path) -> list[Job]:
    """All runs in the folder, the newest first."""
    try:
        folders = [path for path in Path(runs_folder).iterdir() if not path.is_symlink() and _is_run(path)]
    except OSError:
        return []
    return [Job(path) for path in sorted(folders, key=_born, reverse=True)]


def check_memory(config: Config) -> None:
    """Raise :class:`JobError` when training this configuration would take more memory than is free."""
    import torch

    if config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available()):
        return
    # Python and torch themselves take about half a gigabyte.
    need, free = strawberry.estimate(config).memory_bytes + 5e8, process.free_memory()
    if need > free:
        raise JobError(
            f"this model needs about {need / 1e9:.1f} GB to train and {free / 1e9:.1f} GB are free; "
            "choose a smaller preset, width, batch or sequence"
        )


def _check_alone(runs_folder: Path, besides: Job | None = None) -> None:
    for job in every(runs_folder):
        if job != besides and (status := job.status()).live and status.state != "paused":
            raise JobError(f"{job.name} is training now; pause or stop it first, or start this one beside it")


def _died(folder: Path, status: Status) -> str:
    saved = recorded.checkpoints(folder)
    hope = f"resume goes on from step {saved[-1]}" if saved else "it had saved nothing, so resume begins again"
    return f"The worker ended without a word at step {status.step} (killed, or out of memory); {hope}."


def _is_run(folder: Path) -> bool:
    return (folder / "job.json").is_file() or (folder / "config.json").is_file()


def _born(folder: Path) -> float:
    created = notes.read(folder / "job.json").get("created")
    if isinstance(created, int | float):
        return created
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
