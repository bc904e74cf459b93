"""Chromium with a stopwatch inside: what a person at the dashboard waits for, and what reaches their browser."""

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
STOPWATCH = (Path(__file__).parent / "dashboard_browser.js").read_text(encoding="utf-8")
STILL = 600  # milliseconds without an answer or a redrawn figure, after which a view is taken to be complete
PATIENCE = 180_000  # milliseconds


@contextmanager
def chromium() -> Iterator[Any]:
    """An open browser; ends the program with a sentence where there is none."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        sys.exit("there is no Chromium on this machine; install it (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """A page of the dashboard, in a session and with a cache of its own."""

    def __init__(self, browser: Any, width: int = 1400, height: int = 900) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="light")
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.add_init_script(STOPWATCH)

    def close(self) -> None:
        """Close it, and its session."""
        self.context.close()

    def open(self, address: str) -> None:
        """Go to a page of a run and wait until its figures are drawn; the stopwatch runs from the navigation on."""
        self.page.goto(address)
        self.still()

    def still(self) -> None:
        """Wait until nothing moves any more."""
        self.page.wait_for_function(f"watch.still({STILL})", polling=100)

    def told(self) -> dict[str, Any]:
        """What happened since the last key or click: times in ms, bytes, the longest task, what the figures say."""
        return self.page.evaluate("watch.told()")

    def press(self, key: str) -> None:
        """Press a key on the scrubber of training steps."""
        self.page.get_by_role("slider", name="Training step").first.press(key)

    def choose(self, loop: str) -> None:
        """Click a pass on the scrubber of loops."""
        scrubber = self.page.locator(".st-key-loop")
        scrubber.get_by_text(loop, exact=True).click()

    @property
    def step(self) -> int:
        """The step that the page says it shows."""
        told = self.page.locator(".st-key-scrubbers").get_by_text(re.compile("look, at step")).inner_text()
        found = re.search(r"at step ([\d,]+)", told)
        assert found is not None, told
        return int(found[1].replace(",", ""))

    def shows(self, step: int) -> bool:
        """Whether the page and every figure in sight, if it names a step at all, show ``step``."""
        named = [re.search(r"· step (\d+) ·", about) for about in self.told()["abouts"]]
        return self.step == step and all(int(found[1]) == step for found in named if found)
