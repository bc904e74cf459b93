"""Text read from a file or a folder, where every mistake is named by file and place."""

import codecs
import os
import stat
from pathlib import Path

from strawberry.data.document import Corpus, Document
from strawberry.errors import DataError


def read_path(path: Path) -> Corpus:
    """The text at ``path``: a UTF-8 file is one document, a folder holds one document per file.

    Raises :class:`DataError` when nothing is there, when it cannot be read, or when it is not UTF-8 text.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"there is no file or folder {str(path)!r}; check the path") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if stat.S_ISDIR(mode):
        return _read_folder(path)
    if not stat.S_ISREG(mode):
        raise DataError(f"{str(path)!r} is neither a file nor a folder; give a text file")
    return Corpus(path.name, (Document(path.name, decode(read_bytes(path), str(path))),))


def _read_folder(folder: Path) -> Corpus:
    """Every file under ``folder``, sorted by path, without hidden ones (names that begin with a dot).

    Binary files (those with a NUL byte) are left out and counted in a remark: a folder of notes often holds pictures.
    A text file in another encoding than UTF-8 raises, since leaving it out would lose text that was meant.
    """
    documents, binary = [], []
    for path in sorted(_files_below(folder)):
        raw, name = read_bytes(path), path.relative_to(folder).as_posix()
        if b"\0" in raw and not _utf16(raw):
            binary.append(name)
        else:
            documents.append(Document(name, decode(raw, str(path))))
    if not documents:
        found = f"only binary files, such as {binary[0]!r}" if binary else "no files"
        raise DataError(f"the folder {str(folder)!r} holds {found}; put UTF-8 text files in it")
    remark = f"left out {len(binary)} binary file(s) of {str(folder)!r}, such as {binary[0]!r}" if binary else ""
    return Corpus(folder.resolve().name or str(folder), tuple(documents), (remark,) if remark else ())


def _files_below(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise _unreadable(Path(error.filename or folder), error) from None

    found = []
    for base, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(base, name) for name in names if not name.startswith(".")]
        found += [path for path in paths if path.is_file()]
    return found


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; what the system refuses becomes a :class:`DataError`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def decode(raw: bytes, name: str) -> str:
    """UTF-8 text without a byte-order mark; anything else raises :class:`DataError` naming the file and the byte."""
    if _utf16(raw):
        raise DataError(f"{name!r} is encoded as UTF-16 or UTF-32; save it as UTF-8")
    if (place := raw.find(b"\0")) >= 0:
        raise DataError(f"{name!r} is binary (a NUL byte at byte {place}); give a text file in UTF-8")
    try:
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        raise DataError(
            f"{name!r} is not UTF-8 (byte 0x{byte:02x} at byte {error.start}); save it in that encoding"
        ) from None


def _utf16(raw: bytes) -> bool:
    return raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and b"\0" in raw


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"{str(path)!r} cannot be read ({reason.lower()}); check the path and its permissions")
