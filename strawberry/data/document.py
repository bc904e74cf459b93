"""What training text is made of: documents, gathered into a corpus."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from strawberry.errors import DataError


@dataclass(frozen=True)
class Text:
    """Text given as it is, for instance pasted, where a path or the name of a corpus could stand."""

    text: str


@dataclass(frozen=True)
class Document:
    """One text that is never shared between training and validation: a speech, a file, a part of a lone file."""

    name: str
    text: str

    @cached_property
    def utf8(self) -> bytes:
        """The text as UTF-8; a lone surrogate raises :class:`DataError`."""
        return utf8(self.text, self.name)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the text: what the document is known by, whatever its name."""
        return hashlib.sha256(self.utf8).digest()


@dataclass(frozen=True)
class Corpus:
    """Documents in a fixed order, with remarks on how they were read."""

    name: str
    documents: tuple[Document, ...]
    remarks: tuple[str, ...] = ()

    def distinct(self) -> "Corpus":
        """The corpus without blank documents and without second copies, which could end up on both sides of a split."""
        kept = {document.digest: document for document in reversed(self.documents) if not document.text.isspace()}
        kept = {digest: document for digest, document in reversed(kept.items()) if document.text}
        return Corpus(self.name, tuple(kept.values()), self.remarks)


def utf8(text: str, name: str) -> bytes:
    """``text`` as UTF-8; half a surrogate pair, which is no character, raises :class:`DataError`."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{name} holds half a surrogate pair at character {error.start}, which is no Unicode text; remove it"
        ) from None
