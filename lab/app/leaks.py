"""Leaks: whether a model reads the future or another row, as maps of what moved and as a verdict."""

import json
import re
from typing import Any

import streamlit as st

import strawberry
from lab import figures, jobs, own, recorded
from lab.app import shell, words
from lab.app.exhibit import piece
from lab.app.lesson import lesson
from lab.app.words import literal
from lab.causality import Verdict, shrunk, verdict
from lab.figures.captions import caption
from lab.jobs import Job
from strawberry.config import Config
from strawberry.errors import ConfigError, StrawberryError

ABOUT = (
    "A model that reads the future looks brilliant while it trains and writes nonsense on its own. So here later "
    "tokens are changed, one place after another, and whatever **earlier output** moves has seen them."
)
KINDS = (
    "**Two kinds of leak.** A *soft* one blends later tokens, or other rows, into a sum, a mean or a weight that "
    "earlier outputs use, like the published Retention, whose weights are made of the whole batch: the outputs move, "
    "and the gradients say so. A *hard* one lets later tokens decide a choice, such as who is among a sequence's best: "
    "the outputs move, and gradients, which do not pass through choices, see nothing; therefore both are asked."
)
SOURCES = {"family": "A family", "run": "The chosen run", "own": "My own model"}
EXAMPLES = {
    "Published Retention": ("strawberry-leaky", ""),
    "Expert choice, no auxiliary router": ("mor", "recursion=expert-choice auxiliary=false"),
    "Causal Retention": ("strawberry", ""),
}
WARNING = (
    "**This runs your code**, with your rights and all that it does, in a process of its own on this machine: give "
    "only files that you would run yourself. Whatever goes wrong there, the dashboard stays up."
)
Found = tuple[Verdict, str, str]  # with the code that finds it again, and with what was judged
CODE = "import strawberry\nfrom lab.causality import verdict\n\n"
OWN_EXAMPLE = """import torch

class Peek(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(50, 16)
        self.head = torch.nn.Linear(16, 50)

    def forward(self, tokens):                       # (batch, seq) -> (batch, seq, 50)
        x = self.embed(tokens)
        return self.head(x + x.mean(1, keepdim=True))  # the mean knows the future"""


def page() -> None:
    """Choose what to judge, and see what moved."""
    st.title("Leaks", anchor=False)
    st.markdown(ABOUT)
    st.caption(KINDS)
    lesson("03_why_the_published_form_cheats")
    source = st.segmented_control(
        "What to judge", list(SOURCES), default=_opening(), key="judge", bind="query-params", required=True,
        format_func=SOURCES.__getitem__,
    )  # fmt: skip
    found = shell.guarded({"family": _of_family, "run": _of_run, "own": _of_own}[str(source)])()
    if found is not None:
        draw(*found)


def _opening() -> str:
    """What is judged until the person, or the address, says otherwise: the run that is chosen, if one is."""
    state, job = st.session_state, shell.chosen()
    name = None if job is None else job.name
    turned = state.get("leaks-of") != name and "judge" not in st.query_params
    if "judge" not in state or turned:
        # An address that tells of a family, from a page without a run, means that family.
        family = any(key in st.query_params for key in ("leak-family", "leak-size", "leak-fields"))
        state["leaks-open"] = "family" if family or name is None else "run"
        if "judge" in state:
            state["judge"] = state["leaks-open"]
    state["leaks-of"] = name
    return str(state["leaks-open"])


def draw(found: Verdict, code: str, about: str) -> None:
    """The verdict in words, in numbers and in maps; ``code`` makes the same verdict, ``about`` says whose it is."""
    about = f"{about} · read tokens of seed 0"
    with st.container(key="verdict"):
        headline, _, finding = literal(found.sentence).partition(": ")
        if found.causal:
            st.success(f"**{headline}**: {finding}.", icon=":material/verified_user:")
        else:
            st.warning(f"**{headline}**: {finding}.", icon=":material/visibility:")
    with st.container(horizontal=True, gap="medium", key="numbers"):
        _number("Earlier outputs moved by", found.worst_earlier_change, "When later tokens changed; must be nothing.")
        _number("Moved by other rows", found.worst_other_row_change, "When the rest of the batch changed, or was gone.")
        told = "The largest gradient of an output by a later token."
        if len(found.outputs):
            _number("Gradient of the future", found.worst_gradient, told)
        else:
            st.metric("Gradient of the future", "–", help="The model has no embedding to take it of.", width=210)
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", found.name).strip("-")
    left, right = st.columns(2, gap="medium")
    with left:
        _piece("leak_map", found, code, stem, about)
    with right:
        if len(found.outputs):
            _piece("gradient_map", found, code, stem, about)
        else:
            st.info("Gradients were not taken: the model has no `nn.Embedding` that reads the tokens.")
    _piece("row_check", found, code, stem, about)


def _piece(name: str, found: Verdict, code: str, stem: str, about: str) -> None:
    figure = getattr(figures, name)(found, theme=shell.theme())
    told = f"from lab import figures\n{code}\n\nfigures.{name}(found).show()"
    piece(name, caption(name)[0], figure, lambda: figures.table(name, found), told, f"{stem}-{name}", about=about)


def _number(label: str, value: float, help: str) -> None:
    st.metric(label, "nothing" if value == 0 else f"{value:.2g}", help=help, width=210)


def _of_family() -> Found | None:
    """A preset with changes, judged on a small model of the same kind."""
    if "example" in st.session_state:
        st.session_state["leak-family"], st.session_state["leak-fields"] = st.session_state.pop("example")
    first, second, third = st.columns([3, 2, 5], vertical_alignment="bottom")
    families = strawberry.families()
    _valid("leak-family", list(families))
    family = first.selectbox(
        "Family", list(families), key="leak-family", bind="query-params", help="What the model is made of."
    )
    sizes = [name.rpartition("-")[2] for name in strawberry.presets() if name.rpartition("-")[0] == family]
    _valid("leak-size", sizes)
    size = second.selectbox(
        "Size", sizes, key="leak-size", bind="query-params",
        help="Its layers, passes and mixers; widths are made small, so that a verdict takes a moment.",
    )  # fmt: skip
    asked = third.text_input(
        "Changes", key="leak-fields", bind="query-params", placeholder="such as mixer=softmax pooling=linear loops=3",
        help="Any fields of the configuration, as name=value, with spaces between.", max_chars=400,
    )  # fmt: skip
    st.caption(f"{families[family][:1].upper()}{families[family][1:]}.")
    with st.container(horizontal=True, gap="small", key="examples"):
        for label, example in EXAMPLES.items():
            st.button(label, key=f"example-{label}", on_click=_choose_example, args=(example,), type="tertiary",
                      icon=":material/science:")  # fmt: skip
    changes = fields_of(asked or "")
    config = strawberry.preset(f"{family}-{size}", **changes)
    small = shrunk(config)
    st.caption(
        f"Judged on a small model of the same kind ({small.d_model} wide, {small.n_layers} layers, "
        f"{words.passes(small.loops)}) in double precision, where rounding stays below 1e-9."
    )
    with st.spinner("Changing later tokens and other rows, to see what moves…"):
        found = _verdict(json.dumps(config.to_dict(), sort_keys=True))
    more = "".join(f", {name}={value!r}" for name, value in changes.items())
    whose = " ".join([f"{family}-{size}", *(f"{name}={value}" for name, value in changes.items())])
    told = f'{CODE}found = verdict(strawberry.preset("{family}-{size}"{more}))'
    return found, told, f"{whose} · seed {config.seed}"


def _of_run() -> Found | None:
    """The chosen run: its own weights where there is a checkpoint, or a small model of the same kind."""
    job = shell.chosen()
    if job is None:
        with st.container(border=True, key="empty"):
            st.markdown("**No run is chosen.** Choose one at the side, or judge a family.")
            for other in jobs.every(jobs.runs_folder())[:5]:
                st.button(f"Judge {other.name}", key=f"look-{other.name}", on_click=shell.choose, args=(other.name,))
        return None
    described = job.config
    if not described:
        st.info("This run has no configuration yet; it comes when its training begins.")
        return None
    saved = recorded.checkpoints(job.folder)
    ways = {"kind": "A small model of the same kind", "weights": "Its own weights"}
    way = st.segmented_control(
        "How", list(ways) if saved else ["kind"], default="kind", key="leak-way", bind="query-params", required=True,
        format_func=ways.__getitem__,
    )  # fmt: skip
    if way == "weights" and saved:
        return _of_weights(job, saved)
    if not saved:
        st.caption("Its own weights can be judged once it has saved a checkpoint.")
    with st.spinner("Changing later tokens and other rows, to see what moves…"):
        found = _verdict(json.dumps(described, sort_keys=True))
    told = f'{CODE}found = verdict(strawberry.open_run("runs/{job.name}").config)'
    return found, told, f"{job.name} · a small model of its kind · seed {described.get('seed', '?')}"


def _of_weights(job: Job, saved: list[int]) -> Found | None:
    step = saved[-1]
    if len(saved) > 1:
        step = st.select_slider("Checkpoint", saved, value=step, key=f"leak-step-{job.name}")
    path = job.folder / "checkpoints" / f"step-{step}" / "manifest.json"
    st.caption("Its own tokens' length and weights, in double precision, in a process of its own; seconds to minutes.")
    held = st.session_state.get("leak-run")
    key = (job.name, step, path.stat().st_mtime_ns if path.exists() else 0)
    if st.button("Judge these weights", icon=":material/play_arrow:", type="primary", key="judge-weights"):
        with st.spinner("Changing later tokens and other rows, to see what moves…"):
            held = (key, own.judged_run(job.folder, step))
        st.session_state["leak-run"] = held
    if held is None or held[0] != key:
        return None
    told = f'{CODE}found = verdict(strawberry.open_run("runs/{job.name}").model({step}))'
    return held[1], told, f"{job.name} · step {step} · seed {job.config.get('seed', '?')}"


def _of_own() -> Found | None:
    """A person's own module, from a file or an import, judged in another process when they press the button."""
    st.warning(WARNING, icon=":material/warning:")
    first, second, third = st.columns([5, 2, 2], vertical_alignment="bottom")
    source = first.text_input(
        "File or module", key="own-source", placeholder="model.py, model.py:build or package.module:function",
        help="A torch.nn.Module that maps tokens (batch, seq) to logits (batch, seq, vocabulary), or what makes one "
        "when called without arguments.",
    ).strip()  # fmt: skip
    vocabulary = second.number_input(
        "Vocabulary", 2, 10_000_000, None, key="own-vocabulary", placeholder="its embedding's", step=1,
        help="How many token ids the model knows.",
    )  # fmt: skip
    length = third.number_input("Tokens", 4, 512, 24, key="own-length", help="Length of the text that is changed.")
    if st.button(
        "Run and judge it", icon=":material/play_arrow:", type="primary", key="judge-own", disabled=not source
    ):
        st.session_state.pop("leak-own", None)
        with st.spinner("Your code runs; then later tokens and other rows are changed, to see what moves…"):
            found = own.judged_code(source, vocab_size=vocabulary, seq_len=int(length))
        st.session_state["leak-own"] = (source, found)
    held = st.session_state.get("leak-own")
    if held is None or held[0] != source:
        st.markdown("A file like this one would light up:")
        st.code(OWN_EXAMPLE, language="python")
        return None
    more = f", vocab_size={vocabulary}" if vocabulary else ""
    told = f"from lab.own import judged_code\n\nfound = judged_code({source!r}{more}, seq_len={length})"
    return held[1], told, source


def fields_of(asked: str) -> dict[str, Any]:
    """Fields of a configuration from words such as ``loops=3 auxiliary=false``; ConfigError for anything else."""
    kinds = {name: type(value) for name, value in vars(Config()).items()}
    changes: dict[str, Any] = {}
    for word in asked.replace(";", " ").split():
        name, equals, value = word.strip(",").partition("=")
        if not equals or not value:
            raise ConfigError(f"changes are written as name=value, such as loops=3; got {word!r}")
        kind = kinds.get(name, str)
        try:
            changes[name] = (
                {"true": True, "false": False}[value.lower()]
                if kind is bool
                else (value if kind is tuple else kind(value))
            )
        except (KeyError, ValueError):
            wanted = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "a word")
            raise ConfigError(f"{name} must be {wanted}; got {value!r}") from None
    return changes


def _choose_example(example: tuple[str, str]) -> None:
    st.session_state["example"] = example


def _valid(key: str, options: list[str]) -> None:
    """Forget a choice, perhaps from the address, that is not offered."""
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)


@st.cache_data(max_entries=32, ttl=3600, show_spinner=False)
def _verdict(described: str) -> Verdict:
    try:
        return verdict(Config.from_dict(json.loads(described)))
    except (ValueError, RuntimeError, MemoryError) as error:
        if isinstance(error, StrawberryError):
            raise
        raise StrawberryError(f"a small model of this kind could not be judged: {error}") from None
