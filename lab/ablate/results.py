"""What a study found: every number a report needs, gathered from the folders, and kept as one small JSON file."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from lab.ablate.study import Study, StudyError
from lab.ablate.verdict import Verdict
from strawberry.data.cache import write_atomically

RESULTS = "results.json"
FORMAT = 1


@dataclass(frozen=True)
class CellResult:
    """One training. ``state``: done, diverged, stopped (by halving), failed, begun or waiting.

    events: its event file, relative to the study's folder. curve: at each evaluation the step, loss and metric.
    training: some forty steps and the mean training loss up to each since the one before. seconds: spent in steps.
    """

    name: str
    stage: str
    data: str
    variant: str
    learning_rate: float
    seed: int
    steps: int
    step: int
    state: str
    events: str
    loss: float | None = None
    bits_per_byte: float | None = None
    accuracy: float | None = None
    floor: float | None = None
    error: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    curve: list[list[float]] = field(default_factory=list)
    training: list[list[float]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    why: str = ""


@dataclass(frozen=True)
class Routing:
    """How experts shared the work in the last tenth of training, means over seeds.

    experts: of all routers together. dead: how many of them got less than a hundredth of an even share. evenness: the
    entropy of a router's shares over that of even ones, mean over routers: 1 when all experts share alike.
    """

    experts: int
    dead: float
    evenness: float


@dataclass(frozen=True)
class Row:
    """One line of the table: a variant on a data set.

    changes: the fields in which the variant differs from the base. rule: how its budget was matched. parameters,
    active_parameters, state_size: of the model; tokens, flops: of one training; decode_flops: of one token forward.
    learning_rates: each rate and its score in tuning, None where it was stopped or diverged; none without tuning.
    edge: "lowest" or "highest" when the chosen rate lies at that end of the grid, so that a better one may lie beyond.
    scores: by seed, of ``metric``; mean, sd: of these; seconds: mean of a training. void: why it counts for nothing.
    routing: None without experts, else how they shared the work at the end of training.
    """

    data: str
    variant: str
    reference: bool
    causal: bool
    changes: dict[str, Any]
    steps: int
    rule: str
    parameters: int
    active_parameters: int
    state_size: int
    tokens: int
    flops: int
    decode_flops: int
    metric: str
    higher_is_better: bool
    learning_rate: float | None
    learning_rates: dict[str, float | None]
    edge: str
    scores: dict[str, float]
    losses: dict[str, float]
    mean: float | None
    sd: float | None
    floor: float | None
    seconds: float | None
    tokens_per_s: float | None
    void: str
    routing: Routing | None = None


@dataclass(frozen=True)
class Results:
    """A study with its answer, complete or so far.

    fixed: sentences on what was held equal. command: what makes these results again. environments: the machines and
    versions that the cells were trained with. complete: whether nothing is left to train.
    """

    study: dict[str, Any]
    question: str
    command: str
    complete: bool
    fixed: list[str]
    rows: list[Row]
    verdicts: list[Verdict]
    cells: list[CellResult]
    environments: list[dict[str, Any]]

    @property
    def voided(self) -> list[Row]:
        """The rows that count for nothing, each with its reason."""
        return [row for row in self.rows if row.void]

    def row(self, variant: str, data: str) -> Row:
        """The line of a variant on a data set; raises ``KeyError`` where there is none."""
        for row in self.rows:
            if (row.variant, row.data) == (variant, data):
                return row
        raise KeyError((variant, data))

    def verdict(self, variant: str, data: str) -> Verdict | None:
        """The verdict on a variant on a data set; None for the reference itself."""
        return next((one for one in self.verdicts if (one.variant, one.data) == (variant, data)), None)

    def finals(self, variant: str, data: str) -> list[CellResult]:
        """The trainings of a variant on a data set that count, one per seed."""
        return [one for one in self.cells if (one.variant, one.data, one.stage) == (variant, data, "final")]

    def settings(self) -> Study:
        """The study itself."""
        return Study.from_dict(self.study)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    def write(self, folder: Path) -> Path:
        """Write ``results.json`` into a folder, whole or not at all; returns its path."""
        path = folder / RESULTS
        write_atomically(path, _lined(self.to_dict()).encode())
        return path

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """The results in a study's folder, or in a file; raises :class:`StudyError` when there are none that fit."""
        path = Path(folder)
        path = path / RESULTS if path.is_dir() else path
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("format") != FORMAT:
                raise StudyError(f"{path} is of another version; run the study again with strawberry ablate")
            values["rows"] = [_row(row) for row in values["rows"]]
            values["verdicts"] = [_verdict(one) for one in values["verdicts"]]
            values["cells"] = [CellResult(**one) for one in values["cells"]]
            return cls(**values)
        except OSError:
            raise StudyError(f"there are no results in {str(folder)!r}; run the study with strawberry ablate") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, StudyError):
                raise
            raise StudyError(f"{path} is damaged ({error}); make it again with strawberry ablate") from None


def _lined(values: dict[str, Any]) -> str:
    """JSON with a line for each row, verdict and training: short, and two of them are compared line by line."""

    def said(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    def listed(value: Any) -> str:
        return "[\n" + ",\n".join(map(said, value)) + "\n]" if isinstance(value, list) and value else said(value)

    return "{\n" + ",\n".join(f"{said(name)}: {listed(value)}" for name, value in values.items()) + "\n}\n"


def _row(values: dict[str, Any]) -> Row:
    routing = values.get("routing")
    return Row(**{**values, "routing": None if routing is None else Routing(**routing)})


def _verdict(values: dict[str, Any]) -> Verdict:
    interval = values["bootstrap"]
    return Verdict(**{**values, "bootstrap": None if interval is None else tuple(interval)})
