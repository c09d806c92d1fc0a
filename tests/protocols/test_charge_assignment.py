import numpy as np
import pytest
from scipy.special import erfc

from protocols.charge_assignment import assignment_error, boxcar_error, integration_points, measured_error
from protocols.telegraph_fit import Telegraph, filtered_occupation, whitened

TIMES = np.array([0.05, 0.1, 0.2, 0.5])


def test_without_transitions_the_error_is_that_of_a_gaussian():
    products = np.array([5.411, 10.824, 19.099, 27.662])
    errors = boxcar_error(products, 1.0, 0.0, 0.0)
    assert errors == pytest.approx(erfc(np.sqrt(products) / 2) / 2, abs=1e-12)
    assert errors == pytest.approx([0.05, 0.01, 1e-3, 1e-4], rel=1e-3)


@pytest.mark.parametrize(
    ("information_rate", "rates", "errors"),
    [
        (40, (1.0, 0.0), (0.16705, 0.09907, 0.06775, 0.11001)),
        (40, (0.5, 0.5), (0.16705, 0.09901, 0.06730, 0.10571)),
        (200, (1.0, 0.0), (0.02468, 0.02507, 0.04747, 0.11036)),
        (200, (0.5, 0.5), (0.02464, 0.02486, 0.04651, 0.10461)),
    ],
)
def test_with_transitions_the_error_has_an_optimum_in_time(information_rate, rates, errors):
    telegraph = Telegraph(*rates, 0.0, 1.0, 1.0)
    assert assignment_error(telegraph, TIMES, information_rate) == pytest.approx(errors, abs=6e-6)


def test_the_best_times_are_those_of_the_theory():
    for information_rate, best, error in ((40, 0.213, 0.06705), (200, 0.0688, 0.02100)):
        times = best + np.linspace(-0.02, 0.02, 41)
        errors = assignment_error(Telegraph(0.5, 0.5, 0.0, 1.0, 1.0), times, information_rate)
        assert times[np.argmin(errors)] == pytest.approx(best, abs=2e-3)
        assert errors.min() == pytest.approx(error, abs=1e-5)


@pytest.mark.slow
def test_the_measured_error_is_the_expected_one(telegraph_trace):
    interval, bandwidth, density = 4e-6, 4e4, 1e-24
    trace, _ = telegraph_trace(
        np.random.default_rng(1),
        rates=(500.0, 800.0),
        levels=(5e-9, 4.6e-9),
        density=density,
        bandwidth=bandwidth,
        interval=interval,
        points=300000,
    )
    rate = 2 * np.pi * bandwidth
    deviation = np.sqrt(density * rate / 4 / np.tanh(rate * interval / 2))
    telegraph = Telegraph(500.0, 800.0, 5e-9, 4.6e-9, deviation)
    record = whitened(trace, interval, bandwidth)
    occupation = filtered_occupation(telegraph, record, interval, 1 / rate)
    information_rate = (4e-10) ** 2 / (2 * deviation**2 * interval)
    for points in (4, 12, 30, 90):
        error, standard_error = measured_error(record, occupation, telegraph, points)
        expected = float(assignment_error(telegraph, points * interval, information_rate))
        assert abs(error - expected) < 5 * standard_error + 1300 * interval / 4
        assert standard_error < 0.1 * expected


def test_windows_of_one_charge_do_not_tell_both_errors():
    telegraph = Telegraph(1.0, 1.0, 1.0, 0.0, 0.1)
    assert measured_error(np.ones(100), np.zeros(100), telegraph, 10) is None
    assert measured_error(np.ones(10), np.linspace(0, 1, 10), telegraph, 10) is None


def test_no_error_at_all_still_has_a_standard_error():
    telegraph = Telegraph(1.0, 1.0, 1.0, 0.0, 0.1)
    record = np.repeat([1.0, 0.0] * 50, 10)
    error, standard_error = measured_error(record, np.repeat([0.0, 1.0] * 50, 10), telegraph, 10)
    assert error == pytest.approx(0.0, abs=1e-12)
    assert standard_error == pytest.approx(1 / 52 / np.sqrt(50) / np.sqrt(2) * np.sqrt(51), rel=0.05)


def test_integration_times_go_from_one_sample_to_about_one_transition():
    points = integration_points(1e-5, Telegraph(100.0, 300.0, 0.0, 1.0, 1.0), 1e6)
    assert points[0] == 1
    assert points[-1] == 125
    assert points == sorted(set(points))
