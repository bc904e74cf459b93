"""Byte-level byte-pair encoding (Sennrich et al. 2016, over bytes as in GPT-2): frequent pieces become one token."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from strawberry.errors import ConfigError, DataError

END = "<|end|>"
SMALLEST = 257  # one token per byte, and the end of a document
_PART = 1 << 16
_BATCH = 64
# GPT-2's pre-tokenizer always begins anew here, so that cutting changes no token; whole, 80 MB would take 8 GB.
_SAFE_CUT = re.compile(r"(?<=\S\n)(?=\S)")


class BPE:
    """Token 0 ends a document, tokens 1 to 256 are the bytes, the others are merges learned from the training text."""

    kind = "bpe"

    def __init__(self, definition: dict[str, Any]) -> None:
        """``definition``: the content of a ``tokenizer.json`` as the package ``tokenizers`` writes it."""
        self.definition = definition
        try:
            self._engine = tokenizers.Tokenizer.from_str(json.dumps(definition))
        except Exception as error:  # the package raises plain Exception
            raise DataError(f"this is no tokenizer that can be read ({error}); save it again") from None
        self._engine.encode_special_tokens = True  # "<|end|>" written in a text is text
        special = {
            token.content: index for index, token in self._engine.get_added_tokens_decoder().items() if token.special
        }
        if END not in special:
            raise DataError(f"the tokenizer has no special token {END!r} for the end of a document; train one here")
        self.end_id = special[END]
        self.table = _bytes_of_tokens(self._engine.get_vocab(with_added_tokens=True), set(special))

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Self:
        """Learn at most ``vocab_size`` tokens; a text with too few repeated pairs gives fewer."""
        if vocab_size < SMALLEST:
            raise ConfigError(
                f"vocab_size {vocab_size} is too small for bpe, which needs at least {SMALLEST}; "
                "raise it or choose tokenizer chars"
            )
        engine = tokenizers.Tokenizer(models.BPE())
        engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        engine.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            special_tokens=[END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        engine.train_from_iterator((part for text in texts for part in _parts(text)), trainer)
        return cls(json.loads(engine.to_str()))

    def encode(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """For each text its token ids, (tokens,) int64. Long texts are cut where it changes no token."""
        for text in texts:
            parts = list(_parts(text))
            ids = [
                np.asarray(encoding.ids, dtype=np.int64)
                for start in range(0, len(parts), _BATCH)
                for encoding in self._engine.encode_batch_fast(parts[start : start + _BATCH], add_special_tokens=False)
            ]
            yield np.concatenate(ids)


def _parts(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > _PART and (found := _SAFE_CUT.search(text, start + _PART)):
        yield text[start : found.start()]
        start = found.start()
    yield text[start:]


def _bytes_of_tokens(vocabulary: dict[str, int], special: set[str]) -> list[bytes]:
    letters = _letters_of_bytes()
    table = [b""] * (max(vocabulary.values()) + 1)
    for token, index in vocabulary.items():
        if token in special:
            continue
        try:
            table[index] = bytes(letters[letter] for letter in token)
        except KeyError:
            raise DataError(f"the tokenizer is not byte-level (its token {token!r}); train one here") from None
    return table


def _letters_of_bytes() -> dict[str, int]:
    """The printable letter by which byte-level vocabularies write each byte (GPT-2's ``bytes_to_unicode``)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}
