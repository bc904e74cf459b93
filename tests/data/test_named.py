"""Data by a name with arguments: what it is as a dataset, and what it refuses."""

import numpy as np
import pytest
import torch

from strawberry.config import Config
from strawberry.data import IGNORED, Tokenizer, is_made, load
from strawberry.errors import ConfigError, DataError

SMALL = Config(seq_len=32, vocab_size=64, batch_size=4)


def test_a_name_may_carry_arguments():
    dataset = load(" mqar : pairs = 4 , length=16 ", SMALL)
    tokens, targets = dataset.batch("train", 0, SMALL)
    assert tokens.shape == targets.shape == (4, 16)
    assert tokens.dtype == targets.dtype == torch.int64
    assert (targets != IGNORED).sum(dim=1).tolist() == [4] * 4
    assert dataset.name == "mqar : pairs = 4 , length=16"
    assert (dataset.metric, dataset.floor, dataset.bytes_per_token, dataset.tokens_train) == (
        "accuracy",
        None,
        None,
        None,
    )


def test_length_is_the_configurations_where_none_is_given():
    assert load("mqar:pairs=4", SMALL).length == 32


@pytest.mark.parametrize("data", ["mqar", "mqar:pairs=2"])
def test_is_made(data: str):
    assert is_made(data)
    assert not is_made(f"./{data}")


def test_batches_follow_from_counters_alone():
    dataset = load("mqar:pairs=4", SMALL)
    first = dataset.batch("train", 7, SMALL, 1)[0]
    assert torch.equal(first, load("mqar:pairs=4", SMALL).batch("train", 7, SMALL, 1)[0])
    assert torch.equal(first[:2], dataset.batch("train", 7, SMALL.replace(batch_size=2), 1)[0])
    assert not torch.equal(first, dataset.batch("train", 7, SMALL.replace(seed=1), 1)[0])
    held = dataset.batch("validation", 7, SMALL)[0]
    assert torch.equal(held, dataset.batch("validation", 7, SMALL.replace(seed=1))[0])


def test_the_whole_split_is_a_fixed_number_of_rows():
    dataset = load("mqar:pairs=4", SMALL)
    parts = list(dataset.windows("validation", 32, 100))
    assert sum(tokens.numel() for tokens, _ in parts) == dataset.tokens_validation
    assert torch.equal(parts[0][0][:4], dataset.batch("validation", 0, SMALL)[0])
    with pytest.raises(DataError, match="cut"):
        next(dataset.windows("validation", 31))
    with pytest.raises(DataError, match="train, validation"):
        dataset.batch("test", 0, SMALL)


def test_the_fingerprint_tells_tasks_and_arguments_apart():
    names = ("mqar:pairs=4", "mqar:pairs=5", "mqar:pairs=4,length=30")
    assert len({load(name, SMALL).fingerprint for name in names}) == 3
    assert load("mqar:pairs=4,length=32", SMALL).fingerprint == load("mqar:length=32,pairs=4", SMALL).fingerprint


def test_a_question_ends_where_the_first_answer_is_asked():
    dataset = load("mqar:pairs=4", SMALL)
    prompt, most = dataset.question()
    ids = dataset.tokenizer.encode(prompt)
    targets = dataset.batch("validation", 0, SMALL)[1][0]
    assert (targets != IGNORED).nonzero()[0].item() == len(ids) - 1
    assert most == 1
    assert dataset.passage().startswith(prompt)
    assert dataset.answers(ids)[-1] == targets[len(ids) - 1]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("mqar:pair=1", "did you mean pairs"),
        ("mqar:pairs", "key=value"),
        ("mqar:pairs=4,pairs=5", "twice"),
        ("mqar:pairs=four", "whole number"),
        ("mqar:pairs=0", "at least 1"),
        ("mqar:pairs=20", "length of 80"),
        ("mqar:pairs=8,vocab=16", "vocab of 18"),
        ("mqar:length=31", "even"),
        ("mqar:length=64", "seq_len to 64"),
        ("mqar:vocab=65", "vocab_size to 65"),
        ("mcar:pairs=4", "mqar"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(data: str, why: str):
    with pytest.raises((DataError, ConfigError), match=why) as caught:
        load(data, SMALL)
    assert "\n" not in str(caught.value)


def test_a_run_on_other_symbols_is_no_beginning():
    own = load("mqar:pairs=4", SMALL).tokenizer
    assert load("mqar:pairs=4", SMALL, own).tokenizer.fingerprint == own.fingerprint
    with pytest.raises(DataError, match="symbols of its own"):
        load("mqar:pairs=4", SMALL, Tokenizer.train("bytes", [], 256))


def test_symbols_are_words_with_spaces_between(tmp_path):
    tokenizer = load("mqar:pairs=4", SMALL).tokenizer
    assert tokenizer.decode([1, 40, 0]) == " k1 v9 ."
    assert tokenizer.encode("k1 v9\n .") == [1, 40, 0]
    assert tokenizer.encode("") == []
    assert tokenizer.start_id == 0
    tokenizer.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.kind == "symbols" and again.fingerprint == tokenizer.fingerprint
    with pytest.raises(DataError, match=r"'k99' is no symbol of this data; write words such as: \. k"):
        tokenizer.encode("k1 k99")
    for words in ("[]", '["a", "a"]', '["a b"]', '[""]', "[1]", '"ab"'):
        with pytest.raises(DataError, match="distinct words"):
            Tokenizer.from_json(f'{{"kind": "symbols", "words": {words}}}')


def test_mqar_gaps_follow_the_power_law():
    dataset = load("mqar:pairs=1,length=34,power=0.01", Config(seq_len=34, batch_size=20000))
    targets = dataset.batch("train", 0, Config(seq_len=34, batch_size=20000))[1].numpy()
    gaps = (np.nonzero(targets != IGNORED)[1] - 2) // 2
    law = np.arange(1, 17) ** (0.01 - 1)
    expected = 20000 * law / law.sum()
    assert ((np.bincount(gaps, minlength=16) - expected) ** 2 / expected).sum() < 37.7, "chi-squared, 15 df, p = 0.001"
