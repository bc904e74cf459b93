"""The sheet on which a model writes: one coloured span for each token, and what else each could have been."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from streamlit.components.v2 import component

from lab.writing import Writing

HERE = Path(__file__).parent


def paper(writing: Writing, colour: str) -> None:
    """Draw what is written so far; ``colour`` is probability, confidence or passes."""
    tokens = list(writing.tokens)
    deepest = max((token.passes or 1 for token in tokens), default=1)
    told = {
        "number": writing.number,
        "prompt": writing.wish.prompt,
        "live": writing.live,
        "colour": colour,
        "passes": max(deepest, writing.wish.max_loops or 1),
        "tokens": [
            [
                token.text, token.piece, round(token.probability, 4), token.rank,
                [[piece, round(chance, 4)] for piece, chance in token.likeliest],
                None if token.confidence is None else round(token.confidence, 3), token.passes,
                [f"layer {layer} {kind} {' '.join(f'E{expert}' for expert in chosen)}"
                 for layer, kind, chosen in token.experts],
            ]
            for token in tokens
        ],
    }  # fmt: skip
    mount(json.dumps(told, ensure_ascii=False))


def mount(told: str) -> None:
    """Hand the sheet, as JSON, to the browser."""
    _component()(key="paper", data=told)


@cache
def _component() -> Any:
    read = lambda name: (HERE / name).read_text(encoding="utf-8")  # noqa: E731
    return component("strawberry_paper", js=read("paper.js"), css=read("paper.css"))
