"""What a text is asked for with: prompt, checkpoint, how tokens are drawn, and when to stop thinking about one."""

import json

import streamlit as st

from lab import notes, writing
from lab.jobs import Job
from lab.writing import Wish
from strawberry.config import Config
from strawberry.recursion.exits import EXITS
from strawberry.runs import PASTED

OPENINGS = {"sotu": "The state of", "python": "def "}
UNBEGUN = (
    "Without a prompt this model writes noise at first: a pasted text has one beginning, so it has hardly ever seen "
    "any. Give it a few words of the text."
)
RULES = {
    "confidence": "its own confidence", "gap": "a clear favourite", "saturation": "a state that no longer changes",
    "distribution": "its learned exits", "fixed": "a fixed number of passes",
}  # fmt: skip
THRESHOLDS = {"confidence": 0.8, "gap": 0.5, "saturation": 0.95, "distribution": 0.8}


def form(job: Job, saved: list[int]) -> Wish:
    """What is asked for; everything of it is in the page's address."""
    data = str(notes.read(job.folder / "plan.json").get("data") or job.request.get("data") or "")
    left, right = st.columns([3, 2], gap="large")
    with left:
        prompt = st.text_area(
            "Prompt", OPENINGS.get(data, ""), key="prompt", bind="query-params", height=112, max_chars=4000,
            placeholder="Empty: the model begins a text of its own",
        )  # fmt: skip
        if data == PASTED and not (prompt or "").strip():
            st.caption(UNBEGUN)
        step = saved[-1]
        if len(saved) > 1:
            options = [str(step) for step in saved]
            if st.session_state.get("checkpoint") not in options:
                st.session_state.pop("checkpoint", None)
            step = st.select_slider(
                "Checkpoint, by training step", options, value=options[-1], key="checkpoint", bind="query-params",
                help="An early one babbles, a late one writes: the same prompt and seed show how it learned.",
            )  # fmt: skip
        else:
            st.caption(f"With the checkpoint of step {step:,}, the only one so far.")
    with right, st.container(key="sampling"):
        temperature = st.slider(
            "Temperature", 0.0, 2.0, 0.8, 0.05, key="temperature", bind="query-params",
            help="0 always takes the likeliest token; 1 draws as the model says; more is bolder.",
        )  # fmt: skip
        columns = st.columns(2)
        top_k = columns[0].number_input(
            "Top-k", 0, 100_000, 50, key="top-k", bind="query-params", help="Draw among the k likeliest; 0: among all."
        )
        top_p = columns[1].number_input(
            "Top-p", 0.01, 1.0, 1.0, 0.05, key="top-p", bind="query-params",
            help="Draw among the fewest tokens that together have this probability; 1: among all.",
        )  # fmt: skip
        most = columns[0].number_input("Tokens at most", 1, writing.MOST_TOKENS, 120, key="tokens", bind="query-params")
        seed = columns[1].number_input(
            "Seed", 0, 2**31, 0, key="seed", bind="query-params", help="The same seed draws the same text."
        )
    rule, threshold, loops = _exit(job)
    return Wish(
        int(step), prompt or "", int(most), float(temperature), int(top_k) or None,
        None if top_p >= 1 else float(top_p), int(seed), rule, threshold, loops,
    )  # fmt: skip


def _exit(job: Job) -> tuple[str | None, float, int | None]:
    """The exit rule, its threshold and the most passes, where the model can stop token by token."""
    config = config_of(job)
    if config is None:
        return None, 0.8, None
    can = _exits(json.dumps(config.to_dict()))
    offered = [name for name in EXITS if not can[name]]
    if not offered:
        return None, 0.8, None
    with st.expander("When to stop thinking about a token", icon=":material/psychology:", key="thinking"):
        st.caption(
            f"This model runs its layers {config.loops} times for each token. With an exit rule a token "
            "stops earlier, once the rule is content; it may also go on for longer than in training."
        )
        first, second, third = st.columns(3, vertical_alignment="bottom")
        options = ["none", *offered]
        if st.session_state.get("exit") not in options:
            st.session_state.pop("exit", None)
        rule = first.selectbox(
            "Exit rule", options, key="exit", bind="query-params",
            format_func=lambda name: "none: all passes" if name == "none" else f"{name}: {RULES.get(name, name)}",
        )  # fmt: skip
        if rule == "none":
            return None, 0.8, None
        if rule == "fixed":
            threshold = float(second.number_input("Passes", 1, 64, config.loops, key="fixed", bind="query-params"))
            return rule, threshold, max(int(threshold), 1)
        threshold = second.slider(
            "Threshold", 0.0, 1.0, THRESHOLDS.get(str(rule), 0.8), 0.01, key=f"threshold-{rule}",
            bind="query-params",            help="Higher: tokens go deeper.",
        )  # fmt: skip
        loops = third.number_input("Passes at most", 1, 64, config.loops, key="passes", bind="query-params")
    return str(rule), threshold, int(loops)


def config_of(job: Job) -> Config | None:
    """The run's configuration, once it has been written."""
    described = notes.read(job.folder / "config.json")
    return Config.from_dict(described) if described else None


@st.cache_data(max_entries=32, ttl=3600, show_spinner=False)
def _exits(described: str) -> dict[str, str]:
    return writing.exits(Config.from_dict(json.loads(described)))
