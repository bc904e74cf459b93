"""``strawberry generate``, ``presets``, ``leaks``, ``ablate`` and ``lab``."""

import argparse
import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from strawberry.cli.options import UsageError, chosen
from strawberry.cli.show import clean
from strawberry.cost import estimate
from strawberry.errors import CheckpointError
from strawberry.generate import generate as generated
from strawberry.presets import families, preset
from strawberry.presets import presets as names
from strawberry.runs import open_run


def generate(values: argparse.Namespace) -> int:
    """Write text with a run's model, token by token."""
    run = open_run(values.run)
    step = values.step
    if step is None:
        step, notes = run.newest()
        for note in notes:
            sys.stderr.write(f"note: {note}\n")
        if step is None:
            raise CheckpointError(f"run {values.run} has no sound checkpoint; train it first")
    tokens = generated(
        run.model(step), run.tokenizer, values.prompt, values.max_tokens, values.temperature, values.top_k or None,
        values.top_p, values.seed, values.exit, values.threshold, values.max_loops,
    )  # fmt: skip
    if not values.json:
        _out(clean(values.prompt))
    for token in tokens:
        _out(_line({"event": "token", **vars(token)}) if values.json else clean(token.text))
    _out("" if values.json else "\n")
    return 0


def presets(values: argparse.Namespace) -> int:
    """List the presets with their costs."""
    rows = []
    for name in names():
        config = preset(name)
        cost = estimate(config)
        rows.append({"preset": name, "causal": config.causal, **vars(cost), "about": families()[config.family]})
    if values.json:
        _out("".join(_line(row) for row in rows))
        return 0
    console = Console(highlight=False)
    for about, group in groupby(rows, key=lambda row: row["about"]):
        columns = ("preset", "parameters", "used per token", "memory to train", "bits each")
        table = Table(*columns, box=None, pad_edge=False)
        for row in group:
            sizes = (_short(row["parameters"]), _short(row["active_parameters"]), _short(row["memory_bytes"]) + "B")
            table.add_row(row["preset"], *sizes, f"{row['bits_per_weight']:.3g}")
        console.print(about, style="bold")
        console.print(table, end="\n\n")
    return 0


def leaks(values: argparse.Namespace) -> int:
    """Say whether a model reads the future; 1 when it does."""
    fields = chosen(values)
    subject: Any = values.subject
    if subject not in names() and subject not in families() and Path(subject).exists():
        if fields:
            raise UsageError("a run has the configuration that it has; leave out the fields, or name a preset")
        subject = open_run(subject)
    elif fields:
        subject = preset(subject if subject in names() else f"{subject}-pico", **fields)
    # The lab knows the model and not the other way round; only this command asks it.
    verdict = import_module("lab.causality").verdict(subject)
    if values.json:
        _out(_line({"causal": verdict.causal, "sentence": verdict.sentence}))
    else:
        _out(f"{verdict.sentence}\n")
    return 0 if verdict.causal else 1


def ablate(values: argparse.Namespace) -> int:
    """Run a study of the lab."""
    if find_spec("lab") is None:
        raise UsageError("the lab is not installed here; run make lab in the project's folder")
    return import_module("lab.ablate.command").ablate(values)


def lab(values: argparse.Namespace) -> int:
    """Open the dashboard and wait until it is closed."""
    found = find_spec("lab")
    app = Path(found.origin).parent.parent / "app.py" if found and found.origin else Path("app.py")
    if find_spec("streamlit") is None or not app.is_file():
        raise UsageError("the dashboard is not installed here; run make lab in the project's folder")
    runs = values.runs or os.environ.get("STRAWBERRY_RUNS") or "runs"
    command = [sys.executable, "-m", "streamlit", "run", app.name]
    if values.port is not None:
        command += ["--server.port", str(values.port)]
    # Streamlit reads its settings (local address, no telemetry) from the folder that it is started in.
    place = {"cwd": app.parent, "env": {**os.environ, "STRAWBERRY_RUNS": str(Path(runs).resolve())}}
    try:
        return subprocess.call(command, **place)
    except KeyboardInterrupt:
        return 0


def _short(number: int) -> str:
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return str(number)


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"


def _out(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
