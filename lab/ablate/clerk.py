"""Runs a study to its end beside the dashboard: ``python -m lab.ablate.clerk FOLDER JOBS``; tells how far it is.

Workers die with it, and nothing is lost: a study goes on where it was when a clerk is started again.
"""

import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from lab import line, notes
from lab.ablate import engines, report
from lab.ablate.command import prepare
from lab.ablate.desk import CONTROL, STATUS
from lab.ablate.gathering import gather
from lab.ablate.progress import Clock
from lab.ablate.queue import Board
from lab.ablate.study import Study
from strawberry.errors import StrawberryError

LOOK = 1.0  # seconds between looks at the folders


class Clerk:
    """One study that is run; ``asked`` becomes true when it is to end."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self.folder, self.jobs = folder, jobs
        self.asked = False

    def run(self) -> int:
        """Run it; returns the exit code."""
        try:
            self._say("preparing", "The data is loaded and cut into tokens.")
            board = prepare(Study.read(self.folder), self.folder.parent)
            trouble = self._work(board)
            self._write(board)
        except StrawberryError as error:
            self._say("failed", str(error))
            return 1
        except Exception as error:
            traceback.print_exc()
            self._say("failed", f"{type(error).__name__}: {error}")
            return 1
        if not board.tasks():
            self._say("finished", "Everything is trained.")
            return 0
        if self.asked:
            self._say("stopped", "Stopped, and saved: it goes on from here.")
            return 0
        self._say("failed", "; ".join(trouble) or "The workers ended before the study did.")
        return 1

    def _work(self, board: Board) -> list[str]:
        """Have workers do what is left; returns a sentence for each that ended badly."""
        clock, told = Clock(board, self.jobs), -1
        if not board.tasks():
            return []
        jobs = min(self.jobs, clock.look().cells)
        workers = engines.start("local", self.folder, jobs, board.study.threads, {})
        try:
            while workers.alive() and not self._to_stop():
                now = clock.look()
                self._say("training", now.sentence(), share=now.share, seconds_left=now.seconds_left)
                if now.cells_done != told:
                    # What is known so far, for whoever looks meanwhile.
                    gather(board, self._command()).write(self.folder)
                    told = now.cells_done
                time.sleep(LOOK)
        finally:
            trouble = workers.trouble()
            self._say("training", "The workers save and end." if workers.alive() else "The results are written.")
            workers.stop()
        return trouble

    def _write(self, board: Board) -> None:
        results = gather(board, self._command())
        results.write(self.folder)
        report.write(results, self.folder)

    def _command(self) -> str:
        """What makes these results again; the folder holds the study."""
        return f"strawberry ablate runs/{self.folder.name}/study.json"

    def _to_stop(self) -> bool:
        self.asked = self.asked or notes.read(self.folder / CONTROL).get("want") == "stop"
        return self.asked

    def _say(self, state: str, sentence: str, **more: Any) -> None:
        notes.write(self.folder / STATUS, {"state": state, "sentence": sentence, "updated": time.time(), **more})


def main() -> int:
    """Run the study whose folder is named on the command line."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m lab.ablate.clerk FOLDER JOBS")
    clerk = Clerk(Path(sys.argv[1]), int(sys.argv[2]))

    leaving: list[int] = []

    def leave(number: int, _: Any) -> None:
        clerk.asked = True
        leaving.append(number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    code = clerk.run()
    if not leaving:
        # Runs may wait for the study to end; at a shutdown nothing new begins.
        line.hand_on(clerk.folder.parent)
    return code


if __name__ == "__main__":
    sys.exit(main())
