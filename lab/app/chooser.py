"""The form for a run: a preset, the text, and what matters; beside it the panel that starts it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

import strawberry
from lab.app.launch import Wish, free_name, panel
from lab.app.shell import sentence
from strawberry.config import Config
from strawberry.data import CORPORA, is_made
from strawberry.data.files import decode
from strawberry.data.named import MAKERS, make
from strawberry.errors import StrawberryError
from strawberry.mixers import MIXERS

SIZES = {"pico": "pico · seconds", "nano": "nano · minutes on a laptop", "small": "small · needs a GPU"}
CORPUS_WORDS = {"sotu": "State of the Union addresses", "python": "Python's own source code"}
MADE = {"made": "A task with known answers"}
OWN = {"paste": "Paste a text", "upload": "Upload a text file", "path": "A file or folder on this machine"}
LARGEST = 32  # megabytes of an uploaded text; the server's limit, in .streamlit/config.toml, is for those who bypass it
PASTE = 2_000_000  # characters of a pasted one, which travels with every press
STEPS = {"pico": 200, "nano": 1000, "small": 5000}


def chooser() -> None:
    """Draw the form with its Start button."""
    top, side = st.columns([3, 2], gap="large")
    with top:
        preset, wish = _form()
    with side:
        panel(preset, wish)


def _form() -> tuple[str, Wish]:
    families = list(strawberry.families())
    first, second = st.columns([1, 1])
    family = first.selectbox("Model", families, key="family", help="What the model is made of.")
    size = second.selectbox("Size", list(SIZES), index=1, key="size", format_func=SIZES.__getitem__)
    preset = f"{family}-{size}"
    first, second = st.columns([1, 1])
    with first:
        offered = CORPUS_WORDS | MADE | OWN
        source = st.selectbox("What to learn", list(offered), key="source", format_func=offered.__getitem__)
    with second:
        steps = st.number_input("Training steps", 1, 1_000_000, STEPS[size], step=100, key=f"steps-{size}")
    wrong, data, pasted = "", source, None
    try:
        data, pasted = _text(source)
    except StrawberryError as error:
        wrong = str(error)
    with st.expander("Change what matters", icon=":material/tune:", key="tune"):
        config, complaint = _tuned(preset)
    if config is not None and is_made(data) and not wrong:
        wrong = _fits(data, config)
    with st.expander("Name and pictures", icon=":material/photo_camera:", key="more"):
        name = st.text_input(
            "Name of the run", free_name(preset), key=f"name-{free_name(preset)}", max_chars=64,
            help="Letters, digits, dots, dashes and underscores; the page's address will carry it.",
        )  # fmt: skip
        text = st.text_area(
            "Text that the pictures look at", key="text", max_chars=20_000,
            placeholder="A passage that is kept for validation, so that the model never trains on it",
            help="Each time pictures are taken, the model reads the beginning of it, up to 1,024 tokens.",
        )  # fmt: skip
    return preset, Wish(config, data, pasted, int(steps), name.strip(), text, wrong or complaint)


def _text(source: str) -> tuple[str, str | None]:
    """The data's name or path, and the person's own text if there is one."""
    if source in CORPORA:
        return source, None
    if source == "made":
        return _made(), None
    if source == "paste":
        pasted = st.text_area(
            "Your text", key="pasted", height=160, max_chars=PASTE, placeholder="A few pages at least"
        )
        if not pasted.strip():
            raise StrawberryError("Paste the text to learn from; a few pages at least.")
        return source, pasted
    if source == "upload":
        limit = f"Up to {LARGEST} MB; give the path of a larger one instead."
        file = st.file_uploader("A text file in UTF-8", key="upload", max_upload_size=LARGEST, help=limit)
        if file is None:
            raise StrawberryError("Choose a text file to upload.")
        return source, decode(file.getvalue(), file.name)
    path = st.text_input("Path", key="path", placeholder="a text file, or a folder of them")
    if not path.strip():
        raise StrawberryError("Give the path of a text file, or of a folder of text files.")
    if not Path(path.strip()).expanduser().exists():
        raise StrawberryError(f"There is no file or folder {path.strip()!r} on the machine that runs the dashboard.")
    return path.strip(), None


def _made() -> str:
    """The name of a task or source with the arguments that the person wrote."""
    which = "Which task, or source of known entropy"
    name = str(st.selectbox(which, list(MAKERS), key="maker", format_func=_spelled))
    fields = [item for item in dataclasses.fields(MAKERS[name]) if item.name != "length"]
    written = ", ".join(f"`{item.name}={item.default}`: {item.metadata['help']}" for item in fields)
    help = f"As `key=value`, with commas between. {written}; `length`: tokens per row, if not the sequence length."
    given = st.text_input(
        "Its arguments", key=f"given-{name}", help=help, max_chars=200,
        placeholder=",".join(f"{item.name}={item.default}" for item in fields),
    )  # fmt: skip
    return f"{name}:{given.strip()}" if given.strip() else name


def _spelled(name: str) -> str:
    return f"{name} · {MAKERS[name].about}"


def _fits(data: str, config: Config) -> str:
    """Why a task or source cannot be trained on so, or nothing."""
    try:
        with st.spinner("Making the first rows…"):
            make(data, config)
    except StrawberryError as error:
        return sentence(error)
    return ""


def _tuned(preset: str) -> tuple[Config | None, str]:
    """The preset's configuration with the person's changes, or None and what is wrong with them."""
    base = strawberry.preset(preset)
    fields = {item.name: item.metadata for item in dataclasses.fields(Config)}
    columns = st.columns(3)

    def place(name: str, label: str) -> dict[str, Any]:
        help = fields[name]["help"]
        return {"label": label, "help": help[:1].upper() + help[1:] + ".", "key": f"{preset}-{name}"}

    changes: dict[str, Any] = {}
    with columns[0]:
        # A layer that reads a memory cannot stand alone.
        alone = [name for name in MIXERS if name != "cross"]
        mixers = list(dict.fromkeys([base.mixer, *alone, "aft,abundance", "aft,softmax"]))
        mixer = place("mixer", "Token mixer")
        mixer["help"] += "\n" + "".join(f"\n- `{name}`: {MIXERS[name].about}" for name in alone)
        changes["mixer"] = st.selectbox(options=mixers, accept_new_options=True, **mixer)
        changes["loops"] = st.number_input(
            min_value=1, max_value=8, value=base.loops, **place("loops", "Passes (loops)")
        )
        if base.weights == "retention":
            pooling = list(fields["pooling"]["choices"])
            changes["pooling"] = st.selectbox(
                options=pooling, index=pooling.index(base.pooling), **place("pooling", "Pooling")
            )
            changes["chunk"] = st.number_input(
                min_value=1, max_value=65536, value=base.chunk, **place("chunk", "Chunk")
            )
        if base.weights == "learned":
            rounding = list(fields["rounding"]["choices"])
            changes["rounding"] = st.selectbox(
                options=rounding, index=rounding.index(base.rounding), **place("rounding", "Round weights to")
            )
        changes |= _passes(base, int(changes["loops"]), fields, place)
    with columns[1]:
        wide = "Width of the residual stream, and of q, k and v; the feed-forward layers grow with it."
        width = int(st.number_input("Width", 8, 8192, base.d_model, step=8, key=f"{preset}-width", help=wide))
        changes |= {"d_model": width, "d_qkv": width, "d_ff": max(1, base.d_ff * width // base.d_model)}
        for name, label in (("n_layers", "Layers"), ("n_experts", "Experts"), ("top_k", "Experts per token")):
            changes[name] = st.number_input(min_value=1, max_value=256, value=getattr(base, name), **place(name, label))
    with columns[2]:
        for name, label in (("seq_len", "Sequence length"), ("batch_size", "Batch size"), ("vocab_size", "Vocabulary")):
            changes[name] = st.number_input(
                min_value=1, max_value=1_000_000, value=getattr(base, name), **place(name, label)
            )
        changes["learning_rate"] = st.number_input(
            min_value=0.0, max_value=1.0, value=base.learning_rate, step=0.001, format="%.4f",
            **place("learning_rate", "Learning rate"),
        )  # fmt: skip
        changes["seed"] = st.number_input(min_value=0, max_value=2**31, value=base.seed, **place("seed", "Seed"))
    try:
        return base.replace(**{name: value for name, value in changes.items() if value != getattr(base, name)}), ""
    except StrawberryError as error:
        text = str(error)
        return None, text[:1].upper() + text[1:] + "."


def _passes(
    base: Config, loops: int, fields: dict[str, Any], place: Callable[[str, str], dict[str, Any]]
) -> dict[str, Any]:
    """What decides about passes, as far as this family has it."""
    changes: dict[str, Any] = {}
    for name, label in _offered(base, loops).items():
        value, about = getattr(base, name), fields[name]
        if isinstance(value, str):
            # A family that decides about depth does so in one way or another.
            options = [option for option in about["choices"] if option not in ("all", "none")]
            changes[name] = st.selectbox(options=options, index=options.index(value), **place(name, label))
        else:
            lowest = 0.1 if about["low"] else 0.0
            changes[name] = st.number_input(
                min_value=lowest, max_value=20.0, value=value, step=0.5, **place(name, label)
            )
    return changes


def _offered(base: Config, loops: int) -> dict[str, str]:
    """The fields about passes that this family has, and what to call them."""
    if base.recursion != "all":
        return {"recursion": "Who goes on", "depth_cache": "Keys of deeper passes"}
    drawn = {"depth": "Passes in training"}
    if base.halting != "none":
        numbers = {"think_above": "Think on above (loss)", "loss_threshold": "Confidence is 0 from (loss)"}
        return {"halting": "Halting head learns", **drawn, **numbers}
    return {"sharing": "Order of the passes", **drawn} if loops > 1 else {}
