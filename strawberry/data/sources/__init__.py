"""Sources whose entropy is known: text that nobody can predict better than so well."""

from strawberry.data.sources.grammar import Grammar
from strawberry.data.sources.hidden_markov import HiddenMarkov
from strawberry.data.sources.iid import Independent
from strawberry.data.sources.markov import Markov
from strawberry.data.sources.source import Source

SOURCES: dict[str, type[Source]] = {
    "iid": Independent,
    "markov": Markov,
    "hidden-markov": HiddenMarkov,
    "grammar": Grammar,
}

__all__ = ["SOURCES", "Source"]
