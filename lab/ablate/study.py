"""A study: one question, the variants that answer it, and all that is held equal; checked when it is made."""

import dataclasses
import itertools
import json
import runpy
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from strawberry.config import Config
from strawberry.data.named import is_made, maker
from strawberry.errors import StrawberryError
from strawberry.presets import preset
from strawberry.runs import named_run

EQUAL_BY = ("parameters", "flops", "steps")
FEWEST_SEEDS = 3
FEWEST_RATES = 3


class StudyError(StrawberryError):
    """A study asks for something that cannot work."""


@dataclass(frozen=True)
class Study:
    """What is asked, of which variants, on which data, and what makes the comparison fair.

    Made in Python, or read from TOML by :meth:`read`: the fields are the same. Raises :class:`StudyError`, or
    :class:`~strawberry.errors.ConfigError` where a configuration cannot be.

    name: of the study's folder. question: one sentence, for the report. base: a preset, or a table of ``preset`` and
    the fields in which all cells differ from it. variants: name -> the fields in which that variant differs, which may
    name a ``preset`` of its own; or axes: field -> list of values, whose product makes the variants.
    data: names as ``strawberry.data.load`` takes them, in a list, or a table of name -> fields of its own, such as
    seq_len, vocab_size or ``steps``.

    seeds: three or more; each makes weights and data order, alike for all variants. steps, or tokens: how long the
    reference trains. equal: what the budget equalises, see :mod:`lab.ablate.budget`. learning_rates: tried for each
    variant, none for a third, once and three times the variant's own; a single one is not tuned. widen: how many
    further rates are tried, one by one, while the best lies at an edge. tuning_seed: the seed of those trials, none of
    ``seeds``. halving: 0, or the factor by which successive halving thins the learning rates.
    delta: the margin within which variants count as equal, a share. alpha: the chance that anything in the study is
    falsely called different, and likewise falsely equal.
    reference: the variant that all are compared with, by default the first. control: data -> (variant, accuracy) that
    must be reached, or that data's comparisons are void; gate: train controls first, and where one failed, no others.
    evaluations: how often each run is evaluated, on eval_batches batches; threads: of each run's arithmetic, fixed
    since the last bits depend on it.
    """

    name: str
    question: str
    base: Any
    data: Any
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    axes: dict[str, list[Any]] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int | None = None
    tokens: int | None = None
    equal: str = "parameters"
    learning_rates: tuple[float, ...] = ()
    widen: int = 2
    tuning_seed: int = 1000
    halving: int = 0
    delta: float = 0.01
    alpha: float = 0.05
    reference: str = ""
    control: dict[str, tuple[str, float]] = field(default_factory=dict)
    gate: bool = False
    evaluations: int = 5
    eval_batches: int = 8
    threads: int = 1

    def __post_init__(self) -> None:
        named_run(".", self.name)
        self._set("base", {"preset": self.base} if isinstance(self.base, str) else _table(self.base, "base"))
        self._set("data", _data(self.data))
        if bool(self.variants) == bool(self.axes):
            raise StudyError("a study needs variants, or axes whose product makes them, and not both")
        if self.axes:
            self._set("variants", _product(self.axes))
        self._set("variants", {name: _table(fields, f"variant {name}") for name, fields in self.variants.items()})
        self._set("seeds", _tuple(self.seeds, "seeds"))
        self._set("learning_rates", tuple(sorted(map(float, _tuple(self.learning_rates, "learning_rates")))))
        self._set("reference", self.reference or next(iter(self.variants)))
        self._set("control", {name: _control(name, wanted) for name, wanted in self.control.items()})
        self._check()
        for data in self.data:
            for variant in self.variants:
                self.config(variant, data)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check(self) -> None:
        if len(self.variants) < 2:
            raise StudyError(f"a study compares two variants or more; got {', '.join(self.variants)}")
        if self.reference not in self.variants:
            raise StudyError(f"reference {self.reference!r} is no variant; the variants are {', '.join(self.variants)}")
        if len(set(self.seeds)) < FEWEST_SEEDS or len(set(self.seeds)) < len(self.seeds):
            raise StudyError(f"seeds must be three or more different whole numbers; got {list(self.seeds)}")
        if not all(type(seed) is int and seed >= 0 for seed in (*self.seeds, self.tuning_seed)):
            raise StudyError("seeds must be whole numbers from 0 on")
        if self.tuning_seed in self.seeds:
            raise StudyError(
                f"tuning_seed {self.tuning_seed} is one of the seeds: choosing on it would flatter; take another"
            )
        rates = self.learning_rates
        if rates and (min(rates) <= 0 or len(set(rates)) < len(rates) or 1 < len(rates) < FEWEST_RATES):
            raise StudyError(
                "learning_rates must be three or more different numbers above 0, or one that is not tuned; "
                f"got {list(rates)}"
            )
        own = [name for table in (self.variants, self.data) for name in table if "learning_rate" in table[name]]
        if rates and own:
            raise StudyError(
                f"{own[0]!r} sets learning_rate, and the study learning_rates for all; leave one of them out"
            )
        if self.equal not in EQUAL_BY:
            raise StudyError(f"equal must be one of {', '.join(EQUAL_BY)}; got {self.equal!r}")
        if (self.steps is None) == (self.tokens is None):
            raise StudyError("a study needs steps or tokens, and not both")
        counts = {name: getattr(self, name) for name in ("steps", "tokens", "evaluations", "eval_batches", "threads")}
        counts |= {f"steps of {name}": fields.get("steps") for name, fields in self.data.items()}
        for name, value in counts.items():
            if value is not None and (type(value) is not int or value < 1):
                raise StudyError(f"{name} must be a whole number of at least 1; got {value!r}")
        if type(self.halving) is not int or self.halving < 0 or self.halving == 1:
            raise StudyError(f"halving must be 0, which is none, or a whole number of at least 2; got {self.halving!r}")
        if type(self.widen) is not int or self.widen < 0:
            raise StudyError(f"widen must be 0, which is none, or a whole number above; got {self.widen!r}")
        for name in ("delta", "alpha"):
            if not 0 < getattr(self, name) < 1:
                raise StudyError(f"{name} must lie between 0 and 1; got {getattr(self, name)}")
        for name, fields in {
            "base": self.base,
            **{f"variant {name}": self.variants[name] for name in self.variants},
        }.items():
            if "steps" in fields:
                raise StudyError(f"{name} sets steps, which the study decides, or a data set; leave it out")
        for data in self.data:
            if not self.config(self.reference, data).causal:
                raise StudyError(
                    f"reference {self.reference!r} reads the future on {data}; nothing can be measured against it"
                )
        for data, (variant, accuracy) in self.control.items():
            if data not in self.data or variant not in self.variants or not 0 < accuracy <= 1:
                raise StudyError(
                    f"control {data!r} must name data of this study, one of its variants and an accuracy up to 1; "
                    f"got {variant!r} and {accuracy}"
                )
            if not self.config(variant, data).causal:
                raise StudyError(f"control {variant!r} reads the future on {data}; that it passes would prove nothing")
        if self.gate and not self.control:
            raise StudyError("gate waits for controls, and this study has none; give control, or leave gate out")

    def config(self, variant: str, data: str) -> Config:
        """The configuration of a variant on a data set, before the budget: base, then data, then variant."""
        fields = {**self.base, **self.data[data], **self.variants[variant]}
        fields.pop("steps", None)
        config = preset(fields.pop("preset"), **fields)
        if is_made(data) and "seq_len" not in self.data[data]:
            # Rows of a task are as long as it says, and costs are counted for rows of that length.
            return config.replace(seq_len=maker(data, config.seq_len).length)
        return config

    def steps_of(self, data: str) -> int:
        """How many steps the reference trains on a data set."""
        own = self.data[data].get("steps", self.steps)
        if own is not None:
            return own
        config = self.config(self.reference, data)
        return max(1, round((self.tokens or 0) / (config.batch_size * config.seq_len * config.grad_accum)))

    def rates(self, variant: str, data: str) -> tuple[float, ...]:
        """The learning rates tried for a variant on a data set before any wider ones, lowest first."""
        own = self.config(variant, data).learning_rate
        return self.learning_rates or tuple(float(f"{own * factor:.2g}") for factor in (1 / 3, 1, 3))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every (variant, data), data by data."""
        return [(variant, data) for data in self.data for variant in self.variants]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary that :meth:`from_dict` reads; axes have become variants."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.name != "axes"}
        return json.loads(json.dumps(values))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A study from a table; an unknown or missing key is named."""
        known = {item.name: item for item in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise StudyError(f"a study has no {', '.join(unknown)}; it has {', '.join(known)}")
        missing = [name for name in ("name", "question", "base", "data") if name not in values]
        if missing:
            raise StudyError(f"the study lacks {', '.join(missing)}")
        return cls(**values)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A study from a TOML file, from a Python file that sets ``study``, or from the folder of one that was begun.

        Raises :class:`StudyError` when there is none, or it cannot be read.
        """
        path = Path(path)
        file = path / "study.json" if path.is_dir() else path
        try:
            if file.suffix == ".py":
                study = runpy.run_path(str(file)).get("study")
                if not isinstance(study, cls):
                    raise StudyError(f"{path} must set study to a lab.ablate.Study")
                return study
            text = file.read_text(encoding="utf-8")
            return cls.from_dict(json.loads(text) if file.suffix == ".json" else tomllib.loads(text))
        except OSError as error:
            raise StudyError(
                f"there is no study {str(path)!r} ({error.strerror}); give a TOML or Python file"
            ) from None
        except StrawberryError:
            raise
        except (ValueError, TypeError) as error:
            raise StudyError(f"{path} cannot be read: {error}") from None


def _table(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise StudyError(f"{what} must be a table of fields; got {value!r}")
    if "seed" in value:
        raise StudyError(f"{what} sets seed, which the study's seeds decide; leave it out")
    # As TOML and JSON give them.
    return {name: list(one) if isinstance(one, tuple) else one for name, one in value.items()}


def _data(value: Any) -> dict[str, dict[str, Any]]:
    if isinstance(value, str):
        value = [value]
    table = value if isinstance(value, Mapping) else {name: {} for name in _tuple(value, "data")}
    if not table or not all(isinstance(name, str) for name in table):
        raise StudyError("data must name one or more data sets, such as sotu")
    return {name: _table(fields, f"data {name}") for name, fields in table.items()}


def _tuple(value: Any, what: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise StudyError(f"{what} must be a list; got {value!r}")
    return tuple(value)


def _product(axes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    lists = [[(name, value) for value in _tuple(values, f"axis {name}")] for name, values in axes.items()]
    return {", ".join(f"{name}={value}" for name, value in one): dict(one) for one in itertools.product(*lists)}


def _control(data: str, wanted: Any) -> tuple[str, float]:
    try:
        variant, accuracy = (wanted["variant"], wanted["accuracy"]) if isinstance(wanted, Mapping) else wanted
        return str(variant), float(accuracy)
    except (KeyError, TypeError, ValueError):
        raise StudyError(f"control {data!r} must be a variant and the accuracy that it must reach") from None
