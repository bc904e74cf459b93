"""What every test starts from: one thread, a fixed seed, and a cache of its own."""

import os
from pathlib import Path

# Before torch is imported: the tests run side by side, and small tensors gain nothing from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read by the notebooks, which then train for fewer steps.
os.environ.setdefault("STRAWBERRY_FAST", "1")
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where tokenizers and tokens are cached, shared by the test processes and gone after the run."""
    if "STRAWBERRY_CACHE" in os.environ:
        return Path(os.environ["STRAWBERRY_CACHE"])
    base = tmp_path_factory.getbasetemp()
    # Under xdist each process has its own folder inside the run's.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    os.environ["STRAWBERRY_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in each test, whatever ran before it."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.notebook)
            item.add_marker(pytest.mark.slow)
