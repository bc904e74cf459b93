"""The report in a real browser: all figures drawn, in the reader's colours, without a network, and numbers to save."""

from pathlib import Path
from typing import Any

import pytest

import lab
import strawberry
from lab import figures
from strawberry.data import Tokenizer
from tests.browser.test_first_light import patience

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TEXT = "We are not enemies, but friends. We must not be enemies: <b>the union</b> & its bonds are strong. " * 2


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = strawberry.build(strawberry.preset("strawberry-pico"))
    probe = lab.probe(model, Tokenizer.train("bytes", [TEXT], 512), TEXT, step=7, run="berry", max_tokens=100)
    return lab.report(probe, tmp_path_factory.mktemp("report") / "report.html")


def drawn(page: Any) -> int:
    """Scroll through the page; how many figures were drawn."""
    height = page.evaluate("document.documentElement.scrollHeight")
    for place in range(0, height, 600):
        page.evaluate(f"scrollTo(0, {place})")
        page.wait_for_timeout(120)
    page.evaluate("scrollTo(0, 0)")
    return page.locator(".plotly-graph-div .main-svg:first-child").count()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 1300), ("dark", 420)])
def test_it_is_drawn_whole_in_the_readers_colours(
    browser: Any, report: Path, artefacts: Path, scheme: str, width: int
) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(report.as_uri())
    there = page.locator(".plotly-graph-div").count()
    assert drawn(page) == there > 10
    assert asked == [report.as_uri()]
    assert not wrong
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    colour = figures.colours(scheme).page.lstrip("#")
    assert background == f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (0, 2, 4))})"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=artefacts / f"report-{scheme}-{width}.png", full_page=True)
    context.close()


def test_it_follows_when_the_reader_turns_out_the_light(browser: Any, report: Path) -> None:
    context = browser.new_context(color_scheme="light", viewport={"width": 1300, "height": 900})
    page = context.new_page()
    page.goto(report.as_uri())
    title = page.locator(".plotly-graph-div .gtitle").first
    title.wait_for()
    before = title.evaluate("title => getComputedStyle(title).fill")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        f"getComputedStyle(document.querySelector('.gtitle')).fill !== {before!r}", timeout=patience(20) * 1000
    )
    context.close()


def test_numbers_are_read_and_saved_by_keyboard(browser: Any, report: Path, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1300, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.goto(report.as_uri())
    numbers = page.locator("summary", has_text="Numbers").first
    numbers.focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("table").first.is_visible()
    button = page.get_by_role("button", name="as CSV").first
    button.focus()
    with page.expect_download() as saving:
        page.keyboard.press("Enter")
    saving.value.save_as(tmp_path / "numbers.csv")
    lines = (tmp_path / "numbers.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "matrix,frame,row,column,weight"
    assert f"all {len(lines) - 1:,} lines" in button.inner_text()
    context.close()
