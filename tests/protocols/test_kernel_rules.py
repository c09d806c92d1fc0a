import numpy as np
import pytest

from protocols.kernel_rules import (
    decision_threshold,
    error_floor,
    overlap,
    overlap_feedback,
    rotated,
    shift_gradient,
    tangents,
    unit_vector,
)


def test_the_overlap_is_one_for_equal_pulses_and_even_in_the_weights():
    xi = np.array([1.0, -1.0, 1.0])
    assert overlap(xi, xi) == pytest.approx(1.0)
    assert overlap(-3 * xi, xi) == pytest.approx(1.0)
    assert overlap([1, 1, 0], xi) == pytest.approx(0.0)


@pytest.mark.parametrize(("modes", "mean", "error"), [(2, 0.506, 0.003), (4, 0.252, 0.003), (8, 0.1255, 0.002)])
def test_random_data_overlap_by_one_over_the_modes(modes, mean, error):
    generator = np.random.default_rng(modes)
    values = overlap(generator.normal(size=(20000, modes)), generator.choice([-1.0, 1.0], size=(20000, modes)))
    assert abs(values.mean() - 1 / modes) < 5 * values.std() / np.sqrt(20000)
    assert abs(mean - values.mean()) < 5 * error


def test_the_feedback_is_the_derivative_along_the_sphere():
    generator = np.random.default_rng(0)
    weights, xi = unit_vector(generator.normal(size=5)), generator.choice([-1.0, 1.0], size=5)
    gradient = overlap_feedback(weights, xi)
    assert gradient @ weights == pytest.approx(0.0, abs=1e-14)
    for direction in tangents(weights):
        slope = (
            overlap(rotated(weights, direction, 1e-5), xi) - overlap(rotated(weights, direction, -1e-5), xi)
        ) / 2e-5
        assert gradient @ direction == pytest.approx(slope, abs=1e-9)


@pytest.mark.parametrize("modes", [2, 3, 6])
def test_two_turned_settings_give_the_derivative_exactly(modes):
    generator = np.random.default_rng(modes)
    weights, xi = unit_vector(generator.normal(size=modes)), generator.normal(size=modes)
    directions = tangents(weights)
    assert directions.shape == (modes - 1, modes)
    assert directions @ directions.T == pytest.approx(np.eye(modes - 1))
    differences = [
        overlap(rotated(weights, e, np.pi / 4), xi) - overlap(rotated(weights, e, -np.pi / 4), xi) for e in directions
    ]
    assert shift_gradient(directions, differences) == pytest.approx(overlap_feedback(weights, xi), abs=1e-10)


def test_the_error_floor_of_a_balanced_gate_is_half_of_what_is_missed_and_half_of_the_dark_clicks():
    assert error_floor([-1, 1, 1, -1], 0.8, 1e-4) == pytest.approx((1 - 0.8) / 2 + 1e-4 / 2)
    assert error_floor([-1, -1, -1, 1], 0.8, 0.01) == pytest.approx((0.2 + 3 * 0.01) / 4)


def test_the_threshold_is_between_the_rows_that_click_and_those_that_do_not():
    assert decision_threshold([0.02, 0.7, 0.8, 0.1], [-1, 1, 1, -1]) == pytest.approx(0.4)
    assert decision_threshold([0.02, 0.1, 0.8, 0.1], [-1, 1, 1, -1]) is None
