"""The line in a real browser: a run waits behind another, begins by itself when that one is killed, and both say so."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import strawberry
from lab import jobs, notes
from lab.jobs import Job
from tests.browser.test_first_light import patience, press, settled

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def early(served: Any) -> Any:
    """A run that trains for long; whatever waits or trains is ended after the test."""
    job = jobs.start(served.runs, "early", strawberry.preset("strawberry-pico"), steps=100_000)
    end = time.monotonic() + patience(60)
    while job.status().step < 2 and time.monotonic() < end:
        time.sleep(0.2)
    yield job
    for other in jobs.every(served.runs):
        other.leave()
    for other in jobs.every(served.runs):
        other.kill()


def shoot(page: Any, path: Path) -> None:
    settled(page)
    page.screenshot(path=path)


def badge(page: Any, words: str) -> Any:
    """The sidebar's badge of the run that is looked at."""
    return page.locator("[data-testid=stSidebar] .stMarkdownBadge", has_text=words).first


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_run_waits_and_begins_by_itself(browser: Any, served: Any, artefacts: Path, early: Job, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.set_default_timeout(patience(40) * 1000)
    page.goto(served.address)
    page.get_by_role("button", name="New run").click()
    page.get_by_text("This run waits, 1st in line").wait_for()
    shoot(page, artefacts / f"6-line-form-{scheme}.png")
    page.get_by_role("button", name="Put it in line").click()
    page.get_by_text("1st in line, behind early").first.wait_for()
    badge(page, "waiting: 1st in line").wait_for()
    shoot(page, artefacts / f"6-line-waits-{scheme}.png")
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_text("One run trains at once · 1 waiting").first.wait_for()
    shoot(page, artefacts / f"6-line-runs-{scheme}.png")
    page.get_by_role("link", name="Train", exact=True).click()
    page.get_by_text("1st in line, behind early").first.wait_for()

    os.kill(notes.read(early.folder / "worker.json")["pid"], signal.SIGKILL)
    badge(page, "training").wait_for(timeout=patience(60) * 1000)
    name = page.url.partition("run=")[2]
    waited = jobs.find(served.runs, name)
    assert waited is not None and waited.status().live
    press(page, "Stop")
    badge(page, "stopped").wait_for(timeout=patience(60) * 1000)

    page.goto(f"{served.address}/?run=early")
    page.get_by_text("The worker ended without a word at step").first.wait_for()
    page.get_by_text("esume goes on from step").or_(page.get_by_text("had saved nothing")).first.wait_for()
    shoot(page, artefacts / f"6-line-killed-{scheme}.png")
    press(page, "Resume")
    badge(page, "training").wait_for(timeout=patience(60) * 1000)
    press(page, "Stop")
    page.get_by_text("resume goes on from here").or_(page.get_by_text("Stopped before the first step")).first.wait_for()
    for job in (early, waited):
        job.kill()
        job.folder.rename(served.runs / f".done-{job.name}-{scheme}")
    context.close()
