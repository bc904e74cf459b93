"""``strawberry ablate``: from a file to a table, and every mistake told before anything is written."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lab.ablate import command, engines
from lab.ablate.results import Results
from lab.ablate.study import Study, StudyError
from strawberry.__main__ import main
from strawberry.call import Call
from strawberry.mixers import MIXERS
from strawberry.mixers.base import ALONE
from tests.mixers.toys import RunningMean


@pytest.fixture
def file(make: Callable[..., Study], tmp_path: Path) -> Path:
    """A study's file; three cells of each variant."""
    path = tmp_path / "mixers.json"
    path.write_text(json.dumps(make(learning_rates=[0.01]).to_dict()))
    return path


class Cheat(RunningMean):
    """Every token gets the mean of all values, of those to come as well, and says nothing of it."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, state: Any = None, call: Call = ALONE) -> Any:
        y, state = super().forward(q, k, v, x, state, call)
        return y.mean(1, keepdim=True).expand_as(y), state


def test_a_leak_that_nobody_declared_is_refused_before_anything_is_written(
    make: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MIXERS, "cheat", Cheat)
    monkeypatch.setitem(MIXERS, "mean", RunningMean)
    honest = make(variants={"attention": {}, "mean": {"mixer": "mean"}}, equal="steps")
    assert command.prepare(honest, tmp_path).folder.is_dir()
    study = make(name="leak", variants={"attention": {}, "cheat": {"mixer": "cheat"}}, equal="steps")
    assert study.config("cheat", next(iter(study.data))).causal
    with pytest.raises(StudyError, match=r"variant 'cheat' reads the future on .*, and nothing that it is made of"):
        command.prepare(study, tmp_path)
    assert not (tmp_path / "leak").exists()


@pytest.mark.slow
def test_it_runs_a_study_and_tells_what_it_found(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text_file: str
) -> None:
    assert main(["ablate", str(file), "--runs", str(tmp_path / "runs"), "--jobs", "2"]) == 0
    told = capsys.readouterr().out
    for part in ("Does AFT lose to attention?", "reference", "training FLOPs", f"On {text_file}", "0.01"):
        assert part in told, part
    results = Results.read(tmp_path / "runs" / "mixers")
    assert results.complete and len(results.cells) == 6
    assert results.command.startswith("strawberry ablate ")

    # Again, from the study's folder: nothing is trained, and the answer is the same.
    assert main(["ablate", str(tmp_path / "runs" / "mixers"), "--runs", str(tmp_path / "runs"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["cells"] == results.to_dict()["cells"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], None),
        (["--engine", "kubernetes"], "engine 'kubernetes' is unknown; the engines are local, submitit, ray"),
        (["--engine-option", "partition"], "--engine-option is written NAME=VALUE"),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_mistakes_leave_nothing_behind(
    options: list[str], words: str | None, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    if words is None:
        study = json.loads(file.read_text())
        file.write_text(json.dumps({**study, "data": {"nowhere.txt": {}}}))
        words = "nowhere.txt"
    assert main(["ablate", str(file), "--runs", str(runs), *options]) == 2
    assert words in capsys.readouterr().err
    assert not runs.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"control": None}, "asks for an accuracy, and .* is judged by bits_per_byte"),
        (
            {"steps": 1, "equal": "flops", "variants": {"attention": {}, "loops": {"loops": 3}}},
            "give the study more steps",
        ),
    ],
)
def test_more_mistakes(
    changes: dict[str, Any], words: str, make: Callable[..., Study], text_file: str, tmp_path: Path
) -> None:
    if "control" in changes:
        changes = {"control": {text_file: ("attention", 0.9)}}
    with pytest.raises(StudyError, match=words):
        command.prepare(make(**changes), tmp_path)
    assert not list(tmp_path.glob("mixers"))


def test_another_folder_is_not_taken_over(make: Callable[..., Study], tmp_path: Path) -> None:
    (tmp_path / "mixers").mkdir()
    (tmp_path / "mixers" / "thesis.txt").write_text("precious")
    with pytest.raises(StudyError, match="is no study's folder"):
        command.prepare(make(), tmp_path)


class Dead:
    """An engine whose workers are gone at once."""

    def alive(self) -> int:
        return 0

    def stop(self) -> None:
        pass

    def trouble(self) -> list[str]:
        return ["worker 0 was ended by signal 9"]


def test_workers_that_end_too_early_are_told_of(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engines, "start", lambda *_: Dead())
    assert main(["ablate", str(file), "--runs", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "worker 0 was ended by signal 9" in told and "the same command goes on" in told
    results = Results.read(tmp_path / "mixers")
    assert not results.complete and {one.word for one in results.verdicts} == {"pending"}


def test_a_command_names_the_study_as_seen_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.command(str(tmp_path / "my studies" / "a.toml")) == "strawberry ablate 'my studies/a.toml'"
    assert command.command("a.toml") == "strawberry ablate a.toml"


@pytest.mark.parametrize("name", ["submitit", "ray"])
def test_without_its_package_an_engine_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, engines.ENGINES[name], raising=False)
    with pytest.raises(StudyError, match=rf"needs the package {name}.*strawberry-lab\[sweep\]"):
        engines.check(name)


def test_options_become_what_they_look_like(file: Path, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_bytes(file.read_bytes())
    assert [engines.value(text) for text in ("3", "0.5", "true", "gpu")] == [3, 0.5, True, "gpu"]
    assert engines.default_jobs(1) >= 1
    with pytest.raises(StudyError, match="local has no option partition"):
        engines.start("local", tmp_path, 1, 1, {"partition": "gpu"})
