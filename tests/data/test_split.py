"""The division: every document on exactly one side, shares by bytes, and no regard to names or order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strawberry.data.corpora import read_corpus
from strawberry.data.document import Document
from strawberry.data.split import cut, split

texts = st.lists(st.text(min_size=1, max_size=200), min_size=2, max_size=30, unique=True)
fractions = st.floats(0.05, 0.95)


def size(documents) -> int:
    return sum(len(document.utf8) for document in documents)


@given(texts=texts, fraction=fractions, shuffle=st.randoms())
def test_each_document_is_on_one_side(texts, fraction, shuffle):
    documents = [Document(str(number), text) for number, text in enumerate(texts)]
    train, validation = split(documents, fraction)
    assert train
    assert validation
    assert not {d.text for d in train} & {d.text for d in validation}
    assert sorted(train + validation, key=documents.index) == documents
    assert list(train) == [d for d in documents if d in train]
    largest = max(len(document.utf8) for document in documents)
    assert abs(size(validation) - (1 - fraction) * size(documents)) <= largest

    again = [Document(f"other {d.name}", d.text) for d in documents]
    shuffle.shuffle(again)
    assert {d.text for d in split(again, fraction)[1]} == {d.text for d in validation}


@pytest.mark.parametrize("name", ["sotu", "python"])
@pytest.mark.parametrize("fraction", [0.5, 0.8, 0.9])
def test_the_share_is_met_by_bytes(name, fraction):
    documents = read_corpus(name).documents
    train, _ = split(documents, fraction)
    assert abs(size(train) / size(documents) - fraction) < 0.002


def test_few_documents_change_sides_when_others_join():
    draw = random.Random(0)
    old = [Document(str(number), f"{number} " * draw.randint(1, 400)) for number in range(200)]
    new = [Document(str(number), f"{number} " * draw.randint(1, 400)) for number in range(200, 220)]
    before = {d.name for d in split(old, 0.8)[1]}
    after = {d.name for d in split(old + new, 0.8)[1] if int(d.name) < 200}
    assert len(before ^ after) <= 6


@given(text=st.text(min_size=1) | st.text(alphabet="ab \né草", min_size=1), fraction=fractions)
def test_a_lone_document_is_cut_once(text, fraction):
    parts = [document.text for side in split([Document("lone", text)], fraction) for document in side]
    joined = "".join(parts)
    assert joined == text or text.strip() != text, "only blank parts are dropped"
    assert joined.strip() == text.strip()
    assert len(parts) <= 2


@pytest.mark.parametrize(
    ("separator", "end"), [("\n\n", "\n\n"), ("\n", "\n"), (" ", " "), ("", ""), ("é", ""), ("草莓", "")]
)
def test_the_cut_is_at_the_nearest_boundary(separator, end):
    text = separator.join(f"sentence{number:04}" for number in range(1000)) if separator else "x" * 5000
    (train,), (validation,) = cut(Document("lone", text), 0.8)
    assert train.text + validation.text == text
    assert train.text.endswith(end)
    assert abs(len(train.utf8) / len(text.encode()) - 0.8) < 0.005


def test_paragraphs_go_before_lines_only_when_near():
    text = "line\n" * 780 + "\n" + "line\n" * 220
    assert len(cut(Document("lone", text), 0.8)[0][0].text) == 3901
    text = "line\n" * 500 + "\n" + "line\n" * 500
    assert abs(len(cut(Document("lone", text), 0.8)[0][0].text) - 4001) <= 5
