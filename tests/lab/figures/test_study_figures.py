"""The figures of a study: what they draw, what they refuse to crown, and that their tables hold the same numbers."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from lab.ablate.verdict import BETTER, EQUAL, UNRANKED, UNSETTLED, VOID, WORSE, Comparison, Verdict, judge
from lab.figures import FigureError, colours
from lab.figures.study import tables
from lab.figures.study.bands import ALONG, Trail, loss_bands
from lab.figures.study.captions import CAPTIONS
from lab.figures.study.forest import forest
from lab.figures.study.pareto import Point, front, pareto, round_numbers
from lab.figures.study.rate_sweep import Sweep, rate_sweep
from lab.figures.study.task_grid import REFERENCE, Square, task_grid

SEEDS = 5
BASE = 1.9 + 0.02 * np.random.default_rng(0).normal(size=SEEDS)


def verdicts() -> list[Verdict]:
    """One of every word."""
    rng = np.random.default_rng(1)

    def losses(shift: float, spread: float) -> tuple[float, ...]:
        return tuple(BASE * (1 + shift) + spread * rng.normal(size=SEEDS))

    against = ("attention", "bits_per_byte", tuple(BASE))
    return judge(
        [
            Comparison("sotu", "prefix", *against, losses(-0.03, 0.004)),
            Comparison("sotu", "aft", *against, losses(0.04, 0.006)),
            Comparison("sotu", "static", *against, losses(0.0, 0.003)),
            Comparison("sotu", "abundance", *against, losses(0.01, 0.05)),
            Comparison("sotu", "leaky", *against, losses(-0.5, 0.01), unranked="leaky reads the future."),
            Comparison("mqar:pairs=4,length=32", "aft", "attention", "accuracy", (), (), void="The control failed."),
        ],
        0.01,
    )


def trail(name: str, low: float, note: str = "") -> Trail:
    steps = list(range(10, 410, 10))
    losses = np.array([low + 2 * np.exp(-np.array(steps) / 80) + 0.01 * seed for seed in range(SEEDS)])
    return Trail(name, (steps, losses), (steps[9::10], losses[:, 9::10]), 2e9, 0.02, note)


def points() -> list[Point]:
    return [
        Point("attention", 1.90, 1.88, 1.93, 90, 2.10e12, 262144),
        Point("prefix", 1.85, 1.84, 1.88, 140, 2.11e12, 4096),
        Point("aft", 2.05, 2.0, 2.1, 60, 2.08e12, 384),
        Point("leaky", 1.0, 0.9, 1.1, 10, 1e10, 1, "reads the future"),
    ]


def squares() -> list[Square]:
    return [
        Square("attention", "sotu", "bits_per_byte", 1.9, 0.01, (1.89, 1.91), REFERENCE),
        Square("prefix", "sotu", "bits_per_byte", 1.85, 0.01, (1.84, 1.86), BETTER),
        Square("leaky", "sotu", "bits_per_byte", 0.9, 0.01, (0.89, 0.91), UNRANKED),
        Square("attention", "mqar", "accuracy", 0.7, 0.42, (0.4, 1.0), VOID, "The control failed."),
        Square("prefix", "mqar", "accuracy", 1.0, None, (), VOID, "The control failed."),
        Square("leaky", "mqar", "accuracy", None, None, (), "pending"),
    ]


def sweeps() -> list[Sweep]:
    return [
        Sweep("attention", {0.001: 2.1, 0.01: 1.9, 0.03: 2.2}, 0.01, stopped={0.03: 80}),
        Sweep("prefix", {0.001: 2.3, 0.01: 1.9}, 0.01, diverged=[0.03], edge=True),
    ]


CALLS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "forest": (forest, (verdicts(),), {"delta": 0.01}),
    "loss_bands": (loss_bands, ([trail("a", 1.8), trail("b", 1.2, "reads the future")],), {"floor": 1.7}),
    "pareto": (pareto, (points(),), {"metric": "bits_per_byte", "data": "sotu"}),
    "task_grid": (task_grid, (squares(),), {}),
    "rate_sweep": (rate_sweep, (sweeps(),), {"metric": "bits_per_byte"}),
}


def words(figure: go.Figure) -> str:
    return " ".join(str(note.text) for note in figure.layout.annotations)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_figure_is_dressed_alike_and_has_its_numbers(name: str, theme: str) -> None:
    draw, args, options = CALLS[name]
    figure = draw(*args, **options, theme=theme)
    assert figure.layout.meta == {"figure": name, "theme": theme}
    assert figure.layout.paper_bgcolor is None and figure.layout.template.layout.paper_bgcolor == colours(theme).page
    assert figure.layout.title.text and figure.layout.title.subtitle.text
    assert len(figure.to_json()) < 100_000
    numbers = tables.table(name, *args, **options)
    assert len(numbers) and all(isinstance(column, str) for column in numbers.columns)
    json.dumps(numbers.to_dict("records"), default=float)
    assert CAPTIONS[name].startswith("**")


def test_nothing_can_be_asked_that_there_is_not() -> None:
    with pytest.raises(FigureError, match="along must be"):
        loss_bands([], along="mood")
    with pytest.raises(FigureError, match="costs must be"):
        pareto([], metric="loss", costs=["money"])
    with pytest.raises(FigureError, match="there is no table"):
        tables.table("pie")


@pytest.mark.parametrize("name", ["loss_bands", "pareto", "task_grid", "rate_sweep", "forest"])
def test_a_study_that_has_not_begun_gives_an_empty_figure(name: str) -> None:
    draw, _, options = CALLS[name]
    draw([], **options)
    assert not len(tables.table(name, [], **options))


def test_the_forest_says_each_verdict_in_words() -> None:
    told = words(forest(verdicts(), delta=0.01))
    assert [one.word for one in verdicts()] == [BETTER, WORSE, EQUAL, UNSETTLED, UNRANKED, VOID]
    for word in ("<b>better</b>", "<b>worse</b>", "<b>equal</b>", "not enough evidence", "more seed", "void"):
        assert word in told
    assert "not ranked: reads the future<br>+" in told


def test_a_narrow_forest_keeps_its_words_above_the_lines() -> None:
    wide, narrow = (forest(verdicts(), delta=0.01, narrow=slim) for slim in (False, True))
    assert "<b>prefix</b><br><b>better</b>" in words(narrow) and narrow.layout.margin.r < 20 < wide.layout.margin.r
    assert not narrow.layout.yaxis.showticklabels and wide.layout.yaxis.showticklabels
    lines = [re.sub("<[^>]*>", "", line) for note in narrow.layout.annotations for line in note.text.split("<br>")]
    assert max(map(len, lines)) < 48 and " to say " not in str(lines)
    # The marks are the same: a page changes one into the other.
    assert [trace.x for trace in narrow.data if trace.mode == "markers"] == [
        trace.x for trace in wide.data if trace.mode == "markers"
    ]


def test_seeds_that_scatter_are_shown_one_by_one() -> None:
    text = task_grid(squares()).data[0].text
    assert text[0].startswith("<b>1.900 ± 0.01</b>")
    assert text[3].startswith("<b>0.70</b><br>0.40, 1.00<br>void")


def test_squares_may_be_hatched_whatever_their_colours() -> None:
    """Laid over the colours, plotly would look for a contrast to all of them at once, and complain in the console."""
    assert task_grid(squares()).data[0].marker.pattern.fillmode == "replace"


def test_the_forest_shades_the_margin_in_every_panel() -> None:
    figure = forest(verdicts(), delta=0.01)
    shades = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(shades) == 2
    assert all((min(shade.x), max(shade.x)) == (-1, 1) for shade in shades)


def test_what_has_no_rank_does_not_stretch_the_forest() -> None:
    figure = forest(verdicts(), delta=0.01)
    crosses = [trace for trace in figure.data if trace.mode == "markers" and "x" in trace.marker.symbol]
    assert len(crosses) == 1
    assert crosses[0].x[0] == figure.layout.xaxis.range[1] < 20
    assert crosses[0].marker.color == colours("light").alarm


def test_bands_span_the_seeds_and_the_floor_is_drawn() -> None:
    figure = loss_bands([trail("a", 1.8)], floor=1.7)
    band = next(trace for trace in figure.data if trace.fill == "toself")
    line = next(trace for trace in figure.data if trace.mode == "lines" and not trace.fill)
    assert np.ptp([band.y[0], band.y[-1]]) == pytest.approx(0.04, abs=1e-6)
    assert min(band.y) <= min(line.y) and max(band.y) >= max(line.y)
    assert figure.layout.shapes[0].y0 == 1.7
    assert "floor 1.700" in words(figure)
    # As on the Train page, in the colour of no variant: the floor belongs to the data.
    c = colours("light")
    assert figure.layout.shapes[0].line.color == c.text not in c.experts and figure.layout.shapes[0].line.dash == "dash"
    assert not loss_bands([trail("a", 1.8)]).layout.shapes


@pytest.mark.parametrize(("along", "last"), [("step", 400), ("flops", 8e11), ("seconds", 8.0)])
def test_learning_is_drawn_along_steps_arithmetic_or_time(along: str, last: float) -> None:
    figure = loss_bands([trail("a", 1.8)], along=along)
    line = next(trace for trace in figure.data if trace.mode == "lines" and not trace.fill)
    assert line.x[-1] == pytest.approx(last, rel=1e-6)
    assert figure.layout.xaxis.title.text == ALONG[along]


def test_the_front_holds_what_nothing_beats_and_no_leak() -> None:
    names = {
        cost: [point.name for point in front(points(), cost, "bits_per_byte")] for cost in ("seconds", "state_size")
    }
    # The seeds of attention and prefix overlap: prefix is not better for its higher price in time.
    assert names == {"seconds": ["aft", "attention"], "state_size": ["aft", "prefix"]}
    # Costs that were matched count as the same: only the best are left.
    assert [point.name for point in front(points(), "flops", "bits_per_byte")] == ["attention", "prefix"]
    assert [point.name for point in front(points(), "flops", "accuracy")] == ["aft"]


@pytest.mark.parametrize(
    ("seconds", "left"),
    [
        ((10.0, 9.9, 10.1, 12.0, 11.9, 12.1), ["a"]),  # quicker, and no worse
        ((10.0, 9.9, 10.1, 10.4, 10.39, 10.41), ["a", "b"]),  # by less than 5 %
        ((10.0, 7.0, 13.0, 14.0, 12.5, 16.0), ["a", "b"]),  # by less than the seeds differ
    ],
)
def test_times_that_differ_by_chance_are_a_tie(seconds: tuple[float, ...], left: list[str]) -> None:
    a, a_low, a_high, b, b_low, b_high = seconds
    pair = [
        Point("a", 1.90, 1.88, 1.93, a, 1e9, 10, quickest=a_low, slowest=a_high),
        Point("b", 1.91, 1.89, 1.92, b, 1e9, 10, quickest=b_low, slowest=b_high),
    ]
    assert [point.name for point in front(pair, "seconds", "loss")] == left
    better = [pair[0], replace(pair[1], score=1.8, low=1.79, high=1.81)]
    # What is better in every seed is beaten by nothing, and beats what costs as much.
    assert [point.name for point in front(better, "seconds", "loss")] == (["a", "b"] if left == ["a"] else ["b"])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (826e9, 1.01e12, [500e9, 1e12, 2e12]),
        (443e9, 458e9, [200e9, 500e9]),
        (576, 49152, [1e3, 1e4]),
        (12, 16, [10, 20]),
        (30, 120, [50, 100]),
        (5, 5, [2, 5, 10]),
        (1, 1e6, [1, 1e2, 1e4, 1e6]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    assert round_numbers(low, high) == pytest.approx(ticks)


def test_an_axis_of_costs_has_round_ticks_around_all_points() -> None:
    figure = pareto(points(), metric="bits_per_byte")
    assert list(figure.layout.xaxis2.ticktext) == ["10 G", "100 G", "1 T"]
    for axis, cost in ((figure.layout.xaxis, "seconds"), (figure.layout.xaxis3, "state_size")):
        inside = [axis.range[0] <= np.log10(getattr(point, cost)) <= axis.range[1] for point in points()]
        assert all(inside)


def test_a_legend_names_each_variant_once_by_its_filled_mark() -> None:
    named = [trace for trace in pareto(points(), metric="bits_per_byte").data if trace.showlegend is not False]
    assert [trace.name for trace in named] == ["attention", "prefix", "aft", "leaky (reads the future)"]
    assert all(trace.x == (None,) for trace in named)
    assert not any("open" in trace.marker.symbol for trace in named[:3])


def test_a_leak_is_never_drawn_as_a_winner() -> None:
    c = colours("light")
    marks = [trace for trace in pareto(points(), metric="bits_per_byte").data if trace.mode == "markers"]
    leaky = [trace for trace in marks if trace.name.startswith("leaky")]
    assert len(leaky) == 3 + 1 and all("x-thin" in trace.marker.symbol for trace in leaky)
    grid = task_grid(squares()).data[0]
    shades = dict(zip([one.word for one in squares()], grid.marker.color, strict=True))
    assert shades[UNRANKED] == shades["pending"] != shades[BETTER]
    assert "reads the future" in grid.text[2]
    assert grid.marker.line.width[2] > 0 and grid.marker.line.color == c.alarm


def test_void_squares_are_hatched_with_the_reason_below() -> None:
    figure = task_grid(squares())
    assert list(figure.data[0].marker.pattern.shape) == ["", "", "", "/", "/", ""]
    assert "¹ The control failed." in words(figure)
    assert "¹" in figure.data[0].text[3] and "¹" not in figure.data[0].text[0]


def test_the_chosen_rate_is_large_and_the_edge_is_flagged() -> None:
    figure = rate_sweep(sweeps(), metric="bits_per_byte")
    by_name = {trace.name: trace for trace in figure.data if trace.name}
    assert list(by_name["attention"].marker.size) == [8, 15]
    assert "at the edge: prefix" in words(figure) and "✕" in words(figure)
    numbers = tables.table("rate_sweep", sweeps(), metric="bits_per_byte")
    assert list(numbers["fate"]) == ["", "taken", "stopped at step 80", "", "taken, at the edge", "diverged"]


def test_what_was_stopped_is_hollow_on_a_thin_line_and_named() -> None:
    figure = rate_sweep(sweeps(), metric="bits_per_byte")
    assert any(trace.marker.symbol == "circle-open" and trace.customdata == (80,) for trace in figure.data)
    thin = next(trace for trace in figure.data if trace.mode == "lines")
    assert thin.line.dash == "dot" and thin.line.width < 1.8 and tuple(thin.x) == (0.001, 0.01, 0.03)
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == [
        "attention", "prefix", "stopped early, at step 80",
    ]  # fmt: skip
    # A single whole training has no line, and none in the legend.
    alone = rate_sweep([Sweep("a", {0.01: 2.0, 0.03: 3.0}, 0.01, stopped={0.03: 80})], metric="loss")
    assert next(trace for trace in alone.data if trace.name == "a").mode == "markers"
    whole = rate_sweep([Sweep("a", {0.01: 2.0, 0.03: 3.0}, 0.01)], metric="loss")
    assert [trace.mode for trace in whole.data] == ["lines+markers"]


def test_several_at_one_edge_share_a_label() -> None:
    at = [Sweep(name, {0.01: 2.0, 0.03: 1.0}, 0.03, edge=True) for name in "ab"]
    lowest = Sweep("c", {0.01: 1.0, 0.03: 2.0}, 0.01, edge=True)
    notes = rate_sweep([*at, lowest], metric="loss").layout.annotations
    assert [(note.text, note.xanchor) for note in notes] == [("at the edge: c", "left"), ("at the edge: a, b", "right")]
