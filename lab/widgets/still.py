"""A still picture of a training run, where no widget can be shown: in an untrusted notebook, or on a web page."""

import base64
import io
from collections.abc import Iterable

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lab.figures.theme import colours
from strawberry.events import Evaluated, Event, Step


def curve(events: Iterable[Event], kind: type[Step] | type[Evaluated]) -> tuple[list[int], list[float]]:
    """Steps and losses (nats per token) of the events of one kind."""
    points = [(event.step, event.loss) for event in events if isinstance(event, kind)]
    return [step for step, _ in points], [loss for _, loss in points]


def answered(events: Iterable[Event]) -> tuple[list[int], list[float]]:
    """Steps and shares of right answers of the evaluations of a task."""
    scored = [(event.step, event.accuracy) for event in events if isinstance(event, Evaluated)]
    return [step for step, share in scored if share is not None], [share for _, share in scored if share is not None]


def still(events: Iterable[Event]) -> str:
    """The loss curve so far, as a PNG in base64."""
    c = colours("light")
    events = list(events)
    figure = Figure(figsize=(7.5, 2.6), layout="constrained")
    axes = figure.add_subplot()
    for kind, colour, name in ((Step, c.train, "training"), (Evaluated, c.validation, "validation")):
        steps, losses = curve(events, kind)
        if steps:
            axes.plot(steps, losses, color=colour, label=name, marker="o" if kind is Evaluated else None)
            axes.legend(frameon=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="step", ylabel="loss (nats per token)")
    axes.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return base64.b64encode(picture.getvalue()).decode()
