"""Small finished runs for the dashboard to show: trained here and now, with pictures taken along the way."""

import shutil
from pathlib import Path

import lab
import strawberry
from lab.recorded import probe_path
from strawberry.train import Trainer

DATA = "sotu"


def trained(folder: Path, steps: int, every: int, *, tokens: int = 256, **changes: object) -> Path:
    """Train a nano, and take pictures of it reading so many tokens: before the first step, and after each ``every``."""
    trainer = Trainer(strawberry.preset("strawberry-nano", **changes), DATA, folder, steps, checkpoint_every=steps)
    text = trainer.dataset.passage(tokens + 50)
    for event in trainer:
        if event.event == "started" or (event.event == "step" and event.step % every == 0):
            taken = lab.probe(
                trainer.model, trainer.tokenizer, text, step=trainer.step, run=folder.name, max_tokens=tokens
            )
            taken.save(probe_path(folder, trainer.step))
    return folder


def copies(folder: Path, names: list[str]) -> None:
    """The run once more under each of these names, so that none finds pictures that another had loaded."""
    for name in names:
        shutil.copytree(folder, folder.parent / name)
