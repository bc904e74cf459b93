"""A study's report in a real browser: drawn in silence, whole without scripts, and with its words on a phone."""

from pathlib import Path
from typing import Any

import pytest

from lab.ablate import report
from tests.lab.ablate.invented import results

pytestmark = [pytest.mark.browser, pytest.mark.slow]
DRAWN = "document.querySelectorAll('.plotly-graph-div .main-svg:first-child').length"
ALL = "document.querySelectorAll('.plotly-graph-div').length"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report.write(results(), tmp_path_factory.mktemp("study") / "first-look")[0]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1094), ("dark", 420)])
def test_all_is_drawn_without_scrolling_and_without_a_complaint(
    browser: Any, written: Path, artefacts: Path, scheme: str, width: int
) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(written.as_uri())
    page.wait_for_function(f"{DRAWN} === {ALL}", timeout=60_000)
    assert not wrong and page.locator(".sketch").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=artefacts / f"study-{scheme}-{width}.png", full_page=True)
    context.close()


def test_a_phone_shows_the_words_of_the_verdicts(browser: Any, written: Path) -> None:
    context = browser.new_context(viewport={"width": 420, "height": 900})
    page = context.new_page()
    page.goto(written.as_uri())
    words = page.locator(".plotly-graph-div").first.locator(".annotation-text")
    words.first.wait_for()
    ends = [words.nth(place).bounding_box() for place in range(words.count())]
    assert len(ends) > 9 and all(box["x"] >= 0 and box["x"] + box["width"] <= 420 for box in ends)
    # And tables that are wider say so, until their end is reached.
    wide = page.locator("section > .wide.more").first
    assert wide.evaluate("wide => getComputedStyle(wide, '::after').content") == '"›"'
    frame = wide.locator(".numbers").element_handle()
    frame.evaluate("frame => frame.scrollTo(9999, 0)")
    page.wait_for_function("frame => !frame.parentElement.classList.contains('more')", arg=frame)
    context.close()


def test_without_scripts_the_verdicts_are_drawn(browser: Any, written: Path) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1094, "height": 900})
    page = context.new_page()
    page.goto(written.as_uri())
    assert page.locator(".sketch").bounding_box()["width"] > 600
    assert "better +" in page.locator(".sketch").text_content()
    assert page.locator("noscript").first.is_visible()
    context.close()
