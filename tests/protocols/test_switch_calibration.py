import json

import numpy as np
import pytest
from scipy.special import expit, logit

from protocols.arguments import ArgumentError
from protocols.switch_calibration import CalibrationError, CurvePoint, SwitchCalibration

CURVED = (lambda d: 3.0 * (d - 0.7) + 0.3 * (d - 0.7) ** 3, 0.7, 3.0)

DRIVES = np.linspace(-1.3, 2.7, 17)


@pytest.fixture
def fitted(make_switch):
    """A function that fits the curve of a fake switch, by binomial counts or by the probabilities themselves."""

    def fit(logit_of, floor=0.0, loss=0.0, *, shots=2000, seed=0, correlation=1.0, drives=DRIVES):
        generator = np.random.default_rng(seed)
        p = floor + (1 - floor - loss) * expit(logit_of(drives))
        counts = generator.binomial(shots, p)
        points = [
            CurvePoint(float(d), k / shots, 0.0, int(k), shots, correlation)
            for d, k in zip(drives, counts, strict=True)
        ]
        return SwitchCalibration.fitted(make_switch(lambda d: expit(logit_of(d))), points)

    return fit


def test_beta_and_offset_scatter_by_their_standard_errors(fitted):
    logit_of, offset, beta = CURVED
    calibrations = [fitted(logit_of, seed=seed) for seed in range(60)]
    calibrations = [calibration for calibration in calibrations if calibration.degree == 3]
    assert len(calibrations) > 50
    for name, true in (("offset", offset), ("beta", beta)):
        pulls = [(getattr(c, name) - true) / getattr(c, f"{name}_standard_error") for c in calibrations]
        assert abs(np.mean(pulls)) < 5 / np.sqrt(len(pulls))
        assert np.std(pulls) == pytest.approx(1, abs=5 / np.sqrt(2 * len(pulls)))


def test_the_activation_is_right_within_its_error_over_the_fitted_drives(fitted):
    calibration = fitted(CURVED[0], shots=20000)
    for drive in np.linspace(-1.2, 2.6, 20):
        activation, error = calibration.activation(drive)
        assert abs(activation - CURVED[0](drive)) < 5 * error
        assert 0 < error < 0.3


@pytest.mark.parametrize("activation", [-30.0, -6.0, -1.2345, 0.0, 0.5, 5.0, 12.0])
def test_the_drive_of_an_activation_gives_it_back(fitted, activation):
    calibration = fitted(CURVED[0])
    assert calibration.activation(calibration.drive(activation))[0] == pytest.approx(activation, abs=1e-9)


def test_beyond_the_fitted_drives_the_logit_goes_on_as_a_straight_line(fitted):
    calibration = fitted(CURVED[0])
    (a, error_a), (b, error_b), (c, error_c) = (calibration.activation(drive) for drive in (2.7, 4.7, 6.7))
    assert c - b == pytest.approx(b - a)
    assert error_a < error_b < error_c


def test_a_drive_that_is_not_allowed_is_never_asked_for(fitted):
    calibration = fitted(CURVED[0])
    assert calibration.drive(1e6) == 10.0
    assert calibration.drive(-1e6) == -10.0
    assert calibration.reached(1e6) == pytest.approx(calibration.activation(10.0)[0])
    assert calibration.reached(-1e6) == pytest.approx(calibration.activation(-10.0)[0])
    assert calibration.reached(1.5) == 1.5


def test_floor_and_ceiling_belong_to_the_read_out_and_not_to_the_activation(fitted):
    calibration = fitted(lambda d: 4.0 * (d - 0.7), 0.05, 0.02, shots=20000)
    assert abs(calibration.floor - 0.05) < 0.005
    assert abs(calibration.loss - 0.02) < 0.005
    assert abs(calibration.beta - 4.0) < 5 * calibration.beta_standard_error
    assert abs(calibration.offset - 0.7) < 5 * calibration.offset_standard_error
    assert calibration.probability(0.0) == pytest.approx((0.05 + 0.98) / 2, abs=0.01)
    assert calibration.probability(50.0) == pytest.approx(1 - calibration.loss)
    assert logit(SwitchCalibration.probability(fitted(CURVED[0]), 1.3)) == pytest.approx(1.3)


def test_shots_that_repeat_each_other_widen_the_errors(fitted):
    one, four = (fitted(lambda d: 3.0 * (d - 0.7), correlation=c) for c in (1.0, 4.0))
    assert one.degree == four.degree == 1
    assert four.offset_standard_error == pytest.approx(2 * one.offset_standard_error)
    assert four.beta_standard_error == pytest.approx(2 * one.beta_standard_error)
    assert four.p_value > one.p_value


def test_a_calibration_survives_json(fitted):
    calibration = fitted(CURVED[0])
    stored = json.loads(json.dumps(calibration.as_dict(), allow_nan=False))
    again = SwitchCalibration.from_dict(stored)
    assert again == calibration
    assert again.drive(1.234) == calibration.drive(1.234)


def test_a_calibration_is_taken_from_the_documents_of_its_run(fitted):
    calibration = fitted(CURVED[0])
    data = {key: np.asarray(value) for key, value in calibration.as_dict().items() if key != "uid"}
    again = SwitchCalibration.from_event({"uid": "abc"}, {**data, "offset": 0.1})
    assert again.uid == "abc"
    assert again.coefficients == calibration.coefficients
    assert isinstance(again.centre, float)
    assert isinstance(again.switch, str)
    with pytest.raises(ArgumentError, match=r"calibration: switch, unit, .* missing; allowed: finished runs of"):
        SwitchCalibration.from_event({"uid": "abc"}, {})


@pytest.mark.parametrize("drives", [np.array([0.7]), np.array([0.7, 0.7]), np.array([-9.0, 9.0])])
def test_drives_that_determine_no_curve_are_refused_in_plain_words(fitted, drives):
    with pytest.raises(CalibrationError, match=f"switch: {len(drives)} drives from .* mV determine no rising curve"):
        fitted(lambda d: 40 * d, drives=drives)
