"""What every figure of every page says of itself when it is saved: whose it is, of which seed, what redraws it."""

import ast
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import notes, own, ponder
from lab.app import canvas, paper
from lab.app.generate import SHOWN
from lab.causality import verdict
from tests.lab.ablate import invented
from tests.lab.app.conftest import tiny, trained

Draw = Callable[..., Any]
OPEN = {"reach": True}
OWN = {"judge": "My own model"}
RUN = {"judge": "The chosen run"}
# The page, what its address says, what else is chosen, the button that is pressed, and whose figures they then are.
VISITS: dict[str, tuple[str, dict[str, str], dict[str, Any], str, str]] = {
    "train": ("train", {"run": "berry"}, {"open-leaks": True}, "", "berry"),
    "retention": ("retention", {"run": "berry"}, OPEN, "reach-do", "berry"),
    "experts": ("experts", {"run": "berry"}, OPEN, "reach-do", "berry"),
    "attention": ("attention", {"run": "berry"}, OPEN, "reach-do", "berry"),
    "influential": ("attention", {"run": "berry"}, {"influential": True}, "influential-do", "berry"),
    "recursion": ("recursion", {"run": "thinker"}, {}, "", "thinker"),
    "compare": ("compare", {"run": "berry", "other": "leaky"}, {}, "", "berry"),
    "compared experts": ("compare", {"run": "berry", "other": "leaky", "view": "Experts"}, {}, "", "berry"),
    "compared maps": ("compare", {"run": "berry", "other": "leaky", "view": "Who reads whom"}, {}, "", "berry"),
    "a family's leaks": ("leaks", {"leak-family": "retnet", "leak-fields": "seed=3"}, {}, "", "retnet-pico seed=3"),
    "a run's leaks": ("leaks", {"run": "leaky", **RUN}, {}, "", "leaky"),
    "leaks of its weights": ("leaks", {"run": "berry", **RUN}, {"leak-way": "weights"}, "judge-weights", "berry"),
    "leaks of one's own": ("leaks", OWN, {"own-source": "model.py"}, "judge-own", "model.py"),
    "ablate": ("ablate", {"study": "first-look"}, {}, "", "first-look"),
    "generate": ("generate", {"run": "berry", "tokens": "8"}, {}, "write", "berry"),
    "runs": ("runs", {}, {}, "", "berry"),
}


@pytest.fixture(scope="module")
def runs(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with the finished runs, one that stops early and has been measured, and a study."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("given") / "runs"))
    trained(folder / "thinker", tiny("homunculus", n_kv_heads=1), 4)
    ponder.take(folder / "thinker", json.dumps({"rule": "confidence", "promised": 0.05}))
    found = invented.results()
    study = folder / "first-look"
    study.mkdir()
    notes.write(study / "study.json", found.study)
    notes.write(study / "status.json", {"state": "finished", "sentence": "Everything is trained."})
    found.write(study)
    return folder


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """What each figure that is drawn writes into its files, by the figure's place on the page."""
    told: dict[str, dict[str, str]] = {}
    put = canvas.mount

    def mount(drawing: bytes, key: str, pick: Callable[[Any], None] | None = None) -> None:
        told[key] = json.loads(drawing)["note"]
        put(drawing, key, pick)

    monkeypatch.setattr(canvas, "mount", mount)
    monkeypatch.setattr(paper, "mount", lambda text: None)
    monkeypatch.setattr(own, "judged_run", lambda folder, step: verdict("gpt"))
    monkeypatch.setattr(own, "judged_code", lambda source, **more: verdict("gpt"))
    return told


@pytest.mark.parametrize("visit", VISITS)
def test_every_export_names_its_run_and_seed_and_holds_its_code(
    draw: Draw, runs: Path, given: dict[str, dict[str, str]], visit: str
) -> None:
    page, address, state, button, whose = VISITS[visit]
    app = draw(page, runs, state=dict(state), **address).whole()
    if button:
        app.button(key=button).click().run()
    if page == "generate":
        app.session_state[SHOWN].join(60)
        app.run()
    app.whole()
    assert given
    for key, note in given.items():
        if key.startswith("figure-glimpse"):
            continue  # a picture in miniature, without buttons, of one that has them on its own page
        assert whose in note["about"], key
        assert re.search(r"\bseeds? \d", note["about"]), (key, note["about"])
        ast.parse(note["code"])
        assert note["code"].endswith(".show()") and note["stem"], key
