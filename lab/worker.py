"""The subprocess that trains one run: it obeys the control file, says how it fares, and looks at the model.

Started by `lab.jobs` as ``python -m lab.worker RUN_FOLDER``; needs nothing from the process that started it.
"""

import contextlib
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from lab import endings, line, notes, prepare, process
from lab.pace import Pace, thin
from lab.recorded import probe_path
from lab.status import LIVE

RETRY = 2.0  # seconds between two tries to save what a full disk refused
BEAT = 0.5  # seconds between heartbeats
GLANCE = 0.1  # seconds between looks at the control file while paused
JUDGED_AT = 10  # the step after which leaks are measured: late enough not to hold up the first loss
SAVE_EVERY, SAVE_SHARE = 60.0, 0.01  # seconds between checkpoints, and the share of the time that they may take
LOW_MEMORY = 2e8  # bytes; below this the worker saves and stops before the machine fails


class Worker:
    """Trains the run in ``folder`` as its ``job.json`` asks, until it is done, stopped, or fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = notes.read(folder / "job.json")
        self.steps = int(self.asked.get("steps", 0))
        self.pace = Pace()
        self.text = self._asked_text = str(self.asked.get("text", ""))
        self.trainer: Any = None
        self.signalled = False
        self.why = "Stopped"
        self._pausing = ""
        self._free = 0.0
        self._step = 0
        self._speed: float | None = None
        self._seconds_per_step: float | None = None
        self._stepped_at: float | None = None
        self._beaten = self._handed_on = 0.0
        self._save_at = time.monotonic() + SAVE_EVERY
        self._presses = self._control().get("presses", 0)

    def run(self) -> int:
        """Train; the exit code is 0 when the run finished or was stopped, 1 when it failed."""
        try:
            # Room for last words; where it cannot be had, the keeper's note has to do.
            with contextlib.suppress(OSError):
                notes.reserve(self.folder / process.LAST_WORDS)
            return self._train()
        except Exception as error:
            return self._fail(error)

    def _train(self) -> int:
        from strawberry.config import Config
        from strawberry.data import Text
        from strawberry.runs import CONFIG, PASTED
        from strawberry.train import Trainer

        asked = self.asked
        config = Config.from_dict(asked["config"])
        self._say("preparing data", "Reading the text and making tokens; the first time takes a few seconds longer.")
        data = asked["data"]
        if data == PASTED:
            data = Text((self.folder / PASTED).read_text(encoding="utf-8"))
        # A worker that ended before the run was described left nothing to resume.
        resume = bool(asked.get("resume")) and (self.folder / CONFIG).is_file()
        plan: dict[str, Any] = {"steps": self.steps} if resume else rhythm(self.steps, asked["data"])
        # Tokens may be in the making already, since the dashboard was opened.
        with prepare.turn():
            self.trainer = Trainer(config, data, self.folder, resume=resume, **plan)
        self._step = self.trainer.step
        self._say("training", "The first step is under way.")
        for event in self.trainer:
            if event.event == "started":
                self._look()
            elif event.event == "step":
                self._note(event)
                if event.step == JUDGED_AT:
                    self._judge()
                if self._obey() == "stop":
                    self.trainer.stop(self.why)
                    self._say("stopped", f"{self.why} at step {self._step}; resume goes on from here.")
                    return 0
                if self.pace.due(time.monotonic()):
                    self._look()
                if time.monotonic() >= self._save_at:
                    self._saved()
            elif event.event == "finished":
                self._look()
                if event.reason == "done":
                    self._say("finished", "")
                    return 0
                self._say("failed", f"{event.reason[:1].upper()}{event.reason[1:]}.", "diverged")
                return 1
            self._beat("training")
        return self._fail(RuntimeError("training ended without saying why"))

    def _note(self, event: Any) -> None:
        now = time.monotonic()
        if self._stepped_at is not None:
            took = now - self._stepped_at
            before = self._seconds_per_step
            self._seconds_per_step = took if before is None else 0.9 * before + 0.1 * took
        self._stepped_at, self._step, self._speed = now, event.step, event.tokens_per_s

    def _obey(self) -> str:
        """Follow the control file; returns "stop" or "run", after however long a pause."""
        held, tried = "", -RETRY
        while True:
            control = self._control()
            if (text := control.get("text", self._asked_text)) != self._asked_text:
                self.text = self._asked_text = text
                self._look(again=True)
            want = "stop" if self.signalled else control.get("want", "run")
            if want == "stop" and time.monotonic() - tried >= RETRY:
                tried = time.monotonic()
                if self.signalled or self._saved():
                    return "stop"
            if want == "run":
                self._presses = control.get("presses", 0)
                return "run"
            if control.get("presses", 0) > self._presses:
                self._presses += 1
                if held:
                    self._say("training", "One step is under way.")
                return "run"
            if held != want:
                held = want
                self._hold(want)
            self._beat("paused")
            self._hand_on()
            time.sleep(GLANCE)

    def _hold(self, want: str) -> None:
        """Begin a pause, or one instead of a stop that would lose what cannot be saved now."""
        if want == "stop":
            self._pausing = (
                f"Not stopped yet, after step {self._step}: the disk refuses the checkpoint. Make room: it is saved "
                "then, and ends by itself."
            )
        else:
            self._say("training", "Saving a checkpoint.")
            saved = self._saved()
            self._look()
            kept = "a checkpoint is saved." if saved else "the disk refuses the checkpoint, so make room on it."
            self._pausing = f"Paused after step {self._step}; {kept}"
        self._say("paused", self._pausing)
        self._stepped_at = None

    def _saved(self) -> bool:
        """Save a checkpoint of this step, unless it is there; False when the disk refuses."""
        from strawberry.errors import RunError

        began = time.monotonic()
        try:
            self.trainer.save()
        except (RunError, OSError) as error:
            self._log(error)
            return False
        finally:
            # A plan of many steps saves seldom, and whoever is killed should lose a minute, not hours.
            now = time.monotonic()
            self._save_at = now + max(SAVE_EVERY, (now - began) / SAVE_SHARE)
        return True

    def _hand_on(self) -> None:
        """While this run is paused, the next in line may begin."""
        if time.monotonic() - self._handed_on < line.BEAT:
            return
        self._handed_on = time.monotonic()
        try:
            line.advance(self.folder.parent)
        except Exception as error:
            self._log(error)

    def _look(self, again: bool = False) -> None:
        """Probe the model into ``probes/step-N.npz``, unless it is there; ``again`` replaces it.

        A text that cannot be read gives way to the validation text; a probe that fails otherwise is told in the log
        and stops nothing.
        """
        path = probe_path(self.folder, self._step)
        if path.exists() and not again:
            return
        began = time.monotonic()
        try:
            path.parent.mkdir(exist_ok=True)
            self._picture(self.text or self.trainer.dataset.passage(), path)
            thin(self.folder)
        except Exception as error:
            self._log(error)
            if not isinstance(error, OSError):
                self.text = ""
        now = time.monotonic()
        self.pace.spent(now - began, now)

    def _picture(self, text: str, path: Path) -> None:
        from lab.look import picture

        trainer = self.trainer
        taken = picture(
            trainer.model, trainer.tokenizer, text, own=bool(self.text), step=self._step, run=self.folder.name,
            answers=trainer.dataset.answers,
        )  # fmt: skip
        taken.save(path)

    def _judge(self) -> None:
        """Measure once whether a model of this kind reads the future; told in ``leaks.json``."""
        path = self.folder / "leaks.json"
        if path.exists():
            return
        from lab.causality import verdict

        try:
            told = verdict(self.trainer.config)
            notes.write(path, {"causal": told.causal, "sentence": told.sentence})
        except Exception as error:
            self._log(error)

    def _beat(self, state: str) -> None:
        if time.monotonic() - self._beaten >= BEAT:
            self._say(state, self._pausing if state == "paused" else "")
            if self._free < LOW_MEMORY:
                self.signalled = True
                self.why = "Stopped because this machine is running out of memory"

    def _say(self, state: str, sentence: str, cause: str = "") -> None:
        self._beaten = time.monotonic()
        self._free = process.free_memory()
        left = self.steps - self._step
        eta = self._seconds_per_step * left if self._seconds_per_step and state == "training" else None
        told = {"state": state, "sentence": sentence, "step": self._step, "steps": self.steps, "cause": cause}
        told |= {"tokens_per_s": self._speed, "eta": eta, "updated": time.time()}
        told |= {"beat": self._beaten, "free": self._free, "pid": os.getpid()}
        try:
            notes.write(self.folder / "status.json", told)
        except OSError as error:
            # Last words must be heard; a heartbeat may be missed, and the trainer will meet the same disk.
            self._log(error)
            if state not in LIVE:
                with contextlib.suppress(OSError):
                    notes.engrave(self.folder / process.LAST_WORDS, told)

    def _fail(self, error: BaseException) -> int:
        self._log(error)
        cause, sentence = endings.told(error, self._step)
        self._say("failed", sentence, cause)
        return 1

    def _log(self, error: BaseException) -> None:
        # The log lies on a disk that may be full as well.
        with contextlib.suppress(OSError):
            traceback.print_exception(error)

    def _control(self) -> dict[str, Any]:
        return notes.read(self.folder / "control.json")


def rhythm(steps: int, data: str) -> dict[str, Any]:
    """How often a run of the dashboard evaluates, writes a sample and saves: often enough to watch."""
    prompts = {"sotu": "The state of", "python": "def "}
    return {
        "steps": steps,
        "eval_every": max(25, steps // 20),
        "sample_every": max(50, steps // 10),
        "sample_prompt": prompts.get(data),
        "checkpoint_every": max(50, steps // 10),
    }


def main() -> int:
    """Train the run folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m lab.worker RUN_FOLDER")
    worker = Worker(Path(sys.argv[1]))
    # Without it the keeper's number stands for the worker's.
    with contextlib.suppress(OSError):
        notes.write(worker.folder / process.WORKER, process.mark(os.getpid()))

    def leave(*_: Any) -> None:
        worker.signalled = True

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    process.first_to_go()
    return worker.run()


if __name__ == "__main__":
    sys.exit(main())
