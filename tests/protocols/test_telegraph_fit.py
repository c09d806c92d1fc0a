import numpy as np
import pytest

from protocols.telegraph_fit import (
    Telegraph,
    filtered_occupation,
    fit_telegraph,
    log_likelihood,
    noise_density,
    whitened,
)

BANDWIDTH, DENSITY, LEVELS = 4e4, 4e-26, (5e-9, 4.6e-9)
MEMORY = 1 / (2 * np.pi * BANDWIDTH)


def deviation(interval):
    """Of the noise of a whitened value."""
    rate = 1 / MEMORY
    return np.sqrt(DENSITY * rate / 4 / np.tanh(rate * interval / 2))


def record(telegraph_trace, *, rates, interval, points, seed):
    trace, occupied = telegraph_trace(
        np.random.default_rng(seed),
        rates=rates,
        levels=LEVELS,
        density=DENSITY,
        bandwidth=BANDWIDTH,
        interval=interval,
        points=points,
    )
    return whitened(trace, interval, BANDWIDTH), occupied


def test_transitions_are_the_exponential_of_the_rates():
    telegraph = Telegraph(1.0, 3.0, 0.0, 1.0, 1.0)
    values, vectors = np.linalg.eig(np.array([[-1.0, 3.0], [1.0, -3.0]]))
    expected = (vectors * np.exp(values * 0.3)) @ np.linalg.inv(vectors)
    assert telegraph.transitions(0.3) == pytest.approx(expected, abs=1e-12)
    assert telegraph.transitions(0.3) @ telegraph.stationary == pytest.approx(telegraph.stationary)


@pytest.mark.parametrize("interval", [1e-6, 1e-5, 1e-4])
def test_whitening_undoes_the_amplifier(telegraph_trace, interval):
    quiet, _ = record(telegraph_trace, rates=(1e-9, 1e-9), interval=interval, points=20001, seed=1)
    noise = quiet - quiet.mean()
    assert noise.std() == pytest.approx(deviation(interval), rel=5 / np.sqrt(2 * 20000))
    assert noise_density(deviation(interval), interval, BANDWIDTH) == pytest.approx(DENSITY)
    neighbours = np.mean(noise[1:] * noise[:-1]) / noise.var()
    assert abs(neighbours) < 5 / np.sqrt(20000)


def test_the_likelihood_is_that_of_the_sum_over_all_histories():
    telegraph = Telegraph(2e4, 5e4, *LEVELS, 1e-10)
    values = np.array([4.9e-9, 4.75e-9, 4.5e-9, 4.65e-9, 5.1e-9])
    interval = 4e-6
    grid = np.linspace(0, 1, 4001)[1:] - 1 / 8000
    share = -np.expm1(-grid * interval / MEMORY) / -np.expm1(-interval / MEMORY)
    transitions, state = telegraph.transitions(interval), telegraph.stationary
    for value in values:
        means = np.empty((2, 2, len(share)))
        for before in (0, 1):
            for after in (0, 1):
                means[after, before] = LEVELS[before] + (LEVELS[after] - LEVELS[before]) * share
        density = np.exp(-0.5 * ((value - means) / 1e-10) ** 2).mean(axis=-1) / (1e-10 * np.sqrt(2 * np.pi))
        state = (transitions * density) @ state
    assert log_likelihood(telegraph, values, interval, MEMORY) == pytest.approx(np.log(state.sum()), abs=0.1)


def test_the_filter_knows_only_the_record_up_to_each_value(telegraph_trace):
    values, _ = record(telegraph_trace, rates=(5e3, 5e3), interval=4e-6, points=402, seed=3)
    telegraph = Telegraph(5e3, 5e3, *LEVELS, deviation(4e-6))
    occupation = filtered_occupation(telegraph, values, 4e-6, MEMORY)
    assert occupation[0] == 0.5
    for length in (1, 2, 57, 400):
        part = filtered_occupation(telegraph, values[:length], 4e-6, MEMORY)
        assert part == pytest.approx(occupation[: length + 1], abs=1e-9)


def test_the_filter_is_right_as_often_as_it_says(telegraph_trace):
    interval = 4e-6
    values, occupied = record(telegraph_trace, rates=(4e3, 8e3), interval=interval, points=40001, seed=4)
    noisy = values + 4 * deviation(interval) * np.random.default_rng(5).standard_normal(len(values))
    telegraph = Telegraph(4e3, 8e3, *LEVELS, deviation(interval) * np.sqrt(17))
    p = filtered_occupation(telegraph, noisy, interval, MEMORY)
    assert 0.05 < np.std(p) < 0.45
    groups = np.digitize(p, [0.1, 0.3, 0.5, 0.7, 0.9])
    for group in np.unique(groups):
        chosen = groups == group
        blocks = np.array_split(np.where(chosen, occupied - p, 0.0), 100)
        sums = np.array([block.sum() for block in blocks])
        assert abs(sums.sum()) < 5 * sums.std() * np.sqrt(len(sums)), group


@pytest.mark.slow
@pytest.mark.parametrize(("rates", "interval"), [((3e3, 6e3), 2e-6), ((8e3, 5e3), 5e-6)])
def test_rates_levels_and_noise_are_found_in_spite_of_the_bandwidth(telegraph_trace, rates, interval):
    values, occupied = record(telegraph_trace, rates=rates, interval=interval, points=30001, seed=6)
    changes = int(np.abs(np.diff(occupied.astype(int))).sum())
    guess = Telegraph(0.8 * rates[0], 0.9 * rates[1], 4.97e-9, 4.63e-9, 1.2 * deviation(interval))
    fit = fit_telegraph([values], interval, MEMORY, guess, transitions=changes)
    found, errors = fit.telegraph, np.sqrt(np.diag(fit.covariance))
    deviations = (
        np.log(found.rate_in / rates[0]),
        np.log(found.rate_out / rates[1]),
        found.level_empty - LEVELS[0],
        found.level_occupied - LEVELS[1],
        np.log(found.deviation / deviation(interval)),
    )
    assert np.abs(deviations / errors).max() < 5
    assert errors[:2] == pytest.approx(np.sqrt(2 / changes), rel=0.3)
    assert errors[4] == pytest.approx(1 / np.sqrt(2 * len(values)), rel=0.2)


def test_a_record_that_shows_no_charge_determines_no_rates():
    values = 5e-9 + 1e-10 * np.random.default_rng(7).standard_normal(2000)
    fit = fit_telegraph([values], 1e-5, MEMORY, Telegraph(1e3, 1e3, 5e-9, 5e-9 - 1e-13, 1e-10), transitions=1)
    assert fit is None or np.sqrt(fit.covariance[0, 0]) > 0.5
