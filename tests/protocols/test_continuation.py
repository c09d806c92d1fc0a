import numpy as np
import pytest

from protocols.continuation import Continuation, take_up

CUT = Continuation(
    "a1b2",
    {
        "learning": {"step": np.array([1, 2]), "weights": np.array([[0.5, 1.5], [2.5, 3.5]])},
        "calibration": {"unit": np.array(["V"]), "centre": np.array([0.25])},
    },
)


def test_steps_are_the_learning_events():
    assert CUT.steps == 2


def test_the_last_event_gives_numbers_and_words_of_pythons_own_and_arrays():
    assert type(CUT.last("step")) is int
    assert type(CUT.last("unit", "calibration")) is str
    assert CUT.last("weights") == pytest.approx([2.5, 3.5])


def test_a_stream_without_events_has_empty_columns():
    assert CUT.column("loss", "epochs").size == 0
    assert CUT.events("epochs") == []


def test_events_are_values_by_key():
    (event,) = CUT.events("calibration")
    assert event == {"unit": "V", "centre": 0.25}


def test_taking_up_is_one_message_with_what_is_continued():
    (message,) = take_up(CUT)
    assert (message.command, message.args) == ("take_up", (CUT,))
