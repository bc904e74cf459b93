"""What a study would cost, before it is begun: budgets, trainings, time, memory; and the button."""

import json
import os
from collections.abc import Callable

import pandas as pd
import streamlit as st

from lab import jobs, process, room
from lab.ablate import desk, gauge
from lab.ablate.budget import Matched, matched
from lab.ablate.study import Study
from lab.app import shell, words
from lab.app.turns import in_line
from lab.app.words import literal

READ = {"FLOPs of a training": words.count, "parameters": "{:,}".format}  # columns, and how their numbers are written
Budgets = dict[tuple[str, str], Matched]


@st.cache_data(max_entries=32, ttl=3600, show_spinner=False)
def budgets(asked: str) -> Budgets:
    """The budgets of a study that is given as JSON."""
    return matched(Study.from_dict(json.loads(asked)))


def panel(study: Study | None, budgets: Budgets, wrong: str, choose: Callable[[str | None], None]) -> None:
    """What it would cost, and the button."""
    st.markdown(f"**{literal(study.question) if study else 'A study'}**")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    at_once = int(st.number_input("Trainings at once", 1, max(cores, 1), 1, key="at-once", help="One core each."))
    if study is not None and not wrong:
        _cost(study, budgets, at_once)
        wrong = _lacking(budgets, at_once) or _taken(study.name)
    if wrong:
        st.error(wrong, icon=":material/error:")
    waits = jobs.queues(jobs.runs_folder())
    beside = waits and in_line(jobs.runs_folder(), "study")
    label, icon = ("Put it in line", "schedule") if waits and not beside else ("Start the study", "play_arrow")
    pressed = st.button(
        label, type="primary", icon=f":material/{icon}:", width="stretch", key="start-study",
        disabled=bool(wrong) or study is None,
    )  # fmt: skip
    st.caption("It runs in a process of its own: close this page and come back, the address finds it again.")
    if pressed and study is not None:
        shell.attempt(lambda: choose(desk.start(jobs.runs_folder(), study, at_once, beside=beside).name))
        st.rerun()


def _cost(study: Study, budgets: Budgets, at_once: int) -> None:
    """Trainings, arithmetic and time, before anything starts."""
    told = json.dumps(study.to_dict())
    paces = st.session_state.get("paces", {}).get(_paced(study))
    cost = gauge.expected(study, paces)
    seconds = cost.seconds / at_once
    flops = sum(
        budget.flops * (len(study.seeds) + (rates if (rates := len(study.rates(*pair))) > 1 else 0))
        for pair, budget in budgets.items()
    )
    shown = (
        ("Trainings", str(cost.trainings), "For each variant and data: one per seed, some to tune, more at an edge."),
        ("FLOPs in all", words.count(flops), "Floating-point operations, forward and backward."),
        ("Time", f"≈ {words.duration(seconds)}" if cost.timed else f"~ {words.duration(seconds)}?", "Of this machine."),
    )
    with st.container(horizontal=True, gap="small"):
        for label, value, help in shown:
            st.metric(label, value, help=help, width=130)
    if cost.timed:
        st.caption("Some steps of each variant were timed on this machine.")
        return
    st.caption("A guess from the arithmetic alone; small models take longer than that.")
    if st.button("Time some steps of each", icon=":material/timer:", key="time-it", type="tertiary"):
        with st.spinner("Each variant takes a few steps…"):
            shell.attempt(lambda: _time(told))
        st.rerun()


def _time(told: str) -> None:
    study = Study.from_dict(json.loads(told))
    st.session_state.setdefault("paces", {})[_paced(study)] = gauge.timed(study)


def _paced(study: Study) -> str:
    """What the paces of a study depend on."""
    return repr([(pair, study.config(*pair), study.equal) for pair in study.pairs])


def _lacking(budgets: Budgets, at_once: int) -> str:
    """Why this machine has no room for so many trainings, in one sentence, or nothing."""
    need = max((room.needs(budget.config)[0] for budget in budgets.values()), default=0.0) * at_once
    if need > process.free_memory():
        return (
            f"{at_once} of these trainings at once need about {words.size(need)} of memory, and "
            f"{words.size(process.free_memory())} are free. Choose a smaller size, or fewer at once."
        )
    return ""


def _taken(name: str) -> str:
    if (jobs.runs_folder() / name).exists():
        return f"There is something called “{name}” in the runs folder already; choose another name."
    return ""


def shares(study: Study, budgets: Budgets) -> None:
    """The matched budgets, one line for each variant on each data set."""
    st.markdown("**What each variant gets.** The reference is " + literal(study.reference) + ".")
    lines = [
        {
            "variant": variant, "data": data, "steps": budget.steps, "d_ff": budget.config.d_ff,
            "parameters": budget.parameters, "FLOPs of a training": budget.flops, "state": budget.state_size,
            "reads the future": not budget.config.causal, "how it was matched": budget.rule,
        }
        for (variant, data), budget in budgets.items()
    ]  # fmt: skip
    table = pd.DataFrame(lines)
    if all(budget.config.causal for budget in budgets.values()):
        table = table.drop(columns="reads the future")
    st.dataframe(
        words.styled(table, READ), hide_index=True, key="table-budgets",
        height=min(360, 38 + 35 * len(table)),
        column_config={
            "state": st.column_config.NumberColumn(help="Numbers that decoding carries for one row of text."),
        },
    )  # fmt: skip
