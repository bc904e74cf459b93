"""Every task: answers that its oracle finds again, rows that only counters decide, chance where it says, no leaks."""

import dataclasses

import numpy as np
import pytest

from strawberry.config import Config
from strawberry.data import IGNORED, load
from strawberry.data.draws import Draws
from strawberry.data.named import MAKERS, maker
from strawberry.data.tasks import TASKS, Task
from strawberry.errors import DataError

# Each task as it is by default, and with other arguments.
VARIANTS = {
    "mqar": ("pairs=4", "pairs=16,vocab=300,power=1", "pairs=1,vocab=5,length=4"),
    "induction": ("asks=1,length=256", "vocab=3,length=20,asks=9"),
    "selective-copy": ("copies=1,vocab=4,length=2", "copies=16,length=48,vocab=40"),
    "memorisation": ("keys=7,length=9", "keys=1000"),
    "fuzzy-recall": ("motif=1,length=30", "motif=3,vocab=5,length=40"),
    "noisy-recall": ("share=0", "share=0.9,keys=3,noise=2", "length=4"),
    "compression": ("length=9", "vocab=30"),
    "modular": ("modulus=97", "modulus=2,terms=30", "modulus=3,terms=2,length=4"),
    "dyck": ("kinds=2,depth=1", "kinds=6,depth=100,length=20"),
    "pointers": ("nodes=2,depth=1,length=6", "nodes=20,depth=5,length=81"),
    "letters": ("vocab=512,length=100",),
}


def always(token):
    return lambda task, tokens, places: np.full(len(places[0]), token(task))


def commonest(task: Task) -> int:
    targets = rows(task, 2000, "validation", 1)[1]
    return int(np.bincount(targets[targets != IGNORED]).argmax())


# The best guess without understanding: (task, tokens, places that are asked) -> as many guesses.
GUESSES = {
    "mqar": lambda task, tokens, places: tokens[places[0], 1],
    "induction": always(lambda task: 1),
    "selective-copy": always(lambda task: 2),
    "memorisation": always(lambda task: 1 + task.keys),
    "fuzzy-recall": always(lambda task: 1 + task.vocab),
    "noisy-recall": always(lambda task: task.keys),
    "compression": always(lambda task: 2),
    "modular": always(commonest),
    "dyck": always(lambda task: task.kinds),
    "pointers": always(lambda task: 0),
    "letters": always(commonest),
}
CASES = [(name, given) for name in TASKS for given in ("", *VARIANTS[name])]


@pytest.fixture(params=CASES, ids=[f"{name}:{given}" for name, given in CASES])
def task(request: pytest.FixtureRequest) -> Task:
    name, given = request.param
    made = maker(f"{name}:{given}", 64)
    assert isinstance(made, Task)
    return made


def rows(task: Task, count: int = 32, split: str = "train", *place: int) -> tuple[np.ndarray, np.ndarray]:
    return task.rows(Draws(count, split, *place))


def test_every_task_has_variants_and_a_guesser():
    assert set(VARIANTS) == set(GUESSES) == set(TASKS)


def test_rows_are_tokens_and_targets_of_the_vocabulary(task: Task):
    tokens, targets = rows(task)
    size = task.tokenizer().vocab_size
    assert tokens.shape == targets.shape == (32, task.length)
    assert tokens.dtype == targets.dtype == np.int64
    assert tokens.min() >= 0 and tokens.max() < size
    assert np.all((targets == IGNORED) | ((targets >= 0) & (targets < size)))
    assert np.all((targets != IGNORED).any(axis=1)), "every row asks something"


def test_the_oracle_finds_every_answer_again(task: Task):
    for split in ("train", "validation"):
        for row, wanted in zip(*rows(task, split=split), strict=True):
            answers = task.solve(row)
            asked = wanted != IGNORED
            assert np.array_equal(answers[asked], wanted[asked])


def test_an_answer_follows_from_what_was_read_so_far(task: Task):
    tokens, targets = rows(task, 4)
    for row, wanted in zip(tokens, targets, strict=True):
        for place in np.flatnonzero(wanted != IGNORED):
            assert task.solve(row[: place + 1])[place] == wanted[place]


def test_no_answer_stands_where_it_is_asked(task: Task):
    tokens, targets = rows(task, 500)
    asked = targets != IGNORED
    shown = np.mean(tokens[asked] == targets[asked])
    assert shown < task.chance + 0.1, "the token that is read with the question gives the answer away"


def test_chance_is_what_it_says(task: Task):
    tokens, targets = rows(task, 2000, "validation")
    places = np.nonzero(targets != IGNORED)
    guessed = GUESSES[type(task).title()](task, tokens, places)
    right = guessed == targets[places]
    error = np.sqrt(task.chance * (1 - task.chance) / tokens.shape[0])
    assert right.mean() == pytest.approx(task.chance, abs=max(4 * error, 0.005))


def test_rows_follow_from_counters_alone(task: Task):
    first = rows(task, 8, "train", 3, 1, 5)
    again = rows(task, 8, "train", 3, 1, 5)
    fewer = rows(task, 3, "train", 3, 1, 5)
    for one, two, part in zip(first, again, fewer, strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one[:3], part)
    others = [rows(task, 8, "train", *place)[0] for place in ((4, 1, 5), (3, 2, 5), (3, 1, 6))]
    assert not any(np.array_equal(first[0], other) for other in others)


def test_the_splits_are_streams_apart(task: Task):
    seen = {split: rows(task, 300, split)[0] for split in ("train", "validation")}
    assert not np.array_equal(seen["train"], seen["validation"])
    if task.length >= 30:  # shorter rows may be alike by chance
        assert not {row.tobytes() for row in seen["train"]} & {row.tobytes() for row in seen["validation"]}


def test_words_are_read_back(task: Task):
    tokenizer = task.tokenizer()
    tokens = rows(task, 1)[0][0]
    text = tokenizer.decode(tokens.tolist())
    assert tokenizer.encode(text) == tokens.tolist()
    assert all(piece.strip() and "<|" not in piece for piece in tokenizer.pieces(tokens))


@pytest.mark.parametrize("name", TASKS)
def test_every_task_says_what_it_is(name: str):
    kind = TASKS[name]
    assert kind.about and not kind.about.endswith(".") and "\n" not in kind.about
    assert kind.source and kind.__doc__
    assert all(item.metadata["help"] for item in dataclasses.fields(kind))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    "given", ["nonsense=1", "length=zero", "length=0", "length=1000000", "length", "length=8,length=8"]
)
def test_arguments_that_cannot_work_are_refused_in_a_sentence(name: str, given: str):
    with pytest.raises(DataError) as caught:
        load(f"{name}:{given}", Config())
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize("name", MAKERS)
def test_every_argument_keeps_its_bounds(name: str):
    kind = MAKERS[name]
    for item in dataclasses.fields(kind):
        for bound, way in ((item.metadata["low"], -1), (item.metadata["high"], 1)):
            if bound is not None:
                with pytest.raises(DataError, match=f"{name}: {item.name} must be at"):
                    kind(**{item.name: bound + way})
