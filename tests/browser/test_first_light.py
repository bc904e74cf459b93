"""First light: a stranger presses Start and watches a model train, in a real browser."""

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from lab import jobs

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
PAGES = {"retention": "Retention", "experts": "Experts", "attention": "Attention and AFT", "recursion": "Recursion"}
# What each page must draw, as titles of figures.
DRAWN = {
    "retention": "wC and wT over the passes",
    "experts": "token by token",
    "attention": "Who reads whom",
    "recursion": "Loss of the next token",
}
# Pages that show more than one run's pictures; a text that a run writes has a test of its own.
MORE = {"leaks": "causal", "compare": "wC of qkv", "runs": "run beside run"}


def patience(seconds: float) -> float:
    """The seconds that a machine with nothing else to do must keep to; more where others keep it busy."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * max(1.0, 2.5 * busy)


def drawn(page: Any, words: str, seconds: float = 30.0) -> None:
    """Scroll to a figure with these words in its title, and wait until it is drawn: only then is it."""
    place = page.locator(f'.strawberry-canvas[aria-label*="{words}"]').first
    place.scroll_into_view_if_needed(timeout=patience(seconds) * 1000)
    page.locator(".gtitle", has_text=words).first.wait_for(timeout=patience(seconds) * 1000)


def settled(page: Any) -> None:
    """Wait until the server has nothing more to say for the moment."""
    page.wait_for_timeout(1000)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=patience(30) * 1000)
    page.wait_for_timeout(500)


def press(page: Any, label: str) -> None:
    """Press one of the buttons that steer a run."""
    page.locator(".st-key-controls").get_by_role("button", name=label).click()


def shoot(page: Any, path: Path) -> None:
    """A screenshot of the whole page, which must not fail and must not show an error."""
    settled(page)
    assert page.locator("[data-testid=stException]").count() == 0
    assert page.locator("[data-testid=stAlertContentError]").count() == 0
    width = page.viewport_size["width"]
    tall = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": width, "height": min(tall + 20, 5000)})
    page.wait_for_timeout(1000)
    page.screenshot(path=path)
    page.set_viewport_size({"width": width, "height": 900})


def test_from_the_press_of_start_to_the_pictures_and_back_by_link(browser: Any, served: Any, artefacts: Path) -> None:
    context = browser.new_context(color_scheme="light", viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.goto(served.address)
    page.get_by_role("heading", name="Train a Strawberry").wait_for(timeout=patience(30) * 1000)
    shoot(page, artefacts / "1-start-light.png")

    began = time.monotonic()
    page.get_by_role("button", name="Start training").click()
    page.locator("[data-testid=stMetric]", has_text="Training loss").wait_for(timeout=patience(30) * 1000)
    drawn(page, "Loss")
    first_loss = time.monotonic() - began
    print(f"first live loss {first_loss:.1f} s after the press")
    assert first_loss <= patience(10)
    assert "run=strawberry-nano-1" in page.url

    loss = page.locator("[data-testid=stMetric]", has_text="Training loss")
    before = loss.inner_text()
    for picture in ("Weights it made for itself", "Which expert works on which token", "Which token reads which"):
        # As a person would: only what is in sight is drawn.
        page.get_by_text(picture).scroll_into_view_if_needed(timeout=patience(30) * 1000)
    page.wait_for_function(
        "document.querySelectorAll('.js-plotly-plot .heatmaplayer').length >= 3", timeout=patience(60) * 1000
    )
    for name, title in PAGES.items():
        page.get_by_role("link", name=title, exact=True).first.click()
        page.get_by_role("heading", name=title, exact=True).wait_for(timeout=patience(20) * 1000)
        drawn(page, DRAWN[name])
    pictures = time.monotonic() - began
    print(f"filmstrip, routing and maps {pictures:.1f} s after the press")
    assert pictures <= patience(60)
    for name, title in PAGES.items():
        page.get_by_role("link", name=title, exact=True).first.click()
        drawn(page, DRAWN[name])
        shoot(page, artefacts / f"2-{name}-training-light.png")

    link = page.url.replace("/recursion", "/")
    context.close()
    again = browser.new_context(color_scheme="light", viewport={"width": 1400, "height": 900})
    page = again.new_page()
    page.goto(link)
    loss = page.locator("[data-testid=stMetric]", has_text="Training loss")
    loss.wait_for(timeout=patience(20) * 1000)
    assert loss.inner_text() != before
    shoot(page, artefacts / "3-training-light.png")
    page.reload()
    loss.wait_for(timeout=patience(20) * 1000)
    moved = "before => document.querySelector('.st-key-numbers')?.innerText !== before"
    page.wait_for_function(moved, arg=page.locator(".st-key-numbers").inner_text(), timeout=patience(30) * 1000)

    press(page, "Pause")
    page.get_by_text(re.compile("Paused after step")).first.wait_for(timeout=patience(30) * 1000)
    job = jobs.find(served.runs, "strawberry-nano-1")
    assert job is not None
    paused = job.status().step
    press(page, "One step")
    page.get_by_text(f"Paused after step {paused + 1};").first.wait_for(timeout=patience(30) * 1000)
    press(page, "Stop")
    page.get_by_text("resume goes on from here").wait_for(timeout=patience(30) * 1000)
    assert job.status().state == "stopped"
    again.close()


def make_run(served: Any) -> None:
    """A short run, unless the first test has left one."""
    if not jobs.every(served.runs):
        import strawberry

        job = jobs.start(served.runs, "strawberry-nano-1", strawberry.preset("strawberry-pico"), steps=20)
        while job.status().live:
            time.sleep(0.5)


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1400), ("light", 420), ("dark", 420)])
def test_every_page_in_the_dark_and_in_a_narrow_window(
    browser: Any, served: Any, artefacts: Path, scheme: str, width: int
) -> None:
    make_run(served)
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    background = {"dark": "rgb(14, 17, 23)", "light": "rgb(255, 255, 255)"}[scheme]
    page.goto(served.address)
    page.get_by_role("heading", name="Train a Strawberry").wait_for(timeout=patience(30) * 1000)
    assert (
        page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor") == background
    )
    shoot(page, artefacts / f"4-start-{scheme}-{width}.png")
    page.goto(f"{served.address}/?run=strawberry-nano-1")
    drawn(page, "Loss")
    shoot(page, artefacts / f"4-train-{scheme}-{width}.png")
    for name, words in (DRAWN | MORE).items():
        page.goto(f"{served.address}/{name}?run=strawberry-nano-1")
        drawn(page, words)
        shoot(page, artefacts / f"4-{name}-{scheme}-{width}.png")
        sideways = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
        assert sideways <= width
    context.close()


def test_scrubbing_changes_the_picture_and_the_address(browser: Any, served: Any) -> None:
    """The place is in the address, so that a link shows the same picture."""
    make_run(served)
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.goto(f"{served.address}/retention?run=strawberry-nano-1")
    drawn(page, DRAWN["retention"])
    slider = page.get_by_role("slider").first
    slider.focus()
    page.keyboard.press("Home")
    page.get_by_text("a look, at step 0").wait_for(timeout=patience(20) * 1000)
    page.get_by_role("radio", name="pass 1").or_(page.get_by_role("button", name="pass 1")).first.click()
    page.wait_for_url(re.compile("loop=pass"), timeout=patience(20) * 1000)
    assert "step=0" in page.url
    # The address knows of a choice a moment before the server does.
    settled(page)
    page.get_by_role("link", name="Experts", exact=True).click()
    page.get_by_text("a look, at step 0").wait_for(timeout=patience(20) * 1000)
    # The page before has figures of this pass too, which may still be there.
    drawn(page, DRAWN["experts"])
    drawn(page, "pass 1")
    page.goto(page.url)
    page.get_by_text("a look, at step 0").wait_for(timeout=patience(20) * 1000)
    drawn(page, "pass 1")
    context.close()


def test_figures_follow_when_the_person_switches_to_dark(browser: Any, served: Any) -> None:
    """The page turns dark at once; figures must not stay behind in colours that cannot be read there."""
    make_run(served)
    context = browser.new_context(color_scheme="light", viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.goto(f"{served.address}/retention?run=strawberry-nano-1")
    drawn(page, DRAWN["retention"])
    light = page.locator(".gtitle").first.evaluate("title => title.style.fill")
    page.locator("[data-testid=stMainMenu] button").click()
    page.locator("[data-testid=stMainMenuPopover]").get_by_text("Dark").first.click()
    changed = "before => document.querySelector('.gtitle').style.fill !== before"
    page.wait_for_function(changed, arg=light, timeout=patience(20) * 1000)
    context.close()
