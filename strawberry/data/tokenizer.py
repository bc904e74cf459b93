"""Text to token ids and back, whichever way the text is cut into tokens."""

import codecs
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from strawberry.data.bpe import BPE
from strawberry.data.cache import write_atomically
from strawberry.data.document import utf8
from strawberry.data.symbols import Bytes, Chars, Symbols
from strawberry.errors import ConfigError, DataError

FILE = "tokenizer.json"


class Scheme(Protocol):
    """One way to cut text into tokens; a new one is a class like this and a line in ``KINDS``."""

    kind: str
    end_id: int  # below 0 where documents have no end
    table: list[bytes]  # the bytes that each token stands for; none for the end of a document
    definition: dict[str, Any]  # JSON from which the scheme is made again

    def encode(self, texts: Sequence[str]) -> Iterator[np.ndarray]: ...


KINDS = {"bpe": BPE, "bytes": Bytes, "chars": Chars}  # learned from text
EVERY = {**KINDS, "symbols": Symbols}


class Tokenizer:
    """Token ids for text. ``bpe`` and ``bytes`` give back any text exactly; ``chars`` knows the characters it was
    trained on, and ``symbols`` the words of a list.

    ``vocab_size`` is the number of tokens. A model may have more: its other ids are never trained on, decode to
    nothing, and should not be sampled.
    """

    def __init__(self, scheme: Scheme) -> None:
        self._scheme = scheme
        self.kind = scheme.kind
        self.end_id = scheme.end_id
        self.vocab_size = len(scheme.table)

    @classmethod
    def of_symbols(cls, words: Sequence[str]) -> Self:
        """One token per word, in this order."""
        return cls(Symbols({"kind": Symbols.kind, "words": list(words)}))

    @property
    def start_id(self) -> int:
        """What an empty text begins with: the end of a document, or the first token where there is none."""
        return max(0, self.end_id)

    @classmethod
    def train(cls, kind: str, texts: Iterable[str], vocab_size: int) -> Self:
        """A tokenizer of at most ``vocab_size`` tokens, learned from ``texts`` (little text gives fewer tokens).

        Raises :class:`ConfigError` when ``vocab_size`` is too small for this kind and these texts.
        """
        if kind not in KINDS:
            raise ConfigError(f"tokenizer {kind!r} is unknown; choose one of {', '.join(KINDS)}")
        return cls(KINDS[kind].train(texts, vocab_size))

    def encode(self, text: str) -> list[int]:
        """The token ids of ``text``; nothing is added. Half a surrogate pair raises :class:`DataError`."""
        utf8(text, "the text")
        return next(self.encode_all([text])).tolist()

    def encode_all(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """For each text its token ids, (tokens,) integers."""
        return self._scheme.encode(texts)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; bytes that form no character become U+FFFD, and the end of a document nothing."""
        return b"".join(self.token_bytes(index) for index in ids).decode(errors="replace")

    def token_bytes(self, index: int) -> bytes:
        """The bytes that one token stands for; none for the end of a document and for an id without a token."""
        return self._scheme.table[int(index)] if 0 <= index < self.vocab_size else b""

    def pieces(self, ids: Iterable[int]) -> list[str]:
        r"""One printable label per token: spaces as they are, what has no glyph escaped (``\n``, ``\xe2``)."""
        return [self._piece(int(index)) for index in ids]

    def _piece(self, index: int) -> str:
        if index == self.end_id:
            return "<|end|>"
        if not 0 <= index < self.vocab_size:
            return f"<|{index}|>"
        text = self.token_bytes(index).decode(errors="backslashreplace")
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

    def streamer(self) -> Callable[[int], str]:
        """A function that takes the tokens of one text in turn and returns the characters which each completes."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return lambda index: decoder.decode(self.token_bytes(index))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the definition: equal for tokenizers that cut every text alike."""
        return hashlib.sha256(json.dumps(self._scheme.definition, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """The definition as JSON; for ``bpe`` in the format of the package ``tokenizers``."""
        return json.dumps(self._scheme.definition, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of :meth:`to_json`; raises :class:`DataError` when it is not one."""
        try:
            definition = json.loads(text)
            kind = definition["kind"] if "kind" in definition else definition["model"]["type"].lower()
            scheme = EVERY[kind](definition)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError("the tokenizer's definition is damaged or of an unknown kind; save it again") from None
        return cls(scheme)

    def save(self, folder: str | Path) -> None:
        """Write ``tokenizer.json`` into ``folder``, which is made if need be."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_atomically(Path(folder, FILE), self.to_json().encode())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The tokenizer saved in ``folder``; raises :class:`DataError` when there is none that can be read."""
        path = Path(folder, FILE)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"there is no readable tokenizer at {str(path)!r} ({error}); check the folder") from None
        try:
            return cls.from_json(text)
        except DataError as error:
            raise DataError(f"{str(path)!r}: {error}") from None
