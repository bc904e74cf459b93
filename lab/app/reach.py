"""Reaching in: panels in which a person changes something inside a run's model, and sees at once what that does.

Nothing is loaded or computed before the panel is open and its button pressed; then the run's nearest checkpoint is,
on one thread, and both the model and what was found stay in small caches.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from lab import figures
from lab.app import models
from lab.app.exhibit import piece
from lab.app.models import Subject, subject_of
from lab.app.scrub import Place
from lab.app.shell import theme
from lab.figures.captions import caption
from lab.interventions import Effect, Intervention, Loops, Seen, compared, seen
from lab.jobs import Job
from lab.probe import Probe
from strawberry.errors import StrawberryError

# A line of text has sixteen tokens: on a narrow page it scrolls rather than to write them over one another.
STYLE = """<style>
@media (max-width: 900px) {
  .st-key-exhibit-reach-effect_tokens [data-testid="stElementContainer"] {overflow-x: auto}
  .st-key-exhibit-reach-effect_tokens .strawberry-canvas {min-width: 860px}
}
</style>"""


@dataclass(frozen=True)
class Asked:
    """What a person has asked for last."""

    subject: Subject
    interventions: tuple[Intervention, ...]


def panel(
    job: Job,
    place: Place,
    says: str,
    choose: Callable[[Place], list[Intervention]],
    redraw: Callable[[Effect, Place, str], None],
) -> None:
    """Draw the panel of a page: ``choose`` draws its choices, ``redraw(effect, place, code)`` its main view twice."""
    with drawer("Reach in: change something inside, and see what it does", "reach", ":material/back_hand:") as is_open:
        if not is_open:
            return
        subject = subject_of(job, place.probe)
        if subject is None:
            return
        st.markdown(says)
        wanted = [*choose(place), *_passes(place.probe)]
        asked = _ask(subject, wanted)
        if asked is None:
            return
        with st.spinner("The model is reading the text twice…"):
            effect = effect_of(asked)
        _result(effect, asked, lambda code: redraw(effect, place, code))


@contextmanager
def drawer(label: str, key: str, icon: str) -> Iterator[bool]:
    """A panel that is closed at first, and whether it is open; what goes wrong inside becomes one sentence there."""
    place = st.expander(label, key=key, icon=icon, on_change="rerun")
    with place:
        try:
            yield bool(place.open)
        except StrawberryError as error:
            text = str(error)
            st.error(f"{text[:1].upper()}{text[1:].rstrip('.')}.", icon=":material/error:")


def _passes(probe: Probe) -> list[Intervention]:
    """Another number of passes, where the person chooses one."""
    if probe.config.get("recursion", "all") != "all":
        return []
    loops = st.number_input(
        "Passes over the layers", 1, 4 * max(probe.loops, 4), probe.loops, key="reach-loops", width=220,
        help=f"It was trained with {probe.loops}. A pass beyond those uses the last one's gains.",
    )  # fmt: skip
    return [] if loops == probe.loops else [Loops(int(loops))]


def _ask(subject: Subject, wanted: Sequence[Intervention]) -> Asked | None:
    """The buttons; what was asked for last of this subject, with this press or before."""
    last: Asked | None = st.session_state.get("reached")
    if last is not None and last.subject != subject:
        last = None
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button("Do it", key="reach-do", type="primary", icon=":material/bolt:", disabled=not wanted)
        more = st.button(
            "Do it as well", key="reach-more", icon=":material/add:", disabled=not wanted or last is None,
            help="On top of what was done before.",
        )  # fmt: skip
        st.caption(
            "; ".join(each.words for each in wanted) if wanted else "Choose something to change.", width="content"
        )
    if pressed or more:
        before = last.interventions if more and last is not None else ()
        last = Asked(subject, (*before, *wanted))
        st.session_state["reached"] = last
    return last


def _result(effect: Effect, asked: Asked, redraw: Callable[[str], None]) -> None:
    """Loss, the text token by token, one prediction, and the page's main view before and after."""
    st.divider()
    st.html(STYLE)
    before, after = effect.mean_loss
    first, second, third = st.columns([2, 2, 5], vertical_alignment="center")
    if effect.asked.any():
        unit, likeliest, of = ("token", "next token", "all tokens of the text") if effect.of_text else (
            "answer", "answer", "the answers that the task asks for in this text"
        )  # fmt: skip
        moved = f"{after - before:+.3f} from {before:.3f}"
        first.metric(f"Mean loss, nats per {unit}", f"{after:.3f}", moved, delta_color="inverse")
        second.metric(f"Likeliest {likeliest} is another", f"{effect.changed:.0%}", help=f"Share of {of}.")
    else:
        first.info("The task asks for nothing in this text, so there is nothing to score.")
    third.markdown("**Done:** " + "; ".join(each.words for each in effect.interventions) + ".")
    code = told(asked)
    show("effect_tokens", caption("effect_tokens")[0], effect, code)
    key = f"reach-token-{abs(hash(asked))}"
    position = st.slider(
        "Prediction after token", 0, effect.tokens - 1, _most(effect), key=key,
        help=f"At first the token whose {'prediction' if effect.of_text else 'answer'} changed most.",
    )  # fmt: skip
    show("effect_distribution", caption("effect_distribution")[0], effect, code, position=position)
    redraw(code)


def _most(effect: Effect) -> int:
    """The token after which a prediction that is judged changed most, or any where none is."""
    kl = np.where(effect.asked, effect.kl, -1) if effect.asked.any() else effect.kl
    return int(kl.argmax())


def show(name: str, says: str, subject: Any, code: str, **options: Any) -> None:
    """A figure of an effect or an influence, with its numbers and downloads."""
    figure = getattr(figures, name)(subject, **options, theme=theme())
    probe = subject.before if isinstance(subject, Effect) else subject.probe
    arguments = "".join(f", {option}={value!r}" for option, value in options.items())
    call = f"{code}\nfigures.{name}(found{arguments}).show()"
    piece(
        f"reach-{name}", says, figure, lambda: figures.table(name, subject, **options), call, _stem(probe, name), probe
    )


def twice(name: str, says: str, effect: Effect, code: str, **options: Any) -> None:
    """A page's figure of the model as it is, and under it of the altered one, on equal scales."""
    both = (("before", "As it is", effect.before), ("after", "Altered", effect.after))
    drawn = [getattr(figures, name)(probe, **options, theme=theme()) for _, _, probe in both]
    figures.level(*drawn)
    st.markdown(says)
    arguments = "".join(f", {option}={value!r}" for option, value in options.items())
    for (side, words, probe), figure in zip(both, drawn, strict=True):
        call = f"{code}\nfigures.{name}(found.{side}{arguments}).show()"

        def table(probe: Probe = probe) -> Any:
            return figures.table(name, probe, **options)

        piece(f"reach-{name}-{side}", f"**{words}**", figure, table, call, _stem(probe, f"{name}-{side}"), probe)


def told(asked: Asked) -> str:
    """Python that finds the same effect from the run folder, as ``found``."""
    subject = asked.subject
    names = sorted({type(each).__name__ for each in asked.interventions})
    lines = [
        "import strawberry",
        "from lab import figures",
        f"from lab.interventions import {', '.join([*names, 'effect'])}",
        "",
        *subject.code,
        "changes = [",
        *(f"    {each.code}," for each in asked.interventions),
        "]",
        f"found = effect(run.model({subject.step}), run.tokenizer, text, changes, {subject.named})",
    ]
    return "\n".join(lines)


def effect_of(asked: Asked) -> Effect:
    """What was asked for, computed once and kept for a while."""
    codes = tuple(each.code for each in asked.interventions)
    return _effect(asked.subject, asked.subject.written, codes, asked.interventions)


def before_of(subject: Subject) -> Seen:
    """The model as it is, reading the text."""
    return _before(subject, subject.written)


@st.cache_resource(max_entries=4, hash_funcs=models.HASHED, **models.KEEP)
def _before(subject: Subject, written: int) -> Seen:
    del written
    return _seen(subject, ())


@st.cache_resource(max_entries=8, hash_funcs=models.HASHED, **models.KEEP)
def _effect(subject: Subject, written: int, codes: tuple[str, ...], _interventions: tuple[Intervention, ...]) -> Effect:
    del written, codes
    before, after = before_of(subject), _seen(subject, _interventions)
    return compared(before, after, _interventions, models.loaded(subject.folder, subject.step).tokenizer)


def _seen(subject: Subject, interventions: Sequence[Intervention]) -> Seen:
    held = models.loaded(subject.folder, subject.step)
    with models.alone():
        return seen(
            held.model, held.tokenizer, subject.text, interventions, step=subject.step, run=subject.folder.name,
            max_tokens=subject.tokens, answers=held.answers,
        )  # fmt: skip


def _stem(probe: Probe, name: str) -> str:
    return f"{(probe.run or probe.family).replace(', ', '-')}-step-{probe.step}-{name}"
