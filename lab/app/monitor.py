"""A run as it trains: its controls, its curves, what it writes, and a first look inside."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from lab import figures, jobs, notes, recorded
from lab.app import live, pulse, shell, words
from lab.app.exhibit import piece
from lab.app.glimpse import glimpse
from lab.app.launch import free_name
from lab.app.words import literal
from lab.causality import Verdict, verdict
from lab.figures.captions import caption
from lab.jobs import Job, Status
from strawberry.config import Config
from strawberry.runs import PASTED

PAUSE = "It saves a checkpoint and keeps its memory; the next run in line begins meanwhile."
BESIDE = "It begins beside the runs that train; each then gets only its share of the processor."


def monitor(job: Job) -> None:
    """Draw the run; while it trains, the upper part redraws itself."""
    status = job.status()
    seen = pulse.seen(job)
    st.fragment(shell.guarded(_beat), run_every=pulse.interval(job))(job, seen)
    glimpse(job)
    _closer(job, status)


def _beat(job: Job, seen: pulse.Seen) -> None:
    if pulse.news(job, seen):
        st.rerun()
    status = job.status()
    record = live.record(job.folder)
    with st.container(key="controls"):
        _controls(job, status)
    shell.complain()
    done = status.step / status.steps if status.steps else 0.0
    st.progress(min(done, 1.0), words.progress(status))
    if status.state == "failed":
        _failed(job, status)
    elif status.state == "waiting":
        st.info(status.sentence, icon=":material/schedule:")
    elif status.sentence:
        st.caption(status.sentence)
    if not record.steps:
        _waiting(status)
        return
    for warning in record.warnings:
        if warning.alarm:
            st.error(f"At step {warning.step:,}, {warning.message}.", icon=":material/crisis_alert:")
    _numbers(record, status)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        steps, losses = record.curve()
        bytes_per_token = record.started.bytes_per_token if record.started else None
        drawn = steps.tolist(), losses.tolist()
        more: dict[str, Any] = {
            "validation": record.validation, "bytes_per_token": bytes_per_token, "accuracy": record.accuracy,
            "floor": record.floor,
        }  # fmt: skip
        figure = figures.loss_curve(*drawn, **more, theme=shell.theme())
        # The curve was thinned for the screen: the figure counts its points, the person counts steps.
        about = re.sub(r"^[\d,]+ steps", f"{status.step:,} steps", figure.layout.title.subtitle.text or "")  # type: ignore[union-attr]
        figure.update_layout(title_subtitle_text=about)
        # Fitting margins to labels is a third of what drawing it takes, time and again while the model trains.
        figure.update_xaxes(automargin=False)
        figure.update_yaxes(automargin=False)
        figure.update_layout(margin={"l": 56, "r": 64, "b": 96})
        told = f'import strawberry\nfrom lab import figures\n\nrun = strawberry.open_run("runs/{job.name}")\n'
        piece(
            "loss", caption("loss_curve")[0], figure, lambda: figures.table("loss_curve", *drawn, **more),
            f"{told}figures.loss_curve_of(run.events()).show()", f"{job.name}-loss",
            about=_about(job, f"step {status.step}"),
        )  # fmt: skip
    with right:
        _samples(job, record, status)


def _controls(job: Job, status: Status) -> None:
    """Title and three buttons whose places never change, so that none slips under a finger about to press another."""
    title, *slots = st.columns([5, 2, 2, 2], vertical_alignment="bottom")
    title.subheader(job.name, anchor=False)
    if not job.steerable or status.state == "finished":
        return
    for number, (slot, button) in enumerate(zip(slots, _buttons(job, status), strict=True)):
        slot.button(
            button.label,
            icon=f":material/{button.icon}:",
            key=f"control-{number}",
            on_click=shell.attempt,
            args=(button.action,),
            disabled=not button.on,
            help=button.help,
            type="primary" if button.label == "Resume" and status.cause != "diverged" else "secondary",
            width="stretch",
        )


@dataclass(frozen=True)
class Button:
    """One of the buttons that steer a run."""

    label: str
    icon: str
    action: Callable[[], Any]
    on: bool
    help: str | None = None


def _buttons(job: Job, status: Status) -> tuple[Button, Button, Button]:
    """What can be done with a run in this state."""
    step = Button("One step", "skip_next", job.step, status.state == "paused")
    stop = Button("Stop", "stop", job.stop, status.live)
    if status.state == "waiting":
        return (
            Button("Start now", "play_arrow", lambda: job.resume(beside=True), True, BESIDE),
            Button("To the front", "vertical_align_top", job.first, status.place > 1, "It is the next then."),
            Button("Leave the line", "close", job.leave, True, "It can be resumed later, and is then the last."),
        )
    if status.place:
        return (
            Button("Stay paused", "pause", job.leave, True, "It then waits for Resume, not for its turn."),
            step,
            stop,
        )
    if status.state in ("paused", "stopped", "failed"):
        again = "It goes on at once, or as soon as no other run trains."
        return Button("Resume", "play_arrow", job.resume, True, again), step, stop
    return Button("Pause", "pause", job.pause, status.state == "training", PAUSE), step, stop


def _failed(job: Job, status: Status) -> None:
    """What happened, what to do, and the end of the log."""
    said = "  \n".join(filter(None, (f"**{literal(status.sentence)}**", literal(status.advice))))
    st.error(said, icon=":material/error:")
    rate = (job.request.get("config") or {}).get("learning_rate", 0.0) if status.cause == "diverged" else 0.0
    if rate and st.button(
        f"Start anew with learning rate {rate / 2:.2g}", icon=":material/replay:", key="anew", type="primary"
    ):
        shell.attempt(lambda: _anew(job))
        st.rerun()
    if log := job.log(20):
        with st.expander("The end of its log"):
            st.code(log, language=None, height=240)


def _anew(job: Job) -> None:
    """The same run from its beginning, at half the learning rate."""
    asked = job.request
    config = Config.from_dict(asked["config"])
    pasted = (job.folder / PASTED).read_text(encoding="utf-8") if asked["data"] == PASTED else None
    lower = config.replace(learning_rate=config.learning_rate / 2)
    name = free_name(job.name[:56])
    begun = jobs.start(
        job.folder.parent, name, lower, asked["data"], asked["steps"], text=asked.get("text", ""), pasted=pasted
    )
    shell.choose(begun.name)


def _waiting(status: Status) -> None:
    if status.live:
        st.info(
            "The first loss comes in a few seconds: Python is loading torch, then the text is cut into tokens.",
            icon=":material/hourglass_top:",
        )


def _numbers(record: live.Record, status: Status) -> None:
    newest = record.steps[-1]
    with st.container(key="numbers", horizontal=True, gap="medium"):
        _number("Training loss", f"{newest.loss:.3f}", "Nats per token on the newest batch; lower is better.")
        _number(*_validated(record))
        _number("Tokens per second", words.count(status.tokens_per_s or newest.tokens_per_s))
        _number("Learning rate", f"{newest.lr:.2g}", "It warms up, stays, then cools down.")
        _number("Gradient norm", f"{newest.grad_norm:.2g}", "Before clipping; jumps mean trouble.")
        if newest.passes is not None:
            last = [step.passes for step in record.steps[-20:] if step.passes is not None]
            told = (
                "How often the layers were run, on average over the last steps; training decides that anew each time."
            )
            _number("Passes", f"{sum(last) / len(last):.1f}", told)


def _validated(record: live.Record) -> tuple[str, str, str]:
    """What validation found, in the measure that this data is judged by: label, value, help."""
    metric = record.started.metric if record.started else "bits_per_byte"
    what = "text that is not trained on" if metric == "bits_per_byte" else "rows that are kept for validation"
    labels = {"accuracy": "Validation, right", "loss": "Validation, above floor"}
    label = labels.get(metric, "Validation, bits/byte")
    if not record.evaluated:
        return label, "–", f"It is measured now and then, on {what}."
    last = record.evaluated[-1]
    told = f"On {what}, at step {last.step:,}: {last.loss:.3f} nats per token."
    if metric == "accuracy" and last.accuracy is not None:
        return label, f"{last.accuracy:.1%}", told
    if last.floor is not None:
        return label, f"{last.loss - last.floor:+.4f}", f"{told} The source itself has {last.floor:.3f}."
    return label, "–" if last.bits_per_byte is None else f"{last.bits_per_byte:.3f}", told


def _number(label: str, value: str, help: str | None = None) -> None:
    st.metric(label, value, help=help, width=170)


def _samples(job: Job, record: live.Record, status: Status) -> None:
    st.markdown("**What it writes**")
    if not record.samples:
        st.caption(_no_sample(notes.read(job.folder / "plan.json"), status))
        return
    with st.container(height=340 if len(record.samples) > 2 else "content", border=False):
        for sample in reversed(record.samples):
            st.caption(f"step {sample.step:,}")
            st.text(f"{sample.prompt}{sample.text}")


def _no_sample(plan: dict[str, Any], status: Status) -> str:
    """Why there is no sample, and whether one comes."""
    every = plan.get("sample_every")
    comes = f"One comes every {every:,} steps." if every else ""
    if plan and not every:
        return "This run was told to write no samples; its checkpoints write on the Generate page."
    if status.live and status.state != "paused":
        return comes or "A sample appears here now and then."
    write = "Its checkpoints write on the Generate page." if status.state == "finished" else ""
    return " ".join(filter(None, (f"It had written no sample by step {status.step:,}.", comes, write)))


def _leaks(job: Job) -> None:
    """The leak meter's finding for a model of this kind, as a sentence and as a map."""
    described = job.config
    if not described:
        st.caption("The run has no configuration yet.")
        return
    with st.spinner("Changing later tokens and other rows, to see what moves…"):
        found = _verdict(json.dumps(described, sort_keys=True))
    st.markdown(found.sentence)
    st.caption("Measured on a small model of the same kind. The Leaks page says more.")
    told = "import strawberry\nfrom lab import figures\nfrom lab.causality import verdict\n\n"
    told += f'found = verdict(strawberry.open_run("runs/{job.name}").config)\nfigures.leak_map(found).show()'
    piece(
        "leaks", caption("leak_map")[0], figures.leak_map(found, theme=shell.theme()),
        lambda: figures.table("leak_map", found), told, f"{job.name}-leaks", about=_about(job, found.name),
    )  # fmt: skip


def _about(job: Job, what: str) -> str:
    """Which run and seed a picture shows, and what of it."""
    return f"{job.name} · {what} · seed {job.config.get('seed', '?')}"


@st.cache_data(max_entries=16, ttl=3600, show_spinner=False)
def _verdict(described: str) -> Verdict:
    return verdict(Config.from_dict(json.loads(described)))


def _closer(job: Job, status: Status) -> None:
    """What one may want to know besides: the other curves, the configuration, the log."""
    record = live.record(job.folder)
    drawer = st.expander("Learning rate, gradient norm and speed", key="curves", on_change="rerun")
    if drawer.open and record.steps:
        with drawer:
            shown = [("lr", "Learning rate"), ("grad_norm", "Gradient norm"), ("tokens_per_s", "Tokens/s")]
            if all(step.passes is not None for step in record.steps):
                shown.append(("passes", "Passes"))
            for name, title in shown:
                steps, values = record.series(name)
                st.line_chart({"step": steps, title: values}, x="step", y=title, height=200, color="#1f6fb2")
    drawer = st.expander("Does it read the future?", key="leaks", on_change="rerun")
    if drawer.open:
        with drawer:
            _leaks(job)
    drawer = st.expander("Configuration and log", key="about", on_change="rerun")
    if drawer.open:
        with drawer:
            if record.started:
                st.caption(f"{record.started.parameters:,} parameters, trained on {record.started.data}")
            for warning in record.warnings:
                st.warning(warning.message)
            saved = recorded.checkpoints(job.folder)
            st.caption(f"Folder: {job.folder} · checkpoints: {', '.join(map(str, saved)) or 'none yet'}")
            st.json(job.request.get("config") or {}, expanded=False)
            if log := job.log():
                st.code(log, language=None, height=240)
            else:
                st.caption("The worker's log is empty, as it should be.")
            if status.live and status.state != "paused":
                ask = "End a worker that no longer listens. What came after its last checkpoint is lost."
                st.button("End it now", key="kill", on_click=job.kill, help=ask, type="tertiary")
