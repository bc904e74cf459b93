"""Tokenizers without merges: one token per byte, per character, or per word of a fixed list."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np

from strawberry.errors import ConfigError, DataError


class Bytes:
    """Token i is byte i; 255, which UTF-8 never uses, ends a document. 256 tokens."""

    kind = "bytes"
    end_id = 255

    def __init__(self, definition: dict[str, Any] | None = None) -> None:
        self.definition = definition or {"kind": self.kind}
        self.table = [bytes([byte]) for byte in range(255)] + [b""]

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Self:
        """Nothing is learned; ``vocab_size`` must leave room for 256 tokens."""
        if vocab_size < 256:
            raise ConfigError(f"vocab_size {vocab_size} is too small for tokenizer bytes, which needs 256; raise it")
        return cls()

    def encode(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """For each text its bytes, (bytes,) uint8."""
        for text in texts:
            yield np.frombuffer(text.encode(), dtype=np.uint8)


class Chars:
    """Token 0 ends a document, 1 is any character not seen in training (written U+FFFD), then one per character."""

    kind = "chars"
    end_id = 0
    unknown_id = 1

    def __init__(self, definition: dict[str, Any]) -> None:
        characters = definition.get("characters")
        if not isinstance(characters, str) or len(set(characters)) != len(characters):
            raise DataError("the character tokenizer has no list of distinct characters; save it again")
        self.definition = definition
        self.table = [b"", "\ufffd".encode(), *(character.encode() for character in characters)]
        self._codes = np.array([ord(character) for character in characters], dtype=np.uint32)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Self:
        """The characters of ``texts``, in the order of their code points; all must fit into ``vocab_size``."""
        seen: set[str] = set()
        for text in texts:
            seen.update(text)
        seen.discard("\ufffd")
        if len(seen) + 2 > vocab_size:
            raise ConfigError(
                f"vocab_size {vocab_size} is too small for tokenizer chars, which needs {len(seen) + 2} for this text; "
                "raise it or choose tokenizer bpe"
            )
        return cls({"kind": cls.kind, "characters": "".join(sorted(seen))})

    def encode(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """For each text its token ids, (characters,) int64."""
        for text in texts:
            codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
            if not len(self._codes):
                yield np.full(len(codes), self.unknown_id, dtype=np.int64)
                continue
            places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
            yield np.where(self._codes[places] == codes, places + 2, self.unknown_id)


class Symbols:
    """One token per word of a fixed list; in text, words stand apart by spaces. There is no end of a document."""

    kind = "symbols"
    end_id = -1

    def __init__(self, definition: dict[str, Any]) -> None:
        words = definition.get("words")
        whole = isinstance(words, list) and all(isinstance(word, str) and word.split() == [word] for word in words)
        if not whole or not words or len(set(words)) != len(words):
            raise DataError("the tokenizer of symbols has no list of distinct words; save it again")
        self.definition = definition
        self.table = [f" {word}".encode() for word in words]
        self._ids = {word: index for index, word in enumerate(words)}

    def encode(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """For each text its token ids, (words,) int64; a word that is not listed raises :class:`DataError`."""
        for text in texts:
            words = text.split()
            unknown = next((word for word in words if word not in self._ids), None)
            if unknown is not None:
                some = " ".join(list(self._ids)[:: max(1, len(self._ids) // 8)])
                raise DataError(f"{unknown!r} is no symbol of this data; write words such as: {some}")
            yield np.array([self._ids[word] for word in words], dtype=np.int64)
