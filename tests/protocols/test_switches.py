import json

import numpy as np
import pytest
from bluesky.utils import FailedStatus
from scipy.special import expit

from protocols import switch_curve, switching_times
from protocols.arguments import ArgumentError
from protocols.switch_calibration import CalibrationError, SwitchCalibration


@pytest.fixture
def switch(make_switch):
    return make_switch(lambda d: expit(3.0 * (d - 0.7)))


def events(documents, stream):
    uid = next(d["uid"] for name, d in documents if name == "descriptor" and d["name"] == stream)
    return [d["data"] for name, d in documents if name == "event" and d["descriptor"] == uid]


def test_a_switching_curve_is_that_of_the_switch(switch, engine):
    result = engine.run(switch_curve(switch, shots=4000, seed=3))
    p, error = np.array(result["probability"]), np.array(result["probability_standard_error"])
    assert np.all(np.abs(p - switch.curve(np.array(result["drive"]))) < 5 * error)
    assert abs(result["beta"] - 3.0) < 5 * result["beta_standard_error"]
    assert abs(result["offset"] - 0.7) < 5 * result["offset_standard_error"]
    assert result["degree"] == 1
    assert result["shots"] == 17 * 4000
    assert result["seconds"] == pytest.approx(17 * 4.0)
    json.dumps(result, allow_nan=False)


def test_every_drive_is_an_event_with_the_unit_of_the_switch(switch, engine):
    result = engine.run(switch_curve(switch, points=9, shots=500))
    recorded = events(engine.documents, "primary")
    assert sorted(event["drive"] for event in recorded) == result["drive"]
    assert [event["seconds"] for event in recorded] == pytest.approx(0.5 * np.arange(1, 10))
    (descriptor,) = [d for name, d in engine.documents if name == "descriptor" and d["name"] == "primary"]
    assert descriptor["data_keys"]["drive"]["units"] == "mV"


def test_the_run_holds_the_calibration_for_later_runs(switch, engine):
    result = engine.run(switch_curve(switch))
    (data,) = events(engine.documents, "calibration")
    calibration = SwitchCalibration.from_event(engine.documents[0][1], data)
    assert calibration.uid == engine.documents[0][1]["uid"]
    assert calibration.offset == result["offset"]


def test_given_drives_are_measured_as_they_are(switch, engine):
    result = engine.run(switch_curve(switch, drive=(0.0, 0.5, 1.0, 1.5), shots=1000))
    assert result["drive"] == [0.0, 0.5, 1.0, 1.5]
    assert switch.triggers == 4
    assert abs(result["beta"] - 3.0) < 5 * result["beta_standard_error"]


def test_given_drives_that_determine_no_curve_are_still_measured(switch, engine):
    result = engine.run(switch_curve(switch, drive=(-9.0, 9.0), shots=1000))
    assert result["probability"] == [0.0, 1.0]
    assert result["beta"] is result["offset"] is result["p_value"] is None
    assert "calibration" not in {d["name"] for name, d in engine.documents if name == "descriptor"}
    json.dumps(result, allow_nan=False)


def test_a_switch_that_does_not_turn_fails_in_plain_words_and_is_left_safe(make_switch, engine):
    broken = make_switch(lambda d: 0.5)
    with pytest.raises(CalibrationError, match="must rise by a half"):
        engine.run(switch_curve(broken))
    assert broken.log[-1] == ("unstage", None)
    assert engine.documents[-1][1]["exit_status"] == "fail"


@pytest.mark.parametrize("plan", [switch_curve, switching_times])
def test_the_switch_is_staged_first_and_left_safe_when_an_acquisition_fails(plan, switch, engine):
    switch.fail_at = 5 if plan is switch_curve else 2
    with pytest.raises(FailedStatus):
        engine.run(plan(switch))
    assert switch.log[0] == ("stage", None)
    assert switch.log[-1] == ("unstage", None)
    assert engine.documents[-1][1]["reason"] == "the instrument does not answer"


def test_independent_shots_are_called_independent(switch, engine):
    result = engine.run(switching_times(switch, shots=20000))
    assert result["independent"]
    assert result["within_datasheet"]
    assert result["correlation_time"] is None
    assert 0.3 < result["probability"] < 0.7
    assert result["interval"] == pytest.approx(1e-3)
    leave = 1 - result["probability"]
    assert abs(result["dwell_shots_on"] - 1 / leave) < 5 * result["dwell_shots_on_standard_error"]
    assert len(result["autocorrelation"]) == 20
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(("datasheet", "within"), [(0.65, True), (0.4, False)])
def test_memory_is_measured_and_compared_with_the_datasheet(datasheet, within, make_switch, engine):
    switch = make_switch(lambda d: expit(3 * d), remembers=0.6, memory=datasheet)
    result = engine.run(switching_times(switch, drive=0.1, shots=50000))
    assert result["drive"] == 0.1
    assert not result["independent"]
    assert result["memory"] == pytest.approx(0.6, abs=0.03)
    assert result["correlation_time"] == pytest.approx(-1e-3 / np.log(0.6), rel=0.1)
    assert result["datasheet_memory"] == datasheet
    assert result["within_datasheet"] is within
    p = expit(0.3)
    assert abs(result["probability"] - p) < 5 * result["probability_standard_error"]
    assert abs(result["dwell_shots_off"] - 1 / (0.4 * p)) < 5 * result["dwell_shots_off_standard_error"]
    assert result["dwell_seconds_off"] == pytest.approx(1e-3 * result["dwell_shots_off"])


def test_a_switch_that_never_turns_has_no_dwell_times(make_switch, engine):
    result = engine.run(switching_times(make_switch(lambda d: 1.0), drive=0.0, shots=1000))
    assert result["probability"] == 1.0
    assert result["dwell_shots_on"] is None
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    ("plan", "arguments", "message"),
    [
        (switch_curve, {"shots": 0}, "shots"),
        (switch_curve, {"points": 4}, "points: 4 is not allowed; a whole number from 5 to 1000"),
        (switch_curve, {"drive": ()}, "drive: 0 numbers given"),
        (switch_curve, {"drive": (0.0, 11.0)}, "drive: switch refuses 11.0"),
        (switch_curve, {"shots": 2**21}, "shots: switch refuses"),
        (switch_curve, {"seed": -1}, "seed"),
        (switching_times, {"shots": 99}, "shots"),
        (switching_times, {"lags": 0}, "lags"),
        (switching_times, {"shots": 100, "lags": 11}, "lags: 11 is not allowed; a whole number from 1 to 10"),
        (switching_times, {"drive": float("nan")}, "drive"),
        (switching_times, {"drive": 11.0}, "drive: switch refuses 11.0"),
    ],
)
def test_nonsense_is_refused_before_the_switch_is_touched(plan, arguments, message, switch):
    with pytest.raises(ArgumentError, match=message):
        next(plan(switch, **arguments))
    assert switch.log == []
