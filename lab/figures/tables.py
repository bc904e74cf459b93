"""Every figure's numbers as a table: the text alternative, and what "save as CSV" saves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lab.causality import Verdict
from lab.figures import effect_tables, run_tables
from lab.figures import tokens as naming
from lab.figures.depth import depths_of
from lab.figures.filmstrip import frame_names
from lab.figures.leaks import ROWS
from lab.figures.lens import averages, trained_passes, values_of
from lab.figures.rounding import levels_of
from lab.figures.share import PANELS, rows_of
from lab.figures.theme import FigureError
from lab.measure import experts, maps
from lab.measure.calibration import Calibration
from lab.probe import MEASURES, Probe


def table(name: str, *args: Any, **selectors: Any) -> pd.DataFrame:
    """The numbers of the figure `name`, chosen by the same arguments; those of looks alone are ignored."""
    if name not in TABLES:
        raise FigureError(f"there is no table {name!r}; the tables are {', '.join(TABLES)}")
    chosen = {key: value for key, value in selectors.items() if key not in ("theme", "ranges")}
    made = TABLES[name](*args, **chosen)
    # What the lines are about is a column too, so that it is not lost where an index is not shown.
    return made.reset_index() if made.index.name else made


def filmstrip(
    probe: Probe, *, layer: int = 0, projection: str = "qkv", chunk: int = -1, frame: int | None = None
) -> pd.DataFrame:
    """One line per shown entry: matrix, frame, row, column, weight."""
    rows, columns = probe.picture_grid(projection)
    parts = []
    for place, (symbol, which) in enumerate((("wC", "current"), ("wT", "transformed"))):
        for r, names in enumerate(frame_names(probe.frames)):
            picture = probe.picture(layer, projection, r, which=which, chunk=chunk)
            entries = {
                "matrix": symbol,
                "frame": names[place],
                "row": np.repeat(rows, len(columns)),
                "column": np.tile(columns, len(rows)),
                "weight": picture.ravel(),
            }
            parts.append(pd.DataFrame(entries))
    return pd.concat(parts, ignore_index=True)


def weight_change(
    probe: Probe, *, layer: int = 0, chunk: int = -1, which: str = "current", frame: int | None = None
) -> pd.DataFrame:
    """One line per projection and frame, one column per measure."""
    side = 0 if which == "current" else 1
    lines = []
    for projection in probe.projections:
        values = {name: probe.measure(name, layer, projection, which=which)[:, chunk] for name in MEASURES}
        for r, names in enumerate(frame_names(probe.frames)):
            measured = {name: float(value[r]) for name, value in values.items()}
            lines.append({"projection": projection, "frame": names[side], **measured})
    return pd.DataFrame(lines)


def spectrum(
    probe: Probe,
    *,
    layer: int = 0,
    projection: str = "qkv",
    which: str = "current",
    chunk: int = -1,
    frame: int | None = None,
) -> pd.DataFrame:
    """One line per singular value, largest first, one column per frame."""
    values = probe.spectrum(layer, projection, which=which, chunk=chunk)
    names = [pair[0 if which == "current" else 1] for pair in frame_names(probe.frames)]
    return pd.DataFrame(values.T, columns=names, index=pd.RangeIndex(1, values.shape[1] + 1, name="number"))


def input_share(probe: Probe, *, layer: int | None = 0, projection: str = "qkv") -> pd.DataFrame:
    """One line per chunk (or layer), two columns per frame: away from the prior, apart from one another."""
    labels, measured = rows_of(probe, layer, projection)
    names = [wc for wc, _ in frame_names(probe.frames)]
    columns = {
        f"{name}, {PANELS[panel]}": values[:, r] for panel, values in measured.items() for r, name in enumerate(names)
    }
    return pd.DataFrame(columns, index=pd.Index(labels, name="weights of"))


def weight_difference(
    probe: Probe,
    other: Probe,
    *,
    layer: int = 0,
    projection: str = "qkv",
    frame: int = -1,
    other_frame: int = 0,
    chunk: int = -1,
    which: str = "current",
) -> pd.DataFrame:
    """One line per shown entry: row, column, first, second, difference."""
    rows, columns = probe.picture_grid(projection)
    first = probe.picture(layer, projection, frame, which=which, chunk=chunk).ravel()
    second = other.picture(layer, projection, other_frame, which=which, chunk=chunk).ravel()
    place = {"row": np.repeat(rows, len(columns)), "column": np.tile(columns, len(rows))}
    return pd.DataFrame({**place, "first": first, "second": second, "difference": first - second})


def loss_curve(
    steps: Any,
    losses: Any,
    *,
    validation: tuple[Any, Any] | None = None,
    bytes_per_token: float | None = None,
    accuracy: tuple[Any, Any] | None = None,
    floor: float | None = None,
    title: str = "",
) -> pd.DataFrame:
    """One line per step: training and validation loss in nats per token, in bits per byte, accuracy, where known."""
    trained = pd.Series(losses, index=pd.Index(steps, name="step"), dtype=float)
    at, validated = validation or ((), ())
    columns = {"training": trained, "validation": pd.Series(validated, index=pd.Index(at, name="step"), dtype=float)}
    both = pd.DataFrame(columns)
    if bytes_per_token:
        both["validation, bits per byte"] = both["validation"] / (np.log(2) * bytes_per_token)
    if accuracy is not None and len(accuracy[0]):
        both["right answers"] = pd.Series(accuracy[1], index=pd.Index(accuracy[0], name="step"), dtype=float)
    return both if floor is None else both.assign(floor=floor)


def expert_heatmap(
    probe: Probe, *, layer: int = 0, loop: int = 0, kind: str = "ffn", values: str = "gates"
) -> pd.DataFrame:
    """One line per token, one column per expert."""
    shown = probe.gates(layer, loop, kind) if values == "gates" else probe.probs(layer, loop, kind)
    return pd.DataFrame(shown, columns=probe.expert_names(layer, kind), index=_tokens(probe))


def expert_load(probe: Probe, *, layer: int = 0, kind: str = "ffn", loop: int | None = None) -> pd.DataFrame:
    """One line per pass and expert: its share of assignments and of gate weight, and whether it is dead."""
    lines = []
    for number in range(probe.loops) if loop is None else [loop % probe.loops]:
        gates = probe.gates(layer, number, kind)
        shares, weight, dead = experts.load(gates), experts.weight(gates), experts.dead(gates)
        for expert, name in enumerate(probe.expert_names(layer, kind)):
            measured = {"assignments": shares[expert], "gate weight": weight[expert], "dead": expert in dead}
            lines.append({"pass": number + 1, "expert": name, **measured})
    return pd.DataFrame(lines)


def attention_map(
    probe: Probe, *, layer: int = 0, loop: int = 0, index: int | None = None, tokens: tuple[int, int] | None = None
) -> pd.DataFrame:
    """One line per token that reads, one column per token read."""
    start, stop = naming.part(probe.tokens, tokens)
    labels = _tokens(probe)[start:stop]
    return pd.DataFrame(probe.map(layer, loop, index)[start:stop, start:stop], index=labels, columns=list(labels))


def map_pair(probe: Probe, left: Any, right: Any, *, tokens: tuple[int, int] | None = None) -> pd.DataFrame:
    """One line per pair of tokens: who reads, who is read, both weights."""
    start, stop = naming.part(probe.tokens, tokens)
    labels = np.array(_tokens(probe)[start:stop])
    reads, read = np.tril_indices(stop - start)
    weights = [probe.map(*place)[start:stop, start:stop][reads, read] for place in (left, right)]
    return pd.DataFrame({"reads": labels[reads], "is read": labels[read], "left": weights[0], "right": weights[1]})


def map_grid(probe: Probe, *, layer: int = 0, loop: int = 0) -> pd.DataFrame:
    """One line per head, or for 16 channels: mean entropy of its rows in nats and mean distance in tokens."""
    axis, chosen = probe.map_axis(layer), probe.map_sample(layer)
    drawn = probe.maps(layer, loop, chosen)
    columns = {"entropy": maps.entropy(drawn).mean(-1), "distance": maps.distance(drawn).mean(-1)}
    return pd.DataFrame(columns, index=pd.Index(chosen, name=axis))


def map_profile(probe: Probe, *, layer: int = 0, loop: int = 0, index: int | None = None) -> pd.DataFrame:
    """One line per token: entropy of its reading in nats, mean distance in tokens."""
    weights = probe.map(layer, loop, index)
    columns = {"entropy": maps.entropy(weights), "distance": maps.distance(weights)}
    return pd.DataFrame(columns, index=_tokens(probe))


def lens(
    probe: Probe, *, quantity: str = "loss", tokens: tuple[int, int] | None = None, loop: int | None = None
) -> pd.DataFrame:
    """One line per token and pass: the quantity, the likeliest next token, its probability, the true next token."""
    del loop
    start, stop = naming.part(probe.tokens, tokens)
    values, chances = values_of(probe, quantity), probe.lens("top_probability")
    following = [*probe.answers, ""]
    labels = _tokens(probe)
    lines = [
        {
            "token": labels[place], probe.lens_unit: step + 1, quantity: values[step, place],
            "likeliest next": probe.top_after_each[step][place], "its probability": chances[step, place],
            "true next": following[place],
        }
        for place in range(start, stop) for step in range(probe.lens_passes)
    ]  # fmt: skip
    return pd.DataFrame(lines)


def lens_curve(probe: Probe) -> pd.DataFrame:
    """One line per pass: mean loss and entropy in nats, share of right guesses, mean confidence; trained or beyond."""
    columns = averages(probe)
    if probe.confidence is not None:
        columns["confidence"] = probe.confidence.mean(axis=1)
    index = pd.RangeIndex(1, probe.lens_passes + 1, name=probe.lens_unit)
    return pd.DataFrame({**columns, "trained": np.asarray(index) <= trained_passes(probe)}, index=index)


def exit_depth(probe: Probe, *, threshold: float | None = None) -> pd.DataFrame:
    """One line per token: its passes, how sure the model was then, whether that reached the threshold, its loss."""
    found = depths_of(probe, threshold)
    losses = np.append(probe.lens("loss")[trained_passes(probe) - 1], np.nan)
    columns = {"passes": found.depth, found.word: found.at_exit, "reached": found.reached, "loss at full depth": losses}
    return pd.DataFrame(columns, index=_tokens(probe))


def reliability(calibration: Calibration, *, label: str = "") -> pd.DataFrame:
    """One line per pass (0: all together) and bin that holds predictions: how many, mean confidence, mean target."""
    del label
    parts = []
    for step, (row, place) in enumerate([(calibration.all, 0), *((calibration, p) for p in range(calibration.passes))]):
        bins = row.counts.shape[1]
        parts.append(
            pd.DataFrame({
                "pass": step, "from": np.arange(bins) / bins, "predictions": row.counts[place],
                "confidence": row.confidence[place], "target": row.target[place],
            })
        )  # fmt: skip
    made = pd.concat(parts, ignore_index=True)
    return made.query("predictions > 0").reset_index(drop=True)


def leak_map(verdict: Verdict) -> pd.DataFrame:
    """One line per first changed token, one column per output position: the largest change of its logits."""
    return pd.DataFrame(verdict.map, index=pd.Index(verdict.cuts, name="first changed token"))


def gradient_map(verdict: Verdict) -> pd.DataFrame:
    """One line per token, one column per output position: the output's gradient by the token."""
    columns = pd.Index(verdict.outputs)
    index = pd.RangeIndex(verdict.gradients.shape[1], name="token")
    return pd.DataFrame(verdict.gradients.T, columns=columns, index=index)


def row_check(verdict: Verdict) -> pd.DataFrame:
    """One line per output position: how far it moved when the other rows were replaced, and removed."""
    index = pd.RangeIndex(verdict.rows.shape[1], name="output position")
    return pd.DataFrame(verdict.rows.T, columns=list(ROWS), index=index)


def state_growth(tokens: Any, sizes: Any, *, prompt: int = 0, cache: int = 0, label: str = "") -> pd.DataFrame:
    """One line per token read: numbers in the state, and in a cache of every token's keys and values."""
    del prompt, label
    made = pd.DataFrame({"tokens": tokens, "state": sizes})
    return made.assign(cache=made["tokens"] * cache) if cache else made


def rounded_weights(weight: Any, *, rounding: str = "ternary", label: str = "") -> pd.DataFrame:
    """One line per level: its share of the weights, and where it begins and ends in units of their mean size."""
    del label
    found = levels_of(weight, rounding)
    ends = (-np.inf, *found.edges, np.inf)
    columns = {"share": list(found.shares.values()), "from": ends[:-1], "to": ends[1:]}
    return pd.DataFrame(columns, index=pd.Index(list(found.shares), name="level"))


def _tokens(probe: Probe) -> pd.Index:
    return pd.Index([f"{place} {piece}" for place, piece in enumerate(probe.pieces)], name="token")


TABLES: dict[str, Callable[..., pd.DataFrame]] = {
    made.__name__: made
    for made in (
        filmstrip, weight_change, spectrum, input_share, weight_difference, loss_curve, expert_heatmap, expert_load,
        attention_map, map_pair, map_grid, map_profile, leak_map, gradient_map, row_check, lens, lens_curve,
        exit_depth, reliability, rounded_weights, state_growth, effect_tables.effect_tokens,
        effect_tables.effect_distribution,
        effect_tables.effect_map, effect_tables.influence, run_tables.loss_overlay, run_tables.contrast_filmstrip,
        run_tables.contrast_experts, run_tables.contrast_maps,
    )
}  # fmt: skip
