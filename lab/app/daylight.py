"""Notices that the person has switched between light and dark, and has the page drawn anew: figures come in colours."""

from functools import cache
from typing import Any

from streamlit.components.v2 import component

# Streamlit's theme reaches the browser's styles, but tells the server only at the next draw.
WATCH = """
export default function ({ parentElement, setTriggerValue }) {
  const app = document.querySelector('[data-testid="stApp"]')
  const ground = () => getComputedStyle(app).backgroundColor
  let seen = ground()
  const timer = setInterval(() => {
    if (ground() !== seen) {
      seen = ground()
      setTriggerValue("switched", seen)
    }
  }, 400)
  return () => clearInterval(timer)
}
"""


def daylight() -> None:
    """Watch for the switch; draws nothing."""
    _component()(key="daylight", on_switched_change=lambda: None, height=0)


@cache
def _component() -> Any:
    return component("strawberry_daylight", js=WATCH)
