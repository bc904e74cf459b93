"""What tasks keep for validation, and what is particular to each of them."""

import re

import numpy as np
import pytest

from strawberry.config import Config
from strawberry.data import IGNORED, load
from strawberry.data.draws import Draws
from strawberry.data.named import maker
from strawberry.data.tasks.letters import ASKED, LETTERS_IN_COMMON, occurrences, vocabulary


def texts(data: str, split: str, rows: int) -> list[str]:
    made = maker(data, 128)
    tokenizer = made.tokenizer()
    return [tokenizer.decode(row) for row in made.rows(Draws(rows, split))[0].tolist()]


def test_words_of_validation_begin_as_none_of_training():
    words = vocabulary()
    begin = {split: {word[:LETTERS_IN_COMMON] for word in words[split]} for split in words}
    assert not begin["train"] & begin["validation"]
    assert "strawberry" in words["validation"]
    assert 0.07 < len(words["validation"]) / sum(map(len, words.values())) < 0.15
    assert len(words["train"]) > 10_000


@pytest.mark.parametrize("split", ["train", "validation"])
def test_questions_are_about_the_words_of_their_split(split: str):
    words = set(vocabulary()[split])
    asked = re.findall(r"How many ([a-z])'s in ([a-z]+)\? (\d)\n", "".join(texts("letters", split, 64)))
    assert len(asked) > 400
    assert all(word in words and word.count(letter) == int(count) for letter, word, count in asked)
    shares = np.bincount([int(count) for *_, count in asked]) / len(asked)
    assert shares.max() < 0.45 and shares[2] > 0.15, "no answer is right half of the time"


def test_most_letters_are_hidden_in_tokens():
    tokenizer = load("letters", Config(seq_len=64)).tokenizer
    words = vocabulary()["validation"]
    pieces = [tokenizer.pieces(tokenizer.encode(f" {word}")) for word in words]
    shown = sum(len(piece.strip()) for word in pieces for piece in word if len(piece.strip()) == 1)
    assert shown < 0.25 * sum(map(len, words))
    assert len(tokenizer.encode(" strawberry")) < len("strawberry") / 1.5


def test_a_persons_own_question_is_answered():
    dataset = load("letters", Config(seq_len=64))
    ids = dataset.tokenizer.encode("How many r's in strawberry?")
    answers = dataset.answers(ids)
    assert (answers[:-1] == IGNORED).all()
    assert dataset.tokenizer.decode([int(answers[-1])]) == " 3"
    assert ASKED.search("How many e's in government? 2\nHow many z's in raspberry?")
    assert occurrences("berry") == {0: "acdfghijklmnopqstuvwxz", 1: "bey", 2: "r"}


@pytest.mark.parametrize(("modulus", "terms"), [(11, 2), (5, 3)])
def test_sums_of_validation_are_never_trained_on(modulus: int, terms: int):
    data, pattern = f"modular:modulus={modulus},terms={terms}", rf"((?:\d+ ){{{terms}}})= \d+"
    asked = {split: set(re.findall(pattern, " ".join(texts(data, split, 200)))) for split in ("train", "validation")}
    assert asked["validation"] and not asked["train"] & asked["validation"]
    sums = modulus**terms
    assert len(asked["train"]) + len(asked["validation"]) == sums, "and every sum is asked somewhere"
    assert len(asked["validation"]) == sums // 5


def test_memorisation_is_one_table_for_both_splits():
    made = maker("memorisation:keys=20", 128)
    pairs = {}
    for split in ("train", "validation"):
        tokens, targets = made.rows(Draws(50, split))
        pairs[split] = set(zip(tokens[:, ::2].ravel().tolist(), targets[:, 1::2].ravel().tolist(), strict=True))
    assert pairs["train"] == pairs["validation"]
    assert len(pairs["train"]) == len({value for _, value in pairs["train"]}) == 20
    other = maker("memorisation:keys=20,table=1", 128).rows(Draws(50, "train"))[1]
    assert not np.array_equal(other, made.rows(Draws(50, "train"))[1])


def test_a_question_of_pointers_says_how_deep_it_is():
    made = maker("pointers:nodes=6,depth=4", 64)
    tokens, targets = made.rows(Draws(200, "train"))
    words = made.words()
    deep = [words[token] for token in tokens[targets != IGNORED]]
    assert {*deep} == {"+1", "+2", "+3", "+4"}
    assert np.unique(deep, return_counts=True)[1].min() > 0.2 * len(deep)


def test_the_special_token_of_induction_never_stands_beside_itself():
    tokens, targets = maker("induction:asks=9", 20).rows(Draws(500, "train"))
    assert ((tokens == 0).sum(axis=1) == 10).all()
    assert not ((tokens[:, 1:] == 0) & (tokens[:, :-1] == 0)).any()
    tokens, targets = maker("induction:asks=2", 64).rows(Draws(5000, "train"))
    first = (targets != IGNORED).argmax(axis=1)
    assert first.min() < 10 and first.max() > 50, "asked early and late"


def test_as_many_pairs_are_noise_as_is_said():
    made = maker("noisy-recall:share=0.5", 128)
    tokens, _ = made.rows(Draws(500, "train"))
    assert np.mean(tokens >= 16) == pytest.approx(0.5 * 62.5 / 64, abs=0.01)


def test_fuzzy_keys_have_one_to_so_many_tokens():
    made = maker("fuzzy-recall:motif=3", 128)
    words = " ".join(texts("fuzzy-recall:motif=3", "train", 100))
    runs = {len(run.split()) for run in re.findall(r"(?:k\d+ ?)+", words)}
    assert runs == {1, 2, 3}
    _, targets = made.rows(Draws(100, "train"))
    asked = targets != IGNORED
    assert asked[:, -2].all() and not asked[:, -1].any(), "the last token of the row ends an answer"
