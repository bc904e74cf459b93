"""The numbers of the figures about changes and influence, as tables."""

import numpy as np
import pandas as pd

from lab.figures import tokens as naming
from lab.figures.effect_map import maps_of
from lab.figures.influence import last_of
from lab.interventions import Effect
from lab.interventions.effect import SHOWN
from lab.measure.influence import Influence


def effect_tokens(effect: Effect, *, tokens: tuple[int, int] | None = None) -> pd.DataFrame:
    """One line per token that is predicted, or after which a task asks: loss before and after in nats, and how the
    prediction changed."""
    start, stop = naming.part(effect.tokens, tokens)
    if effect.of_text:
        places = np.arange(max(start, 1), max(stop, 2))
        predicted, answers = places - 1, {}
    else:
        predicted = places = start + np.flatnonzero(effect.asked[start:stop])
        answers = {"answer": [effect.before.answers[place] for place in places]}
    return pd.DataFrame({
        "token": [f"{place} {effect.pieces[place]}" for place in places], **answers,
        "loss before": effect.before.loss[predicted], "loss after": effect.after.loss[predicted],
        "change": effect.difference[predicted], "KL": effect.kl[predicted],
        "likeliest before": [effect.names[place][0] for place in predicted],
        "likeliest after": [effect.names[place][SHOWN] for place in predicted],
    })  # fmt: skip


def effect_distribution(effect: Effect, *, position: int = 0) -> pd.DataFrame:
    """One line per likely next token: its probability before and after, and whether it follows in the text."""
    following = effect.before.answers[position] if position + 1 < effect.tokens and effect.asked[position] else None
    made = pd.DataFrame(effect.distribution(position), columns=["next token", "before", "after"])
    return made.assign(follows=made["next token"] == following)


def effect_map(
    effect: Effect, *, layer: int = 0, loop: int = 0, index: int | None = None, tokens: tuple[int, int] | None = None
) -> pd.DataFrame:
    """One line per pair of tokens: who reads, who is read, the weight before and after, and the change."""
    start, stop = naming.part(effect.tokens, tokens)
    names = np.array([f"{place} {effect.pieces[place]}" for place in range(start, stop)])
    reads, read = np.tril_indices(stop - start)
    before, after = (weights[start:stop, start:stop][reads, read] for weights in maps_of(effect, layer, loop, index))
    columns = {"before": before, "after": after, "change": after - before}
    return pd.DataFrame({"reads": names[reads], "is read": names[read], **columns})


def influence(influence: Influence, *, tokens: tuple[int, int] | None = None) -> pd.DataFrame:
    """One line per token: its share by map, nats by gradient, nats by removal."""
    start, stop = tokens or (0, last_of(influence) + 1)
    names = [f"{place} {influence.probe.pieces[place]}" for place in range(start, stop)]
    columns = {way: getattr(influence, way)[start:stop] for way in ("map", "gradient", "removal")}
    return pd.DataFrame({"token": names, **columns})
