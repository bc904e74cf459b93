"""What the Retention page shows of a model whose weights are learned and rounded: the level that each weight has."""

from pathlib import Path

import pandas as pd
import streamlit as st

from lab import figures
from lab.app import models, shell, words
from lab.app.exhibit import piece
from lab.app.scrub import Place
from lab.figures.captions import caption
from lab.jobs import Job
from lab.measure.rounding import levels, rounded

SAYS = {
    "ternary": "each of them becomes **−1, 0 or +1** (log2 3 ≈ 1.58 bits), times one size for its whole matrix",
    "sign": "of each only the **sign** is left, −1 or +1 (one bit), times one size for its whole matrix",
}


def rounding(job: Job, place: Place) -> None:
    """The share of each level in every rounded matrix of a layer, and one of the matrices in full."""
    kind = str(place.probe.config["rounding"])
    st.info(
        "**This model's weights are learned, and rounded wherever they multiply**: nothing rewrites them while it "
        f"reads, so there is no filmstrip; but {SAYS[kind]}. They are kept in full for training only. Embeddings and "
        "gains are not rounded. Notebook 07 teaches it.",
        icon=":material/grid_4x4:",
    )
    step = models.nearest(job, place.probe, "These are the weights of {}.")
    if step is None:
        return
    held = models.loaded(job.folder, step)
    every = rounded(held.model)
    own = [name for name in every if name.startswith(f"layers.{place.layer}.") or not name.startswith("layers.")]
    shares = _shares(job.folder, step, models.written(job.folder, step))
    with st.container(border=True, key="exhibit-levels"):
        st.markdown(
            f"**How many weights have which level**, in layer {place.layer} and in what all layers share. "
            "*Surprising would be:* a matrix nearly all 0, or one whose sides are far from equal."
        )
        st.dataframe(
            words.styled(
                shares.loc[shares["matrix"].isin(own)], dict.fromkeys(("−1", "0", "+1"), "{:.1%}".format)
            ),
            hide_index=True, key="levels",
        )  # fmt: skip
    if st.session_state.get("matrix") not in own:
        st.session_state.pop("matrix", None)
    name = str(st.selectbox("Matrix", own, key="matrix", bind="query-params"))
    label = f"{job.name} · step {step} · seed {place.probe.seed} · {name}"
    told = (
        "import strawberry\nfrom lab import figures\nfrom lab.measure.rounding import rounded\n\n"
        f'weight = rounded(strawberry.open_run("runs/{job.name}").model({step}))[{name!r}]\n'
        f"figures.rounded_weights(weight, rounding={kind!r}, label={label!r}).show()"
    )
    piece(
        "rounded_weights", caption("rounded_weights")[0],
        figures.rounded_weights(every[name], rounding=kind, label=label, theme=shell.theme()),
        lambda: figures.table("rounded_weights", every[name], rounding=kind), told,
        f"{job.name}-step-{step}-{name.replace('.', '-')}", about=label,
    )  # fmt: skip


@st.cache_data(max_entries=4, ttl=900, show_spinner=False)
def _shares(folder: Path, step: int, written: int) -> pd.DataFrame:
    """One line per rounded matrix: its size, and the share of its weights on each level."""
    del written
    model, signs = models.loaded(folder, step).model, {-1: "−1", 0: "0", 1: "+1"}
    return pd.DataFrame([
        {"matrix": name, "rows × columns": f"{weight.shape[0]} × {weight.shape[1]}"}
        | {signs[level]: share for level, share in levels(weight, model.config.rounding).shares.items()}
        for name, weight in rounded(model).items()
    ])  # fmt: skip
