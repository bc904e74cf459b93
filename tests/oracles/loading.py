"""Reference code of other projects, loaded file by file: without their dependencies and without their start-up.

``scripts/environment.py`` puts these packages in a folder of their own, where nothing else finds them. What is not
there skips the tests that ask for it, with a reason.
"""

import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

FOLDER = Path(sys.prefix) / "references"


def fla(path: str) -> Any:
    """A file of flash-linear-attention as a module, such as ``ops/delta_rule/naive.py``."""
    return load("fla-core", f"fla/{path}", ("triton",))


def torchscale(path: str) -> Any:
    """A file of torchscale as a module, such as ``component/multiscale_retention.py``."""
    return load("torchscale", f"torchscale/{path}", ("fairscale", "timm"))


@functools.cache
def load(distribution: str, path: str, without: Sequence[str] = ()) -> Any:
    """One file of an installed distribution as a module.

    path: as the distribution lists it. Modules that the file imports from its own package are loaded too, but no
    package's ``__init__``. without: modules, with all below them, for which an empty stand-in is imported instead.
    Skips the test that asks, saying why, where the distribution or the file is missing or cannot be loaded.
    """
    places = [str(FOLDER), *sys.path]
    installed = next(iter(importlib.metadata.distributions(name=distribution, path=places)), None)
    if installed is None:
        pytest.skip(
            f"{distribution} is not installed: `make test` installs it, given a connection", allow_module_level=True
        )
    file = next((file for file in installed.files or () if file.as_posix() == path), None)
    if file is None:
        pytest.skip(f"{distribution} {installed.version} has no file {path}", allow_module_level=True)
    name = path.removesuffix(".py").replace("/", ".")
    try:
        with _by_file(name.partition(".")[0], Path(str(installed.locate_file(""))), without):
            return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{path} of {distribution} {installed.version}: {error}", allow_module_level=True)


@contextmanager
def _by_file(package: str, root: Path, without: Sequence[str]) -> Iterator[None]:
    """Import ``package`` from ``root`` as plain files, and leave no trace of it for other importers."""
    tops = {package, *(name.partition(".")[0] for name in without)}

    def theirs() -> dict[str, ModuleType]:
        return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in tops}

    finder, before = _Files(package, root, without), theirs()
    for name in before:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.meta_path.remove(finder)
        for name in theirs():
            del sys.modules[name]
        sys.modules.update(before)


class _Files(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of one package as files; a folder is a package that runs no code."""

    def __init__(self, package: str, root: Path, without: Sequence[str]) -> None:
        self.package, self.root, self.without = package, root, without

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if any(f"{fullname}.".startswith(f"{name}.") for name in self.without):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        if fullname.partition(".")[0] != self.package:
            return None
        place = self.root.joinpath(*fullname.split("."))
        if place.is_dir():
            spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(place)]
            return spec
        file = place.with_suffix(".py")
        return importlib.util.spec_from_file_location(fullname, file) if file.exists() else None

    def create_module(self, spec: Any) -> Any:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _StandIn(ModuleType):
    """A module whose every name is there and means nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=f"{self.__name__}.{name}")
