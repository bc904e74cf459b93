"""Tokenizers: text survives, labels are printable, what is saved is what is loaded, and mistakes are named."""

import json

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from strawberry.data import Tokenizer, bpe
from strawberry.data.tokenizer import KINDS
from strawberry.errors import ConfigError, DataError

TEXT = "The straw, the berry & the strawberry's 12 seeds: ça va? 草莓 🍓\n\n\tif x:\n\t\treturn 1\n" * 5
TRAINED = {kind: Tokenizer.train(kind, [TEXT], 320) for kind in KINDS}
kinds = pytest.mark.parametrize("kind", KINDS)
anything = st.text() | st.text(alphabet="the straw\n\t<|end|>'s\0\x85é草🍓")


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
@given(text=anything)
def test_any_text_comes_back(kind, text):
    tokenizer = TRAINED[kind]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.end_id not in ids, "text must not be able to end a document"
    assert all(0 <= index < tokenizer.vocab_size for index in ids)


@given(text=st.text(alphabet=sorted(set(TEXT))))
def test_known_characters_come_back(text):
    assert TRAINED["chars"].decode(TRAINED["chars"].encode(text)) == text


def test_an_unknown_character_is_shown_as_such():
    assert TRAINED["chars"].decode(TRAINED["chars"].encode("straΩw\ufffd")) == "stra\ufffdw\ufffd"
    assert Tokenizer.train("chars", [], 2).decode([1, 1]) == "\ufffd\ufffd"
    assert Tokenizer.train("chars", [""], 2).encode("ab") == [1, 1]


@kinds
@given(text=anything)
def test_labels_are_printable_and_one_per_token(kind, text):
    tokenizer = TRAINED[kind]
    ids = tokenizer.encode(text)
    labels = tokenizer.pieces(ids)
    assert len(labels) == len(ids)
    assert all(label.isprintable() and label for label in labels)


@kinds
@given(text=anything)
def test_a_stream_of_tokens_spells_the_text(kind, text):
    tokenizer = TRAINED[kind]
    ids = tokenizer.encode(text)
    stream = tokenizer.streamer()
    assert "".join(map(stream, ids)) == tokenizer.decode(ids)


def test_labels_show_spaces_and_escape_the_rest():
    tokenizer = TRAINED["bytes"]
    assert tokenizer.pieces(tokenizer.encode(" \n\té")) == [" ", r"\n", r"\t", r"\xc3", r"\xa9"]
    assert tokenizer.pieces([tokenizer.end_id, 256, 999]) == ["<|end|>", "<|256|>", "<|999|>"]


@kinds
def test_ids_without_a_token_decode_to_nothing(kind):
    tokenizer = TRAINED[kind]
    first = tokenizer.encode("s")
    assert tokenizer.decode([*first, tokenizer.end_id, tokenizer.vocab_size, 10**6, -1, *first]) == "ss"
    assert tokenizer.decode(np.array(first * 2)) == "ss"


@given(text=st.text(alphabet="ab1 .'é草\n\r\t\x0b\x1c\x85\xa0\u2028", max_size=60))
def test_cutting_a_long_text_changes_no_token(text):
    whole = tokenizers.Tokenizer.from_str(TRAINED["bpe"].to_json())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpe, "_PART", 3)
        patch.setattr(bpe, "_BATCH", 2)
        assert TRAINED["bpe"].encode(text) == whole.encode(text).ids


def test_bpe_decodes_as_its_package_does():
    ids = TRAINED["bpe"].encode(TEXT)
    reference = tokenizers.Tokenizer.from_str(TRAINED["bpe"].to_json())
    assert reference.decode(ids) == TEXT
    assert len(ids) < len(TEXT) / 1.5


@kinds
def test_saved_is_loaded(kind, tmp_path):
    TRAINED[kind].save(tmp_path / "new" / "tokenizer")
    loaded = Tokenizer.load(tmp_path / "new" / "tokenizer")
    assert loaded.encode(TEXT) == TRAINED[kind].encode(TEXT)
    assert (loaded.kind, loaded.vocab_size, loaded.end_id) == (kind, TRAINED[kind].vocab_size, TRAINED[kind].end_id)
    assert loaded.fingerprint == TRAINED[kind].fingerprint
    assert [path.name for path in (tmp_path / "new" / "tokenizer").iterdir()] == ["tokenizer.json"]


def test_fingerprints_differ():
    others = [Tokenizer.train("bpe", [TEXT], 300), Tokenizer.train("chars", ["abc"], 300)]
    assert len({tokenizer.fingerprint for tokenizer in [*TRAINED.values(), *others]}) == len(TRAINED) + 2


def test_too_little_text_gives_a_smaller_vocabulary():
    assert Tokenizer.train("bpe", ["abc"], 5000).vocab_size == bpe.SMALLEST
    assert Tokenizer.train("bpe", [], 5000).decode([*b""]) == ""


@pytest.mark.parametrize(
    ("kind", "vocab_size", "wanted"),
    [("bpe", 256, "257"), ("bytes", 255, "256"), ("chars", 4, "needs 5"), ("wordpiece", 300, "bpe, bytes, chars")],
)
def test_a_vocabulary_that_is_too_small_is_named(kind, vocab_size, wanted):
    with pytest.raises(ConfigError, match=wanted):
        Tokenizer.train(kind, ["abc"], vocab_size)


@kinds
def test_half_a_surrogate_pair_is_no_text(kind):
    with pytest.raises(DataError, match="character 2"):
        TRAINED[kind].encode("ab\ud800")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"3", b"{}", b'{"kind": "morse"}', b'{"kind": "chars"}', b"\xff\xfe",
        b'{"kind": "chars", "characters": "aa"}', b'{"kind": "bpe"}', b'{"model": {"type": "BPE"}}',
        json.dumps({**json.loads(TRAINED["bpe"].to_json()), "added_tokens": []}).encode(),
    ],
)  # fmt: skip
def test_a_damaged_tokenizer_is_named(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)


def test_a_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(DataError, match="no readable tokenizer"):
        Tokenizer.load(tmp_path / "nowhere")
