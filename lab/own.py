"""Judges a model in a process of its own: a run as it was trained, or code of the person's own, which may do anything.

`python -m lab.own FOLDER` reads from its standard input, as JSON, what to judge, and leaves the verdict in the folder.
"""

import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from lab import archive, process
from lab.causality import Verdict, judge, verdict
from strawberry.errors import StrawberryError

PATIENCE = 180.0  # seconds that a verdict may take
TOLD = 3  # exit code of a process that said in one sentence what was wrong
VERDICT, SAID = "verdict.npz", "said.txt"
# Names under which a file may offer its model, in the order in which they are looked for.
OFFERED = ("model", "build", "build_model", "make_model", "get_model")
SINGLE = 1e-5  # changes up to this share of the largest logit are rounding, in single precision
# Each takes a core and the memory of a model.
_turns = threading.BoundedSemaphore(2)


def judged_run(folder: Path, step: int | None = None) -> Verdict:
    """The verdict on a run's own weights at ``step`` (its newest checkpoint if None), taken in another process."""
    return _asked({"run": str(folder), "step": step})


def judged_code(source: str, *, vocab_size: int | None = None, seq_len: int = 24, seed: int = 0) -> Verdict:
    """The verdict on a person's own model; its code runs, with all that it does, in another process.

    ``source`` is the path of a Python file, a file and a name in it (``model.py:build``), or a module and a name
    (``package.module:function``); the name is that of an ``nn.Module``, or of what makes one when called without
    arguments. ``vocab_size`` is by default that of the model's smallest ``nn.Embedding``. Raises StrawberryError with
    one sentence when there is no such model, it fails, or takes more than PATIENCE seconds.
    """
    return _asked({"source": source, "vocab_size": vocab_size, "seq_len": seq_len, "seed": seed})


def load(source: str) -> Any:
    """The ``nn.Module`` that ``source`` names, as :func:`judged_code` takes it; runs the code in this process."""
    from torch import nn

    place, _, name = source.strip().rpartition(":")
    if not place or os.sep in name or name.endswith(".py"):
        place, name = source.strip(), ""
    module = _module(place)
    thing = _offered(module) if not name else getattr(module, name, None)
    if thing is None:
        what = f"nothing called {name!r}" if name else f"none of {', '.join(OFFERED)}, and no model class of its own"
        raise StrawberryError(f"{place} has {what}; name the model, or what makes it, as in {place}:name")
    model = thing if isinstance(thing, nn.Module) else thing() if callable(thing) else thing
    if not isinstance(model, nn.Module):
        raise StrawberryError(f"{source} gives a {type(model).__name__}; it must give a torch.nn.Module")
    return model


def _module(place: str) -> Any:
    path = Path(place).expanduser()
    if path.suffix != ".py":
        try:
            sys.path.insert(0, os.getcwd())
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name and (place == error.name or place.startswith(f"{error.name}.")):
                raise StrawberryError(f"there is no file or module {place!r}; give a path that ends in .py") from None
            raise
    if not path.is_file():
        raise StrawberryError(f"there is no file {place!r} on the machine that runs the dashboard")
    sys.path.insert(0, str(path.resolve().parent))
    described = importlib.util.spec_from_file_location(path.stem, path)
    assert described is not None and described.loader is not None
    module = importlib.util.module_from_spec(described)
    sys.modules[path.stem] = module
    described.loader.exec_module(module)
    return module


def _offered(module: Any) -> Any:
    from torch import nn

    for name in OFFERED:
        if hasattr(module, name):
            return getattr(module, name)
    own = [
        thing for thing in vars(module).values()
        if inspect.isclass(thing) and issubclass(thing, nn.Module) and thing.__module__ == module.__name__
    ]  # fmt: skip
    # The model is built of the others, so it comes last.
    return own[-1] if own else None


def _asked(wish: dict[str, Any]) -> Verdict:
    """Have ``wish`` judged by ``python -m lab.own``, at most two at a time."""
    with _turns, tempfile.TemporaryDirectory(prefix="strawberry-leaks-") as folder:
        said = Path(folder, SAID)
        with open(said, "wb") as told:
            child = subprocess.Popen(
                [sys.executable, "-m", "lab.own", folder],
                stdin=subprocess.PIPE,
                stdout=told,
                stderr=subprocess.STDOUT,
                env={**process.environment(), "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        try:
            child.communicate(json.dumps(wish).encode(), timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise StrawberryError(f"no verdict came within {PATIENCE:.0f} s; judge fewer tokens") from None
        finally:
            _end(child)
        words = said.read_text(encoding="utf-8", errors="replace").strip()
        if child.returncode == TOLD and words:
            raise StrawberryError(words.splitlines()[-1])
        if child.returncode or not Path(folder, VERDICT).is_file():
            last = words.splitlines()[-1] if words else f"exit code {child.returncode}"
            raise StrawberryError(f"the process that judged it ended without a verdict ({last})")
        return _read(Path(folder, VERDICT))


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End the process with all that it may have started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    child.wait()


def _judge(wish: dict[str, Any]) -> Verdict:
    if "run" in wish:
        from strawberry.runs import open_run

        run = open_run(wish["run"])
        if wish["step"] is None:
            return verdict(run)
        name, model = f"{run.name} at step {wish['step']}", run.model(wish["step"])
        found = verdict(model)
        return _renamed(found, name)
    return _judge_code(wish)


def _judge_code(wish: dict[str, Any]) -> Verdict:
    import torch

    source = wish["source"]
    try:
        model = load(source).cpu().eval()
        vocabulary = wish["vocab_size"] or _vocabulary(model)
        sizes = {"vocab_size": vocabulary, "seq_len": wish["seq_len"], "seed": wish["seed"]}
        name = type(model).__name__
        try:
            return judge(model.double(), name, **sizes)
        except (RuntimeError, TypeError, NotImplementedError):
            # Constants of single precision inside, most likely.
            model = load(source).cpu().float().eval()
        with torch.inference_mode():
            out = model(torch.zeros(1, wish["seq_len"], dtype=torch.long))
        largest = float(out.abs().max()) if isinstance(out, torch.Tensor) else 1.0
        return judge(model, f"{name} (in single precision)", **sizes, tolerance=SINGLE * max(1.0, largest))
    except StrawberryError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise StrawberryError(_blamed(error, source)) from None


def _vocabulary(model: Any) -> int:
    from torch import nn

    sizes = [part.num_embeddings for part in model.modules() if isinstance(part, nn.Embedding)]
    if not sizes:
        raise StrawberryError("the model has no nn.Embedding to tell its vocabulary; say how many token ids it knows")
    return max(2, min(sizes))


def _blamed(error: Exception, source: str) -> str:
    """One line: what went wrong, and where in the person's code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename and frame.filename != __file__]
    where = f" in line {own[-1].lineno} of {Path(own[-1].filename).name}" if own else ""
    words = " ".join(str(error).split())[:300]
    return f"the model of {source} failed{where}: {type(error).__name__}: {words}"


def _renamed(found: Verdict, name: str) -> Verdict:
    return dataclasses.replace(found, name=name, sentence=found.sentence.replace(found.name, name, 1))


ARRAYS = ("cuts", "map", "outputs", "gradients", "rows")


def _write(path: Path, found: Verdict) -> None:
    fields = vars(found)
    meta = {name: value for name, value in fields.items() if name not in ARRAYS}
    archive.write(path, meta, {name: np.asarray(fields[name]) for name in ARRAYS})


def _read(path: Path) -> Verdict:
    meta, arrays = archive.read(path)
    fields: dict[str, Any] = {**meta, **arrays}
    return Verdict(**fields)


def main() -> int:
    """Judge what standard input asks for; TOLD after a mistake that was said in one sentence."""
    # When memory runs out, the system ends this process rather than the dashboard; other systems have no such file.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900")
    try:
        _write(Path(sys.argv[1], VERDICT), _judge(json.load(sys.stdin)))
    except StrawberryError as error:
        sys.stdout.flush()
        sys.stderr.write(f"\n{error}\n")
        return TOLD
    return 0


if __name__ == "__main__":
    sys.exit(main())
