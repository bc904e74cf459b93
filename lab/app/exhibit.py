"""One picture on a page: what it shows and how to read it, the figure, its numbers, and what can be taken away."""

import csv
import io
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from lab import figures
from lab.app.canvas import canvas
from lab.app.shell import theme
from lab.figures.captions import caption
from lab.probe import Probe


def exhibit(
    name: str,
    probe: Probe,
    *others: Any,
    says: str = "",
    also: str = "",
    narrow: bool = False,
    pick: Callable[[Any], None] | None = None,
    **options: Any,
) -> None:
    """Draw ``lab.figures.<name>(probe, *others, **options)`` with its caption, its table and downloads.

    ``says`` stands in the caption's place, ``also`` after it. ``narrow`` leaves the run's name out of the figure's
    second line, where there is no room for it. ``pick`` is called with the ``meta`` of a trace that is clicked.
    """
    key = name
    figure = getattr(figures, name)(probe, *others, **options, theme=theme())
    if narrow:
        about = figure.layout.title.subtitle.text or ""
        figure.update_layout(title_subtitle_text=about.removeprefix(f"{probe.label} · "))
    told = snippet(name, probe, others, options)
    stem = f"{probe.run or probe.family}-step-{probe.step}-{name}"
    sentence = f"{says or caption(name)[0]} {also}".strip()
    piece(key, sentence, figure, lambda: figures.table(name, probe, *others, **options), told, stem, probe, pick=pick)


def piece(
    key: str,
    says: str,
    figure: go.Figure,
    table: Callable[[], pd.DataFrame],
    told: str,
    stem: str,
    probe: Probe | None = None,
    *,
    about: str = "",
    pick: Callable[[Any], None] | None = None,
    slim: go.Figure | None = None,
) -> None:
    """A figure that need not be of a probe: ``told`` is the code that redraws it, ``stem`` the name of its files.

    ``about``: which run, step and seed it shows, where no probe says so. ``slim``: the figure for narrow places.
    """
    about = probe.label if probe else about
    with st.container(border=True, key=f"exhibit-{key}"):
        st.markdown(says)
        show(figure, key, about=about, code=told, stem=stem, pick=pick, slim=slim)
        drawer = st.expander("Numbers and downloads", key=f"numbers-{key}", on_change="rerun", type="compact")
        if drawer.open:
            with drawer:
                _take_away(key, figure, table(), told, stem, about)


def show(
    figure: go.Figure,
    key: str,
    *,
    alt: str = "",
    about: str = "",
    code: str = "",
    stem: str = "",
    pick: Callable[[Any], None] | None = None,
    slim: go.Figure | None = None,
    **more: Any,
) -> None:
    """A figure in the page's width, with zoom that survives an update and its picture to download.

    ``about``, which run, step and seed it shows, and the ``code`` that redraws it go into the picture's file; ``more``
    is plotly's configuration.
    """
    title = alt or figure.layout.title.text or key  # type: ignore[union-attr]
    for form in (figure, slim):
        if form is not None:
            _close(form)
    config = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "toImage"]}
    note = {"about": about, "code": code, "stem": stem or _plain(title)}
    canvas(figure, f"figure-{key}", config=config | more, alt=_plain(title, " "), note=note, pick=pick, slim=slim)


def _close(figure: go.Figure) -> None:
    """A sentence stands above each figure: no empty band between the two."""
    figure.update_layout(title={"y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 6}})
    if (above := figure.layout.margin.t) and figure.layout.title.text:  # type: ignore[union-attr]
        figure.update_layout(margin_t=above - 18)


def _take_away(key: str, figure: go.Figure, table: pd.DataFrame, told: str, stem: str, about: str) -> None:
    st.dataframe(table, height=min(360, 38 + 35 * len(table)), hide_index=True, key=f"table-{key}")
    st.caption("The code that redraws it:")
    st.code(told, language="python")
    with st.container(horizontal=True):
        _download("Numbers (CSV)", lambda: listed(table, about, told), f"{stem}.csv", "text/csv")
        _download("Numbers (npz)", lambda: packed(table, about, told), f"{stem}.npz", "application/octet-stream")
        _download("Page (HTML, works offline)", lambda: page(figure, about, told, key), f"{stem}.html", "text/html")
        st.caption("The buttons above the figure save the picture (SVG, PNG). All name the run and hold the code.")


def snippet(name: str, probe: Probe, others: tuple[Any, ...], options: dict[str, Any]) -> str:
    """Python that redraws a figure from the run folder."""
    if code := probe.meta.get("code"):
        lines = ["import lab", "import strawberry", "from lab import Probe, figures", "", *code]
    else:
        path = f"runs/{probe.run}/probes/step-{probe.step}.npz"
        lines = ["from lab import Probe, figures", "", f'probe = Probe.load("{path}")']
    arguments = ["probe"]
    for number, other in enumerate(others):
        if isinstance(other, Probe):
            lines.append(f'other = Probe.load("runs/{other.run}/probes/step-{other.step}.npz")')
            arguments.append("other")
        else:
            arguments.append(repr(other))
        del number
    arguments += [f"{option}={value!r}" for option, value in options.items()]
    return "\n".join([*lines, f"figures.{name}({', '.join(arguments)}).show()"])


def listed(table: pd.DataFrame, about: str, code: str) -> bytes:
    """A table as CSV below lines that begin with "#": what it is about, and the code that redraws its figure.

    Words are quoted, so that ``pandas.read_csv(path, comment="#")`` reads it also where a token is a "#".
    """
    head = "".join(f"# {line}\n" for line in [about, "", *code.splitlines()])
    return (head + table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)).encode()


def packed(table: pd.DataFrame, about: str, code: str) -> bytes:
    """A table as .npz, one array per column, with what it is about and the code that redraws its figure."""
    file = io.BytesIO()
    columns = {str(name): values.to_numpy() for name, values in table.items()}
    # Text as fixed-width characters: arrays of objects would need pickle.
    plain = {name: values.astype(str) if values.dtype == object else values for name, values in columns.items()}
    np.savez_compressed(file, allow_pickle=False, **plain, about=np.array(about), code=np.array(code))
    return file.getvalue()


def page(figure: go.Figure, about: str, told: str, name: str) -> bytes:
    """One self-contained HTML page, with plotly inside."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.html"
        figures.to_html([figure], path, title=f"{name} · {about}", snippet=told)
        return path.read_bytes()


def _download(label: str, make: Any, file_name: str, mime: str) -> None:
    key = f"download-{file_name}"
    icon = ":material/download:"
    st.download_button(label, make, file_name, mime, key=key, icon=icon, on_click="ignore", type="tertiary")


def _plain(text: str, space: str = "-") -> str:
    return re.sub(r"[^A-Za-z0-9.]+", space, re.sub(r"<[^>]*>", "", text)).strip(space)
