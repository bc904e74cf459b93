"""One page for a person without the lab: all figures that suit a probe or a run, in one file that works offline."""

import dataclasses
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from lab import recorded
from lab.probe import Probe, probe
from strawberry.config import Config
from strawberry.data import is_made, load
from strawberry.errors import RunError
from strawberry.events import Evaluated, Event, Started
from strawberry.runs import Run, open_run

if TYPE_CHECKING:
    from lab.causality import Verdict
    from lab.figures.page import Plate, Section
    from lab.measure.calibration import Calibration


class Drawing(NamedTuple):
    """One call of ``lab.figures.<name>(*args, **options)``."""

    name: str
    args: tuple[Any, ...]
    options: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a report is about: a probe, with what its run tells of it."""

    probe: Probe
    other: Probe | None = None
    events: Sequence[Event] = ()
    verdict: "Verdict | None" = None
    calibration: "Calibration | None" = None
    judged: tuple[bool, str] | None = None
    code: Sequence[str] = ()


def report(
    subject: Probe | Run | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    text: str | None = None,
    layer: int = 0,
    loop: int = -1,
    projection: str = "qkv",
    other: Probe | None = None,
    verdict: "Verdict | None" = None,
    calibration: "Calibration | None" = None,
    also: Sequence[tuple[str, tuple[Any, ...], Mapping[str, Any]]] = (),
    title: str | None = None,
) -> Path:
    """Write one self-contained HTML file; returns its path. Light or dark as the reader's system is.

    subject: a probe, its file, a run or its folder. Of a run the newest picture in its folder is shown, or, with a
    ``text``, a new one of the newest checkpoint reading it; and how the loss fell. Which figures there are follows from
    what the model has: made weights (of ``layer`` and ``projection``), routers, mixers (one layer each; ``layer``
    where it fits), passes, at pass ``loop``. ``other``: a probe to compare weights with, in a run its first picture.
    verdict, calibration: of the leak meter and of a halting head, each with its figure. also: more figures, as
    (name, arguments, options) of calls of `lab.figures`. Raises :class:`StrawberryError` for what cannot be opened.
    """
    from lab.figures.page import Front, write

    told = _opened(subject, text, other, verdict, calibration)
    seen = told.probe
    front = Front(
        title or f"Strawberry Lab · {seen.label}",
        about=f"{seen.family} · {_count(seen.layers, 'layer')} · {_count(seen.loops, 'pass', 'es')}",
        facts=dict(_facts(told)),
        alarm="" if Config.from_dict(seen.config).causal else "This model reads the future: its loss is worth nothing.",
        folded={"The text that was read": seen.text, "Configuration": _configuration(seen),
                "The code that takes this picture again": "\n".join(told.code)},
    )  # fmt: skip
    return write(path, front, list(_sections(told, layer, loop, projection, [Drawing(*each) for each in also])))


def plan(told: Subject, layer: int = 0, loop: int = -1, projection: str = "qkv") -> dict[str, list[Drawing]]:
    """The figures that make sense for a subject, by the heading they stand under; headings without any are left out."""
    seen, found = told.probe, {}
    if told.events:
        found["Training"] = [Drawing("loss_curve_of", (list(told.events),), {})]
    if seen.projections:
        chosen = projection if projection in seen.projections else seen.projections[0]
        place = {"layer": layer, "projection": chosen}
        found["Weights made from the text"] = [
            Drawing("filmstrip", (seen,), place),
            Drawing("weight_change", (seen,), {"layer": layer}),
            Drawing("spectrum", (seen,), place),
            Drawing("input_share", (seen,), {"layer": None, "projection": chosen}),
        ]
        if told.other is not None and told.other.projections and told.other.shape(chosen) == seen.shape(chosen):
            options = {**place, "frame": 1, "other_frame": 1}
            found["Weights made from the text"].append(Drawing("weight_difference", (seen, told.other), options))
    for at, kind in _one_each([(at, kind) for at, kind in seen.routers], lambda router: router[1], layer):
        found.setdefault("Experts", []).extend(
            [
                Drawing("expert_heatmap", (seen,), {"layer": at, "loop": loop, "kind": kind}),
                Drawing("expert_load", (seen,), {"layer": at, "kind": kind}),
            ]
        )
    mixers = [at for at, _ in _one_each(list(enumerate(seen.mixers)), lambda mixer: mixer[1], layer)]
    found["Who reads whom"] = [
        Drawing(name, (seen,), {"layer": at, "loop": loop})
        for at in mixers
        for name in ("attention_map", "map_grid", "map_profile")
    ]
    if len(mixers) > 1:
        pair = [(at, loop % seen.loops, None) for at in mixers[:2]]
        found["Who reads whom"].append(Drawing("map_pair", (seen, *pair), {}))
    if seen.lens_passes > 1:
        found["Pass by pass"] = [Drawing("lens", (seen,), {}), Drawing("lens_curve", (seen,), {})]
        if seen.depth is not None or seen.confidence is not None:
            found["Pass by pass"].append(Drawing("exit_depth", (seen,), {}))
    if told.calibration is not None:
        found.setdefault("Pass by pass", []).append(Drawing("reliability", (told.calibration,), {}))
    if told.verdict is not None:
        names = ["leak_map", *(["gradient_map"] if len(told.verdict.outputs) else []), "row_check"]
        found["Leaks"] = [Drawing(name, (told.verdict,), {}) for name in names]
    return found


def _one_each(places: list[Any], kind: Callable[[Any], Any], layer: int) -> list[Any]:
    """The first place of every kind, or the one in ``layer`` where that has it; by layer."""
    found: dict[Any, Any] = {}
    for place in places:
        if kind(place) not in found or place[0] == layer:
            found[kind(place)] = place
    return sorted(found.values())


def _sections(told: Subject, layer: int, loop: int, projection: str, also: list[Drawing]) -> "Iterator[Section]":
    from lab.figures.page import Section

    explained: set[str] = set()
    planned = plan(told, layer, loop, projection)
    for heading, drawings in (planned | ({"More": also} if also else {})).items():
        yield Section(heading, [_plate(drawing, told, explained) for drawing in drawings])


def _plate(drawing: Drawing, told: Subject, explained: set[str]) -> "Plate":
    # Drawing is loaded here: a worker that only trains imports this package too.
    from lab import figures
    from lab.figures.captions import caption
    from lab.figures.loss import losses_of
    from lab.figures.page import Plate

    name, args, options = drawing
    light, dark = (getattr(figures, name)(*args, **options, theme=theme) for theme in ("light", "dark"))
    if name == "loss_curve_of":
        arguments, more = losses_of(args[0])
        numbers = figures.table("loss_curve", *arguments, **more)
    else:
        numbers = figures.table(name, *args, **options)
    says, notebook = ("", "") if name in explained else caption(light.layout.meta["figure"])
    if name not in explained and not says:
        says = (inspect.getdoc(getattr(figures, name)) or "").split("\n\n")[0].replace("`", "")
    explained.add(name)
    if notebook:
        says += f" Taught by notebook {notebook[:2]}, *{notebook[3:].replace('_', ' ')}*."
    return Plate(light, dark, says, _code(drawing, told), numbers)


def _code(drawing: Drawing, told: Subject) -> str:
    known = {id(told.probe): "probe", id(told.other): "other", id(told.verdict): "verdict"}
    known[id(told.calibration)] = "calibration"
    given = [known.get(id(arg)) or _named(arg) for arg in drawing.args]
    given = ["run.events()"] if drawing.name == "loss_curve_of" else given
    given += [f"{option}={value!r}" for option, value in drawing.options.items()]
    return f"figures.{drawing.name}({', '.join(given)}).show()"


def _named(arg: Any) -> str:
    """A small value as Python writes it, anything else by its kind."""
    small = isinstance(arg, int | float | str | tuple | range | None) and len(repr(arg)) < 100
    return repr(arg) if small else "other" if isinstance(arg, Probe) else type(arg).__name__.lower()


def _opened(
    subject: Probe | Run | str | os.PathLike[str],
    text: str | None,
    other: Probe | None,
    verdict: "Verdict | None",
    calibration: "Calibration | None",
) -> Subject:
    """The probe and what its run tells."""
    from lab.figures.export import source_of

    if not isinstance(subject, Probe | Run):
        found = Path(subject)
        subject = open_run(found) if found.is_dir() else Probe.load(found)
    if isinstance(subject, Probe):
        return Subject(subject, other, (), verdict, calibration, None, source_of(subject))
    run, taken = subject, recorded.probes(subject.path)
    code = ["import lab, strawberry", "from lab import figures", "", f"run = strawberry.open_run({str(run.path)!r})"]
    if text is None and taken:
        seen = Probe.load(recorded.probe_path(run.path, taken[-1]))
        code.append(f"probe = lab.Probe.load(run.path / 'probes' / 'step-{taken[-1]}.npz')")
        if other is None and len(taken) > 1:
            other = Probe.load(recorded.probe_path(run.path, taken[0]))
            code.append(f"other = lab.Probe.load(run.path / 'probes' / 'step-{taken[0]}.npz')")
    else:
        step, _ = run.newest()
        if step is None:
            raise RunError(f"{str(run.path)!r} has no checkpoint yet, and no picture; train it a little first")
        data = load(run.data, run.config, run.tokenizer) if text is None or is_made(run.data) else None
        text = text or (data.passage() if data else "")
        answers = data.answers if data else None
        seen = probe(run.model(step), run.tokenizer, text, step=step, run=run.name, answers=answers)
        read = f"run.model({step}), run.tokenizer, {seen.text!r}, step={step}, run={run.name!r}"
        code.append(f"probe = lab.probe({read})")
    return Subject(seen, other, run.events(), verdict, calibration, recorded.verdict(run.path), code)


def _facts(told: Subject) -> Iterator[tuple[str, str]]:
    """What a reader must know of the run, by name."""
    seen = told.probe
    started = next((event for event in reversed(told.events) if isinstance(event, Started)), None)
    scored = [event for event in told.events if isinstance(event, Evaluated)]
    yield "Run", seen.run or "not kept"
    yield "Seed", str(seen.seed)
    yield "Training step", "not said" if seen.step is None else f"{seen.step:,}"
    if started is not None:
        yield "Parameters", f"{started.parameters:,}"
        many = "made anew" if started.tokens_train is None else f"{started.tokens_train:,} tokens"
        yield "Trained on", f"{started.data}, {many}, {started.tokens_per_step:,} per step"
    if scored:
        last = scored[-1]
        score = [f"{last.loss:.3f} nats per token"]
        score += [] if last.bits_per_byte is None else [f"{last.bits_per_byte:.3f} bits per byte"]
        score += [] if last.accuracy is None else [f"{last.accuracy:.1%} of the answers right"]
        score += [] if last.floor is None else [f"where the source has {last.floor:.3f}"]
        yield "Validation", f"{', '.join(score)}, at step {last.step:,}"
    yield "Layers mix by", ", ".join(seen.mixer_name(layer) for layer in range(seen.layers))
    yield "This text", f"{seen.tokens} tokens, {seen.mean_loss:.3f} nats per token"
    if told.judged is not None:
        yield "Leaks", told.judged[1]
    elif told.verdict is not None:
        yield "Leaks", told.verdict.sentence


def _configuration(seen: Probe) -> pd.DataFrame:
    """Every field of the configuration, with its meaning; what differs from the default is marked."""
    fields = {item.name: item for item in dataclasses.fields(Config)}
    lines = [
        {
            "field": name,
            "value": str(value),
            "default": "" if value == (plain := _plain(fields[name].default)) else str(plain),
            "meaning": fields[name].metadata.get("help", ""),
        }
        for name, value in seen.config.items()
        if name in fields
    ]
    return pd.DataFrame(lines)


def _count(number: int, word: str, plural: str = "s") -> str:
    return f"{number} {word}{plural if number != 1 else ''}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
