"""Noise of the current amplifier against its spectrum and its exact covariances."""

import math

import numpy as np
import pytest

from twin.models.current_amplifier import CurrentAmplifier, relaxation_rate


def density(amplifier, frequency):
    variances, relaxations = amplifier.slow_processes()
    omega = 2 * math.pi * np.asarray(frequency)[..., None]
    slow = 4 * variances * relaxations / (relaxations**2 + omega**2)
    return amplifier.white_noise + slow.sum(axis=-1)


def test_the_slow_processes_add_up_to_one_over_f():
    amplifier = CurrentAmplifier(white_noise=2.0, corner_frequency=300.0)
    frequency = np.geomspace(0.03, 300, 200)
    np.testing.assert_allclose(density(amplifier, frequency) - 2.0, 2.0 * 300 / frequency, rtol=0.03)
    np.testing.assert_allclose(
        density(amplifier, np.geomspace(1, 100, 99)) - 2, 600 / np.geomspace(1, 100, 99), rtol=0.01
    )


def test_without_a_corner_the_noise_is_white_and_a_reading_averages_it():
    amplifier = CurrentAmplifier(white_noise=4e-26, corner_frequency=0.0)
    assert amplifier.reading_noise(0.02) == pytest.approx(math.sqrt(4e-26 / 0.04), rel=1e-12)


@pytest.mark.parametrize("aperture", [1e-4, 0.1, 50.0])
def test_the_noise_of_a_reading_is_the_integral_of_its_covariance(aperture):
    amplifier = CurrentAmplifier(white_noise=1e-26, corner_frequency=50.0)
    variances, relaxations = amplifier.slow_processes()
    t = np.concatenate(([0.0], np.geomspace(1e-9, 1, 20_000))) * aperture
    covariance = np.exp(-np.outer(t, relaxations)) @ variances
    exact = 1e-26 / (2 * aperture) + 2 * np.trapezoid((aperture - t) * covariance, t) / aperture**2
    assert amplifier.reading_noise(aperture) == pytest.approx(math.sqrt(exact), rel=1e-5)


def exact_covariance(amplifier, r, lag):
    """Covariance of the filtered noise: white noise and each slow process through one pole."""
    variances, slow = amplifier.slow_processes()
    filtered = variances * r / (r**2 - slow**2) * (r * np.exp(-slow * lag) - slow * np.exp(-r * lag))
    return amplifier.white_noise * r / 4 * math.exp(-r * lag) + filtered.sum()


@pytest.mark.parametrize(("interval", "bandwidth"), [(1e-3, 20.0), (2e-5, 4e4), (0.5, 4e4)])
def test_sampled_noise_has_its_stationary_covariance_from_the_first_sample_on(interval, bandwidth):
    amplifier = CurrentAmplifier(white_noise=1.0, corner_frequency=30.0)
    rng, runs, points = np.random.default_rng(3), 8_000, 3
    traces = np.zeros((runs, points))
    for trace in traces:
        amplifier.add_noise(trace, interval, bandwidth, rng)
    r = relaxation_rate(bandwidth)
    for i in range(points):
        for j in range(i, points):
            exact = exact_covariance(amplifier, r, (j - i) * interval)
            variance = exact_covariance(amplifier, r, 0.0)
            error = math.sqrt((variance**2 + exact**2) / runs)
            assert abs(np.mean(traces[:, i] * traces[:, j]) - exact) < 5 * error


def test_noise_is_added_to_what_is_there():
    silent = CurrentAmplifier(white_noise=0.0, corner_frequency=0.0)
    trace = np.arange(5.0)
    silent.add_noise(trace, 1e-3, 1e3, np.random.default_rng(0))
    np.testing.assert_array_equal(trace, np.arange(5.0))
    assert silent.reading_noise(1.0) == 0


@pytest.mark.parametrize("wrong", [{"white_noise": -1e-26}, {"corner_frequency": math.inf}, {"white_noise": math.nan}])
def test_an_impossible_amplifier_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CurrentAmplifier(**wrong)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_an_impossible_aperture_or_bandwidth_is_refused(value):
    with pytest.raises(ValueError, match="aperture"):
        CurrentAmplifier().reading_noise(value)
    with pytest.raises(ValueError, match="bandwidth"):
        relaxation_rate(value)
