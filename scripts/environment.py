"""Make the virtual environment what pyproject.toml says, and repair it when it is not.

Called by make as `python3 scripts/environment.py FOLDER [EXTRA ...]`; needs nothing but the standard library.
Written for old Pythons too, so that it can tell them in one sentence that they are too old.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
STAMP = "strawberry-install.json"
# The packages must import; the project's own code must only be found, since a slip in it is no fault of the install.
SMOKE = """
import importlib.util, numpy, torch, tokenizers, streamlit, plotly, ipywidgets
for package in ("strawberry", "lab"):
    assert importlib.util.find_spec(package), package + " is not installed"
"""
# Prints each package that lost its metadata or a file. Compiled files come and go, so they are not asked for.
DAMAGED = """
import importlib.metadata as metadata, pathlib
for package in metadata.distributions():
    files = package.files if package.read_text("METADATA") else None
    if files is None or any(file.suffix != ".pyc" and not file.locate().exists() for file in files):
        print(pathlib.Path(str(getattr(package, "_path", "a package"))).name)
"""


class SetupError(Exception):
    """Says in one sentence why there is no environment, and what to do about it."""


def digest(venv):
    """A hash of all that the environment was made from: requirements, Python, and the two folders' places."""
    parts = [(ROOT / "pyproject.toml").read_bytes(), sys.version.encode(), str(ROOT).encode(), str(venv).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_current(venv, extras):
    """Whether a finished install of the present requirements, with at least these extras, left its stamp."""
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
        return stamp["digest"] == digest(venv) and set(extras) <= set(stamp["extras"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def stamp_extras(venv):
    """The extras that the last finished install had, if its stamp can be read."""
    try:
        return set(json.loads((venv / STAMP).read_text(encoding="utf-8"))["extras"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def python(venv):
    """The environment's interpreter."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def damaged(venv):
    """Names of packages in the environment that lost files; None when its interpreter does not run."""
    try:
        done = subprocess.run(
            [str(python(venv)), "-I", "-c", DAMAGED], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None
    return done.stdout.decode().split() if done.returncode == 0 else None


def create(venv):
    """Make an empty environment, whatever was there before."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise SetupError(
            "{} comes without its venv module: install it (on Debian and Ubuntu: apt install python3-venv) "
            "and run the same command again.".format(sys.executable)
        )
    if subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)]).returncode != 0:
        shutil.rmtree(str(venv), ignore_errors=True)
        raise SetupError("{} could not make a virtual environment in {}.".format(sys.executable, venv))


def install(venv, extras):
    """Install the packages and say whether the result is whole: consistent, no file missing, importable."""
    what = ".[{}]".format(",".join(sorted(extras))) if extras else "."
    pip = [str(python(venv)), "-m", "pip", "--disable-pip-version-check"]
    if subprocess.run([*pip, "install", "--editable", what], cwd=str(ROOT)).returncode != 0:
        if damaged(venv) == []:
            raise SetupError(
                "pip could not install the packages, for the reason above: when that is mended (is there a connection, "
                "is the disk full?), run the same command again."
            )
        return False
    return (
        subprocess.run([*pip, "check"]).returncode == 0
        and damaged(venv) == []
        and subprocess.run([str(python(venv)), "-I", "-c", SMOKE]).returncode == 0
    )


def references(venv):
    """Put the code that tests compare with in a folder of its own, without what it depends on; True if it is there.

    A failure is said and is no error: the tests that need this code then skip.
    """
    import tomllib

    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")).get("dependency-groups", {})
    packages = groups.get("references", [])
    wanted = json.dumps(packages)
    folder = venv / "references"
    done = folder / "installed.json"
    if not packages or (done.exists() and done.read_text(encoding="utf-8") == wanted):
        return True
    shutil.rmtree(str(folder), ignore_errors=True)
    pip = [str(python(venv)), "-m", "pip", "--disable-pip-version-check", "--retries", "1"]
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(folder)]
    if subprocess.run([*pip, "install", *options, *packages]).returncode != 0:
        print("Without these packages, the tests that compare with reference implementations skip.")
        return False
    done.write_text(wanted, encoding="utf-8")
    return True


def prepare(venv, extras):
    """Bring the environment up to date; True when there was something to do."""
    if is_current(venv, extras):
        lost = damaged(venv)
        if lost == []:
            return False
        print("The environment is damaged ({}).".format(", ".join(lost) if lost else "its Python does not run"))
        fresh = True
    else:
        fresh = damaged(venv) != []
    extras = set(extras) | stamp_extras(venv)
    stamp = venv / STAMP
    # Gone until the install has finished, so that an interruption at any moment leaves none.
    if stamp.exists():
        stamp.unlink()
    if not fresh:
        print("Bringing {} up to date.".format(venv))
    if fresh or not install(venv, extras):
        # A half-installed package can make every later pip fail: only a new environment is sure to help.
        print("Making a new environment in {}. The first time, this downloads about 1 GB.".format(venv))
        create(venv)
        if not install(venv, extras):
            raise SetupError("The new environment is not whole, for the reason above: run the same command again.")
    stamp.write_text(json.dumps({"digest": digest(venv), "extras": sorted(extras)}), encoding="utf-8")
    return True


class Lock:
    """Held by one process at a time, and let go when that process ends in whatever way."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.file = open(str(self.path), "a")
        try:
            import fcntl
        except ImportError:  # Windows: one install at a time is up to the person.
            return
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("Another install is under way in {}: waiting for it.".format(self.path.parent))
            fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()


def main(argv=None):
    """Prepare the environment named on the command line; the exit code is 0 when it is ready."""
    if sys.version_info < OLDEST:
        print(
            "Strawberry Lab needs Python {}.{} or newer, and {} is {}.{}: install a newer one, or name it, as in "
            "`make lab PYTHON=python3.12`.".format(*OLDEST, sys.executable, *sys.version_info[:2]),
            file=sys.stderr,
        )
        return 2
    parser = argparse.ArgumentParser(description="Make the virtual environment what pyproject.toml says.")
    parser.add_argument("venv", type=Path, help="folder of the virtual environment")
    parser.add_argument("extras", nargs="*", help="extras of pyproject.toml, such as dev")
    arguments = parser.parse_args(argv)
    venv = Path(os.path.abspath(str(arguments.venv)))
    try:
        with Lock(venv.parent / (venv.name + ".lock")):
            prepare(venv, set(arguments.extras))
            if "dev" in arguments.extras:
                references(venv)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: run the same command again to go on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
