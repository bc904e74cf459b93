"""Sources whose entropy is known: text that nobody can predict better than so well."""

from strawberry.data.sources.source import Source

SOURCES: dict[str, type[Source]] = {}

__all__ = ["SOURCES", "Source"]
