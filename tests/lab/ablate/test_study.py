"""Studies: the same from TOML and from Python, and every mistake named in one sentence before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from lab.ablate.study import Study, StudyError
from strawberry.errors import StrawberryError

TOML = """
name = "aft"
question = "Does AFT lose to attention?"
base = { preset = "gpt-pico", n_layers = 2, windows = [4, 0, 0, 0] }
seeds = [1, 2, 3, 4, 5]
steps = 40
equal = "flops"
learning_rates = [0.01, 0.003, 0.03]
delta = 0.02
reference = "attention"
gate = true

[variants]
aft = { mixer = "aft" }
attention = {}

[data.sotu]
[data.python]
seq_len = 32
steps = 20

[control]
sotu = { variant = "attention", accuracy = 0.9 }
"""
GIVEN: dict[str, Any] = {
    "name": "aft",
    "question": "Does AFT lose to attention?",
    "base": {"preset": "gpt-pico", "n_layers": 2, "windows": (4, 0, 0, 0)},
    "seeds": (1, 2, 3, 4, 5),
    "steps": 40,
    "equal": "flops",
    "learning_rates": (0.003, 0.01, 0.03),
    "delta": 0.02,
    "reference": "attention",
    "gate": True,
    "variants": {"aft": {"mixer": "aft"}, "attention": {}},
    "data": {"sotu": {}, "python": {"seq_len": 32, "steps": 20}},
    "control": {"sotu": ("attention", 0.9)},
}


def study(**changes: Any) -> Study:
    return Study(**{**GIVEN, **changes})


def test_toml_and_python_and_a_folder_make_the_same_study(tmp_path: Path) -> None:
    (tmp_path / "aft.toml").write_text(TOML)
    (tmp_path / "aft.py").write_text(f"from lab.ablate.study import Study\nstudy = Study(**{GIVEN!r})\n")
    read = Study.read(tmp_path / "aft.toml")
    assert read == study() == Study.read(tmp_path / "aft.py") == Study.from_dict(read.to_dict())
    assert list(read.variants) == ["aft", "attention"]
    assert read.pairs == [("aft", "sotu"), ("attention", "sotu"), ("aft", "python"), ("attention", "python")]


def test_fields_override_each_other_from_base_to_variant() -> None:
    made = study(variants={"attention": {"seq_len": 16}, "aft": {"mixer": "aft"}, "own": {"preset": "retnet-pico"}})
    assert made.config("attention", "python").seq_len == 16
    assert made.config("aft", "python").seq_len == 32
    assert made.config("own", "sotu").family == "retnet"
    assert made.config("own", "sotu").n_layers == 2
    assert (made.steps_of("sotu"), made.steps_of("python")) == (40, 20)


def test_axes_make_the_product() -> None:
    made = study(variants={}, axes={"loops": [1, 2], "mixer": ["aft", "softmax"]}, reference="", control={}, gate=False)
    assert list(made.variants) == ["loops=1, mixer=aft", "loops=1, mixer=softmax", "loops=2, mixer=aft",
                                   "loops=2, mixer=softmax"]  # fmt: skip
    assert made.reference == "loops=1, mixer=aft"
    assert made.config("loops=2, mixer=aft", "sotu").loops == 2


def test_learning_rates_surround_the_variants_own_unless_they_are_given() -> None:
    assert study().rates("aft", "sotu") == (0.003, 0.01, 0.03)
    made = study(learning_rates=(), variants={"aft": {"learning_rate": 0.002}, "attention": {}})
    assert made.rates("aft", "sotu") == (0.00067, 0.002, 0.006)
    assert made.rates("attention", "sotu") == (0.0033, 0.01, 0.03)
    assert study(learning_rates=[0.01]).rates("aft", "sotu") == (0.01,)


def test_tokens_become_steps() -> None:
    made = study(steps=None, tokens=8 * 64 * 25)
    assert (made.steps_of("sotu"), made.steps_of("python")) == (25, 20)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "../up"}, "cannot be used"),
        ({"base": "gpt-tiny"}, "preset 'gpt-tiny' is unknown"),
        ({"base": 3}, "base must be a table"),
        ({"variants": {"attention": {}}}, "two variants or more"),
        ({"variants": {}}, "needs variants, or axes"),
        ({"axes": {"loops": [1, 2]}}, "not both"),
        ({"variants": {"attention": {}, "aft": {"mixr": "aft"}}}, "did you mean mixer"),
        ({"variants": {"attention": {}, "aft": {"mixer": "fat"}}}, "mixer 'fat' is unknown"),
        ({"variants": {"attention": {}, "aft": {"seed": 3}}}, "variant aft sets seed"),
        ({"variants": {"attention": {}, "aft": {"learning_rate": 0.1}}}, "leave one of them out"),
        ({"seeds": (1, 2)}, "three or more different"),
        ({"seeds": (1, 2, 2)}, "three or more different"),
        ({"seeds": 3}, "seeds must be a list"),
        ({"seeds": (1, 2, -3)}, "from 0 on"),
        ({"tuning_seed": 3}, "would flatter"),
        ({"learning_rates": (0.1, 0.2)}, "three or more different numbers"),
        ({"learning_rates": (0.1, 0.2, 0)}, "three or more different numbers"),
        ({"equal": "time"}, "equal must be one of parameters, flops, steps"),
        ({"tokens": 10}, "steps or tokens"),
        ({"steps": None}, "steps or tokens"),
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"data": {"sotu": {"steps": 0.5}}}, "steps of sotu must be a whole number"),
        ({"data": []}, "one or more data sets"),
        ({"halving": 1}, "halving must be 0"),
        ({"delta": 0}, "delta must lie between 0 and 1"),
        ({"reference": "rwkv"}, "reference 'rwkv' is no variant"),
        ({"control": {"wiki": ("attention", 0.9)}}, "control 'wiki' must name data of this study"),
        ({"control": {"sotu": 0.9}}, "must be a variant and the accuracy"),
        ({"control": {}}, "gate waits for controls"),
        ({"variants": {"attention": {"weights": "retention", "pooling": "batch"}, "aft": {}}}, "reads the future"),
        ({"data": {"sotu": {}, "python": {"weights": "retention", "pooling": "batch"}}}, "reads the future on python"),
        (
            {
                "variants": {"attention": {}, "aft": {"weights": "retention", "pooling": "batch"}},
                "control": {"sotu": ("aft", 0.9)},
            },
            "control 'aft' reads the future on sotu",
        ),
        ({"variants": {"attention": {}, "aft": {"steps": 80}}}, "variant aft sets steps"),
        ({"base": {"preset": "gpt-pico", "steps": 80}}, "base sets steps"),
    ],
)
def test_mistakes_are_one_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StrawberryError, match=words) as caught:
        study(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("no.toml", None, "there is no study"),
        ("bad.toml", "name = ", "cannot be read"),
        ("odd.toml", TOML.replace("steps = 40", "steps = 40\nstep = 3"), "a study has no step; it has name"),
        ("few.toml", 'name = "x"', "lacks question, base, data"),
        ("none.py", "study = 3", "must set study to a lab.ablate.Study"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(StudyError, match=words):
        Study.read(tmp_path / name)
