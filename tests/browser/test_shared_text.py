"""A link with a text of one's own, in a real browser: another window shows what its sender saw, as text and no more."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from lab import jobs
from tests.browser.test_first_light import drawn, make_run, patience, settled, shoot

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
RUN = "strawberry-nano-1"
TEXT = "The **berries** & 红, www.a.bc :smile: <b>ripe</b>?"


def asked(page: Any) -> str:
    """The text that the page's address names."""
    return parse_qs(urlparse(page.url).query).get("text", [""])[0]


def read(page: Any, text: str) -> None:
    box = page.get_by_role("textbox", name="Text", exact=True)
    if not box.is_visible():
        page.get_by_role("button", name="Read another text").click()
    box.fill(text)
    box.press("Control+Enter")
    settled(page)
    page.get_by_role("button", name="Read it", exact=True).click()
    word = max(re.findall("[a-z]+", text), key=len)
    page.get_by_text("tokens of “").filter(has_text=word).wait_for(timeout=patience(60) * 1000)
    settled(page)


def test_a_text_travels_by_link_and_stays_what_it_was(browser: Any, served: Any, artefacts: Path) -> None:
    make_run(served)
    job = jobs.find(served.runs, RUN)
    assert job is not None
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.goto(f"{served.address}/experts?run={RUN}")
    drawn(page, "token by token")
    assert asked(page) == ""
    read(page, "A text to begin with")
    assert asked(page) == "A text to begin with"
    link = page.url
    page.keyboard.press("Escape")
    page.get_by_text("pass 1", exact=True).first.click()
    page.wait_for_url("**loop=pass*", timeout=patience(20) * 1000)
    assert asked(page) == "A text to begin with"
    read(page, "Quite another one, read since")

    other = browser.new_context(color_scheme="dark", viewport={"width": 420, "height": 900})
    second = other.new_page()
    second.goto(link)
    second.get_by_text("The text of the link").wait_for(timeout=patience(60) * 1000)
    second.get_by_text("tokens of “\u2068A text to begin with\u2069”").wait_for(timeout=patience(20) * 1000)
    shoot(second, artefacts / "6-link-dark.png")
    second.get_by_role("button", name="Show the run's own pictures").click()
    second.get_by_text("tokens of “\u2068Quite another one, read since\u2069”").wait_for(timeout=patience(20) * 1000)
    settled(second)
    assert asked(second) == "Quite another one, read since"
    other.close()

    read(page, TEXT)
    assert asked(page) == TEXT
    told = page.get_by_text("tokens of “").first
    assert TEXT in told.inner_text().replace("\u2060", "")
    assert told.locator("a, b, img").count() == 0
    context.close()
