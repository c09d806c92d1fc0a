"""The innovations form against the covariance that it stands for."""

import itertools
import math

import numpy as np
import pytest

from twin.models.spectral_factor import FORGOTTEN, factorise

SUMS = {
    "one process": ([2.0], [0.3]),
    "twelve decades": ([1.0] * 13, np.geomspace(1e-9, 1e3, 13)),
    "behind a slower pole": ([3.0, 2.0, 1.0, -0.2, -0.01], [1e-3, 0.1, 0.5, 2.0, 7.0]),
    "behind a faster pole": ([3.0, 2.0, -0.05], [1e-3, 0.1, 5.0]),
    "white besides": ([0.5, 2.0], [0.01, 1e4]),
    "nothing but white": ([0.5, 2.0], [100.0, 1e4]),
    "white smoothed away": ([2.0, 1.0, -0.1], [0.01, 3.0, 1e4]),
}


def exact_covariance(weights, relaxations, lag):
    return float(np.sum(np.asarray(weights) * np.exp(-np.asarray(relaxations) * lag)))


def implied_covariance(form, relaxations, lag):
    """Covariance of the samples of an innovations form, from the stationary law of its modes."""
    kept = np.sort(np.asarray(relaxations)[np.asarray(relaxations) < FORGOTTEN])
    together = np.outer(form.gain, form.gain) / -np.expm1(-(kept[:, None] + kept))
    left = np.exp(-kept * lag)
    own = form.direct**2 + 2 * form.direct * form.gain.sum() if lag == 0 else form.direct * np.sum(form.gain * left)
    return float(np.sum(together @ left)) + float(own)


@pytest.mark.parametrize(("weights", "relaxations"), SUMS.values(), ids=SUMS)
@pytest.mark.parametrize("lag", [0, 1, 2, 30, 1000])
def test_one_variate_a_sample_gives_the_covariance_of_all_processes(weights, relaxations, lag):
    form = factorise(weights, relaxations)
    exact = exact_covariance(weights, relaxations, lag)
    assert implied_covariance(form, relaxations, lag) == pytest.approx(exact, abs=1e-9 * sum(weights))


@pytest.mark.parametrize(("weights", "relaxations"), SUMS.values(), ids=SUMS)
def test_modes_start_in_their_stationary_law(weights, relaxations):
    form = factorise(weights, relaxations)
    covariance = form.start @ form.start.T
    after = form.decay[:, None] * covariance * form.decay + np.outer(form.gain, form.gain)
    np.testing.assert_allclose(after, covariance, rtol=0, atol=1e-9 * sum(weights))


@pytest.mark.parametrize(("weights", "relaxations"), SUMS.values(), ids=SUMS)
def test_the_filter_has_no_zero_outside_the_unit_circle(weights, relaxations):
    form = factorise(weights, relaxations)
    z = 1.001 * np.exp(1j * np.linspace(0, math.pi, 200_001))
    response = form.direct + np.sum(form.gain / (1 - form.decay / z[:, None]), axis=1)
    turns = np.sum(np.angle(response[1:] / response[:-1])) / math.pi
    assert abs(turns) < 1e-6


def test_the_order_of_the_processes_does_not_matter():
    weights, relaxations = map(np.asarray, SUMS["behind a slower pole"])
    forms = [factorise(weights[list(order)], relaxations[list(order)]) for order in itertools.permutations(range(5))]
    for form in forms:
        np.testing.assert_array_equal(form.gain, forms[0].gain)


def test_weights_that_alternate_are_refused():
    with pytest.raises(ValueError, match="change sign more than once"):
        factorise([1.0, -0.1, 1.0], [0.1, 0.2, 0.3])
