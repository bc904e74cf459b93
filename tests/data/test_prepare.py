"""From text to dataset: what is learned from which part, what is counted, and what is refused."""

import time

import numpy as np
import pytest

from strawberry.config import Config
from strawberry.data import Text, Tokenizer, load
from strawberry.errors import ConfigError, DataError

kinds = pytest.mark.parametrize("kind", ["bpe", "bytes", "chars"])


@kinds
def test_the_tokens_spell_the_documents(cache, folder, config, kind):
    dataset = load(folder, config.replace(tokenizer=kind))
    end = dataset.tokenizer.end_id
    sides = []
    for tokens in (dataset.train, dataset.validation):
        assert tokens.dtype == np.uint16
        assert tokens[-1] == end
        documents = np.split(tokens, np.flatnonzero(tokens == end) + 1)[:-1]
        sides.append([dataset.tokenizer.decode(document) for document in documents])
    assert [len(side) for side in sides] == [dataset.documents_train, dataset.documents_validation]
    written = [path.read_text() for path in sorted(folder.iterdir())]
    assert sorted(sides[0] + sides[1]) == sorted(written)
    assert [text for text in written if text in sides[0]] == sides[0], "the documents keep their order"
    assert not set(sides[0]) & set(sides[1])

    counted = sum(len(text.encode()) for text in sides[1]) / len(dataset.validation)
    assert dataset.bytes_per_token == pytest.approx(counted, rel=1e-12)
    assert dataset.tokens_train == len(dataset.train)
    assert dataset.tokens_validation == len(dataset.validation)
    assert dataset.name == folder.name


def test_the_tokenizer_sees_the_training_split_only(cache, config):
    text = "plain words here\n" * 400 + "ŒŒŒŒ " * 100
    chars = load(Text(text), config.replace(tokenizer="chars"))
    assert chars.tokenizer.encode("Œ") == [1]
    bpe = load(Text(text), config)
    assert not [piece for piece in bpe.tokenizer.pieces(range(bpe.tokenizer.vocab_size)) if "ŒŒ" in piece]
    assert [piece for piece in bpe.tokenizer.pieces(range(bpe.tokenizer.vocab_size)) if "plain" in piece]


def test_a_given_tokenizer_is_used(cache, folder, config):
    given = Tokenizer.train("chars", ["The strawbeynumxtio,1"], 100)
    dataset = load(folder, config, tokenizer=given)
    assert dataset.tokenizer is given
    assert dataset.train.max() < given.vocab_size
    assert load(folder, config, tokenizer=given).fingerprint == dataset.fingerprint
    with pytest.raises(ConfigError, match=f"set vocab_size to {given.vocab_size}"):
        load(folder, config.replace(vocab_size=10), tokenizer=given)


def test_a_large_vocabulary_takes_wider_tokens(cache):
    text = "".join(chr(code) for code in range(0x20000, 0x20000 + 70_000))
    dataset = load(Text(text + "ab" * 50_000), Config(tokenizer="chars", vocab_size=80_000, seq_len=8))
    assert dataset.train.dtype == np.uint32
    assert dataset.train.max() > 65_535


@pytest.mark.parametrize(
    ("kind", "vocab_size", "wanted"),
    [("bpe", 256, "257"), ("bytes", 255, "256"), ("chars", 10, "which needs .. for this text")],
)
def test_a_vocabulary_that_is_too_small_is_named(cache, folder, config, kind, vocab_size, wanted):
    with pytest.raises(ConfigError, match=wanted):
        load(folder, config.replace(tokenizer=kind, vocab_size=vocab_size))


@kinds
@pytest.mark.parametrize("text", ["x", "ab", "tiny", "a short text of some words " * 3])
def test_too_little_text_says_how_much_is_needed(cache, kind, text):
    with pytest.raises(DataError, match=r"seq_len 64 needs 65 tokens, but its (train|validation) part has \d+"):
        load(Text(text), Config(vocab_size=300, seq_len=64, tokenizer=kind))


def test_just_enough_text(cache):
    config = Config(vocab_size=300, seq_len=8, tokenizer="bytes", train_fraction=0.5)
    dataset = load(Text("0123456789abcdef"), config)
    assert (dataset.tokens_train, dataset.tokens_validation) == (9, 9)
    with pytest.raises(DataError, match="needs 10 tokens"):
        load(Text("0123456789abcdef"), config.replace(seq_len=9))


def test_a_share_that_documents_do_not_allow_is_told(cache, tmp_path, config):
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"document {name}\n" * 50)
    (warning,) = load(tmp_path, config).warnings
    assert "50% of the text instead of 80%" in warning


def test_remarks_on_the_files_reach_the_dataset(cache, folder, config):
    (folder / "picture.png").write_bytes(b"\0")
    (warning,) = load(folder, config).warnings
    assert "picture.png" in warning


@pytest.mark.slow
def test_the_default_corpus_is_ready_at_once_the_second_time():
    config = Config(vocab_size=1024)
    first = load("sotu", config)
    start = time.perf_counter()
    dataset = load("sotu", config)
    assert time.perf_counter() - start < 0.5
    assert np.array_equal(dataset.train, first.train)
    assert dataset.tokenizer.vocab_size == 1024
    assert 2.5 < dataset.bytes_per_token < 3.5
    assert 0.79 < dataset.tokens_train / (dataset.tokens_train + dataset.tokens_validation) < 0.81
    assert dataset.tokenizer.decode(dataset.train[:40]).startswith("Fellow-Citizens")
