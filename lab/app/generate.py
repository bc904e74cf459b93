"""Generate: a run's model writes, token by token, and says how sure it was of each."""

from typing import Any

import pandas as pd
import streamlit as st

from lab import figures, jobs, notes, recorded
from lab.app import sampling, shell
from lab.app.exhibit import listed as as_csv
from lab.app.exhibit import piece
from lab.app.lesson import lesson
from lab.app.paper import paper
from lab.figures.captions import caption
from lab.jobs import Job
from lab.writing import Wish, Writing
from strawberry.sharing import runs

ABOUT = (
    "The model guesses the next token, one of its guesses is drawn by lot, and so on: that is all of its writing. "
    "**Coloured tokens surprised the model itself**; point at one to see what else it could have been."
)
BEAT = 0.4  # seconds between two looks at a text that is being written
SHOWN = "writing"  # where a person's text is kept


def page() -> None:
    """The prompt and its settings, the text as it comes, and what the model carries along."""
    st.title("Generate", anchor=False)
    st.markdown(ABOUT)
    lesson("01_first_bite")
    job = shell.chosen()
    if job is None:
        _no_run()
        return
    saved = recorded.checkpoints(job.folder)
    if not saved:
        _no_checkpoint(job)
        return
    shell.complain()
    held: Writing | None = st.session_state.get(SHOWN)
    if held is not None and held.folder != job.folder:
        held.stop()
        held = st.session_state[SHOWN] = None
    wish = sampling.form(job, saved)
    live = held is not None and held.live
    with st.container(horizontal=True, gap="small", key="write-controls"):
        if st.button("Write", icon=":material/edit:", type="primary", key="write", disabled=live):
            shell.attempt(lambda: _begin(job, wish))
            st.rerun()
        if st.button("Stop", icon=":material/stop:", key="stop-writing", disabled=not live) and held is not None:
            held.stop()
            held.join(2.0)
            st.rerun()
    if held is None:
        with st.container(border=True, key="empty"):
            st.markdown("**Press Write.** The text appears here, token by token, with the odds of each.")
        return
    st.fragment(shell.guarded(_beat), run_every=BEAT if live else None)(held, live, job)


def _begin(job: Job, wish: Wish) -> None:
    before: Writing | None = st.session_state.get(SHOWN)
    if before is not None:
        before.stop()
    st.session_state[SHOWN] = Writing(job.folder, wish).start()


def _beat(held: Writing, was_live: bool, job: Job) -> None:
    """The text so far; the whole page is drawn again once it is finished."""
    held.look()
    if was_live and not held.live:
        st.rerun()
    if held.state == "failed":
        st.error(f"{held.sentence[:1].upper()}{held.sentence[1:]}.", icon=":material/error:")
        if not held.tokens:
            return
    colours = ["probability", *(["passes", "confidence"] if held.wish.exit else [])]
    colour = "probability"
    if len(colours) > 1:
        if st.session_state.get("colour") not in colours:
            st.session_state.pop("colour", None)
        colour = str(st.segmented_control("Colour", colours, default="probability", key="colour", required=True))
    paper(held, colour)
    _told(held)
    if len(held.tokens) > 1:
        _growth(held, job)
    if not held.live and held.tokens:
        drawer = st.expander(
            "The text in numbers, and downloads", key="numbers-writing", on_change="rerun", type="compact"
        )
        if drawer.open:
            with drawer:
                _take_away(held, job)


def _told(held: Writing) -> None:
    """How it went, in a line."""
    tokens = list(held.tokens)
    parts = [f"{len(tokens)} token{'s' * (len(tokens) != 1)}"]
    if tokens:
        mean = sum(token.probability for token in tokens) / len(tokens)
        first = sum(token.rank == 1 for token in tokens)
        parts += [f"mean probability {mean:.1%}", f"{first} were the likeliest"]
        depths = [token.passes for token in tokens if token.passes is not None]
        if depths:
            parts.append(f"{sum(depths) / len(depths):.2f} passes a token")
        if held.seconds > 0.2:
            parts.append(f"{len(tokens) / held.seconds:.0f} tokens/s")
    states = {"done": "gray", "stopped": "gray", "failed": "red"}
    sentence = f" — {held.sentence}" if held.sentence and held.state != "failed" else ""
    st.caption(f":{states.get(held.state, 'green')}[●] {held.state} · {' · '.join(parts)}{sentence}")


def _growth(held: Writing, job: Job) -> None:
    """The size of the state after each token, as a small line."""
    config = sampling.config_of(job)
    tokens = [held.prompt_tokens + number for number in range(len(held.tokens))]
    cache = 0
    if config is not None and config.causal:
        cache = 2 * config.d_kv * sum(runs(config, layer) for layer in range(config.n_layers))
    label = "at most, for all passes" if held.wish.exit or (config and config.recursion != "all") else ""
    sizes, more = [token.state for token in held.tokens], {"prompt": held.prompt_tokens, "cache": cache, "label": label}
    piece(
        "state", caption("state_growth")[0], figures.state_growth(tokens, sizes, **more, theme=shell.theme()),
        lambda: figures.table("state_growth", tokens, sizes, **more), _redraw(tokens, sizes, more),
        f"{job.name}-step-{held.wish.step}-seed-{held.wish.seed}-state",
        about=f"{job.name} · step {held.wish.step} · seed {held.wish.seed}",
    )  # fmt: skip


def _redraw(tokens: list[int], sizes: list[int], more: dict[str, Any]) -> str:
    """Python that draws the sizes of the state again."""
    options = "".join(f", {name}={value!r}" for name, value in more.items())
    return f"from lab import figures\n\nfigures.state_growth({tokens}, {sizes}{options}).show()"


def _take_away(held: Writing, job: Job) -> None:
    table = numbers(held)
    st.dataframe(table, height=min(360, 38 + 35 * len(table)), hide_index=True, key="table-writing")
    st.caption("The code that writes it again:")
    st.code(snippet(held, job.name), language="python")
    stem = f"{job.name}-step-{held.wish.step}-seed-{held.wish.seed}"
    with st.container(horizontal=True):
        text = held.wish.prompt + "".join(token.text for token in held.tokens)
        icon, kind = ":material/download:", "tertiary"
        st.download_button(
            "Text", text, f"{stem}.txt", "text/plain", key="text", icon=icon, on_click="ignore", type=kind
        )
        st.download_button(
            "Numbers (CSV)", as_csv(table, stem, snippet(held, job.name)), f"{stem}.csv", "text/csv", key="csv",
            icon=icon, on_click="ignore", type=kind,
        )  # fmt: skip


def numbers(held: Writing) -> pd.DataFrame:
    """One line per token: its label, probability, rank, what else was likely, and the state it was drawn from."""
    lines = []
    for number, token in enumerate(held.tokens, 1):
        others = "  ".join(f"{piece} {chance:.1%}" for piece, chance in token.likeliest if piece != token.piece)
        line: dict[str, Any] = {"number": number, "token": token.piece, "probability": token.probability}
        line |= {"rank": token.rank, "instead": others}
        if token.passes is not None:
            line |= {"passes": token.passes, "confidence": token.confidence}
        if token.experts:
            chosen = (f"{layer} {kind} {' '.join(map(str, experts))}" for layer, kind, experts in token.experts)
            line["experts"] = " · ".join(chosen)
        lines.append({**line, "state": token.state})
    return pd.DataFrame(lines)


def snippet(held: Writing, name: str) -> str:
    """Python that writes the same text again."""
    wish = held.wish
    chosen = {key: value for key, value in vars(wish).items() if key not in ("step", "prompt")}
    if not wish.exit:
        chosen = {key: value for key, value in chosen.items() if key not in ("exit", "threshold", "max_loops")}
    options = ", ".join(f"{key}={value!r}" for key, value in chosen.items())
    return (
        f'import strawberry\n\nrun = strawberry.open_run("runs/{name}")\n'
        f"for token in strawberry.generate(run.model({wish.step}), run.tokenizer, {wish.prompt!r}, {options}):\n"
        "    print(token, end='')"
    )


def _no_run() -> None:
    with st.container(border=True, key="empty"):
        st.markdown("**No run is chosen, and a text needs a model.** Choose a run, or start one on the Train page.")
        shell.link("train", "Go to Train", ":material/play_circle:")
        for job in jobs.every(jobs.runs_folder())[:5]:
            st.button(f"Write with {job.name}", key=f"look-{job.name}", on_click=shell.choose, args=(job.name,))


def _no_checkpoint(job: Job) -> None:
    """Why there is no model to write with, and how to get one."""
    status = job.status()
    with st.container(border=True, key="empty"):
        st.markdown("**This run has not saved a checkpoint yet**, and only a saved model can write.")
        if status.live and job.steerable:
            every = notes.read(job.folder / "plan.json").get("checkpoint_every")
            comes = f"One comes every {every:,} steps; it is at step {status.step:,}. " if every else ""
            st.markdown(f"{comes}To have one at once, **press Pause on the Train page**: pausing saves.")
        elif status.place:
            st.markdown(f"It waits for its turn: {status.sentence}")
        elif status.live:
            st.markdown("It is training outside of the dashboard, and saves when its command says so.")
        else:
            st.markdown("It ended before it could save one. Resume it on the Train page, or choose another run.")
        shell.link("train", "Go to Train", ":material/play_circle:")
    if status.live:
        st.fragment(_await, run_every=2.0)(job)


def _await(job: Job) -> None:
    """Nothing to see; draws the page again once there is a checkpoint."""
    if recorded.checkpoints(job.folder):
        st.rerun()
