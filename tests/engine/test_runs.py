"""A run opens from its folder alone, and its name stays inside the runs folder."""

import json
from pathlib import Path

import pytest
import torch

from strawberry.config import Config
from strawberry.data import Text
from strawberry.errors import CheckpointError, RunError
from strawberry.events import Step
from strawberry.runs import Run, named_run, open_run, runs_in
from strawberry.train import Trainer


@pytest.fixture(scope="module")
def finished(tiny: Config, text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of four steps with checkpoints of steps 2 and 4."""
    path = tmp_path_factory.mktemp("runs") / "berries"
    with Trainer(tiny, text_file, path, 4, checkpoint_every=2, eval_batches=1) as trainer:
        list(trainer)
    return open_run(path)


def test_holds_all_that_it_needs(finished: Run, tiny: Config, text_file: Path) -> None:
    assert finished.name == "berries"
    assert finished.config == tiny
    assert finished.tokenizer.decode(finished.tokenizer.encode("a \N{STRAWBERRY}")) == "a \N{STRAWBERRY}"
    assert finished.data == str(text_file.resolve())
    assert finished.steps() == [2, 4]
    assert finished.newest() == (4, [])
    assert [event.step for event in finished.events() if isinstance(event, Step)] == [1, 2, 3, 4]
    environment = json.loads((finished.path / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert str(Path.home()) not in json.dumps(environment)


def test_gives_the_model_of_any_step(finished: Run, tiny: Config) -> None:
    tokens = torch.arange(40).view(1, 40)
    early, late, newest = (finished.model(step)(tokens) for step in (2, 4, None))
    assert torch.equal(late, newest)
    assert not torch.equal(early, late)
    assert not finished.model().training


def test_a_step_that_it_lacks_is_named(finished: Run) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint of step 3; it has: 2, 4"):
        finished.model(3)


def test_pasted_text_is_kept_as_it_was(tiny: Config, tmp_path: Path) -> None:
    text = Text("line one\r\nline two\rthree \N{STRAWBERRY}\n" * 40)
    Trainer(tiny, text, tmp_path / "run", 1).close()
    assert open_run(tmp_path / "run").data == text
    Trainer(run=tmp_path / "run", resume=True).close()


def test_runs_in_a_folder(finished: Run, tmp_path: Path) -> None:
    assert [run.name for run in runs_in(finished.path.parent)] == ["berries"]
    (tmp_path / "notes").mkdir()
    assert runs_in(tmp_path) == []
    assert runs_in(tmp_path / "absent") == []


@pytest.mark.parametrize("name", ["a", "first", "2026-11-22_run.3", "A" * 64])
def test_good_names(tmp_path: Path, name: str) -> None:
    assert named_run(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "-x", "a/b", "../a", "/etc", "a\\b", "a b", "a\n", "a\0", "é", "A" * 65, "c:x", None, 3],
)
def test_bad_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="cannot be used"):
        named_run(tmp_path, name)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="leads out"):
        named_run(tmp_path / "runs", "link")


def _broken(tmp_path: Path, content: str) -> Path:
    (tmp_path / "config.json").write_text(content)
    return tmp_path


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda path: path / "absent", "there is no run"),
        (lambda path: path / "a\0b", "cannot be a run folder|there is no run"),
        (lambda path: path, "is no run folder"),
        (lambda path: _broken(path, "{"), "config.json is damaged"),
        (lambda path: _broken(path, "[]"), "config.json is damaged"),
        (
            lambda path: _broken(path, '{"d_model": "wide"}'),
            "does not fit this version: d_model must be a whole number",
        ),
        (lambda path: _broken(path, '{"flavour": 3}'), "does not fit this version: config has no field"),
        (lambda path: _broken(path, "{}"), "plan.json cannot be read"),
    ],
)
def test_what_is_no_run_is_refused_in_a_sentence(tmp_path: Path, make, match: str) -> None:
    with pytest.raises(RunError, match=match) as caught:
        open_run(make(tmp_path))
    assert "\n" not in str(caught.value)
