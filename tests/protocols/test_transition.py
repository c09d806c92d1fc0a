import numpy as np
import pytest
from scipy.special import expit

from protocols.acquisition import recorded
from protocols.record import Record
from protocols.switch_calibration import CalibrationError
from protocols.transition import calibrate, calibration_record, measure_curve, middle_drive, transition_drives

BODIES = {
    "logistic": (lambda d: expit(3.0 * (d - 0.7)), {}),
    "narrow": (lambda d: expit(4000.0 * (d - 0.71234)), {}),
    "wide": (lambda d: expit(1.3 * (d + 2)), {}),
    "far from zero": (lambda d: expit(50 * (d - 1001)), {"span": (900.0, 1100.0), "limit": 2000.0}),
    "curved": (lambda d: expit(3.0 * (d - 0.7) + 0.5 * (d - 0.7) ** 3), {}),
    "with floor and ceiling": (lambda d: 0.1 + 0.75 * expit(8.0 * (d - 0.7)), {}),
    "in steps": (lambda d: expit(3.0 * (d - 0.7)), {"step": 0.05}),
}


def run(engine, switch, plan):
    return engine.run(recorded(switch, "test", {}, plan))


@pytest.mark.parametrize("name", BODIES)
def test_drives_cover_the_transition_of_any_body(name, make_switch, engine):
    curve, settings = BODIES[name]
    switch = make_switch(curve, **settings)
    drives = np.array(run(engine, switch, transition_drives(switch, 17)))
    assert len(drives) == 17
    assert np.all(np.diff(drives) > 0)
    p = curve(drives)
    inner = (p - p.min()) / np.ptp(p)
    assert np.count_nonzero((inner > 0.02) & (inner < 0.98)) >= 6
    assert inner[0] < 0.02
    assert inner[-1] > 0.98
    assert switch.triggers < 80


def test_the_middle_of_a_transition_is_found(make_switch, engine):
    switch = make_switch(BODIES["narrow"][0])
    assert 0.3 < switch.curve(run(engine, switch, middle_drive(switch))) < 0.7


@pytest.mark.parametrize("name", BODIES)
def test_a_calibration_knows_the_activation_of_any_body(name, make_switch, engine):
    curve, settings = BODIES[name]
    switch = make_switch(curve, seed=4, **settings)
    calibration = run(engine, switch, calibrate(switch, calibration_record(), shots=4000, seed=1))
    assert calibration.p_value > 1e-4
    for activation in (-3.0, -1.0, 0.0, 1.0, 3.0):
        p, drive = calibration.probability(activation), calibration.drive(activation)
        _, error = calibration.activation(drive)
        assert abs(curve(drive) - p) < 5 * error * p * (1 - p) + 0.01
    (event,) = [document for kind, document in engine.documents if kind == "event"]
    assert event["data"]["switch"] == "switch"
    assert event["data"]["offset"] == calibration.offset
    assert event["data"]["unit"] == "mV"


def test_only_allowed_drives_within_the_span_are_asked_for(make_switch, engine):
    switch = make_switch(BODIES["wide"][0], span=(-4.0, 3.0), limit=3.5)
    run(engine, switch, calibrate(switch, calibration_record(), shots=200))
    drives = [value for name, value in switch.log if name == "drive"]
    assert min(drives) >= -3.5
    assert max(drives) <= 3.5


def test_the_drives_are_taken_in_an_order_that_the_seed_gives(make_switch, engine):
    orders = []
    for seed in (1, 1, 2):
        switch = make_switch(BODIES["logistic"][0])
        points, seconds = run(engine, switch, measure_curve(switch, [0.0, 0.5, 1.0, 1.5], shots=100, seed=seed))
        assert [point.drive for point in points] == [0.0, 0.5, 1.0, 1.5]
        assert seconds == pytest.approx(0.4)
        orders.append([value for name, value in switch.log if name == "drive"])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == [0.0, 0.5, 1.0, 1.5]


def test_the_drive_in_force_counts_and_not_the_wanted_one(make_switch, engine):
    switch = make_switch(BODIES["in steps"][0], step=0.05)
    record = Record("primary")
    points, _ = run(engine, switch, measure_curve(switch, [0.31, 0.52], shots=100, record=record))
    assert [point.drive for point in points] == pytest.approx([0.30, 0.50])


def test_shots_that_repeat_each_other_count_for_less(make_switch, engine):
    remembers = 0.8
    switch = make_switch(lambda d: expit(3 * d), remembers=remembers)
    ((point,), _) = run(engine, switch, measure_curve(switch, [0.0], shots=20000))
    expected = (1 + remembers) / (1 - remembers)
    assert point.correlation == pytest.approx(expected, rel=0.15)
    assert point.probability_standard_error == pytest.approx(np.sqrt(0.25 * expected / 20000), rel=0.1)
    independent = make_switch(lambda d: expit(3 * d))
    ((point,), _) = run(engine, independent, measure_curve(independent, [0.0], shots=20000))
    assert point.correlation == 1.0


@pytest.mark.parametrize(
    ("curve", "settings", "message"),
    [
        (lambda d: 0.3 + 0 * d, {}, r"switch: the probability of \+1 goes from .* it must rise by a half"),
        (lambda d: expit(-3 * d), {}, "must rise by a half"),
        (lambda d: expit(3 * (d - 20)), {}, "must rise by a half"),
        (lambda d: 1.0 * (d > 0.123), {}, "turns more sharply than its drive can be set"),
        (lambda d: expit(400 * (d - 0.5)), {"step": 1.0}, "more sharply"),
        (lambda d: expit(d), {"span": (20.0, 30.0)}, "drives from -10 to 10 mV are allowed"),
    ],
)
def test_a_switch_whose_transition_cannot_be_found_fails_in_plain_words(curve, settings, message, make_switch, engine):
    switch = make_switch(curve, **settings)
    with pytest.raises(CalibrationError, match=message):
        run(engine, switch, transition_drives(switch, 17))
    assert switch.triggers < 100
    assert engine.documents[-1][1]["exit_status"] == "fail"
