"""What the view pages have in common: a title, the run, its heartbeat, and what to do when there is nothing yet."""

from collections.abc import Callable

import streamlit as st

from lab import jobs
from lab.app import pulse, scrub, shell
from lab.app.lesson import lesson
from lab.app.scrub import Place, another_text, scrubbers
from lab.jobs import Job


def view(title: str, says: str, notebook: str, draw: Callable[[Job, Place], None], *, begin: bool = False) -> None:
    """Draw a page that looks at the chosen run through the shared scrubbers."""
    st.title(title, anchor=False)
    st.markdown(says)
    lesson(notebook)
    job = shell.chosen()
    if job is None:
        _nothing()
        return
    pulse.pulse(job)
    playing = scrub.playing()

    def body(job: Job) -> None:
        shell.complain()
        place = scrubbers(job, begin=begin)
        if place is None:
            _not_yet(job)
            return
        draw(job, place)
        if scrub.playing() != playing:
            # The page itself sets the fragment's timer.
            st.rerun()

    # A fragment, so that scrubbing redraws the pictures and nothing else.
    st.fragment(shell.guarded(body), run_every=scrub.PACE if playing else None)(job)


def _nothing() -> None:
    with st.container(border=True, key="empty"):
        st.markdown("**There is no run to look at yet.** Start one on the Train page; pictures come within seconds.")
        if page := st.session_state.get("pages", {}).get("train"):
            st.page_link(page, label="Go to Train", icon=":material/play_circle:")
        for job in jobs.every(jobs.runs_folder())[:5]:
            st.button(f"Look at {job.name}", key=f"look-{job.name}", on_click=shell.choose, args=(job.name,))


def _not_yet(job: Job) -> None:
    status = job.status()
    with st.container(border=True, key="empty"):
        if status.place:
            st.info(f"This run waits for its turn: {status.sentence}", icon=":material/schedule:")
        elif status.live:
            st.info("The first picture comes as soon as the training has begun.", icon=":material/hourglass_top:")
        elif job.steerable:
            st.markdown(
                "**No picture of this run has been taken.** It ended before it began; resume it on the Train page."
            )
            shell.link("train", "Go to Train", ":material/play_circle:")
        else:
            st.markdown(
                "**No picture of this run has been taken**: it was started outside of the dashboard. "
                "One of its newest checkpoint can be taken now."
            )
            another_text(job, "Take a picture")
