"""The training widget in a real Jupyter kernel: it trains while other cells run."""

import nbclient
import nbformat
import pytest

CELLS = (
    """
import asyncio, strawberry
from lab.widgets import TrainingWidget
from strawberry.data import Tokenizer
from strawberry.events import Step

class Pretender:
    model, tokenizer = None, Tokenizer.train("bytes", ["a text"], 512)
    def __iter__(self):
        for step in range(1, 1_000_000):
            yield Step(step, 1.0, 1.0, 0.1, 1.0, step, 1.0, 1.0)

bench = TrainingWidget(Pretender())
bench.play()
bench
""",
    "while len(bench.events) < 3: await asyncio.sleep(0.01)",
    "bench.pause(); paused_at = len(bench.events)",
    "await asyncio.sleep(0.3); assert len(bench.events) == paused_at",
)


@pytest.mark.slow
def test_play_goes_on_between_cells():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    shown = notebook.cells[0].outputs[-1]["data"]
    assert "application/vnd.jupyter.widget-view+json" in shown
