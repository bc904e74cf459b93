"""Ablate: ask which variant is better, run the study beside the dashboard, and read what it found."""

import streamlit as st

from lab import jobs
from lab.ablate import desk
from lab.app import shell, words
from lab.app.asking import asking
from lab.app.findings import BADGES, findings
from lab.app.words import literal

STUDY = "study"  # the key of the study picker, and its name in the page's address
ABOUT = (
    "Is one variant better than another, or was it luck? A **study** trains each of them with the same seeds and the "
    "same data, at equal budgets, each with the learning rate that suits it. The answer is *better*, *worse*, "
    "*equal*, or **not enough evidence**."
)


def page() -> None:
    """The form while no study is chosen; the study itself once one is."""
    st.title("Ablate", anchor=False)
    st.markdown(ABOUT)
    st.caption("Taught by the notebook `notebooks/08_an_honest_ablation.ipynb`.")
    shell.complain()
    chosen = _chosen()
    if chosen is not None:
        findings(chosen)
        return
    asking(choose)
    _so_far()


def choose(name: str | None) -> None:
    """Look at another study, or at the form, from the next draw on."""
    st.session_state["next-study"] = name


def _chosen() -> desk.Desk | None:
    """The study that the picker names, if it is there."""
    if "next-study" in st.session_state:
        st.session_state[STUDY] = st.session_state.pop("next-study")
    folder = jobs.runs_folder()
    names = [one.name for one in desk.every(folder)]
    asked = st.session_state.get(STUDY) or st.query_params.get(STUDY)
    if asked and asked not in names:
        st.session_state[STUDY] = None
        st.warning(f"There is no study called “{literal(str(asked))}” here.")
    # Also where there is none yet: the address follows only a picker that was there before.
    st.selectbox(
        "Study", names, index=None, key=STUDY, bind="query-params",
        placeholder="A new study, asked below" if names else "No study yet",
        help="Clear it to ask another question. The page's address names the study, so a link finds it again.",
    )  # fmt: skip
    name = st.session_state.get(STUDY)
    return desk.find(folder, name) if name else None


def _so_far() -> None:
    """The studies that there are, to go on looking at them."""
    found = desk.every(jobs.runs_folder())[:8]
    if not found:
        st.caption(
            "There is no study yet. The defaults above ask a small question that this machine answers in minutes; "
            "`strawberry ablate STUDY` runs the same from the command line."
        )
        return
    st.markdown("#### Studies so far")
    for one in found:
        status = one.status()
        first, second, third = st.columns([3, 2, 5], vertical_alignment="center")
        first.button(one.name, key=f"open-{one.name}", on_click=choose, args=(one.name,), type="tertiary")
        colour, icon = BADGES[status.state]
        second.badge(status.state, color=colour, icon=icon)  # type: ignore[arg-type]
        left = f" · about {words.duration(status.seconds_left)} left" if status.live and status.seconds_left else ""
        third.caption(
            f"{literal(status.sentence)}{left}" if not status.live else f"{status.share:.0%} of the steps{left}"
        )
