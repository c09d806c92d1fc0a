import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import expit

from protocols.statistics import autocorrelation_time, fit_switching, mean_with_error, noise, propagated


def autoregression(generator, memory, size, chains=1):
    noise = generator.normal(size=(chains, size + 500))
    return lfilter([1.0], [1.0, -memory], noise, axis=1)[:, 500:]


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_autocorrelation_time_of_an_autoregression_is_known(memory):
    series = autoregression(np.random.default_rng(0), memory, 100_000)[0]
    assert autocorrelation_time(series) == pytest.approx((1 + memory) / (1 - memory), rel=0.15)


def test_a_constant_series_has_no_error():
    assert mean_with_error(np.full(100, 2.0), correlated=True) == (2.0, 0.0)


def test_the_standard_error_of_correlated_values_is_the_scatter_of_their_means():
    chains = autoregression(np.random.default_rng(1), 0.8, 2000, chains=400)
    errors = [mean_with_error(chain, correlated=True)[1] for chain in chains]
    assert np.mean(errors) == pytest.approx(chains.mean(axis=1).std(), rel=0.15)


def test_the_error_of_a_short_series_is_not_too_small():
    chains = autoregression(np.random.default_rng(4), 0.9, 300, chains=2000)
    errors = [mean_with_error(chain, correlated=True)[1] for chain in chains]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(chains.mean(axis=1).std(), rel=0.08)


def test_the_standard_error_of_independent_values_is_the_plain_one():
    series = np.random.default_rng(2).normal(size=50)
    assert mean_with_error(series, correlated=False)[1] == pytest.approx(series.std(ddof=1) / np.sqrt(50))


def test_a_logistic_function_is_recovered_from_its_counts():
    generator = np.random.default_rng(3)
    drive, shots = np.linspace(-1, 1, 15), 2000
    p = generator.binomial(shots, expit((drive - 0.1) / 0.12)) / shots
    fit = fit_switching(drive, p, np.sqrt(p * (1 - p) / shots))
    assert abs(fit["offset"] - 0.1) < 5 * fit["offset_standard_error"]
    assert abs(fit["width"] - 0.12) < 5 * fit["width_standard_error"]
    assert 0 < fit["offset_standard_error"] < 0.01


@pytest.mark.parametrize(
    ("drive", "probability"),
    [((0.0,), (0.5,)), ((-1.0, 1.0), (0.0, 1.0)), ((-1.0, 0.0, 1.0), (0.0, 0.5, 1.0)), ((0.0, 0.0), (0.4, 0.6))],
)
def test_points_that_do_not_determine_the_fit_give_none(drive, probability):
    p = np.array(probability)
    assert fit_switching(drive, p, np.sqrt(p * (1 - p) / 100)) is None


def test_the_noise_of_a_series_is_found_in_spite_of_slopes_and_steps():
    generator = np.random.default_rng(8)
    series = np.linspace(0, 50, 20000) + 30 * (np.arange(20000) // 500 % 2) + 0.2 * generator.standard_normal(20000)
    assert noise(series) == pytest.approx(0.2, rel=0.05)
    assert noise([1.0, 2.0]) == 0.0


def test_errors_are_propagated_with_their_correlations():
    covariance = np.array([[0.04, 0.03], [0.03, 0.09]])
    values, errors = propagated(lambda p: [p[0] + p[1], p[0] - p[1], p[0] / p[1]], [3.0, 2.0], covariance)
    assert values == pytest.approx([5.0, 1.0, 1.5])
    ratio = np.sqrt(0.04 / 4 + 0.09 * 9 / 16 - 2 * 0.03 * 3 / 8)
    assert errors == pytest.approx([np.sqrt(0.19), np.sqrt(0.07), ratio], rel=1e-4)
