"""What a change inside a model does: loss, predictions and the whole probe, before and after, over one text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lab.gather import one_thread
from lab.interventions.describe import Intervention, InterventionError
from lab.interventions.reach import reaching
from lab.probe import Probe, probe

SHOWN = 5  # likeliest next tokens, before and after


@dataclass(frozen=True)
class Seen:
    """One model reading one text: its probe, and log_p (T, V) float32, the log-probability of each next token."""

    probe: Probe
    log_p: np.ndarray


@dataclass(frozen=True)
class Effect:
    """The same text read twice: by the model as it is, and with ``interventions``.

    kl: (T,) nats, Σ p_before (log p_before − log p_after) over the next token. likeliest: (T, 10) ids, the five
    likeliest next tokens before and the five after; chances: (2, T, 10), their probabilities before and after; names:
    T lists of ten printable pieces. Token t's prediction is about token t + 1.
    """

    before: Probe
    after: Probe
    interventions: tuple[Intervention, ...]
    kl: np.ndarray
    likeliest: np.ndarray
    chances: np.ndarray
    names: list[list[str]]

    @property
    def words(self) -> str:
        """What was done, as one phrase."""
        return "; ".join(each.words for each in self.interventions) or "nothing"

    @property
    def label(self) -> str:
        """One line that says which run, step and seed this is."""
        return self.before.label

    @property
    def run(self) -> str | None:
        """Run name, or None when the caller gave none."""
        return self.before.run

    @property
    def step(self) -> int | None:
        """Training step, or None when the caller gave none."""
        return self.before.step

    @property
    def family(self) -> str:
        """Family name, such as "strawberry"."""
        return self.before.family

    @property
    def pieces(self) -> list[str]:
        """One printable string per token."""
        return self.before.pieces

    @property
    def tokens(self) -> int:
        """T, the number of tokens."""
        return self.before.tokens

    @property
    def difference(self) -> np.ndarray:
        """(T−1,) nats: how much more the target of token t costs than before; NaN where nothing is asked."""
        return self.after.loss - self.before.loss

    @property
    def of_text(self) -> bool:
        """Whether each target is the text's next token; otherwise they are a task's answers, where it asks for any."""
        return np.array_equal(self.before.targets, self.before.ids[1:])

    @property
    def asked(self) -> np.ndarray:
        """(T,) whether the prediction after a token is judged: all of a text's, a task's where it asks."""
        return np.ones(self.tokens, dtype=bool) if self.of_text else np.append(~np.isnan(self.before.loss), False)

    @property
    def mean_loss(self) -> tuple[float, float]:
        """Mean loss before and after, nats per target that is asked for; NaN where none is."""
        return self.before.mean_loss, self.after.mean_loss

    @property
    def changed(self) -> float:
        """Share of the predictions that are judged whose likeliest token is another than before; NaN where none is."""
        others = (self.likeliest[:, 0] != self.likeliest[:, SHOWN])[self.asked]
        return float(others.mean()) if len(others) else float("nan")

    def distribution(self, position: int) -> list[tuple[str, float, float]]:
        """(piece, probability before, after) of the likeliest next tokens after ``position``, likeliest first."""
        ids = self.likeliest[position].tolist()
        first = {index: place for place, index in reversed(list(enumerate(ids)))}
        before, after = self.chances[:, position].tolist()
        rows = [(self.names[position][place], before[place], after[place]) for place in first.values()]
        return sorted(rows, key=lambda row: -max(row[1:]))


def effect(
    model: Any,
    tokenizer: Any,
    text: str,
    interventions: Sequence[Intervention] | Intervention,
    *,
    step: int | None = None,
    run: str | None = None,
    max_tokens: int = 256,
    answers: Callable[[Sequence[int]], np.ndarray] | None = None,
) -> Effect:
    """Read the first ``max_tokens`` tokens of ``text`` without and with ``interventions``, and compare.

    ``answers`` gives the target after each token of a task, as ``strawberry.data.Dataset.answers``.
    Raises :class:`InterventionError` when the model has not what is to be changed, when a change turns its predictions
    into no numbers, or for fewer than two tokens; :class:`strawberry.errors.TraceError` for what cannot be replaced.
    """
    chosen = (interventions,) if isinstance(interventions, Intervention) else tuple(interventions)
    more: dict[str, Any] = {"step": step, "run": run, "max_tokens": max_tokens, "answers": answers}
    before = seen(model, tokenizer, text, **more)
    after = seen(model, tokenizer, text, chosen, **more)
    return compared(before, after, chosen, tokenizer)


@one_thread()
def seen(
    model: Any,
    tokenizer: Any,
    text: str,
    interventions: Sequence[Intervention] = (),
    *,
    step: int | None = None,
    run: str | None = None,
    max_tokens: int = 256,
    answers: Callable[[Sequence[int]], np.ndarray] | None = None,
) -> Seen:
    """What a model does with a text while ``interventions`` last."""
    ids = list(tokenizer.encode(text))[:max_tokens]
    if len(ids) < 2:
        raise InterventionError(f"the text has {len(ids)} token{'s' * (len(ids) != 1)}; give at least two")
    device, training = next(model.parameters()).device, model.training
    with reaching(model, interventions, tokenizer, max_tokens) as reached, torch.inference_mode():
        try:
            logits = reached.eval()(torch.tensor([ids], device=device))[0].float()
        finally:
            reached.train(training)
        if not logits.isfinite().all():
            told = "; ".join(each.words for each in interventions) or "this model as it is"
            raise InterventionError(f"the predictions are no numbers any more ({told}); try a smaller change")
        name = run or model.config.family
        taken = probe(
            reached, tokenizer, text, step=step, run=f"{name}, altered" if interventions else run,
            max_tokens=max_tokens, answers=answers,
        )  # fmt: skip
    return Seen(taken, logits.log_softmax(dim=-1).cpu().numpy())


def compared(before: Seen, after: Seen, interventions: Sequence[Intervention], tokenizer: Any) -> Effect:
    """The effect, from the two readings of one text."""
    likeliest = np.concatenate([_top(before.log_p), _top(after.log_p)], axis=1)
    chances = np.stack([np.exp(np.take_along_axis(each.log_p, likeliest, axis=1)) for each in (before, after)])
    apart = (np.exp(before.log_p) * (before.log_p - after.log_p)).sum(axis=1)
    return Effect(
        before.probe,
        after.probe,
        tuple(interventions),
        # Rounding can take nothing to just below it.
        np.maximum(apart, 0).astype(np.float32),
        likeliest,
        chances.astype(np.float32),
        [tokenizer.pieces(row) for row in likeliest.tolist()],
    )


def _top(log_p: np.ndarray) -> np.ndarray:
    """(T, V) -> (T, SHOWN) ids, likeliest first; the last one again where there are fewer."""
    most = min(SHOWN, log_p.shape[1])
    order = np.argsort(-log_p, axis=1, kind="stable")[:, :most].astype(np.int32)
    return np.pad(order, ((0, 0), (0, SHOWN - most)), mode="edge")
