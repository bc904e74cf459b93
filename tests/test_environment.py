"""The script behind make: it notices an unfinished, outdated or damaged install, and repairs it."""

import ast
import importlib.util
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "environment.py"


@pytest.fixture
def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("environment", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def environment(script: ModuleType, tmp_path: Path) -> ModuleType:
    """The script with a project folder of its own, and installs that are only written down in `calls`."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    script.ROOT = tmp_path
    script.calls = []
    script.create = lambda venv: (script.calls.append("create"), venv.mkdir(exist_ok=True))
    script.install = lambda venv, extras: not script.calls.append(sorted(extras))
    script.damaged = lambda venv: [] if venv.exists() else None
    return script


def test_the_first_time_makes_everything_and_the_second_nothing(environment, tmp_path):
    venv = tmp_path / ".venv"
    assert environment.prepare(venv, set())
    assert environment.calls == ["create", []]
    assert not environment.prepare(venv, set())
    assert environment.calls == ["create", []]


def test_extras_add_up(environment, tmp_path):
    venv = tmp_path / ".venv"
    environment.prepare(venv, set())
    assert environment.prepare(venv, {"dev"})
    assert not environment.prepare(venv, set())  # `make lab` after `make test` has nothing to do
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    assert environment.prepare(venv, set())
    assert environment.calls == ["create", [], ["dev"], ["dev"]]


def test_an_interruption_leaves_no_stamp(environment, tmp_path, monkeypatch):
    venv = tmp_path / ".venv"
    environment.prepare(venv, set())
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    recorded = environment.install

    def interrupted(venv, extras):
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        environment.prepare(venv, set())
    assert not (venv / environment.STAMP).exists()
    monkeypatch.setattr(environment, "install", recorded)
    assert environment.prepare(venv, set())
    assert environment.is_current(venv, set())


def test_damage_makes_a_new_environment(environment, tmp_path, monkeypatch):
    venv = tmp_path / ".venv"
    environment.prepare(venv, set())
    monkeypatch.setattr(environment, "damaged", lambda venv: ["torch-2.13.0.dist-info"])
    assert environment.prepare(venv, set())
    assert environment.calls == ["create", [], "create", []]


def test_an_install_that_fails_twice_is_an_error_and_leaves_no_stamp(environment, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "install", lambda venv, extras: False)
    with pytest.raises(environment.SetupError):
        environment.prepare(tmp_path / ".venv", set())
    assert not environment.is_current(tmp_path / ".venv", set())


@pytest.mark.parametrize("stamp", ["", "{", "[]", "{}", '{"digest": 1, "extras": null}', "null"])
def test_a_broken_stamp_counts_as_none(environment, tmp_path, stamp):
    (tmp_path / environment.STAMP).write_text(stamp)
    assert not environment.is_current(tmp_path, set())
    assert environment.stamp_extras(tmp_path) == set()


def test_another_python_or_place_is_another_environment(environment, tmp_path, monkeypatch):
    before = environment.digest(tmp_path / "a")
    assert environment.digest(tmp_path / "b") != before
    monkeypatch.setattr(environment.sys, "version", "3.99")
    assert environment.digest(tmp_path / "a") != before


def test_damage_is_found_in_a_real_environment(script, tmp_path):
    venv = tmp_path / "venv"
    assert script.damaged(venv) is None
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    assert script.damaged(venv) == []
    (site,) = venv.glob("lib/python*/site-packages")
    package = site / "berry-1.0.dist-info"
    package.mkdir()
    assert script.damaged(venv) == ["berry-1.0.dist-info"]  # what an interrupted pip leaves: no METADATA
    (package / "METADATA").write_text("Name: berry\nVersion: 1.0\n")
    (package / "RECORD").write_text("berry.py,,\nberry.pyc,,\n")
    assert script.damaged(venv) == ["berry-1.0.dist-info"]
    (site / "berry.py").touch()
    assert script.damaged(venv) == []


def test_one_at_a_time(environment, tmp_path, capsys):
    pytest.importorskip("fcntl")
    order = []

    def wait_for_it():
        with environment.Lock(tmp_path / "lock"):
            order.append("second")

    with environment.Lock(tmp_path / "lock"):
        other = threading.Thread(target=wait_for_it)
        other.start()
        time.sleep(0.1)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    assert "waiting" in capsys.readouterr().out


def test_references_are_installed_once_without_their_dependencies(script, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[dependency-groups]\nreferences = ["berry==1.0"]\n')
    venv, calls = tmp_path / ".venv", []

    def run(command, **_):
        calls.append(command)
        (venv / "references").mkdir(parents=True)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script.subprocess, "run", run)
    assert script.references(venv)
    assert script.references(venv)
    (command,) = calls
    assert command[-1] == "berry==1.0"
    assert "--no-deps" in command
    (tmp_path / "pyproject.toml").write_text('[dependency-groups]\nreferences = ["berry==1.1"]\n')
    assert script.references(venv)
    assert calls[-1][-1] == "berry==1.1"


def test_references_that_cannot_be_installed_are_no_error(script, tmp_path, monkeypatch, capsys):
    (tmp_path / "pyproject.toml").write_text('[dependency-groups]\nreferences = ["berry==1.0"]\n')
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1))
    assert not script.references(tmp_path / ".venv")
    assert "skip" in capsys.readouterr().out


def test_nothing_is_asked_for_where_there_are_no_references(script, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script.subprocess, "run", None)
    assert script.references(tmp_path / ".venv")


def test_an_old_python_gets_one_sentence(environment, monkeypatch, capsys):
    monkeypatch.setattr(environment.sys, "version_info", (3, 9, 2))
    assert environment.main([".venv"]) == 2
    said = capsys.readouterr().err
    assert "3.11 or newer" in said
    assert "3.9" in said
    assert said.count("\n") == 1


def test_a_python_without_venv_gets_one_sentence(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)
    assert script.main([str(tmp_path / "venv")]) == 1
    said = capsys.readouterr().err
    assert "python3-venv" in said
    assert said.count("\n") == 1


def test_old_pythons_can_read_the_script():
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 7))


def test_make_starts_the_dashboard_on_this_machine_only():
    makefile = (SCRIPT.parent.parent / "Makefile").read_text(encoding="utf-8")
    assert "streamlit run app.py --server.address 127.0.0.1" in makefile
