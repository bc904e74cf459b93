"""Sources: -log p of every token against enumeration, entropy rates against formulas, rows from counters alone."""

import itertools

import numpy as np
import pytest
import torch

from strawberry.config import Config
from strawberry.data import load
from strawberry.data.draws import Draws
from strawberry.data.named import maker
from strawberry.data.sources import SOURCES, Source
from strawberry.data.sources.grammar import Grammar
from strawberry.data.sources.source import choose, distributions, entropy
from strawberry.errors import DataError

# Each source in a size that can be enumerated, and with other arguments.
SMALL = {
    "iid": ("symbols=3,sharpness=2", "symbols=2,sharpness=0"),
    "markov": ("symbols=2,order=2", "symbols=3,order=1,table=7", "symbols=2,order=3,sharpness=0.5"),
    "hidden-markov": ("symbols=3,states=2", "symbols=2,states=3,table=4", "symbols=3,states=1"),
    "grammar": (
        "symbols=3,variables=2,rules=2",
        "symbols=4,variables=3,rules=3,table=5",
        "symbols=2,variables=1,rules=2",
    ),
}
CASES = [(name, given) for name, variants in SMALL.items() for given in variants]
LENGTH = 4  # a row has one token more


@pytest.fixture(params=CASES, ids=[f"{name}:{given}" for name, given in CASES])
def source(request: pytest.FixtureRequest) -> Source:
    name, given = request.param
    made = maker(f"{name}:{given}", LENGTH)
    assert isinstance(made, Source)
    return made


def every_text(source: Source) -> np.ndarray:
    return np.array(list(itertools.product(range(source.symbols), repeat=LENGTH + 1)))


def by_paths(source) -> dict[tuple[int, ...], float]:
    """p(text) of a hidden Markov model as a sum over all paths."""
    move, emit, start = source._tables
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(source.states), repeat=LENGTH + 1):
        p = start[path[0]] * np.prod([move[one, two] for one, two in itertools.pairwise(path)])
        for text in itertools.product(range(source.symbols), repeat=LENGTH + 1):
            found[text] = found.get(text, 0) + p * np.prod([emit[s, t] for s, t in zip(path, text, strict=True)])
    return found


def by_derivation(source) -> dict[tuple[int, ...], float]:
    """p(text) of a grammar by deriving everything from the left, whatever is ambiguous."""
    rules = source._rules
    found: dict[tuple[int, ...], float] = {}
    held: list[tuple[tuple[int, ...], tuple[int, ...], float]] = [((), (0,), 1.0)]
    while held:
        text, stack, p = held.pop()
        if len(text) == LENGTH + 1:
            found[text] = found.get(text, 0) + p
            continue
        top, rest = (stack or (0,))[0], stack[1:]
        for rule in range(source.rules):
            tail = tuple(int(variable) for variable in rules.tail[top, rule] if variable >= 0)
            held.append(((*text, int(rules.token[top, rule])), tail + rest, p * float(rules.p[top, rule])))
    return found


def by_steps(source) -> dict[tuple[int, ...], float]:
    """p(text) of independent tokens, or of a chain, from the table of its contexts and nothing else."""
    if not hasattr(source, "order"):
        p = source._p[0]
        return {text: float(np.prod(p[list(text)])) for text in map(tuple, every_text(source))}
    table, start = source._tables
    found: dict[tuple[int, ...], float] = {}
    contexts = list(itertools.product(range(source.symbols), repeat=source.order))
    for number, context in enumerate(contexts):
        for more in itertools.product(range(source.symbols), repeat=LENGTH + 1 - source.order):
            text, p = list(context), start[number]
            for token in more:
                p *= table[contexts.index(tuple(text[-source.order :])), token]
                text.append(token)
            found[tuple(text)] = float(p)
    return found


ORACLES = {"iid": by_steps, "markov": by_steps, "hidden-markov": by_paths, "grammar": by_derivation}


def test_every_source_is_enumerated():
    assert set(SMALL) == set(ORACLES) == set(SOURCES)


def test_the_probability_of_every_text_is_that_of_enumeration(source: Source):
    texts = every_text(source)
    logs = source.log_probability(texts)
    wanted = ORACLES[type(source).title()](source)
    assert np.exp(logs.sum(axis=1)) == pytest.approx(
        [wanted.get(tuple(text), 0.0) for text in texts.tolist()], abs=1e-12
    )
    assert np.exp(logs.sum(axis=1)).sum() == pytest.approx(1.0)


def test_every_next_token_has_a_distribution(source: Source):
    texts = every_text(source)
    last = np.exp(source.log_probability(texts)[:, -1]).reshape(-1, source.symbols)
    possible = np.isfinite(source.log_probability(texts)[:: source.symbols, :-1]).all(axis=1)
    assert last[possible].sum(axis=1) == pytest.approx(1.0)


def test_the_text_that_is_drawn_is_that_of_the_source(source: Source):
    text = source.draw(Draws(20_000, "train"))
    found: dict[tuple[int, ...], int] = {}
    for row, count in zip(*np.unique(text, axis=0, return_counts=True), strict=True):
        found[tuple(row.tolist())] = count
    wanted = {key: 20_000 * p for key, p in ORACLES[type(source).title()](source).items()}
    likely = {key: count for key, count in wanted.items() if count >= 10}
    rest = 20_000 - sum(likely.values())
    seen_rest = 20_000 - sum(found.get(key, 0) for key in likely)
    squares = sum((found.get(key, 0) - count) ** 2 / count for key, count in likely.items())
    squares += (seen_rest - rest) ** 2 / max(rest, 1.0)
    free = len(likely)
    assert squares < free + 4 * (2 * free) ** 0.5 + 10, "chi-squared, about four standard deviations"


def test_the_surprisal_is_of_the_targets(source: Source):
    tokens, targets = source.rows(Draws(8, "validation"))
    assert np.array_equal(tokens[:, 1:], targets[:, :-1])
    exact = source.surprisal(tokens, targets)
    text = np.concatenate([tokens, targets[:, -1:]], axis=1)
    assert exact == pytest.approx(-source.log_probability(text)[:, 1:])
    assert exact.shape == targets.shape and np.isfinite(exact).all() and (exact >= 0).all()


@pytest.mark.parametrize(
    "data",
    [
        "iid",
        "iid:sharpness=0",
        "markov",
        "markov:order=3,symbols=4",
        "markov:order=2,symbols=16",
        "grammar",
        "grammar:table=9",
    ],
)
def test_the_mean_surprisal_tends_to_the_entropy_rate(data: str):
    source = maker(data, 1500)
    tokens, targets = source.rows(Draws(64, "train"))
    exact = source.surprisal(tokens, targets)
    assert exact is not None and source.entropy_rate is not None
    rows = exact.mean(axis=1)
    # A grammar's rows begin with a whole sentence, and so does what its rate counts, but for the one that is cut.
    assert rows.mean() == pytest.approx(
        source.entropy_rate, abs=4 * rows.std() / 8 + (5e-3 if "grammar" in data else 1e-12)
    )


def test_formulas():
    uniform = maker("iid:sharpness=0,symbols=32", 8)
    assert uniform.entropy_rate == pytest.approx(np.log(32), rel=1e-12)
    chain = maker("markov:symbols=2,order=1,table=3", 8)
    table, start = chain._tables
    a, b = table[0, 1], table[1, 0]
    assert start == pytest.approx([b / (a + b), a / (a + b)], rel=1e-10)
    assert chain.entropy_rate == pytest.approx(float(start @ entropy(table)))
    # One state hides nothing: independent tokens.
    hidden = maker("hidden-markov:states=1", 600)
    tokens, targets = hidden.rows(Draws(4, "train"))
    p = hidden._tables[1][0]
    assert hidden.surprisal(tokens, targets) == pytest.approx(-np.log(p)[targets])


@pytest.mark.parametrize("name", SOURCES)
def test_rows_follow_from_counters_alone(name: str):
    source = maker(name, 48)
    first, fewer = source.rows(Draws(8, "train", 3, 1, 5)), source.rows(Draws(3, "train", 3, 1, 5))
    for one, part in zip(first, fewer, strict=True):
        assert np.array_equal(one[:3], part)
        assert one.shape == (8, 48) and one.dtype == np.int64 and one.min() >= 0
        assert one.max() < source.tokenizer().vocab_size
    for split, *place in (("train", 4, 1, 5), ("train", 3, 2, 5), ("train", 3, 1, 6), ("validation", 3, 1, 5)):
        assert not np.array_equal(first[0], source.rows(Draws(8, split, *place))[0])
    seen = [{row.tobytes() for row in source.rows(Draws(300, split))[0]} for split in ("train", "validation")]
    assert not seen[0] & seen[1]


@pytest.mark.parametrize("name", SOURCES)
def test_as_a_dataset(name: str):
    config = Config(seq_len=32, batch_size=4)
    dataset = load(name, config)
    tokens, targets = dataset.batch("validation", 0, config)
    exact = dataset.surprisal(tokens, targets)
    assert exact is not None and exact.shape == targets.shape and exact.dtype == torch.float64
    assert (dataset.metric, dataset.bytes_per_token, dataset.tokens_train) == ("loss", None, None)
    assert dataset.floor == pytest.approx(float(exact.mean()), abs=0.5)
    assert dataset.question() == ("", None)
    ids = dataset.tokenizer.encode(dataset.passage())
    assert dataset.answers(ids)[:-1].tolist() == ids[1:]


def test_what_cannot_work_is_said_in_a_sentence():
    for data, why in {
        "markov:symbols=64,order=3": "262,144 contexts",
        "grammar:symbols=3,rules=4": "4 rules need as many symbols",
        "iid:sharpness=-1": "sharpness must be at least 0",
        "iid:sharpness=nan": "sharpness must be a number",
    }.items():
        with pytest.raises(DataError, match=why):
            maker(data, 16)


def test_a_grammar_is_unambiguous_and_ends():
    for table in range(20):
        grammar = Grammar(table=table)
        rules = grammar._rules
        assert all(len(set(row)) == len(row) for row in rules.token.tolist())
        assert rules.p.sum(axis=1) == pytest.approx(1.0)
        assert ((rules.p * (rules.tail >= 0).sum(axis=2)).sum(axis=1) < 1).all(), "every sentence ends"
        assert rules.tail.max() >= 0 and (rules.tail[..., 1] >= 0).any(), "and some need a stack"


def test_tables_are_distributions_and_draws_follow_them():
    p = distributions(50, 7, 3.0, 1)
    assert p.sum(axis=1) == pytest.approx(1.0) and (p > 0).all()
    assert distributions(2, 5, 0.0, 1) == pytest.approx(np.full((2, 5), 0.2))
    uniform = (np.arange(10_000) + 0.5) / 10_000
    found = np.bincount(choose(np.broadcast_to(p[0], (10_000, 7)), uniform), minlength=7)
    assert found == pytest.approx(10_000 * p[0], abs=1.0)
    assert choose(p[:1], np.array([np.nextafter(1, 0)])).max() <= 6
