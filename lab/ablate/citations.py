"""What a study compares, by name, with its source, and the BibTeX of those sources."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lab.ablate.study import Study
from strawberry.config import Config
from strawberry.data.named import MAKERS
from strawberry.mixers import MIXERS

STRAWBERRY = "srivastava2025strawberry"
_ARXIV = re.compile(r"\d{4}\.\d{4,5}")
# Journals of old, as in "Baum and Petrie 1966; forward algorithm as in Rabiner 1989".
_NAMED = re.compile(r"([A-Z]\w+)(?: and [A-Z]\w+)? (1[89]\d\d)")


class Mechanism(NamedTuple):
    """A part of a model or a data set: what it is, and where it comes from, as its class says."""

    name: str
    source: str


def mechanisms(study: Study) -> list[Mechanism]:
    """Everything with a source that any variant is made of, or is trained on, each once."""
    found: dict[Mechanism, None] = {}
    for variant, data in study.pairs:
        found |= dict.fromkeys(_parts(study.config(variant, data)))
    for data in study.data:
        name = data.partition(":")[0].strip()
        if name in MAKERS:
            found[Mechanism(f"task {name}" if MAKERS[name].metric == "accuracy" else f"source {name}",
                            MAKERS[name].source)] = None  # fmt: skip
    return list(found)


def bibtex(sources: Iterable[str]) -> str:
    """The entries that the sources name, by arXiv number or author and year, each once; what is unknown is left out."""
    keys: dict[str, None] = {}
    for source in sources:
        keys |= dict.fromkeys(key for key in _keys(source) if key in _entries())
    return "\n".join(_entries()[key] for key in keys)


def unknown(source: str) -> list[str]:
    """The arXiv numbers, and authors with years, in a source that have no entry."""
    return [key for key in _keys(source) if key not in _entries()]


def _keys(source: str) -> Iterator[str]:
    """What a source names: arXiv numbers, keys of works before there was arXiv, and the architecture's own."""
    yield from _ARXIV.findall(source)
    yield from (f"{surname.lower()}{year}" for surname, year in _NAMED.findall(source))
    if "Strawberry" in source:
        yield STRAWBERRY


def _parts(config: Config) -> Iterator[Mechanism]:
    """What a model is made of."""
    for mixer in config.mixer.split(","):
        yield Mechanism(f"mixer {mixer.strip()}", MIXERS[mixer.strip()].source)
    if config.weights != "learned":
        form = {"linear": "; arXiv 2307.08621", "delta": "; arXiv 2412.06464"}.get(config.pooling, "")
        yield Mechanism(f"Retention Mechanism, pooling {config.pooling}", f"Strawberry{form}")
    if config.n_experts > 1:
        balance = {"switch": "; arXiv 2101.03961", "bias": "; arXiv 2408.15664"}.get(config.balance, "")
        yield Mechanism(f"experts, balanced by {config.balance}", f"arXiv 1701.06538{balance}")
    if config.recursion != "all" or config.sharing != "cycle":
        yield Mechanism("Mixture of Recursions", "arXiv 2507.10524")
    if config.halting != "none":
        yield Mechanism(f"halting by {config.halting}", "PonderNet, arXiv 2107.05407; Ouro, arXiv 2510.25741")
    if config.depth == "random":
        yield Mechanism("passes drawn anew in training", "Geiping et al. 2025, arXiv 2502.05171")
    if config.rounding != "none":
        number = "2402.17764" if config.rounding == "ternary" else "2310.11453"
        yield Mechanism(f"{config.rounding} weights (BitNet)", f"arXiv {number}")
    if config.conv:
        yield Mechanism("short convolution before the mixer", "H3, arXiv 2212.14052; Mamba, arXiv 2312.00752")
    if config.optimizer == "muon":
        yield Mechanism("optimizer Muon", "arXiv 2502.16982")


@cache
def _entries() -> dict[str, str]:
    """BibTeX by arXiv number, or by key where there is none."""
    text = (Path(__file__).parent / "references.bib").read_text(encoding="utf-8")
    entries = {}
    for entry in re.split(r"\n(?=@)", text):
        number = re.search(r"eprint = \{(.+?)\}", entry)
        key = re.match(r"@\w+\{(\w+),", entry)
        if key:
            entries[number[1] if number else key[1]] = entry.strip() + "\n"
    return entries
