"""What is done with whole runs, each after a question: a new name, a way out as a .zip, a way in, an end."""

from pathlib import Path

import streamlit as st

from lab import parcel, shelf
from lab.app import shell, words
from lab.app.words import literal
from strawberry.errors import StrawberryError

PICKED = "picked"  # names of the runs that are ticked, in the session
HELD = 400 * 10**6  # bytes; a larger .zip is written beside the runs rather than handed to the browser
UPLOAD = 1024  # megabytes
RULE = "Letters, digits, dots, dashes and underscores; the page's address will carry it."


@st.dialog("Rename the run")
def rename_dialog(folder: Path, name: str) -> None:
    """Ask for another name."""
    new = st.text_input("New name", name, max_chars=64, help=RULE, key=f"new-name-{name}").strip()
    st.caption("Links that carry the old name will not find it any more.")
    if st.button("Rename", type="primary", disabled=not new or new == name, key="rename-it"):
        try:
            shelf.rename(folder, name, new)
        except StrawberryError as error:
            st.error(shell.sentence(error))
            return
        _done(f"“{name}” is called “{new}” now.", {name: new})


@st.dialog("Delete for good?")
def delete_dialog(folder: Path, doomed: list[tuple[str, int]]) -> None:
    """Ask once more, name by name."""
    total = words.size(sum(size for _, size in doomed))
    what = f"the run **{literal(doomed[0][0])}**" if len(doomed) == 1 else f"these {len(doomed)} runs"
    st.markdown(f"This removes {what} ({total}) with all checkpoints, events and pictures. It cannot be undone.")
    if len(doomed) > 1:
        st.markdown("\n".join(f"- {literal(name)} ({words.size(size)})" for name, size in doomed))
    first, second = st.columns(2)
    if second.button("Keep", width="stretch", key="keep-it"):
        st.rerun()
    if first.button("Delete", type="primary", icon=":material/delete:", width="stretch", key="delete-it"):
        gone = []
        for name, _ in doomed:
            try:
                shelf.delete(folder, name)
            except StrawberryError as error:
                st.error(shell.sentence(error))
                continue
            gone.append(name)
        if len(gone) == len(doomed):
            _done(f"Deleted: {', '.join(gone)}.", dict.fromkeys(gone))


@st.dialog("Export the run")
def export_dialog(folder: Path) -> None:
    """Offer the run as a .zip."""
    st.markdown(
        "One .zip with configuration, tokenizer, events, pictures and checkpoints, each with its checksum. The "
        "dashboard of another machine takes it in; nothing in it can run."
    )
    every = st.radio(
        "Checkpoints", [False, True], key="export-every",
        format_func=lambda every: "all of them" if every else "the newest: enough to look, write and go on",
    )  # fmt: skip
    size = parcel.weight(folder, every=bool(every))
    if (folder / "text.txt").exists():
        st.caption("The text that was pasted for it goes along.")
    name = f"{folder.name}.zip"
    if size <= HELD:
        st.download_button(
            f"Download the .zip ({words.size(size)})", lambda: _packed(folder, bool(every)), name, "application/zip",
            key="download-run", icon=":material/download:", type="primary", on_click="ignore", width="stretch",
        )  # fmt: skip
        return
    place = folder.parent / "exports"
    st.caption(f"At {words.size(size)} it is too large for the browser: it is written to {place}.")
    if st.button(f"Write {name}", type="primary", icon=":material/archive:", key="write-run", width="stretch"):
        try:
            with st.spinner("Packing…"):
                place.mkdir(exist_ok=True)
                with open(place / name, "wb") as file:
                    parcel.export(folder, file, every=bool(every))
            st.success(literal(f"Written: {place / name}"))
        except StrawberryError as error:
            st.error(shell.sentence(error))


def import_form(folder: Path) -> None:
    """The way in: a .zip that a dashboard exported, uploaded or by its path."""
    with st.expander("Import a run", icon=":material/unarchive:", key="import"):
        st.caption(
            "A .zip that was exported here or on another machine. Every name and checksum is checked before anything "
            "appears, and nothing in it is ever run."
        )
        file = st.file_uploader("A run as .zip", type="zip", key="import-file", max_upload_size=UPLOAD)
        first, second = st.columns(2)
        path = first.text_input(
            "Or its path on this machine", key="import-path", placeholder="for large ones", disabled=file is not None
        ).strip()
        name = second.text_input(
            "Name", key="import-name", placeholder="as it was", max_chars=64, help=RULE
        ).strip()  # fmt: skip
        if st.button(
            "Import", key="import-it", type="primary", icon=":material/unarchive:", disabled=not (file or path)
        ):
            try:
                if file is None and not Path(path).expanduser().is_file():
                    raise StrawberryError(f"there is no file {path!r} on the machine that runs the dashboard")
                with st.spinner("Checking every file…"):
                    job = parcel.take_in(folder, file or Path(path).expanduser(), name)
            except StrawberryError as error:
                st.error(shell.sentence(error), icon=":material/error:")
                return
            _done(f"“{job.name}” is here.", {"": job.name})


def _packed(folder: Path, every: bool) -> bytes:
    with parcel.packed(folder, every=every) as file:
        return file.read()


def _done(said: str, names: dict[str, str | None]) -> None:
    """Tell of it at the next draw, with ticks and the run that is looked at kept right; None is gone."""
    ticked = [names.get(name, name) for name in st.session_state.get(PICKED, [])]
    st.session_state[PICKED] = [name for name in [*ticked, names.get("")] if name]
    if (looked := st.session_state.get(shell.RUN)) in names:
        shell.choose(names[looked])
    st.session_state["said"] = literal(said)
    st.rerun()
