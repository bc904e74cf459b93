"""What is done with a whole run, in a real browser: it writes, is judged, renamed, exported, imported and deleted."""

import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_first_light import drawn, make_run, patience, settled, shoot

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
RUN = "strawberry-nano-1"
ROW, HEAD = 35, 38  # pixels of the table's rows


@pytest.fixture
def page(browser: Any, served: Any) -> Iterator[Any]:
    """A light page, with a run to look at."""
    make_run(served)
    context = browser.new_context(color_scheme="light", viewport={"width": 1400, "height": 900})
    yield context.new_page()
    context.close()


def tokens(page: Any) -> int:
    return page.locator(".sheet .token").count()


def wrote(page: Any) -> str:
    """The text so far, without the marks of line breaks."""
    parts = page.locator(".sheet .token").all_inner_texts()
    return "".join(parts).replace("⏎", "")


def write(page: Any) -> None:
    """Press Write, and wait for the new sheet's first token."""
    sheet = page.locator(".sheet")
    before = sheet.get_attribute("data-number") if sheet.count() else ""
    page.get_by_role("button", name="Write", exact=True).click()
    fresh = page.locator(f".sheet:not([data-number='{before}']) .token")
    fresh.first.wait_for(timeout=patience(30) * 1000)


def ended(page: Any) -> None:
    page.locator(".sheet[data-live=false]").wait_for(timeout=patience(60) * 1000)
    settled(page)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 420)])
def test_a_run_writes_token_by_token_and_stops_when_told(
    browser: Any, served: Any, artefacts: Path, scheme: str, width: int
) -> None:
    make_run(served)
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto(f"{served.address}/generate?run={RUN}&tokens=40&seed=5")
    settled(page)
    write(page)
    ended(page)
    first = wrote(page)
    shoot(page, artefacts / f"5-generate-{scheme}-{width}.png")
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width
    # The same seed writes the same text.
    write(page)
    ended(page)
    assert wrote(page) == first

    detail = page.locator(".detail")
    page.locator(".sheet .token").nth(3).hover()
    assert "token 4" in detail.inner_text()
    page.locator(".sheet").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert "token 2" in detail.inner_text()
    page.keyboard.press("Escape")
    assert "most surprising" in detail.inner_text()
    context.close()


def test_stop_stops_and_what_is_written_stays(page: Any, served: Any) -> None:
    page.goto(f"{served.address}/generate?run={RUN}&tokens=1000&temperature=1.2&seed=3")
    settled(page)
    write(page)
    page.get_by_role("button", name="Stop", exact=True).click()
    ended(page)
    count = tokens(page)
    assert 1 <= count < 1000
    page.wait_for_timeout(1500)
    assert tokens(page) == count


def test_an_example_of_a_leak_lights_up(page: Any, served: Any, artefacts: Path, tmp_path: Path) -> None:
    page.goto(f"{served.address}/leaks?judge=A+family")
    drawn(page, "causal")
    page.get_by_role("button", name="Published Retention").click()
    drawn(page, "LEAKS")
    assert "leak-family=strawberry-leaky" in page.url
    shoot(page, artefacts / "5-leaks-light.png")
    page.get_by_text("My own model").click()
    mine = tmp_path / "mine.py"
    mine.write_text(page.locator("[data-testid=stCode]").inner_text())
    page.get_by_role("textbox", name="File or module").fill(str(mine))
    page.keyboard.press("Enter")
    settled(page)
    page.get_by_role("button", name="Run and judge it").click()
    drawn(page, "Peek")
    assert page.get_by_text("Peek LEAKS").count()


def test_a_run_is_exported_imported_renamed_and_deleted(
    page: Any, served: Any, artefacts: Path, tmp_path: Path
) -> None:
    spare = served.runs / "spare"
    shutil.copytree(served.runs / RUN, spare)
    page.goto(f"{served.address}/runs?filter=spare")
    drawn(page, "run beside run")
    tick(page, 0)
    page.get_by_role("button", name="Export", exact=True).click()
    with page.expect_download(timeout=patience(60) * 1000) as waiting:
        page.get_by_role("button", name=re.compile("Download the .zip")).click()
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    assert path.name == "spare.zip"
    with zipfile.ZipFile(path) as parcel:
        assert "spare/config.json" in parcel.namelist()
    # The download may have taken the focus away from the dialog.
    page.get_by_role("dialog").press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")

    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    page.get_by_role("dialog").wait_for(state="hidden")
    assert spare.exists()
    page.get_by_role("button", name="Delete", exact=True).click()
    shoot(page, artefacts / "5-runs-delete-light.png")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("Deleted: spare.").wait_for(timeout=patience(20) * 1000)
    assert not spare.exists()

    page.get_by_text("Import a run").click()
    page.locator("input[type=file]").set_input_files(path)
    settled(page)
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_text("“spare” is here.").wait_for(timeout=patience(30) * 1000)
    assert (spare / "config.json").exists()

    # What came in is ticked already.
    page.get_by_role("button", name="Rename", exact=True).click()
    page.get_by_role("textbox", name="New name").fill("spared")
    page.keyboard.press("Enter")
    settled(page)
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    page.get_by_text("“spare” is called “spared” now.").wait_for(timeout=patience(20) * 1000)
    assert (served.runs / "spared").exists() and not spare.exists()
    shutil.rmtree(served.runs / "spared")


def tick(page: Any, row: int) -> None:
    """Tick a row of the table, which is drawn on a canvas."""
    box = page.locator("[data-testid=stDataFrame]").first.bounding_box()
    page.mouse.click(box["x"] + 16, box["y"] + HEAD + ROW * row + ROW / 2)
    page.get_by_role("button", name="Rename", exact=True).and_(page.locator(":enabled")).wait_for(
        timeout=patience(20) * 1000
    )
