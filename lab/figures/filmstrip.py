"""The filmstrip: a block's two weight matrices as pictures, frame by frame, as the update rule rewrites them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lab.figures.theme import FigureError, colorbar, colours, finish, scale, subplots
from lab.probe import Probe

CELL = "row %{y:.0f} · column %{x:.0f}<br>%{z:.4f}"


def even(numbers: np.ndarray) -> np.ndarray:
    """Row or column numbers of a grid as places exactly evenly apart, each less than half from its number.

    A browser draws even cells as one small picture, and others one by one; :data:`CELL` rounds them to their numbers.
    """
    return np.linspace(numbers[0], numbers[-1], len(numbers), dtype=np.float32)


def frame_names(frames: int) -> list[tuple[str, str]]:
    """(wC's, wT's) name of every frame: the base and the generated weights, then those of each pass."""
    return [("base", "generated"), *((f"pass {r}", f"pass {r}") for r in range(1, frames))]


def readers(probe: Probe, chunk: int) -> str:
    """Who reads with the weights of a chunk: "for tokens 192–255", "for all tokens", or one token of its own."""
    if probe.chunk is None:
        return "for all tokens"
    first = chunk % probe.chunks * probe.chunk
    last = min(first + probe.chunk, probe.tokens) - 1
    if probe.config["pooling"] in ("linear", "delta") or first == last:
        return f"for token {last}"
    return f"for tokens {first}–{last}"


def panel_title(symbol: str, name: str, size: float, frames: int) -> str:
    """ "wC · pass 1, RMS 1.2", or on two short lines where there are many panels."""
    shown = f"{size:.0f}" if 10 <= size < 1000 else f"{size:.2g}".replace("e+0", "e").replace("e+", "e")
    if frames <= 4:
        return f"{symbol} · {name}, RMS {shown}"
    return f"{symbol} {name.removeprefix('pass ')}<br>{shown}"


def filmstrip(
    probe: Probe,
    *,
    layer: int = 0,
    projection: str = "qkv",
    chunk: int = -1,
    frame: int | None = None,
    ranges: str = "own",
    theme: str = "light",
) -> go.Figure:
    """wC above wT, one column per frame, entries of the matrices themselves, coloured on one range around 0.

    ranges="own" divides each panel by its RMS (named in its title), as the update rule does, so that the pattern of
    small weights shows; "shared" does not. `chunk` must be one of `probe.kept_chunks`; `frame` is outlined.
    """
    sides = [
        [probe.picture(layer, projection, r, which=which, chunk=chunk) for r in range(probe.frames)]
        for which in ("current", "transformed")
    ]
    sizes = [probe.measure("rms", layer, projection, which=which)[:, chunk] for which in ("current", "transformed")]
    rows, columns = probe.picture_grid(projection)
    shape = "×".join(str(size) for size in probe.shape(projection))
    shown = "every entry" if len(rows) * len(columns) == np.prod(probe.shape(projection)) else "a grid of its entries"
    return _draw(
        sides,
        sizes,
        rows,
        columns,
        _row_blocks(projection, probe.shape(projection)[0]),
        frame,
        ranges,
        theme,
        f"Layer {layer % probe.layers} · {projection} · wC and wT over the passes",
        f"{probe.label} · {readers(probe, chunk)} · {shape}, {shown}",
    )


def filmstrip_from(
    current: Sequence[Any],
    transformed: Sequence[Any],
    *,
    title: str = "",
    ranges: str = "own",
    theme: str = "light",
) -> go.Figure:
    """The same from two lists of 2-D arrays or tensors, one per frame; shows every entry."""
    sides = [[np.asarray(frame, dtype=np.float32) for frame in frames] for frames in (current, transformed)]
    shapes = {frame.shape for frames in sides for frame in frames}
    if len(sides[0]) != len(sides[1]) or len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise FigureError("a filmstrip needs two equally long lists of matrices of one shape")
    height, width = next(iter(shapes))
    sizes = [[float(np.sqrt(np.square(frame).mean())) for frame in frames] for frames in sides]
    about = f"{height}×{width}, every entry"
    title = title or "wC and wT over the passes"
    return _draw(sides, sizes, np.arange(height), np.arange(width), [], None, ranges, theme, title, about)


def _draw(
    sides: Sequence[Sequence[np.ndarray]],
    sizes: Sequence[Sequence[float] | np.ndarray],
    rows: np.ndarray,
    columns: np.ndarray,
    blocks: list[tuple[str, int, int]],
    frame: int | None,
    ranges: str,
    theme: str,
    title: str,
    about: str,
) -> go.Figure:
    if ranges not in ("shared", "own"):
        raise FigureError(f"ranges must be shared or own; got {ranges!r}")
    c = colours(theme)
    frames = len(sides[0])
    names = frame_names(frames)
    titles = [
        panel_title(symbol, names[r][side], sizes[side][r], frames)
        for side, symbol in enumerate(("wC", "wT"))
        for r in range(frames)
    ]
    if ranges == "own":
        sides = [
            [picture / (size or 1.0) for picture, size in zip(*pair, strict=True)]
            for pair in zip(sides, sizes, strict=True)
        ]
    figure = subplots(
        2,
        frames,
        titles,
        fonts=[
            {"size": 13 if frames <= 4 else 11, "color": c.wc if name.startswith("wC") else c.wt} for name in titles
        ],
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=min(0.02, 0.2 / frames),
        vertical_spacing=0.09 if frames <= 4 else 0.13,
    )
    traces = []
    for side, (symbol, pictures) in enumerate(zip(("wC", "wT"), sides, strict=True)):
        for r, picture in enumerate(pictures):
            unit = "" if ranges == "shared" else f" × RMS {sizes[side][r]:.4g}"
            name = f"{symbol} · {names[r][side]}"
            hover = f"<b>{name}</b><br>{CELL}{unit}<extra></extra>"
            trace = go.Heatmap(
                z=picture.astype(np.float32),
                x=even(columns),
                y=even(rows),
                coloraxis="coloraxis",
                hovertemplate=hover,
            )
            traces.append(trace)
    places = [(row, col) for row in (1, 2) for col in range(1, frames + 1)]
    figure.add_traces(traces, rows=[row for row, _ in places], cols=[col for _, col in places])
    # Its few labels have a width that is known: to have it measured takes half as long as to draw the pictures.
    figure.update_xaxes(showticklabels=False, showgrid=False, constrain="domain", automargin=False)
    middles = [(first + last) / 2 for _, first, last in blocks]
    named = {"tickvals": middles, "ticktext": [name for name, _, _ in blocks], "tickangle": 0} if blocks else {}
    figure.update_yaxes(showgrid=False, autorange="reversed", constrain="domain", automargin=False, **named)
    figure.update_xaxes(title_text="column (input)", row=2, col=1)
    panels = [str(number) if number > 1 else "" for number in range(1, 2 * frames + 1)]
    shapes: list[dict[str, Any]] = [
        {
            "type": "line", "xref": f"x{panel} domain", "yref": f"y{panel}", "x0": 0, "x1": 1, "y0": first - 0.5,
            "y1": first - 0.5, "line": {"color": c.muted, "width": 0.7, "dash": "dot"},
        }
        for _, first, _ in blocks[1:] for panel in panels
    ]  # fmt: skip
    if not blocks:
        figure.update_yaxes(title_text="row (output)", col=1)
    largest = float(np.quantile(np.abs(np.concatenate([np.ravel(p) for side in sides for p in side])), 0.995)) or 1.0
    figure.update_layout(
        coloraxis={
            "colorscale": scale(c.diverging),
            "cmin": -largest,
            "cmax": largest,
            "colorbar": colorbar(theme, "weight" if ranges == "shared" else "weight / RMS of its panel"),
        }
    )
    if frame is not None:
        shapes += [
            {
                "type": "rect", "xref": f"x{panel} domain", "yref": f"y{panel} domain", "x0": 0, "x1": 1, "y0": 0,
                "y1": 1, "line": {"color": c.text, "width": 2.5},
            }
            for panel in (panels[frame % frames], panels[frames + frame % frames])
        ]  # fmt: skip
    # All at once: plotly works through every shape there is each time that one is added.
    figure.update_layout(shapes=shapes)
    finish(figure, theme, title=title, about=about, name="filmstrip", height=560)
    return figure.update_layout(margin={"l": 30 if blocks else 64, "b": 34})


def _row_blocks(projection: str, rows: int) -> list[tuple[str, int, int]]:
    if projection != "qkv":
        return []
    third = rows // 3
    return [(name, i * third, (i + 1) * third - 1) for i, name in enumerate("qkv")]
