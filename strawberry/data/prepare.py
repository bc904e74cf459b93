"""From a name, a path or a text to a dataset: read, divide, learn the tokenizer, encode; once, then from the cache."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from strawberry.config import Config
from strawberry.data import cache
from strawberry.data.corpora import read_corpus
from strawberry.data.dataset import Dataset
from strawberry.data.document import Document, Text
from strawberry.data.named import is_made, make
from strawberry.data.split import split
from strawberry.data.text import TextDataset
from strawberry.data.tokenizer import Tokenizer
from strawberry.errors import ConfigError

FORMAT = 1  # raise it when the same text would be prepared otherwise than before


def load(data: str | Path | Text, config: Config, tokenizer: Tokenizer | None = None) -> Dataset:
    """The dataset of ``data``: a corpus ("sotu", "python"), the path of a text file or folder, a ``Text``, or a task or
    source with its arguments ("mqar:pairs=8,length=64"), whose rows are made and never run out.

    For text, reads ``tokenizer``, ``vocab_size``, ``train_fraction`` and ``seq_len`` of ``config``. The tokenizer is
    learned from the training split alone, unless one is given (that of a run to go on with). It may have fewer tokens
    than ``config.vocab_size``, which stays the size of the model.

    Raises :class:`DataError` when there is no such text or too little of it for one row in each split, and
    :class:`ConfigError` when the tokenizer needs a larger ``vocab_size``.
    """
    if isinstance(data, str) and is_made(data):
        return make(data, config, tokenizer)
    corpus = read_corpus(data)
    train, validation = split(corpus.documents, config.train_fraction)
    remarks: list[str | None] = [*corpus.remarks, *_lopsided(train, validation, config.train_fraction)]
    if tokenizer is None:
        tokenizer, remark = _learned_tokenizer(train, config)
        remarks.append(remark)
    if tokenizer.vocab_size > config.vocab_size:
        raise ConfigError(
            f"vocab_size {config.vocab_size} is smaller than the {tokenizer.vocab_size} tokens of the tokenizer; "
            f"set vocab_size to {tokenizer.vocab_size} or more"
        )
    fingerprint = _fingerprint("tokens", tokenizer.fingerprint, _digests(train), _digests(validation))
    entry = cache.fetch(f"tokens-{fingerprint[:32]}", lambda: _encoded(tokenizer, train, validation))
    tokens = entry.payload.view(entry.header["dtype"])
    border = entry.header["train"]
    dataset = TextDataset(
        name=corpus.name,
        fingerprint=fingerprint,
        tokenizer=tokenizer,
        train=tokens[:border],
        validation=tokens[border:],
        bytes_per_token=entry.header["validation_bytes"] / max(1, len(tokens) - border),
        documents_train=len(train),
        documents_validation=len(validation),
        warnings=tuple(dict.fromkeys(remark for remark in [*remarks, entry.remark] if remark)),
    )
    dataset.require(config.seq_len)
    return dataset


def _learned_tokenizer(train: Sequence[Document], config: Config) -> tuple[Tokenizer, str | None]:
    def build() -> tuple[dict[str, Any], np.ndarray]:
        texts = (document.text for document in train)
        learned = Tokenizer.train(config.tokenizer, texts, config.vocab_size)
        return {"kind": learned.kind}, np.frombuffer(learned.to_json().encode(), dtype=np.uint8)

    # Another version of the package may learn other merges from the same text.
    recipe = (config.tokenizer, config.vocab_size, tokenizers.__version__)
    entry = cache.fetch(f"tokenizer-{_fingerprint('tokenizer', recipe, _digests(train))[:32]}", build)
    return Tokenizer.from_json(bytes(entry.payload).decode()), entry.remark


def _encoded(
    tokenizer: Tokenizer, train: Sequence[Document], validation: Sequence[Document]
) -> tuple[dict[str, Any], np.ndarray]:
    dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
    end = np.array([tokenizer.end_id], dtype=dtype)
    sides = []
    for documents in (train, validation):
        encoded = tokenizer.encode_all([document.text for document in documents])
        parts = [part for ids in encoded for part in (ids.astype(dtype), end)]
        sides.append(np.concatenate([*parts, end[:0]]))
    header = {
        "dtype": dtype.str,
        "train": len(sides[0]),
        "validation_bytes": sum(len(document.utf8) for document in validation),
    }
    return header, np.concatenate(sides)


def _lopsided(train: Sequence[Document], validation: Sequence[Document], train_fraction: float) -> list[str]:
    sizes = [sum(len(document.utf8) for document in side) for side in (train, validation)]
    share = sizes[0] / max(1, sum(sizes))
    if abs(share - train_fraction) <= 0.05:
        return []
    return [
        f"training holds {share:.0%} of the text instead of {train_fraction:.0%}, since documents are not cut; "
        "give more documents, or one file"
    ]


def _digests(documents: Sequence[Document]) -> list[str]:
    return [document.digest.hex() for document in documents]


def _fingerprint(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([FORMAT, *parts]).encode()).hexdigest()
