"""The division of documents into training and validation, which follows from their content alone."""

from collections.abc import Sequence

from strawberry.data.document import Document

Split = tuple[tuple[Document, ...], tuple[Document, ...]]


def split(documents: Sequence[Document], train_fraction: float) -> Split:
    """``documents`` in two, so that training holds ``train_fraction`` of the UTF-8 bytes as nearly as they allow.

    The documents are walked in the order of their SHA-256, a fixed shuffle; each goes to validation if that brings
    validation nearer to its share. So the result does not depend on names or on order, and a document seldom
    changes sides when others are added. Both sides keep the order in which the documents came.
    A lone document is cut once instead, see :func:`cut`. Copies must have been dropped.
    """
    if len(documents) == 1:
        return cut(documents[0], train_fraction)
    target = (1 - train_fraction) * sum(len(document.utf8) for document in documents)
    chosen: set[bytes] = set()
    size = 0
    for document in sorted(documents, key=lambda document: document.digest):
        grown = size + len(document.utf8)
        if abs(grown - target) < abs(size - target) and len(chosen) < len(documents) - 1:
            chosen.add(document.digest)
            size = grown
    if not chosen:
        chosen.add(min(documents, key=lambda document: (len(document.utf8), document.digest)).digest)
    train = tuple(document for document in documents if document.digest not in chosen)
    validation = tuple(document for document in documents if document.digest in chosen)
    return train, validation


def cut(document: Document, train_fraction: float) -> Split:
    """One document as a beginning to train on and an ending to validate with.

    The cut lies within a twentieth of the text around the fraction of its bytes, at the nearest end of a paragraph,
    else of a line, else of a word; failing all three, between two characters. Either part may be empty.
    """
    raw = document.utf8
    target = round(train_fraction * len(raw))
    reach = len(raw) // 20
    place = target
    while 0 < place < len(raw) and raw[place] & 0xC0 == 0x80:  # inside a character
        place += 1
    for mark in (b"\n\n", b"\n", b" "):
        before = raw.rfind(mark, target - reach, target)
        after = raw.find(mark, target, target + reach)
        ends = [found + len(mark) for found in (before, after) if found >= 0]
        if ends:
            place = min(ends, key=lambda end: abs(end - target))
            break
    parts = (("beginning", raw[:place]), ("ending", raw[place:]))
    train, validation = (
        (Document(f"{document.name} ({part})", text.decode()),) if text.strip() else () for part, text in parts
    )
    return train, validation
