"""Measures how a run's newest checkpoint decides when to stop, and lets it write while it does, in another process.

`python -m lab.ponder RUN_FOLDER` reads from its standard input what is asked, as JSON, and leaves its findings in the
run folder.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lab import apart, notes
from lab.measure.calibration import Calibration, Promise, Trial
from strawberry.config import Config
from strawberry.errors import StrawberryError

FILE = "ponder.json"
PATIENCE = 240.0  # seconds that everything may take
SEARCH = 75.0  # seconds after which no further threshold is tried
TOKENS = 4096  # validation tokens to choose a threshold on, and as many to check it with
WRITTEN = 80  # tokens of the sample
NEVER = 1e9  # a threshold that nothing reaches


@dataclass(frozen=True)
class Written:
    """One token of the sample, ``text`` being empty while a character is incomplete, and the passes that it took."""

    text: str
    passes: int
    confidence: float | None


@dataclass(frozen=True)
class Pondered:
    """What was found about the checkpoint of ``step``; parts that this kind of model cannot have are None.

    ``checked`` is the chosen threshold on another part of the validation text than it was chosen on.
    """

    run: str
    step: int
    seed: int
    family: str
    calibration: Calibration | None
    promise: Promise | None
    checked: Trial | None
    prompt: str
    sample: tuple[Written, ...]

    @property
    def label(self) -> str:
        """One line that says which run, step and seed this is."""
        return f"{self.run} · step {self.step} · seed {self.seed}"

    @property
    def code(self) -> str:
        """Lines of Python that find it again."""
        return f'from lab import figures, ponder\n\nfound = ponder.read("runs/{self.run}")'


def rules_for(config: Config) -> list[str]:
    """The exit rules that models of this kind can follow; none where tokens cannot stop one by one."""
    fixed_weights = config.weights != "retention" and config.sharing == "cycle" and "cross" not in config.mixers
    if not fixed_weights or config.recursion != "all" or config.loops == 1:
        return []
    learned = [] if config.halting == "none" else [config.halting]
    return [*learned, "gap", "saturation", "fixed"]


def ponder(folder: Path, rule: str | None, promised: float) -> None:
    """Measure the newest checkpoint of the run in ``folder``, and keep what was found there; takes up to minutes.

    Calibrates its confidence; finds the threshold of ``rule`` (None where there is none to choose) that keeps the
    ``promised`` increase of the loss, a share; lets it write. Raises :class:`strawberry.errors.RunError` with one
    sentence when that cannot be had.
    """
    asked = json.dumps({"rule": rule, "promised": promised})
    apart.ask("lab.ponder", folder, asked, what="measurement", patience=PATIENCE)


def read(folder: str | Path) -> Pondered | None:
    """What was last found about the run in ``folder``, if anything."""
    found = notes.read(Path(folder) / FILE)
    try:
        return _unpacked(found) if found else None
    except (KeyError, TypeError, ValueError):
        return None


def take(folder: Path, words: str) -> None:
    """Do in this process what :func:`ponder` asks of another one."""
    import torch

    from lab.measure.calibration import adaptive, calibration, threshold_for
    from strawberry.data import TextDataset, load
    from strawberry.runs import open_run

    asked = json.loads(words)
    rule, run = asked["rule"], open_run(folder)
    step, _ = run.newest()
    model, config = run.model(step), run.config
    if rule is not None and rule not in rules_for(config):
        raise StrawberryError(f"this model cannot follow the exit rule {rule}; it can: {', '.join(rules_for(config))}")
    if rule is None and model.mixture is None:
        raise StrawberryError("nothing in this model decides about depth: every token takes all passes")
    torch.manual_seed(0)
    dataset = load(run.data, config, run.tokenizer)
    text = isinstance(dataset, TextDataset)
    chosen_on, checked_on = halves(dataset.validation, config.seq_len) if text else rows(dataset, config)
    calibrated = calibration(model, chosen_on) if config.halting == "confidence" else None
    promise = checked = None
    if rule is not None:
        promise = threshold_for(model, chosen_on, asked["promised"], rule=rule, seconds=SEARCH)
        if checked_on:
            whole = adaptive(model, checked_on, "fixed", promise.most, promise.most)
            threshold = min(promise.chosen.threshold, NEVER)
            checked = adaptive(model, checked_on, rule, threshold, promise.most, whole.loss)
    prompt = run.plan.get("sample_prompt") or ""
    sample = _written(model, run.tokenizer, prompt, promise)
    found = Pondered(
        folder.name, step or 0, config.seed, config.family, calibrated, promise, checked, prompt, tuple(sample)
    )
    notes.write(folder / FILE, _packed(found))


def rows(dataset: Any, config: Config) -> tuple[list[Any], list[Any]]:
    """Two lists of (tokens, targets) batches of data that is made: to choose on, and to check with."""
    batches: list[list[Any]] = []
    for place in range(2):
        many = config.replace(batch_size=max(8, TOKENS // dataset.length))
        # Eight rows at a time bound the memory.
        parts = [part.split(8) for part in dataset.batch("validation", place, many)]
        batches.append(list(zip(*parts, strict=True)))
    return batches[0], batches[1]


def halves(tokens: np.ndarray, seq_len: int) -> tuple[list[Any], list[Any]]:
    """Rows spread over a text in turn to two lists of (tokens, targets) batches: to choose on, and to check with."""
    import torch

    seq_len = min(seq_len, len(tokens) - 1)
    windows = (len(tokens) - 1) // seq_len
    count = min(windows, max(2, 2 * TOKENS // seq_len))
    starts = np.linspace(0, windows - 1, count).astype(np.int64) * seq_len
    rows = torch.from_numpy(tokens[starts[:, None] + np.arange(seq_len + 1)].astype(np.int64))
    batches: tuple[list[Any], list[Any]] = ([], [])
    for place, half in enumerate(batches):
        # Eight rows at a time bound the memory.
        half += [(part[:, :-1], part[:, 1:]) for part in rows[place::2].split(8) if len(part)]
    return batches


def _written(model: Any, tokenizer: Any, prompt: str, promise: Promise | None) -> list[Written]:
    """A sample, with the passes that each of its tokens took."""
    import torch

    import strawberry

    options: dict[str, Any] = {}
    if promise is not None:
        threshold = min(promise.chosen.threshold, NEVER)
        options = {"exit": promise.rule, "threshold": threshold, "max_loops": promise.most}
    tokens = list(strawberry.generate(model, tokenizer, prompt, max_tokens=WRITTEN, **options))
    if promise is not None:
        return [Written(token.text, token.passes or 0, token.confidence) for token in tokens]
    ids = [*(tokenizer.encode(prompt) or [tokenizer.start_id]), *(token.id for token in tokens)]
    with strawberry.Trace.of(model, "mixture.depth") as trace, torch.no_grad():
        model(torch.tensor([ids]))
    # The position before a token is the one that predicted it.
    depths = trace["mixture.depth"][0][0, -len(tokens) - 1 : -1].tolist()
    return [Written(token.text, depth, None) for token, depth in zip(tokens, depths, strict=True)]


def _packed(found: Pondered) -> dict[str, Any]:
    calibrated = None if found.calibration is None else found.calibration.to_dict()
    return {**_finite(asdict(found)), "calibration": calibrated}


def _unpacked(found: dict[str, Any]) -> Pondered:
    calibrated, promise, checked = (found[name] for name in ("calibration", "promise", "checked"))
    if promise is not None:
        trials = tuple(_trial(trial) for trial in promise["trials"])
        promise = Promise(**{**promise, "chosen": _trial(promise["chosen"]), "trials": trials})
    parts = {
        "calibration": None if calibrated is None else Calibration.from_dict(calibrated),
        "promise": promise,
        "checked": None if checked is None else _trial(checked),
        "sample": tuple(Written(**token) for token in found["sample"]),
    }
    return Pondered(**{**found, **parts})


def _trial(values: dict[str, Any]) -> Trial:
    return Trial(**{**values, "threshold": math.inf if values["threshold"] is None else values["threshold"]})


def _finite(value: Any) -> Any:
    """JSON has no infinity."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items() if key != "calibration"}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and math.isinf(value) else value


if __name__ == "__main__":
    apart.answer(take)
