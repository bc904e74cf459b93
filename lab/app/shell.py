"""What surrounds every page: navigation, the run that is looked at, its state and its leak verdict."""

import gc
import logging
from collections.abc import Callable
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

import streamlit as st

from lab import jobs, line, prepare, recorded, tickets
from lab import status as statuses
from lab.app import brand, words
from lab.app.daylight import daylight
from lab.app.style import style
from lab.figures import colours
from lab.jobs import Job, Status
from strawberry.errors import StrawberryError

_draws = count(1)
RUN = "run"  # the key of the run picker, and its name in the page's address


def pages() -> dict[str, Any]:
    """The pages by short name, in the order of the navigation."""
    from lab.app import ablate, attention, compare, experts, generate, leaks, recursion, retention, runs, train

    return {
        "train": st.Page(train.page, title="Train", icon=":material/play_circle:", url_path="train", default=True),
        "retention": st.Page(retention.page, title="Retention", icon=":material/filter_frames:", url_path="retention"),
        "experts": st.Page(experts.page, title="Experts", icon=":material/alt_route:", url_path="experts"),
        "attention": st.Page(
            attention.page, title="Attention and AFT", icon=":material/grid_on:", url_path="attention"
        ),
        "recursion": st.Page(recursion.page, title="Recursion", icon=":material/loop:", url_path="recursion"),
        "leaks": st.Page(leaks.page, title="Leaks", icon=":material/visibility:", url_path="leaks"),
        "ablate": st.Page(ablate.page, title="Ablate", icon=":material/balance:", url_path="ablate"),
        "generate": st.Page(generate.page, title="Generate", icon=":material/edit_note:", url_path="generate"),
        "compare": st.Page(compare.page, title="Compare", icon=":material/compare:", url_path="compare"),
        "runs": st.Page(runs.page, title="Runs", icon=":material/folder_open:", url_path="runs"),
    }


def main() -> None:
    """Draw the chosen page and its surroundings."""
    st.set_page_config(page_title="Strawberry Lab", page_icon=brand.ICON, layout="wide")
    st.html(style(colours(theme()).page))
    st.logo(brand.logo(theme()), icon_image=brand.ICON, size="large")
    every = pages()
    st.session_state["pages"] = every
    page = st.navigation(list(every.values()))
    _begin(page)
    sidebar(restart=page.title == every["train"].title)
    guarded(page.run)()
    daylight()
    prepare.ahead()
    line.attend(jobs.runs_folder)
    _settle()


def _settle() -> None:
    """Take what is in memory by now out of the garbage collector's rounds: after draws 1, 2, 4, … 64 of this server.

    Streamlit collects all garbage after each draw, also of a fragment; with torch and plotly in memory that takes up
    to 0.3 s, which the training next to it would feel. Modules go on being imported for a while after the first draw.
    """
    drawn = next(_draws)
    if drawn <= 64 and drawn & (drawn - 1) == 0:
        gc.collect()
        gc.freeze()


def guarded(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Whatever goes wrong while drawing becomes one sentence; the traceback goes to the server's log."""

    @wraps(draw)
    def safely(*args: Any, **kwargs: Any) -> Any:
        try:
            return draw(*args, **kwargs)
        except StrawberryError as error:
            st.error(sentence(error), icon=":material/error:")
        except Exception as error:
            logging.getLogger(__name__).exception("a page failed")
            st.error(
                f"This view failed ({type(error).__name__}); the terminal in which the dashboard runs has the details.",
                icon=":material/error:",
            )
        return None

    return safely


def attempt(action: Callable[[], Any]) -> None:
    """Do what a button asks for; a mistake is kept, and shown at the next draw by :func:`complain`."""
    try:
        action()
    except StrawberryError as error:
        st.session_state["complaint"] = sentence(error)


def complain() -> None:
    """Show what the last button press could not do, once."""
    if "complaint" in st.session_state:
        st.error(st.session_state.pop("complaint"), icon=":material/error:")


def chosen() -> Job | None:
    """The run that the pages look at, if one is chosen and still there."""
    name = st.session_state.get(RUN)
    return jobs.find(jobs.runs_folder(), name) if name else None


def choose(name: str | None) -> None:
    """Look at another run from the next draw on, and at its newest picture."""
    # The picker is on the page already, and may be set only before it is drawn.
    st.session_state["next"] = name


def turn_to(name: str) -> None:
    """Look at another run at once, and say so: in a fragment :func:`choose` alone would be heard too late."""
    choose(name)
    st.session_state["turned"] = name
    st.rerun()


def turned() -> None:
    """Say once that the pages look at another run now, with the way to where it trains."""
    if name := st.session_state.pop("turned", None):
        with st.container(horizontal=True, vertical_alignment="center", key="turned"):
            st.success(f"All pages look at **{name}** now.", icon=":material/visibility:")
            link("train", "Watch it train", ":material/play_circle:")


def theme() -> str:
    """ "light" or "dark", as the browser shows the page now."""
    return "dark" if st.context.theme.type == "dark" else "light"


def link(name: str, label: str, icon: str | None = None) -> None:
    """A link to another page; the run stays chosen."""
    if page := st.session_state.get("pages", {}).get(name):
        st.page_link(page, label=label, icon=icon)


def sidebar(*, restart: bool = False) -> None:
    """The run picker with the state of the run that is chosen; ``restart`` offers to begin another one."""
    if "next" in st.session_state:
        st.session_state[RUN] = st.session_state.pop("next")
        for key in ("step", "loop", "layer"):
            st.session_state.pop(key, None)
    folder = jobs.runs_folder()
    runs = jobs.every(folder)
    names = [job.name for job in runs]
    if st.session_state.get(RUN) not in names and RUN in st.session_state:
        st.session_state[RUN] = None
    with st.sidebar:
        st.selectbox(
            "Run",
            names,
            index=None,
            key=RUN,
            bind="query-params",
            placeholder="Choose a run" if names else "No run yet",
            help=f"Runs live in {folder}. The page's address names the run, so a link finds it again.",
        )
        missing = st.session_state.get("missing")
        if missing and st.session_state.get(RUN) is None:
            st.warning(f"There is no run called “{words.literal(missing)}” here.")
        job = chosen()
        if job is not None:
            badges(job, job.status())
            if restart:
                st.button("New run", icon=":material/add:", on_click=_new_run, width="stretch")
        _elsewhere(folder, job)


def _elsewhere(folder: Path, job: Job | None) -> None:
    """What other runs do, as far as it concerns somebody who looks at this one."""
    own = None if job is None else job.folder
    busy = [other for other in statuses.training(folder) if other != own]
    waits = [other for other in tickets.waiting(folder) if other != own]
    if busy or waits:
        st.caption("Others at work")
    for other, sign in [(other, ":green[●]") for other in busy[:4]] + [(other, ":violet[○]") for other in waits[:4]]:
        label = f"{sign} {other.name}"
        if recorded.is_study(other):
            link("ablate", label)
            continue
        told = "It trains now." if other in busy else "It waits in line."
        st.button(label, key=f"elsewhere-{other.name}", type="tertiary", help=told, on_click=choose, args=(other.name,))
    if max(len(busy), len(waits)) > 4:
        st.caption("All of them are on the Runs page.")


def badges(job: Job, status: Status) -> None:
    """The state of a run and whether its model reads the future, side by side."""
    with st.container(horizontal=True, gap="small"):
        colour, icon = words.BADGES.get(status.state, ("gray", ":material/help:"))
        told = words.badge(status)
        st.badge(told, color=colour, icon=icon, help=status.sentence or None)  # type: ignore[arg-type]
        verdict = recorded.verdict(job.folder)
        if verdict is None:
            return
        causal, sentence = verdict
        if causal:
            st.badge("causal", color="green", icon=":material/verified_user:", help=sentence)
        else:
            st.badge("LEAKS", color="red", icon=":material/visibility:", help=sentence)


def _new_run() -> None:
    choose(None)
    st.session_state["missing"] = None


def _begin(page: Any) -> None:
    """On the first draw: remember a link to a run that is not there, or open on the run that is training."""
    if "begun" in st.session_state:
        return
    st.session_state["begun"] = True
    asked = st.query_params.get(RUN)
    if asked:
        st.session_state["missing"] = None if jobs.find(jobs.runs_folder(), asked) else asked
        return
    live = [job for job in jobs.every(jobs.runs_folder()) if job.status().live]
    if live:
        st.switch_page(page, query_params={**st.query_params.to_dict(), RUN: live[0].name})


def sentence(error: Exception) -> str:
    """What an error says, as one sentence."""
    text = str(error)
    return text[:1].upper() + text[1:].rstrip(".") + "."
