"""The command line's options, frozen: a change here is a change for everybody's scripts."""

import argparse
import dataclasses
import subprocess
import sys

import pytest

from strawberry.__main__ import main, parser
from strawberry.cli.options import chosen
from strawberry.config import Config
from strawberry.presets import preset

FROZEN = {
    "train": """PRESET --checkpoint-every --config --data --eval-batches --eval-every --init-from --json --keep
        --log-every --resume --run --sample-every --sample-prompt --sample-tokens --steps""",
    "generate": """RUN PROMPT --exit --json --max-loops --max-tokens --seed --step --temperature --threshold
        --top-k --top-p""",
    "presets": "--json",
    "data": "--json",
    "leaks": "PRESET|RUN --json",
    "ablate": "STUDY --engine --engine-option --jobs --json --runs",
    "lab": "--port --runs",
}
FIELDS = """--activation --attention-top-k --auxiliary --backprop-loops --balance --balance-coef --base-scale
    --batch-size --beta1 --beta2 --chunk --compile --conv --cooldown-frac --d-ff --d-model --d-qkv --decay
    --decay-lr --depth --depth-cache --device --eps --family --grad-accum --grad-clip --halting --halting-coef
    --halting-prior --input-gate --learning-rate --loops --loss-threshold --max-loops --min-lr --mixer --momentum
    --n-experts --n-heads --n-kv-heads --n-layers --optimizer --pooling --precision --prior --rank --recursion
    --rope-base --rounding --routing --scale --schedule --seed --segment --seq-len --sharing --sinks --step-gamma
    --step-size --think-above --tokenizer --top-k --train-fraction --vocab-size --warmup-steps --weight-decay --weights
    --window --windows --z-coef"""


def _commands() -> dict[str, argparse.ArgumentParser]:
    top = parser()
    [subparsers] = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(subparsers.choices)


def _options(command: argparse.ArgumentParser) -> set[str]:
    named = {option for action in command._actions for option in action.option_strings}
    placed = {str(action.metavar) for action in command._actions if not action.option_strings}
    return (named | placed) - {"-h", "--help"}


@pytest.mark.parametrize("name", FROZEN)
def test_options_are_as_they_were(name: str) -> None:
    wanted = set(FROZEN[name].split()) | (set(FIELDS.split()) if name in ("train", "leaks") else set())
    assert _options(_commands()[name]) == wanted


def test_there_are_no_other_commands() -> None:
    assert list(_commands()) == list(FROZEN)


def test_every_field_can_be_set() -> None:
    for item in dataclasses.fields(Config):
        value = {"true": "false", "auto": "cpu"}.get(str(item.default).lower())
        value = value or {int: "3", float: "0.5", bool: "true", str: "word"}.get(item.type, "1,2")
        values = parser().read(["train", "strawberry-nano", f"--{item.name.replace('_', '-')}", value])
        assert set(chosen(values)) == {item.name}


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        (["--loops", "3"], "loops", 3),
        (["--n-experts", "8"], "n_experts", 8),
        (["--learning-rate", "1e-3"], "learning_rate", 1e-3),
        (["--compile"], "compile", True),
        (["--compile", "true"], "compile", True),
        (["--decay-lr", "false"], "decay_lr", False),
        (["--decay-lr=no"], "decay_lr", False),
        (["--windows", "4,0"], "windows", (4, 0)),
        (["--mixer", "aft,softmax"], "mixer", "aft,softmax"),
    ],
)
def test_values_become_what_the_field_is(text: list[str], field: str, value: object) -> None:
    fields = chosen(parser().read(["train", "strawberry-nano", *text]))
    assert getattr(preset("strawberry-nano", attention_top_k=1, **fields), field) == value


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in FROZEN)], ids=" ".join)
def test_help_is_there(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert "usage: strawberry" in capsys.readouterr().out


def test_the_parser_waits_for_no_trainer() -> None:
    code = "import sys; from strawberry.__main__ import parser; parser(); print('strawberry.train' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
