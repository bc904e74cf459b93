"""A probabilistic context-free grammar whose every token says which rule was used, so that nothing is ambiguous."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from strawberry.data.draws import Draws, fixed
from strawberry.data.maker import argument
from strawberry.data.sources.source import Source, choose, distributions, entropy

MEAN_TAIL = 0.9  # variables that a rule leaves behind, on average: below 1, so that every sentence ends


class Rules(NamedTuple):
    """Of each variable and rule: the probability, the token, and up to two variables that follow (-1: none).

    p (variables, rules) · token (variables, rules) · tail (variables, rules, 2) · rule_of (variables, symbols), the
    rule that begins with a token, -1 where none does.
    """

    p: np.ndarray
    token: np.ndarray
    tail: np.ndarray
    rule_of: np.ndarray


@dataclass(frozen=True)
class Grammar(Source):
    """Sentences of a stochastic grammar in Greibach's normal form, one after the other, the last one cut.

    A variable becomes a token and then 0 to 2 variables, which wait on a stack. The rules of one variable begin with
    different tokens (a simple deterministic grammar, Korenjak and Hopcroft 1966), so the text has one derivation, and
    the probability of the next token is that of a rule of the variable on top: known exactly, if the stack is.
    """

    about = "a context-free grammar, where a stack of what is still to come is all that helps"
    source = "Booth and Thompson 1973; simple deterministic grammars: Korenjak and Hopcroft 1966"

    symbols: int = argument(16, "different tokens", 2, 1024)
    variables: int = argument(6, "variables of the grammar", 1, 256)
    rules: int = argument(4, "rules of each variable", 2, 64)

    def check(self) -> None:
        if self.rules > self.symbols:
            raise self.refuse(f"{self.rules} rules need as many symbols to begin with, and there are {self.symbols}")

    def draw(self, draws: Draws) -> np.ndarray:
        """Derives from the left."""
        uniform = draws.uniform(self.length + 1)
        stack, text = _Stack(draws.rows, self.length + 1), np.empty(uniform.shape, dtype=np.int64)
        for place in range(self.length + 1):
            top = stack.pop()
            rule = choose(self._rules.p[top], uniform[:, place])
            text[:, place] = self._rules.token[top, rule]
            stack.push(self._rules.tail[top, rule])
        return text

    def log_probability(self, text: np.ndarray) -> np.ndarray:
        """Follows the one derivation; -inf where there is none, and after it."""
        logs, stack, lost = np.empty(text.shape), _Stack(*text.shape), np.zeros(len(text), dtype=bool)
        for place in range(text.shape[1]):
            top = stack.pop()
            rule = self._rules.rule_of[top, text[:, place]]
            lost |= rule < 0
            logs[:, place] = np.where(lost, -np.inf, np.log(self._rules.p[top, rule]))
            stack.push(self._rules.tail[top, rule])
        return logs

    @property
    def entropy_rate(self) -> float:
        """Nats of a sentence over its tokens, Σ e H / Σ e: e is how often a sentence uses a variable, on average."""
        p, tail = self._rules.p, self._rules.tail
        follow = np.zeros((self.variables, self.variables))
        for after in (0, 1):
            for variable in range(self.variables):
                known = tail[variable, :, after] >= 0
                np.add.at(follow[variable], tail[variable, known, after], p[variable, known])
        start = np.zeros(self.variables)
        start[0] = 1
        used = np.linalg.solve(np.eye(self.variables) - follow.T, start)
        return float(used @ entropy(p) / used.sum())

    @property
    def _rules(self) -> Rules:
        return _rules(self.symbols, self.variables, self.rules, self.sharpness, self.table)


class _Stack:
    """A stack of variables for each row; an empty one holds variable 0, which begins a sentence."""

    def __init__(self, rows: int, length: int) -> None:
        self._held = np.zeros((rows, length + 3), dtype=np.int64)
        self._depth = np.zeros(rows, dtype=np.int64)
        self._row = np.arange(rows)

    def pop(self) -> np.ndarray:
        """The variable on top of each row, which is taken off."""
        empty = self._depth == 0
        self._depth = np.maximum(self._depth - 1, 0)
        return np.where(empty, 0, self._held[self._row, self._depth])

    def push(self, tail: np.ndarray) -> None:
        """Put (rows, 2) variables on top, so that the first is the next; -1 is none."""
        for variable in tail[:, ::-1].T:
            self._held[self._row, self._depth] = np.maximum(variable, 0)
            self._depth += variable >= 0


@lru_cache(maxsize=16)
def _rules(symbols: int, variables: int, rules: int, sharpness: float, table: int) -> Rules:
    """A random grammar: the first rule of a variable ends it, the others go on with one or two variables."""
    order = np.argsort(fixed(table, variables * symbols, purpose=3).reshape(variables, symbols), axis=1)
    token = order[:, :rules]
    next_ = (fixed(table, variables * rules * 2, purpose=4) * variables).astype(np.int64).reshape(variables, rules, 2)
    size = 1 + (fixed(table, variables * rules, purpose=5).reshape(variables, rules) < 0.5)
    size[:, 0] = 0
    tail = np.where(np.arange(2) < size[..., None], next_, -1)
    going = distributions(variables, rules - 1, sharpness, table, purpose=6)
    # The rules that go on share what keeps the mean number of variables left behind at MEAN_TAIL, for every variable.
    share = np.minimum(MEAN_TAIL / (going * size[:, 1:]).sum(axis=1, keepdims=True), 0.95)
    p = np.concatenate([1 - share, share * going], axis=1)
    rule_of = np.full((variables, symbols), -1)
    np.put_along_axis(rule_of, token, np.broadcast_to(np.arange(rules), token.shape), axis=1)
    return Rules(p, token, tail, rule_of)
