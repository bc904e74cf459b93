"""What a person does with a figure, in a real browser: lock a label, walk from point to point, save it, play it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_first_light import drawn, make_run, patience, settled, shoot

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
RUN = "strawberry-nano-1"


@pytest.fixture
def page(browser: Any, served: Any) -> Iterator[Any]:
    """A dark page, with a run to look at."""
    make_run(served)
    context = browser.new_context(color_scheme="dark", viewport={"width": 1400, "height": 900})
    yield context.new_page()
    context.close()


def said(page: Any, key: str, pattern: str) -> str:
    """What the locked label of a figure says to those who cannot see it, once it is of this kind."""
    place = page.locator(f".st-key-exhibit-{key} .strawberry-said").filter(has_text=re.compile(pattern))
    place.wait_for(state="attached", timeout=patience(20) * 1000)
    return place.inner_text()


def test_a_locked_label_stays_while_others_scrub_and_arrow_keys_walk(page: Any, served: Any, artefacts: Path) -> None:
    page.goto(f"{served.address}/attention?run={RUN}&layer=1")
    drawn(page, "Who reads whom")
    settled(page)
    figure = page.locator(".st-key-exhibit-map_pair .strawberry-canvas")
    box = figure.bounding_box()
    page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.6 * box["height"])
    first = said(page, "map_pair", r"\d+ \S+ reads \d+ \S+, weight")
    page.mouse.move(2, 2)
    locked = figure.locator(".strawberry-locked")
    locked.locator(".hovertext").wait_for(state="attached", timeout=patience(10) * 1000)
    shoot(page, artefacts / "6-locked-dark.png")

    # The point stays; what it says is of the step that is shown.
    slider = page.get_by_role("slider", name="Training step").first
    slider.focus()
    page.keyboard.press("Home")
    page.get_by_text("a look, at step 0").wait_for(timeout=patience(20) * 1000)
    settled(page)
    scrubbed = said(page, "map_pair", "weight")
    assert scrubbed.split(", ")[0] == first.split(", ")[0]

    row, column = (int(number) for number in re.findall(r"(\d+) ", scrubbed)[:2])
    figure.focus()
    page.keyboard.press("ArrowDown")
    said(page, "map_pair", rf"^{row + 1} .* reads {column} ")
    page.keyboard.press("ArrowLeft")
    said(page, "map_pair", rf"^{row + 1} .* reads {column - 1} ")
    page.keyboard.press("Escape")
    locked.wait_for(state="detached", timeout=patience(10) * 1000)


def test_a_figure_is_saved_with_its_run_and_its_code_on_the_pages_own_ground(
    page: Any, served: Any, tmp_path: Path
) -> None:
    page.goto(f"{served.address}/experts?run={RUN}")
    drawn(page, "token by token")
    settled(page)
    # Figures are drawn, buttons and all, once they are in sight.
    page.locator(".st-key-exhibit-expert_load").scroll_into_view_if_needed()
    saved = {}
    for kind in ("SVG", "PNG"):
        with page.expect_download(timeout=patience(30) * 1000) as waiting:
            # One that has no room for the run's name on the page says it in the picture.
            button = page.locator(f".st-key-exhibit-expert_load [data-title='Save the picture ({kind})']")
            button.click(force=True)
        saved[kind] = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(saved[kind])
    svg = saved["SVG"].read_text(encoding="utf-8")
    assert re.search(r"<desc>strawberry-nano-1 · step \d+ · seed 0\s", svg)
    assert "figures.expert_load(probe" in svg
    assert "rgb(14, 17, 23)" in svg
    assert re.search(r">strawberry-nano-1 · step \d+ · seed 0 · ", svg[svg.index("</desc>") :])
    png = saved["PNG"].read_bytes()
    assert png.startswith(b"\x89PNG") and b"iTXtDescription" in png and b"figures.expert_load(probe" in png


def test_one_of_many_small_maps_opens_in_large(page: Any, served: Any) -> None:
    page.goto(f"{served.address}/attention?run={RUN}&layer=1")
    drawn(page, "head by head")
    settled(page)
    grid = page.locator(".st-key-exhibit-map_grid .strawberry-canvas")
    area = grid.locator(".nsewdrag").nth(1).bounding_box()
    page.mouse.click(area["x"] + 0.2 * area["width"], area["y"] + 0.8 * area["height"])
    page.wait_for_url(re.compile("left-head=head"), timeout=patience(20) * 1000)
    drawn(page, "Who reads whom")
    page.locator(".st-key-exhibit-map_pair").get_by_text("head 1").first.wait_for(timeout=patience(20) * 1000)


def test_training_time_plays_and_ends_at_the_newest_picture(page: Any, served: Any) -> None:
    page.goto(f"{served.address}/experts?run={RUN}")
    drawn(page, "token by token")
    settled(page)
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_text("a look, at step 0").wait_for(timeout=patience(20) * 1000)
    page.get_by_text("the newest look, at step").wait_for(timeout=patience(120) * 1000)
    settled(page)
    page.get_by_role("button", name="Play", exact=True).wait_for(timeout=patience(20) * 1000)


def test_the_notebook_of_a_page_is_read_in_place(page: Any, served: Any, artefacts: Path) -> None:
    page.goto(f"{served.address}/experts?run={RUN}")
    page.get_by_role("button", name="Taught by notebook 05, experts").click(timeout=patience(30) * 1000)
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("jupyter lab notebooks/05_experts.ipynb").wait_for(timeout=patience(20) * 1000)
    shoot(page, artefacts / "6-notebook-dark.png")
