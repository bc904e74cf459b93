"""The author's configuration file trains as it is, and what it gets wrong is named."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

import strawberry
from strawberry import author
from strawberry.__main__ import main
from strawberry.errors import ConfigError
from strawberry.events import Started, Step
from strawberry.runs import open_run

FILE = r"""
// A comment of its own.
{
    "dataset": {
        "data_division": 0.75, // the share that is trained on
        "load_from_file": true,
        "path": "berries.txt" // "quoted", and a // inside
    },
    "checkpoints": {"path": "bin/first", "interval": 2, "create_checkpoints": true},
    "model_hyperparams": {
        "vocab_size": 320, "block_size": 32, "n_layer": 2, "n_head": 4, "n_embd": 32, "n_qkv": 32, "n_ffn": 48,
        "r_layer": 3, "n_experts": 4, "a_experts": 2,
    },
    "optimizer_hyperparams": {
        "eps": 1e-10, "beta1": 0.9, "beta2": 0.95, "weight_decay": 0.1, "use_muon": true, "momentum": 0.9
    },
    /* where things
       end up */
    "model_path": "bin\\strawberry.bin",
    "encoder_path": "bin/cl4k.bin",
    "init_from": "scratch",
    "seed": "auto",
    "gradient_accumulation_steps": 2,
    "batch_size": 2,
    "max_iters": 4,
    "eval_interval": 2,
    "log_interval": 1,
    "eval_iters": 1,
    "decay_lr": true,
    "lr_decay_iters": 4,
    "learning_rate": 1e-3,
    "cooldown_frac": 0.4,
    "warmup_iters": 2,
    "min_lr": 1e-4,
}
"""


@pytest.fixture
def folder(tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds the file and its text."""
    (tmp_path / "train.json").write_text(FILE)
    (tmp_path / "berries.txt").write_bytes(text_file.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _with(folder: Path, **changes: Any) -> Path:
    values = {**author.parse(folder / "train.json"), **changes}
    (folder / "changed.json").write_text(json.dumps(values))
    return folder / "changed.json"


@pytest.mark.slow
def test_trains_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", "train.json"]) == 0
    said = capsys.readouterr()
    assert "encoder_path 'bin/cl4k.bin' is no tokenizer saved by a run; a new one is learned" in said.err
    run = open_run("bin/first")
    config = run.config
    assert (config.loops, config.top_k, config.d_ff, config.train_fraction) == (3, 2, 48, 0.75)
    assert [event.step for event in run.events() if isinstance(event, Step)] == [1, 2, 3, 4]
    assert run.steps() == [2, 4]
    weights = safetensors.torch.load_file("bin/strawberry.safetensors")
    assert weights.keys() == run.model().state_dict().keys()
    assert main(["train", "--config", "train.json"]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert main(["train", "--config", "train.json", "--resume", "--steps", "5"]) == 0
    assert open_run("bin/first").steps() == [2, 4, 5]
    again = _with(folder, encoder_path="bin/first/tokenizer", checkpoints={"path": "bin/second"}, seed=3)
    assert main(["train", "--config", str(again), "--loops", "2", "--steps", "1", "--json"]) == 0
    assert open_run("bin/second").tokenizer.fingerprint == run.tokenizer.fingerprint
    assert open_run("bin/second").config == config.replace(seed=3, loops=2)


def test_maps_every_key(folder: Path) -> None:
    asked = author.read(folder / "train.json")
    assert asked.config is not None
    wanted = {
        "family": "strawberry", "vocab_size": 320, "seq_len": 32, "n_layers": 2, "n_heads": 4, "d_model": 32,
        "d_qkv": 32, "d_ff": 48, "loops": 3, "n_experts": 4, "top_k": 2, "eps": 1e-10, "beta1": 0.9, "beta2": 0.95,
        "weight_decay": 0.1, "optimizer": "muon",
        "momentum": 0.9, "grad_accum": 2, "batch_size": 2, "decay_lr": True, "learning_rate": 1e-3,
        "cooldown_frac": 0.4, "warmup_steps": 2, "min_lr": 1e-4, "train_fraction": 0.75,
    }  # fmt: skip
    assert {name: getattr(asked.config, name) for name in wanted} == wanted
    assert asked.options == {
        "data": Path("berries.txt"), "run": Path("bin/first"), "checkpoint_every": 2, "steps": 4, "eval_every": 2,
        "eval_batches": 1, "decay_steps": 4,
    }  # fmt: skip
    assert asked.export == Path("bin/strawberry.safetensors")
    assert asked.log_every == 1


def test_auto_seeds_differ_and_a_number_is_kept(folder: Path) -> None:
    seeds = {author.read(folder / "train.json").config.seed for _ in range(4)}  # type: ignore[union-attr]
    assert len(seeds) > 1
    asked = author.read(_with(folder, seed=7))
    assert asked.config is not None
    assert (asked.config.seed, asked.random_seed) == (7, False)


def test_what_is_left_out(folder: Path) -> None:
    small = {"vocab_size": 300, "block_size": 8, "n_layer": 1, "n_head": 3, "n_embd": 32, "n_qkv": 24, "n_ffn": 16}
    file = _with(folder, model_hyperparams=small, optimizer_hyperparams={"use_muon": False}, checkpoints=None)
    asked = author.read(file)
    assert asked.config is not None
    config = asked.config
    assert (config.loops, config.n_experts, config.optimizer) == (1, 1, "adamw")
    assert (config.mixer, len(config.windows), config.chunk) == ("abundance", 3, 2)
    assert sum("to fit the file's sizes" in note for note in asked.notes) >= 3
    assert asked.options["run"] == Path("bin/strawberry")
    base = strawberry.preset("strawberry-nano")
    named = author.read(file, base).config
    assert named is not None
    assert (named.loops, named.n_experts) == (base.loops, base.n_experts)


def test_nothing_is_checkpointed_where_they_say_so(folder: Path) -> None:
    file = _with(folder, checkpoints={"path": "x", "interval": 2, "create_checkpoints": False}, eval_interval=0)
    options = author.read(file).options
    assert options["checkpoint_every"] is None
    assert options["eval_every"] is None


def test_a_text_beside_the_file_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert author.read(folder / "train.json").options["data"] == folder / "berries.txt"
    assert author.read(_with(folder, dataset={"path": "sotu", "load_from_file": False})).options["data"] == "sotu"


def test_init_from(folder: Path) -> None:
    assert author.read(_with(folder, init_from="resume")).options["resume"] is True
    assert "init_from" not in author.read(folder / "train.json").options


def test_a_runs_own_configuration_is_understood(folder: Path, tiny: strawberry.Config) -> None:
    (folder / "config.json").write_text(json.dumps(tiny.to_dict()))
    assert author.read(folder / "config.json").config == tiny


def test_comments_and_commas_leave_strings_alone(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"init_from": "a // b, } /* c */ \\" //", // d\n"seed": 1, /* , */ }')
    assert author.parse(tmp_path / "a.json") == {"init_from": 'a // b, } /* c */ " //', "seed": 1}


BAD = [
    ({"max_itters": 3, "lr": 1}, "has unknown keys: max_itters, lr; did you mean max_iters?"),
    ({"model_hyperparams": {"n_layers": 3}}, "unknown keys: model_hyperparams.n_layers; did you mean"),
    ({"model_hyperparams": 3}, "model_hyperparams in .* must be an object"),
    ({"max_iters": "many"}, "max_iters must be a whole number; got 'many'"),
    ({"max_iters": 1.5}, "max_iters must be a whole number; got 1.5"),
    ({"decay_lr": 1}, "decay_lr must be true or false; got 1"),
    ({"seed": "automatic"}, 'seed must be a whole number or "auto"'),
    ({"learning_rate": "1e-3"}, "learning_rate must be a number"),
    ({"dataset": {"path": 3}}, "dataset.path must be text"),
    ({"init_from": "pretrained"}, 'init_from must be "scratch", "resume" or the folder of a run'),
    ({"dataset": {"data_division": 1.5}}, "train_fraction must lie between 0 and 1"),
]


@pytest.mark.parametrize(("changes", "match"), BAD, ids=str)
def test_mistakes_are_named(folder: Path, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        author.read(_with(folder, **changes))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b'{"seed": 1,\n "seed" 2}', "is not valid JSON at line 2"),
        (b'{"seed": 1, "seed": 2}', "key 'seed' is there twice"),
        (b"[1]", "must hold a JSON object"),
        (b"", "is not valid JSON at line 1"),
        (b"\xff\xfe", "it is not UTF-8 text"),
        (b'{"a":' * 100000, "is not a valid configuration|is not valid JSON"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_configuration(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "train.json").write_bytes(content)
    with pytest.raises(ConfigError, match=match):
        author.read(tmp_path / "train.json")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        author.read(tmp_path / "train.json")


def test_started_names_the_text(folder: Path) -> None:
    asked = author.read(folder / "train.json")
    options = {name: value for name, value in asked.options.items() if name != "run"}
    from strawberry.train import train

    started = next(train(asked.config, **options))
    assert isinstance(started, Started)
    assert started.data == "berries.txt"
