"""What every test and notebook starts from: one thread, a fixed seed, and a cache of its own."""

import os
import shutil
import tempfile

# Before torch is imported: the tests run side by side, and small tensors gain nothing from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read by the notebooks, which then train a smaller model for fewer steps.
os.environ.setdefault("STRAWBERRY_FAST", "1")
# Jupyter's new places for its files; without it, it warns.
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")

import pytest
import torch

torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    """Keep tokenizers and tokens in a folder that all processes of this run share and that is gone after it."""
    if "STRAWBERRY_CACHE" not in os.environ:
        folder = tempfile.mkdtemp(prefix="strawberry-tests-")
        os.environ["STRAWBERRY_CACHE"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in each test, whatever ran before it."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.notebook)
            item.add_marker(pytest.mark.slow)
