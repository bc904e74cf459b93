"""Configurations refuse what cannot work, in one sentence that names the choices."""

import dataclasses
import json

import pytest

import strawberry
from strawberry import Config, ConfigError


@pytest.mark.parametrize("name", strawberry.presets())
def test_every_preset_survives_json(name: str) -> None:
    config = strawberry.preset(name)
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_every_family_comes_in_three_sizes() -> None:
    for family in strawberry.families():
        assert {f"{family}-{size}" for size in ("pico", "nano", "small")} <= set(strawberry.presets())


def test_every_field_explains_itself() -> None:
    for item in dataclasses.fields(Config):
        assert item.metadata["group"] in ("model", "training") and len(item.metadata["help"]) > 10


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        strawberry.preset("strawberry-pico").loops = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"loop": 3}, "did you mean loops"),
        ({"zzz": 3}, "the fields are"),
        ({"loops": 0}, "loops must be at least 1"),
        ({"n_layers": 10**8}, "n_layers must be at most 1000"),
        ({"loops": 2.5}, "loops must be a whole number"),
        ({"loops": True}, "loops must be a whole number"),
        ({"learning_rate": float("nan")}, "finite"),
        ({"learning_rate": "fast"}, "learning_rate must be a number"),
        ({"pooling": "future"}, "one of prefix, linear, delta, static, batch"),
        ({"mixer": "aft,magic"}, "the mixers are softmax"),
        ({"mixer": "aft,aft,aft,abundance"}, "shorten it"),
        ({"d_qkv": 30}, "multiple of 2 × n_heads"),
        ({"decay": 0.0}, "decay must lie in"),
        ({"prior": 0.0}, "prior must be above 0"),
        ({"top_k": 9}, "more than n_experts"),
        ({"attention_top_k": 9}, "more than the 4 windows"),
        ({"windows": (8, 16, 0)}, "multiple of the number of windows"),
        ({"windows": "8,x"}, "whole numbers"),
        ({"windows": ()}, "windows needs"),
        ({"train_fraction": 1.0}, "between 0 and 1"),
        ({"beta2": 1.0}, "beta2 must lie"),
        ({"compile": "yes"}, "true or false"),
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        strawberry.preset("strawberry-pico", **fields)


def test_an_unknown_preset_names_the_choices() -> None:
    with pytest.raises(ConfigError, match="the presets are strawberry-pico"):
        strawberry.preset("blueberry-nano")
