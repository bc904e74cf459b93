"""How deep each token goes: the pass at which it stops, by a router's choice or by a confidence that is high enough."""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lab.figures import tokens as naming
from lab.figures.lens import trained_passes
from lab.figures.theme import FigureError, colorbar, colours, finish, scale
from lab.measure.depth import correlation, exits, given_away
from lab.probe import Probe


@dataclass(frozen=True)
class Depths:
    """Of T tokens: ``depth`` (T,) passes taken, ``reached`` (T,) whether they were confident enough in the end, and
    ``sure`` (P, T), how sure the model was after each of P passes, which ``word`` names."""

    depth: np.ndarray
    reached: np.ndarray
    sure: np.ndarray
    word: str
    threshold: float | None

    @property
    def at_exit(self) -> np.ndarray:
        """(T,) how sure it was where it stopped."""
        return np.take_along_axis(self.sure, self.depth[None] - 1, axis=0)[0]


def has_depths(probe: Probe) -> bool:
    """Whether anything in this model decides how deep a token goes."""
    return probe.depth is not None or probe.confidence is not None


def depths_of(probe: Probe, threshold: float | None = None) -> Depths:
    """Where tokens stop: the router's choice, or the first trained pass whose confidence reaches ``threshold``.

    Of a head that learns an exit distribution, confidence is the chance to have stopped by then. Without a threshold
    it is the median confidence of the first pass, so that half of the tokens go on.
    """
    if probe.depth is not None:
        depth = probe.depth
        return Depths(depth, np.ones(len(depth), dtype=bool), probe.lens("top_probability"), "probability", None)
    if probe.confidence is None:
        raise FigureError("nothing in this model decides about depth: it has no router over passes and no halting head")
    sure, word = probe.confidence[: trained_passes(probe)], "confidence"
    if probe.config.get("halting") == "distribution":
        sure, word = given_away(sure), "chance to have stopped"
    if threshold is None:
        threshold = round(float(np.median(sure[0])), 2)
    return Depths(*exits(sure, threshold), sure, word, threshold)


def exit_depth(probe: Probe, *, threshold: float | None = None, theme: str = "light") -> go.Figure:
    """One column per token, as high as the passes it takes; colour says how sure the model was after each of them.

    In a mixture of recursions the router decides. With a halting head a token stops at the first trained pass whose
    confidence reaches `threshold` (the median of the first pass by default), which is computed with all tokens at full
    depth; really stopping, deeper passes read final states of tokens that stopped.
    """
    c = colours(theme)
    found = depths_of(probe, threshold)
    passes, length = found.sure.shape
    taken = np.arange(1, passes + 1)[:, None] <= found.depth
    routed = probe.depth is not None
    fate = [
        f"{depth}" + ("" if routed or enough else ", never sure enough")
        for depth, enough in zip(found.depth.tolist(), found.reached.tolist(), strict=True)
    ]
    figure = go.Figure()
    figure.add_heatmap(
        z=np.where(taken, found.sure, np.nan).astype(np.float32),
        x0=0,
        dx=1,
        y0=1,
        dy=1,
        coloraxis="coloraxis",
        ygap=1,
        hoverongaps=False,
        hovertext=[naming.names(probe.pieces)] * passes,
        customdata=[fate] * passes,
        hovertemplate=f"token <b>%{{hovertext}}</b><br>{found.word} after pass %{{y}}: %{{z:.3f}}<br>"
        "passes taken: %{customdata}<extra></extra>",
    )
    edges = np.repeat(np.arange(length + 1) - 0.5, 2)[1:-1]
    figure.add_scatter(
        x=edges.astype(np.float32),
        y=(np.repeat(found.depth, 2) + 0.5).astype(np.float32),
        mode="lines",
        line={"color": c.text, "width": 1 if length > 128 else 1.5},
        showlegend=False,
        hoverinfo="skip",
    )
    ticks = naming.ticks(probe.pieces, most=64)
    figure.update_xaxes(**{**ticks, "type": "linear"}, tickangle=-90, range=[-0.5, length - 0.5], showgrid=False)
    figure.update_yaxes(tickvals=list(range(1, passes + 1)), range=[0.4, passes + 0.7], title_text="passes")
    figure.update_layout(
        coloraxis={
            # Not from the page's background: a pass that was taken must show, however unsure.
            "colorscale": scale((c.grid, *c.routing[2:])),
            "cmin": 0,
            "cmax": 1,
            "colorbar": colorbar(theme, found.word),
        }
    )
    title = "How deep the router sent each token" if routed else f"Where tokens stop at {found.word} {found.threshold}"
    return finish(
        figure,
        theme,
        title=title,
        about=f"{probe.label} · {summary(probe, found)}",
        name="exit_depth",
        height=200 + 34 * max(3, passes),
    )


def summary(probe: Probe, found: Depths) -> str:
    """Mean passes, who never was sure enough, and whether tokens that are hard to predict go deeper."""
    passes = len(found.sure)
    told = [f"mean {found.depth.mean():.2f} of {passes} passes"]
    if probe.depth is None:
        told.append(f"{1 - found.reached.mean():.0%} never sure enough")
    r = correlation(found.depth, probe.lens("loss")[trained_passes(probe) - 1])
    if not np.isnan(r):
        told.append(f"depth and loss correlate with r = {r:+.2f}")
    if probe.depth is None:
        told.append("as if all went to full depth")
    return " · ".join(told)
