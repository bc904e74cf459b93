"""Every mistake on the command line gets one sentence on standard error, no traceback, and an exit code above 0."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from strawberry.__main__ import main
from strawberry.config import Config
from strawberry.runs import open_run
from strawberry.train import train

# {text} is a good text file, {run} a finished run, {here} an empty folder with the files of the fixture below.
CASES: list[tuple[str, str]] = [
    ("", "a command is missing"),
    ("trian", "invalid choice: 'trian'"),
    ("--version", "'--version' is not understood"),
    ("train", "must say what to train"),
    ("train strawberry", "preset 'strawberry' is unknown; the presets are"),
    ("train strawberry-giant", "preset 'strawberry-giant' is unknown"),
    ("train strawberry-pico extra", "'extra' is not understood"),
    ("train strawberry-pico --loop 3", "did you mean --loops?"),
    ("train strawberry-pico --n_experts 3", "did you mean --n-experts?"),
    ("train strawberry-pico --loops", "--loops: expected one argument"),
    ("train strawberry-pico --loops many", "loops must be a whole number; got 'many'"),
    ("train strawberry-pico --loops 0", "loops must be at least 1; got 0"),
    ("train strawberry-pico --loops 1.5", "loops must be a whole number; got '1.5'"),
    ("train strawberry-pico --learning-rate fast", "learning_rate must be a number; got 'fast'"),
    ("train strawberry-pico --learning-rate nan", "learning_rate must be a finite number"),
    ("train strawberry-pico --mixer convolution", "mixer 'convolution' is unknown; the mixers are"),
    (
        "train strawberry-pico --pooling future",
        "pooling must be one of prefix, linear, delta, static, batch; got 'future'",
    ),
    ("train strawberry-pico --compile maybe", "compile must be true or false; got 'maybe'"),
    ("train strawberry-pico --windows 4,x", "windows must be whole numbers such as 8,32,0"),
    ("train strawberry-pico --top-k 9", "top_k 9 is more than n_experts"),
    ("train strawberry-pico --d-qkv 33", "d_qkv 33 must be a multiple of"),
    ("train strawberry-pico --train-fraction 1.5", "train_fraction must lie between 0 and 1"),
    ("train strawberry-pico --d-model 100000000", "lower d_model"),
    ("train strawberry-pico --vocab-size 999999999999", "lower d_model, vocab_size"),
    ("train strawberry-pico --batch-size 999999999", "lower d_model, vocab_size, batch_size"),
    ("train strawberry-pico --seed -1", "seed must be at least 0"),
    ("train strawberry-pico --steps 0", "--steps: must be a whole number of at least 1, got '0'"),
    ("train strawberry-pico --steps -5", "at least 1, got '-5'"),
    ("train strawberry-pico --steps ten", "at least 1, got 'ten'"),
    ("train strawberry-pico --checkpoint-every 0", "at least 1, got '0'"),
    ("train strawberry-pico --data nowhere.txt", "there is no file or folder 'nowhere.txt'"),
    ("train strawberry-pico --data wikipedia", "data 'wikipedia' is unknown"),
    ("train strawberry-pico --data {here}/empty.txt", "holds no text"),
    ("train strawberry-pico --data {here}/binary.bin", "binary.bin"),
    ("train strawberry-pico --data {here}/latin.txt", "latin.txt"),
    ("train strawberry-pico --data {here}/short.txt", "too small"),
    ("train strawberry-pico --data {here}/nothing", "holds no files"),
    ("train strawberry-pico --data {text} --run {text}", "is a file; give --run the path of a new folder"),
    ("train strawberry-pico --data {text} --run {run}", "already holds a run; resume it with --resume"),
    ("train strawberry-pico --data {text} --run {here}", "is not empty and holds no run"),
    ("train strawberry-pico --data {text} --run {text}/below", "Not a directory"),
    ("train strawberry-pico --data {text} --run .", "the run folder has no name"),
    ("train strawberry-pico --data {text} --run=", "the run folder has no name"),
    ("train --resume", "nothing to resume without a run folder"),
    ("train --run absent --resume", "there is no run 'absent' to resume"),
    ("train --run {here} --resume", "is no run folder"),
    ("train --run {run} --resume --loops 5", "cannot be resumed with another configuration (loops was 2 and is now 5)"),
    ("train --run {run} --resume --steps 1", "is at step 2, beyond 1 steps"),
    ("train --run {run} --resume --data sotu", "was trained on other data than 'sotu'"),
    ("train --init-from absent", "must say what to train"),
    ("train strawberry-pico --init-from absent", "there is no run 'absent'"),
    ("train strawberry-pico --data {text} --init-from {run}", "use the configuration of its training"),
    ("train strawberry-pico --run {run} --resume --init-from {run}", "leave out resume or init_from"),
    ("train --config absent.json", "'absent.json' cannot be read"),
    ("train --config {here}/wrong.json", "has unknown keys: max_itters; did you mean max_iters?"),
    ("train --config {here}/broken.json", "is not valid JSON at line 1"),
    ("generate", "the following arguments are required: RUN"),
    ("generate absent", "there is no run 'absent'"),
    ("generate {here}", "is no run folder"),
    ("generate {run} the --step 7", "has no checkpoint of step 7; it has: 2"),
    ("generate {run} the --temperature -1", "temperature must be a number"),
    ("generate {run} the --temperature warm", "--temperature: invalid float value: 'warm'"),
    ("generate {run} the --top-p 2", "top_p must lie above 0"),
    ("generate {run} the --max-tokens 0", "at least 1, got '0'"),
    ("leaks", "the following arguments are required: PRESET|RUN"),
    ("leaks nothing", "'nothing"),
    ("leaks {here}", "is no run folder"),
    ("leaks {run} --loops 3", "leave out the fields, or name a preset"),
    ("presets all", "'all' is not understood"),
    ("lab --port x", "--port: must be a whole number"),
]


@pytest.fixture(scope="module")
def places(tiny: Config, text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the braces stand for."""
    here, run = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("runs") / "run"
    list(train(tiny, text_file, run, 2, eval_batches=1))
    (here / "nothing").mkdir()
    (here / "empty.txt").write_text("")
    (here / "short.txt").write_text("too short")
    (here / "binary.bin").write_bytes(bytes(range(256)) * 8)
    (here / "latin.txt").write_bytes("café au lait ".encode("latin-1") * 500)
    (here / "wrong.json").write_text('{"max_itters": 3}')
    (here / "broken.json").write_text('{"max_iters" 3}')
    return {"text": str(text_file), "run": str(run), "here": str(here)}


def _one_sentence(text: str, match: str) -> None:
    lines = [line for line in text.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, text
    assert lines[0].startswith("strawberry: ")
    assert match in lines[0]
    assert "Traceback" not in text


@pytest.mark.parametrize(("command", "match"), CASES, ids=[command for command, _ in CASES])
def test_one_sentence_and_no_success(
    places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    command: str, match: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main([part.format(**places) for part in command.split()]) == 2
    said = capsys.readouterr()
    _one_sentence(said.err, match)
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_real_process_says_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "strawberry", "train", "strawberry-pico", "--loops", "many"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    _one_sentence(done.stderr, "loops must be a whole number; got 'many'")
    assert done.stdout == ""


def test_a_damaged_run_is_named(
    tiny: Config, text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    list(train(tiny, text_file, run, 2, eval_batches=1, checkpoint_every=1))
    victim = run / "checkpoints" / "step-2" / "model.safetensors"
    victim.write_bytes(victim.read_bytes()[:-1])
    assert main(["generate", str(run), "the", "--max-tokens", "3"]) == 0
    assert "checkpoint step-2 is damaged: model.safetensors has" in capsys.readouterr().err
    (run / "checkpoints" / "step-1" / "manifest.json").unlink()
    assert main(["generate", str(run), "the", "--max-tokens", "3"]) == 2
    assert "has no sound checkpoint" in capsys.readouterr().err
    for name, content in (
        ("tokenizer/tokenizer.json", "{"),
        ("plan.json", "[]"),
        ("config.json", json.dumps({"x": 1})),
    ):
        (run / name).write_text(content)
        assert main(["train", "--run", str(run), "--resume"]) == 2
        error = capsys.readouterr().err
        _one_sentence(error, Path(name).name)
    with pytest.raises(ValueError):
        open_run(run)
