"""A panel that measures, when asked, how true a confidence is and what stopping early costs; and shows what came."""

import math
from html import escape

import pandas as pd
import streamlit as st
from plotly.colors import sample_colorscale

from lab import figures, ponder, recorded
from lab.app import shell, words
from lab.app.exhibit import piece
from lab.figures.captions import caption
from lab.figures.theme import scale
from lab.jobs import Job
from lab.measure.calibration import Promise, Trial
from lab.ponder import Pondered
from lab.probe import Probe
from strawberry.config import Config

PROMISES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)
RULES = {
    "confidence": "confidence", "distribution": "exit distribution", "gap": "gap of the two likeliest",
    "saturation": "state settles", "fixed": "same for all",
}  # fmt: skip
RULE_HELP = (
    "Stop when the head's confidence reaches the threshold; when the learned chances to stop add up to it; when the "
    "likeliest next token is that much likelier than the second; when a pass turns the state by no more than that "
    "(cosine); or after the same number of passes for all."
)


def can_ask(probe: Probe) -> bool:
    """Whether tokens of this model can stop one by one, so that there is something to measure."""
    config = Config.from_dict(probe.config)
    return config.recursion != "all" or bool(ponder.rules_for(config))


def asking(job: Job, probe: Probe) -> None:
    """Draw the form, and in a sentence what was found the last time."""
    rules = ponder.rules_for(Config.from_dict(probe.config))
    with st.container(border=True, key="pondering"):
        st.markdown("**What may be left out?**" if rules else "**The router at work**")
        _form(job, rules)
        found = ponder.read(job.folder)
        if found is None:
            return
        if found.promise is not None:
            _promise(found, found.promise)
        if found.calibration is None:
            _sample(found)


def findings(job: Job) -> None:
    """Draw what else was found the last time: how true the confidence is, a sample, all thresholds that were tried."""
    found = ponder.read(job.folder)
    if found is None or found.promise is None:
        return
    if found.calibration is None:
        with st.container(border=True, key="tried"):
            _trials(found.promise)
        return
    left, right = st.columns(2, gap="medium")
    with left:
        _reliability(found)
    with right, st.container(border=True, key="tried"):
        _sample(found)
        _trials(found.promise)


def _form(job: Job, rules: list[str]) -> None:
    """What to measure, and the button."""
    if rules:
        st.caption(
            "Tokens that are done early need no further passes. How early may they stop, if the loss is to rise by no "
            "more than you say? It is measured by really stopping, on text that is not trained on."
        )
        if st.session_state.get("rule") not in rules:
            st.session_state.pop("rule", None)
        rule = st.segmented_control(
            "Stop by", rules, default=rules[0], key="rule", required=True, format_func=RULES.__getitem__, help=RULE_HELP
        )
        promised = st.select_slider(
            "Promised: the loss rises by at most", PROMISES, value=0.01, key="promised", format_func=_percent
        )
    else:
        rule, promised = None, 0.0
        st.caption(
            "The router decides, so there is no threshold to choose; here is what it does while the model writes."
        )
    status, saved = job.status(), recorded.checkpoints(job.folder)
    at_rest = not status.live or status.state == "paused"
    label = "Measure it" if rules else "Let it write"
    pressed = st.button(label, icon=":material/speed:", key="measure", type="primary", disabled=not (at_rest and saved))
    if not saved:
        st.caption("There is no checkpoint yet to measure.")
    elif not at_rest:
        st.caption("While it trains this would slow it down: pause the training first, or wait for its end.")
    # Not in a callback, so that the page says what it is doing meanwhile.
    if pressed:
        with st.spinner("The model is reading validation text at several thresholds; up to two minutes…"):
            shell.attempt(lambda: ponder.ponder(job.folder, rule, promised))
        st.rerun()


def _promise(found: Pondered, promise: Promise) -> None:
    """What was found, in a sentence and as a table."""
    chosen = promise.chosen
    if math.isinf(chosen.threshold):
        st.markdown(
            f"At step {found.step:,} **no threshold that was tried keeps the promise** of at most "
            f"{_percent(promise.promised)}: all {promise.most} passes are needed for every token."
        )
    else:
        held = ""
        if found.checked is not None:
            held = f" On other validation text the same threshold takes {found.checked.passes:.2f} passes and changes "
            held += f"the loss by {found.checked.increase:+.2%}."
        st.markdown(
            f"At step {found.step:,}, stopping by **{RULES[promise.rule]} at {chosen.threshold:.3g}** takes "
            f"**{chosen.passes:.2f} of {promise.most} passes** per token, and the loss changes by "
            f"**{chosen.increase:+.2%}** (promised: at most {_percent(promise.promised)}).{held}"
        )


def _trials(promise: Promise) -> None:
    st.markdown(f"**Every threshold that was tried**, on {promise.tokens:,} tokens of validation text.")
    st.dataframe(
        trials(promise), hide_index=True, key="trials", height=min(430, 38 + 35 * len(promise.trials)),
        column_config={
            "passes": st.column_config.NumberColumn(format="%.2f", help="Mean passes per token"),
            "loss": st.column_config.NumberColumn(format="%.4f", help="Nats per token"),
        },
    )  # fmt: skip


def trials(promise: Promise) -> pd.DataFrame:
    """One row per threshold that was tried, lowest first."""

    def row(trial: Trial) -> dict[str, object]:
        threshold = "never stops" if math.isinf(trial.threshold) else f"{trial.threshold:.4g}"
        measured = {"threshold": threshold, "passes": trial.passes, "loss": trial.loss}
        return {**measured, "increase": f"{trial.increase:+.2%}", "": "← chosen" if trial == promise.chosen else ""}

    return pd.DataFrame([row(trial) for trial in promise.trials])


def _sample(found: Pondered) -> None:
    """What the model wrote, each token coloured by the passes it took."""
    if not found.sample:
        return
    most = max(token.passes for token in found.sample)
    theme = shell.theme()
    stops = sample_colorscale(
        scale(figures.colours(theme).making), [0.08 + 0.42 * n / max(1, most - 1) for n in range(most)]
    )
    shades = [str(stop) for stop in stops]

    def span(text: str, passes: int, title: str = "") -> str:
        # Light shades on white, dark ones on black: the text stays readable in its own colour.
        return f'<span title="{title}" style="background:{shades[passes - 1]};border-radius:3px">{escape(text)}</span>'

    body = "".join(
        span(token.text, token.passes, _told(token.passes, token.confidence)) for token in found.sample if token.text
    )
    legend = " ".join(span(f" {number} ", number) for number in range(1, most + 1))
    mean = sum(token.passes for token in found.sample) / len(found.sample)
    st.markdown(f"**What it wrote**, coloured by the passes of each token: {mean:.2f} on average.")
    st.html(
        f'<div style="white-space:pre-wrap;line-height:1.7"><b>{escape(found.prompt)}</b>{body}</div>'
        f'<div style="margin-top:0.5rem;font-size:0.85rem">passes: {legend}</div>'
    )


def _told(passes: int, confidence: float | None) -> str:
    return words.passes(passes) + ("" if confidence is None else f", confidence {confidence:.2f}")


def _reliability(found: Pondered) -> None:
    """How true the confidence is, with its numbers to take away."""
    assert found.calibration is not None
    calibration = found.calibration
    told = f'from lab import figures, ponder\n\nfound = ponder.read("runs/{found.run}")\n'
    told += f"figures.reliability(found.calibration, label={found.label!r}).show()"
    piece(
        "reliability",
        caption("reliability")[0],
        figures.reliability(calibration, label=f"step {found.step}", theme=shell.theme()),
        lambda: figures.table("reliability", calibration),
        told,
        f"{found.run}-step-{found.step}-reliability",
        about=found.label,
    )


def _percent(share: float) -> str:
    return f"{share:.1%}".replace(".0%", "%")
