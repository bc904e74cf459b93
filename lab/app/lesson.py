"""The way from a page to the notebook that teaches it: read in place, with the command that opens it to be run."""

import json
from pathlib import Path

import streamlit as st

import lab

FOLDER = Path(lab.__file__).resolve().parent.parent / "notebooks"


def lesson(name: str) -> None:
    """Draw the link to ``notebooks/<name>.ipynb``; where the notebooks are not installed, only its name."""
    number, _, words = name.partition("_")
    path = FOLDER / f"{name}.ipynb"
    if not path.is_file():
        st.caption(f"Taught by the notebook `notebooks/{name}.ipynb`.")
        return
    label = f"Taught by notebook {number}, {words.replace('_', ' ')}"
    if st.button(label, key=f"lesson-{name}", icon=":material/school:", type="tertiary"):
        st.dialog(label.removeprefix("Taught by ").capitalize(), width="large")(_read)(path)


def _read(path: Path) -> None:
    """The notebook's words and code, in order; its outputs come when it is run."""
    st.caption("To run it, and to see its pictures:")
    st.code(f".venv/bin/jupyter lab notebooks/{path.name}", language="sh")
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            st.markdown(source)
        elif source.strip():
            st.code(source, language="python")
