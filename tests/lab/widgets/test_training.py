"""The training widget: buttons, bursts, pictures and endings, without a browser or a real trainer."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import strawberry
from lab.widgets.live import LiveFigure
from lab.widgets.training import TrainingWidget
from strawberry.data import Tokenizer
from strawberry.errors import StrawberryError
from strawberry.events import Evaluated, Event, Finished, Sampled, Started, Step, Warned

BYTES = Tokenizer.train("bytes", ["a text"], 512)


class Pretender:
    """A trainer that tells of steps without taking any."""

    def __init__(self, steps: int, preset: str = "strawberry-pico", fails_at: int = 0) -> None:
        self.model = strawberry.build(strawberry.preset(preset))
        self.tokenizer = BYTES
        self.steps, self.fails_at = steps, fails_at
        self.taken = 0

    def __iter__(self) -> Iterator[Event]:
        yield Started(0, self.steps, {}, 1000, "pretended", 10000, 2.5, 512, "cpu", "fp32", True)
        for step in range(1, self.steps + 1):
            if step == self.fails_at:
                raise StrawberryError("the loss is not finite; lower learning_rate")
            self.taken = step
            yield Step(step, 7.0 - step / 100, 7.0, 0.01, 1.0, 512 * step, 5000.0, step / 10)
            if step % 10 == 0:
                yield Evaluated(step, 6.5, 3.75)
                yield Sampled(step, "The <state>", " of & so on")
        yield Finished(self.steps, "done")


@pytest.fixture
def widget() -> Iterator[Callable[..., TrainingWidget]]:
    made = []

    def make(*arguments, text: str = "", **more) -> TrainingWidget:
        made.append(TrainingWidget(Pretender(*arguments, **more), text=text))
        return made[-1]

    yield make
    for one in made:
        one.close()


def state(one: TrainingWidget) -> tuple[bool, bool, bool]:
    return not one._play.disabled, not one._pause.disabled, not one._step.disabled


def drawn(figure: LiveFigure, axis: str) -> list[float]:
    """The numbers of a figure's first trace along one axis, as the page gets them."""
    sent = json.loads(figure.figure)["data"][0][axis]
    return np.frombuffer(base64.b64decode(sent["bdata"]), dtype=sent["dtype"]).tolist()


def test_nothing_is_trained_before_it_is_asked_for(widget):
    one = widget(30)
    assert one.trainer.taken == 0
    assert state(one) == (True, False, True)


def test_run_takes_exactly_so_many_steps(widget):
    one = widget(30)
    one.run(12)
    assert one.trainer.taken == 12
    one.run(3)
    assert one.trainer.taken == 15
    assert "step 15 of 30" in one._status.value
    assert drawn(one._curve, "x") == list(range(1, 16))


def test_the_step_button_takes_one(widget):
    one = widget(30)
    one._step.click()
    one._step.click()
    assert one.trainer.taken == 2


def test_the_end_disables_every_button(widget):
    one = widget(5)
    one.run(100)
    assert one.trainer.taken == 5
    assert state(one) == (False, False, False)
    assert "finished" in one._status.value
    one.run(1)
    one.step()
    assert one.trainer.taken == 5


def test_play_trains_between_other_things_and_pause_stops_it(widget, monkeypatch):
    monkeypatch.setattr("lab.widgets.training.BURST", 0.0)
    one = widget(100000)

    async def watch() -> int:
        one._play.click()
        one._play.click()  # a second click changes nothing
        assert state(one) == (False, True, False)
        while one.trainer.taken < 3:
            await asyncio.sleep(0.01)
        one._pause.click()
        paused_at = one.trainer.taken
        await asyncio.sleep(0.05)
        assert one.trainer.taken == paused_at
        assert state(one) == (True, False, True)
        one.play()
        while one.trainer.taken == paused_at:
            await asyncio.sleep(0.01)
        one.run(1)  # asking for steps ends the playing
        assert not one.playing
        return paused_at

    assert asyncio.run(watch()) < one.trainer.taken


def test_play_goes_to_the_end(widget):
    one = widget(20)

    async def watch() -> None:
        one.play()
        while one.playing:
            await asyncio.sleep(0.01)

    asyncio.run(watch())
    assert one.ended
    assert one.trainer.taken == 20


def test_a_failure_is_one_sentence_on_the_page(widget):
    one = widget(20, fails_at=4)
    one.run(20)
    assert "the loss is not finite; lower learning_rate" in one._status.value
    assert state(one) == (False, False, False)


def test_samples_are_shown_as_text_and_not_as_markup(widget):
    one = widget(20)
    one.run(11)
    assert "The &lt;state&gt;" in one._sample.value
    assert " of &amp; so on" in one._sample.value


def test_the_filmstrip_follows_its_choices(widget):
    one = widget(20, text="We the people of the United States")
    one.run(2)
    assert one.last_probe.step == 2
    before = drawn(one._strip, "z")
    one._layer.value = 1
    assert drawn(one._strip, "z") != before
    one._projection.value = "out"
    assert "out" in json.loads(one._strip.figure)["layout"]["title"]["text"]
    one.run(2)
    assert one.last_probe.step == 4


def test_a_model_that_makes_no_weights_has_no_filmstrip(widget):
    one = widget(20, "gpt-pico", text="We the people of the United States")
    one.run(2)
    assert one._film.children == ()


def test_a_warning_is_shown(widget, monkeypatch):
    monkeypatch.setattr(Pretender, "__iter__", lambda self: iter([Warned("the text is short")]))
    one = widget(1)
    one.run(1)
    assert "the text is short" in one._status.value


def test_places_without_widgets_get_a_still_picture(widget):
    one = widget(20)
    assert "image/png" not in one._repr_mimebundle_()
    one.run(11)
    bundle = one._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
