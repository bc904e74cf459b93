"""A study in a real browser: asked, begun, found again after a reload, stopped, gone on with, read, taken away."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import process
from lab.ablate import desk
from tests.browser.test_first_light import drawn, patience, settled, shoot

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
TOML = """name = "places"
question = "Does AFT miss the places?"
steps = 300
learning_rates = [0.01]
seeds = [0, 1, 2]

[base]
preset = "gpt-pico"
vocab_size = 8
seq_len = 16
n_layers = 1

[variants.attention]

[variants.aft]
mixer = "aft"

[data."markov:symbols=6,order=2"]
"""


@pytest.fixture
def runs(served: Any) -> Iterator[Path]:
    """The dashboard's runs folder; whatever runs a study there ends with the test."""
    yield served.runs
    for one in desk.every(served.runs):
        process.kill(one.folder)


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def test_a_study_from_the_question_to_the_report(browser: Any, served: Any, artefacts: Path, runs: Path) -> None:
    context = browser.new_context(color_scheme="light", viewport={"width": 1400, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.goto(f"{served.address}/ablate")
    page.get_by_role("heading", name="Ablate").wait_for(timeout=patience(30) * 1000)
    page.get_by_text("What each variant gets").wait_for(timeout=patience(30) * 1000)
    shoot(page, artefacts / "6-ablate-form-light.png")
    page.get_by_text("TOML", exact=True).click()
    box = page.get_by_role("textbox", name="Study", exact=True)
    box.fill(TOML)
    box.press("Control+Enter")
    page.get_by_text("Does AFT miss the places?").first.wait_for(timeout=patience(20) * 1000)
    settled(page)
    button(page, "Start the study").click()
    page.wait_for_url(re.compile("study=places"), timeout=patience(20) * 1000)

    # A reload, and the link in another window, find it again while it runs.
    page.reload()
    page.get_by_role("heading", name="Does AFT miss the places?").wait_for(timeout=patience(30) * 1000)
    button(page, "Stop").click()
    button(page, "Go on").and_(page.locator(":enabled")).wait_for(timeout=patience(60) * 1000)
    assert desk.Desk(runs / "places").status().state == "stopped"
    link = page.url
    context.close()
    context = browser.new_context(color_scheme="light", viewport={"width": 1400, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.goto(link)
    button(page, "Go on").click(timeout=patience(30) * 1000)
    # It redraws itself until everything is trained.
    page.locator("[data-testid=stMain] .stMarkdownBadge", has_text="finished").wait_for(timeout=patience(120) * 1000)
    drawn(page, "Who is better")
    drawn(page, "How they learned")
    drawn(page, "What it costs")
    shoot(page, artefacts / "6-ablate-found-light.png")

    with page.expect_download(timeout=patience(30) * 1000) as taken:
        button(page, "Report (HTML, works offline)").click()
    report = artefacts / "6-report.html"
    taken.value.save_as(report)
    context.close()

    for scheme, width in (("light", 1200), ("dark", 420)):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        page = context.new_page()
        page.goto(report.resolve().as_uri())
        assert page.get_by_role("heading", name="Does AFT miss the places?").count() == 1
        page.locator("#the-answer .js-plotly-plot").wait_for(timeout=patience(20) * 1000)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=artefacts / f"6-report-{scheme}.png")
        page.goto(link)
        drawn(page, "Who is better")
        shoot(page, artefacts / f"6-ablate-found-{scheme}-{width}.png")
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width
        words_fit(page, width)
        # In a window that is made narrower, or wider, the figure takes its other form.
        page.set_viewport_size({"width": 1620 - width, "height": 900})
        words_fit(page, 1620 - width)
        context.close()


def words_fit(page: Any, width: int) -> None:
    """The verdicts' words stand within the window: beside the lines in a wide one, above them in a narrow one."""
    above = "[...document.querySelectorAll('.st-key-exhibit-forest .annotation-text')].map(one => one.textContent)"
    # Only what is in sight is drawn.
    page.locator(".st-key-exhibit-forest").scroll_into_view_if_needed()
    page.wait_for_function(f"{above}.length > 1", timeout=patience(30) * 1000)
    page.wait_for_function(
        f"{above}.some(words => words.startsWith('aft')) === {str(width < 560).lower()}", timeout=patience(30) * 1000
    )
    words = page.locator(".st-key-exhibit-forest .annotation-text")
    assert words.count() > 1
    for place in range(words.count()):
        box = words.nth(place).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, words.nth(place).text_content()
