"""The form of a study: what is compared, on what, how often, and what is held equal."""

import json
import tomllib
from collections.abc import Callable
from typing import Any

import streamlit as st

import strawberry
from lab import jobs
from lab.ablate.study import Study, StudyError
from lab.app import prospect, shell
from strawberry.data import CORPORA
from strawberry.data.named import MAKERS
from strawberry.errors import StrawberryError

EQUAL = {"parameters": "parameters", "flops": "FLOPs of training", "steps": "only the steps"}
STEPS = {"pico": 200, "nano": 400}
CONTROL = 0.9  # accuracy of the reference below which a task says nothing


def asking(choose: Callable[[str | None], None]) -> None:
    """Draw the form with what it would cost; a press begins the study and looks at it."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        asked, wrong = _form()
    with right, st.container(border=True, key="launch-study"):
        study, budgets = None, {}
        if asked and not wrong:
            try:
                study = Study.from_dict(json.loads(json.dumps(asked)))
                budgets = prospect.budgets(json.dumps(asked))
            except StrawberryError as error:
                wrong = shell.sentence(error)
        prospect.panel(study, budgets, wrong, choose)
    if study is not None and not wrong:
        prospect.shares(study, budgets)


def _form() -> tuple[dict[str, Any], str]:
    """The study as a table, and what is wrong with it in one sentence."""
    way = st.segmented_control(
        "Ask by", ["form", "TOML"], default="form", key="ask-by", required=True, label_visibility="collapsed"
    )
    if way == "TOML":
        return _written()
    question = st.text_input("Question", "Does AFT lose to attention, and where?", key="question", max_chars=300)
    first, second = st.columns(2)
    size = first.selectbox("Size", list(STEPS), key="study-size", help="pico: seconds a training; nano: minutes.")
    name = second.text_input("Name of the study", _free("study"), key=f"study-name-{_free('study')}", max_chars=64)
    chosen = st.multiselect(
        "Families", list(strawberry.families()), default=["gpt"], key="families",
        help="Each is a variant, with the fields of its preset.",
    )  # fmt: skip
    own = st.text_area(
        "More variants, one in each line", "aft: mixer=aft", key="own-variants", height=80,
        help="A name, a colon, and the fields in which it differs from the first family, such as: "
        "aft-conv: mixer=aft, conv=4. A field preset begins from another preset.",
    )  # fmt: skip
    made = [*CORPORA, *MAKERS]
    data = st.multiselect(
        "Data", made, default=["sotu"],
        key="study-data", accept_new_options=True, format_func=_data_name,
        help="Texts, tasks with known answers, sources with known entropy. Type arguments after a colon, such as "
        "mqar:pairs=8,length=64, or the path of a text.",
    )  # fmt: skip
    first, second, third = st.columns(3)
    seeds = first.number_input("Seeds", 3, 50, 3, key="study-seeds", help="Differences are taken seed by seed.")
    steps = second.number_input("Steps of the reference", 1, 1_000_000, STEPS[size], step=50, key=f"steps-{size}")
    delta = third.number_input("δ: equal within, in %", 0.1, 50.0, 1.0, step=0.5, key="delta")
    equal = st.segmented_control(
        "Held equal", list(EQUAL), default="parameters", key="equal", required=True, format_func=EQUAL.__getitem__,
        help="Parameters by the width of the feed-forward layers, FLOPs by the number of steps.",
    )  # fmt: skip
    tasks = [one for one in data if _judged(one)]
    first, second = st.columns(2)
    sweep = first.toggle("Tune the learning rate of each variant", True, key="sweep", help="A third, once and three "
                         "times its own, with a seed that does not count.")  # fmt: skip
    control = second.toggle(
        "The reference is the control of tasks", bool(tasks), key=f"control-{bool(tasks)}", disabled=not tasks,
        help=f"Where it reaches no accuracy of {CONTROL}, a task is too hard for its budget, and its cells are void.",
    )  # fmt: skip
    try:
        variants = _variants([*chosen], own, str(size))
    except StudyError as error:
        return {}, shell.sentence(error)
    reference = next(iter(variants), "")
    base = f"{chosen[0] if chosen else 'gpt'}-{size}"
    asked: dict[str, Any] = {
        "name": name.strip(), "question": question.strip(), "base": {"preset": base},
        "variants": variants, "data": {one: {} for one in data}, "seeds": list(range(int(seeds))), "steps": int(steps),
        "equal": equal, "delta": delta / 100, "reference": reference,
    }  # fmt: skip
    if not sweep:
        asked["learning_rates"] = [strawberry.preset(base).learning_rate]
    if control and tasks:
        asked["control"] = {one: [reference, CONTROL] for one in tasks}
    return asked, "" if data else "Choose the data to compare on."


def _written() -> tuple[dict[str, Any], str]:
    """A study written out, as `strawberry ablate` reads it."""
    text = st.text_area(
        "Study", _EXAMPLE, key="toml", height=420, help="The fields are those of lab.ablate.study.Study."
    )
    try:
        return tomllib.loads(text), ""
    except tomllib.TOMLDecodeError as error:
        return {}, f"This is not TOML: {error}."


def _variants(families: list[str], own: str, size: str) -> dict[str, dict[str, Any]]:
    """Name -> fields; raises :class:`StudyError` for a line that cannot be read."""
    found: dict[str, dict[str, Any]] = {
        family: {"preset": f"{family}-{size}"} if place else {} for place, family in enumerate(families)
    }
    for line in filter(None, map(str.strip, own.splitlines())):
        name, colon, rest = line.partition(":")
        pairs = [part.partition("=") for part in rest.split(";" if ";" in rest else ",") if part.strip()]
        if not colon or not name.strip() or not all(equals and value.strip() for _, equals, value in pairs):
            raise StudyError(f"{line!r} must be a name, a colon, and field=value with commas between")
        if name.strip() in found:
            raise StudyError(f"there are two variants called {name.strip()!r}; give one of them another name")
        found[name.strip()] = {key.strip(): _value(value.strip()) for key, _, value in pairs}
    return found


def _value(text: str) -> Any:
    """A field's value as TOML would have it, or else as text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _judged(data: str) -> bool:
    """Whether data is judged by accuracy."""
    made = MAKERS.get(data.partition(":")[0].strip())
    return made is not None and made.metric == "accuracy"


def _data_name(data: str) -> str:
    made = MAKERS.get(data)
    if made is None:
        return data
    return f"{data} · {'a task' if made.metric == 'accuracy' else 'a source'}: {made.about}"


def _free(stem: str) -> str:
    """The first of ``stem``-1, ``stem``-2, … that is not taken."""
    folder, number = jobs.runs_folder(), 1
    while (folder / f"{stem}-{number}").exists():
        number += 1
    return f"{stem}-{number}"


_EXAMPLE = """name = "aft-against-attention"
question = "Does AFT lose to attention, and where?"
steps = 200
seeds = [0, 1, 2]
equal = "parameters"
delta = 0.01

[base]
preset = "gpt-pico"

[variants.attention]

[variants.aft]
mixer = "aft"

[data.sotu]

[data."mqar:pairs=4,length=32"]

[control]
"mqar:pairs=4,length=32" = ["attention", 0.9]
"""
