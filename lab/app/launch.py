"""The panel that starts a run: what it costs, whether this machine has room for it, whom it waits for, one button."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

import strawberry
from lab import jobs, process, room
from lab import status as statuses
from lab.app import words
from lab.app.shell import attempt, choose, sentence
from lab.app.turns import in_line
from strawberry.config import Config
from strawberry.errors import StrawberryError


@dataclass(frozen=True)
class Wish:
    """What the form asks for; ``wrong`` is a sentence when it cannot be started."""

    config: Config | None
    data: str
    pasted: str | None
    steps: int
    name: str
    text: str
    wrong: str = ""


def panel(preset: str, wish: Wish) -> None:
    """Draw the panel; a press begins the run, or puts it in line, and looks at it."""
    folder = jobs.runs_folder()
    with st.container(border=True, key="launch"):
        st.markdown(f"**{preset}**")
        st.caption(strawberry.families()[preset.rpartition("-")[0]])
        wrong = wish.wrong
        if wish.config is not None:
            wrong = _cost(wish.config, wish.steps) or wrong or _short(wish)
        waits = jobs.queues(folder)
        beside = waits and in_line(folder, "run")
        if wish.config is not None and not wrong:
            wrong = _room(wish, folder, now=beside or not waits)
        if wrong:
            st.error(wrong, icon=":material/error:")
        label, icon = ("Put it in line", "schedule") if waits and not beside else ("Start training", "play_arrow")
        pressed = st.button(
            label, type="primary", icon=f":material/{icon}:", disabled=bool(wrong), width="stretch", key="start"
        )
        st.caption("Training runs in a process of its own: close this page and come back, the address finds it again.")
    # Not in a callback, which would know what the form said at the last draw, not at the press.
    if pressed:
        attempt(lambda: start(wish, beside=beside))
        st.rerun()


def start(wish: Wish, *, beside: bool = False) -> None:
    """Begin the run, or put it in line, and look at it."""
    if wish.config is None:
        return
    job = jobs.start(
        jobs.runs_folder(), wish.name, wish.config, wish.data, wish.steps, text=wish.text, pasted=wish.pasted,
        beside=beside,
    )  # fmt: skip
    choose(job.name)


def free_name(stem: str) -> str:
    """The first of ``stem``-1, ``stem``-2, … that no run has."""
    folder, number = jobs.runs_folder(), 1
    while (folder / f"{stem}-{number}").exists():
        number += 1
    return f"{stem}-{number}"


def _room(wish: Wish, folder: Path, *, now: bool) -> str:
    """Warn when the run has no room at this moment; returns why it can never have it, or nothing."""
    assert wish.config is not None
    held = statuses.training(folder, paused=True)
    found = room.room(wish.config, folder, held, text=_size(wish))
    if found.never:
        return sentence(StrawberryError(found.never))
    if found.lacking:
        after = "" if now else " At its turn it waits until there is."
        st.warning(f"**No room now**: {found.lacking}.{after}", icon=":material/memory:")
    return ""


def _short(wish: Wish) -> str:
    """Why a text of one's own cannot fill one row, in one sentence, or nothing; a token is at least one byte."""
    if wish.config is None or wish.pasted is None:
        return ""
    size, row = len(wish.pasted.encode()), wish.config.seq_len + 1
    # What is kept for validation is the smaller part, and may be a twentieth of the text larger than was said.
    kept = int(size * (1.05 - wish.config.train_fraction)) + 1
    if kept >= row:
        return ""
    return (
        f"This text has {size:,} bytes, of which about {kept:,} are kept for validation, and one row of sequence "
        f"length {wish.config.seq_len:,} needs more. Give more text, or lower the sequence length."
    )


def _size(wish: Wish) -> int:
    """Bytes of the text to learn from, as far as the form knows it."""
    return len(wish.pasted) if wish.pasted is not None else _weight(wish.data)


@st.cache_data(max_entries=16, ttl=60, show_spinner=False)
def _weight(path: str) -> int:
    return room.weight(Path(path).expanduser())


def _cost(config: Config, steps: int) -> str:
    """Parameters, computation and memory, before anything starts; returns what is wrong if even that is too much."""
    try:
        cost = _estimate(json.dumps(config.to_dict()))
    except (RuntimeError, OverflowError):
        return "This model is too large for its size even to be computed. Choose a smaller width or vocabulary."
    tokens = config.batch_size * config.grad_accum * config.seq_len
    free = f"{words.size(process.free_memory())} are free now, and Python with torch takes half a GB besides."
    shown = (
        ("Parameters", words.count(cost.parameters), f"{words.count(cost.active_parameters)} work on each token"),
        ("Memory to train", words.size(cost.memory_bytes), free),
        ("FLOPs per token", words.count(cost.flops_per_token), "Floating-point operations, forward and backward."),
        (
            "FLOPs of the run",
            words.count(cost.flops_per_token * tokens * steps),
            f"{tokens:,} tokens × {steps:,} steps",
        ),
    )
    shown = (*shown, ("State of a text", *_state(config, cost.state_size)))
    if config.rounding != "none":
        kept = f"{cost.weight_bytes / 1e6:.2f} MB to keep it: what is rounded packed, the rest in fp32."
        about = f"{kept} Training holds all in full."
        shown = (*shown, ("Bits per weight", f"{cost.bits_per_weight:.1f}", about))
    with st.container(horizontal=True, gap="small"):
        for label, value, help in shown:
            st.metric(label, value, help=help, width=150)
    if not config.causal:
        st.warning("**Reads the future**: its weights are made from the whole batch. Good as a control only.")
    return ""


def _state(config: Config, size: int) -> tuple[str, str]:
    """How many numbers the model carries from token to token, and whether they grow with the text."""
    twice = _estimate(json.dumps({**config.to_dict(), "seq_len": 2 * config.seq_len})).state_size
    grows = f"after twice as many it is {words.count(twice)}" if twice > size else "and no more after any longer text"
    kept = f"Numbers that it keeps of a text after {config.seq_len:,} tokens; {grows}."
    made = config.weights == "retention" and config.pooling == "prefix"
    what = "The weights that it made are among them." if made else ""
    about = f"{kept} {what or 'Of a transformer it is the KV cache.'}"
    return words.count(size), about


@st.cache_data(max_entries=64, ttl=3600, show_spinner=False)
def _estimate(described: str) -> Any:
    return strawberry.estimate(Config.from_dict(json.loads(described)))
