"""Telegraph signals against closed forms, SciPy's null space and the same jumps followed one by one."""

import math

import numpy as np
import pytest
from scipy.linalg import null_space

from twin.kernels.telegraph import (
    chain_events,
    driven_switch_events,
    exit_rates,
    filtered_chain,
    filtered_steps,
    switch_events,
    switch_on_grid,
)

CHAIN = np.array([[0, 3.0, 0.5], [1.0, 0, 2.0], [4.0, 0.2, 0]])


def stream(seed=1):
    return np.random.Generator(np.random.Philox(key=seed))


def stationary(rates):
    law = null_space((rates - np.diag(rates.sum(axis=1))).T)[:, 0]
    return law / law.sum()


def batch_error(series, batches=100):
    """Standard error of the mean of a correlated series."""
    return np.std([part.mean() for part in np.array_split(series, batches)], ddof=1) / math.sqrt(batches)


@pytest.mark.parametrize("interval", [0.03, 0.5])
def test_a_switch_on_a_grid_has_its_stationary_law_and_its_covariance_at_any_interval(interval):
    states = np.empty(400_000, np.int64)
    switch_on_grid(stream(), 1.0, 3.0, interval, 0, states)
    assert abs(states.mean() - 0.25) < 5 * batch_error(states)
    product = (states[1:] - 0.25) * (states[:-1] - 0.25)
    assert abs(product.mean() - 0.1875 * math.exp(-4 * interval)) < 5 * batch_error(product)


def test_events_alternate_with_exponential_waiting_times():
    times = switch_events(stream(2), 2.0, 5.0, 1, 20_000.0)
    waits = np.diff(times, prepend=0.0)
    for dwell, rate in ((waits[::2], 5.0), (waits[1::2], 2.0)):
        assert abs(dwell.mean() * rate - 1) < 5 / math.sqrt(len(dwell))
        assert abs(np.mean(dwell**2) * rate**2 / 2 - 1) < 5 * math.sqrt(5 / len(dwell))
    assert len(times) / 20_000 == pytest.approx(2 * 2 * 5 / 7, rel=0.02)


def test_a_switch_that_cannot_leave_stays():
    assert len(switch_events(stream(), 0.0, 5.0, 0, 1e9)) == 0


def test_a_swap_of_the_rates_gives_the_published_final_state_and_mean_number_of_jumps():
    rng, tau, mu, nu = stream(3), 5.0, 1.0, 10.0
    nodes, up = np.array([0.0, tau]), np.array([mu, nu])
    final, jumps = np.empty(20_000), np.empty(20_000)
    for k in range(len(final)):
        start = int(rng.random() < mu / (mu + nu))
        times = driven_switch_events(rng, nodes, up, mu + nu, start)
        final[k], jumps[k] = (start + len(times)) % 2, len(times)
    total = mu + nu
    exact = nu / total - (nu - mu) / (tau * total**2) * (1 - math.exp(-total * tau))
    assert exact == pytest.approx(0.89421, abs=1e-5)
    assert abs(final.mean() - exact) < 5 * math.sqrt(exact * (1 - exact) / len(final))
    assert abs(jumps.mean() - 21.3754) < 5 * jumps.std() / math.sqrt(len(jumps))


def test_rates_between_nodes_are_linear():
    rng = stream(4)
    nodes, up = np.array([0.0, 1.0, 1.5, 4.0]), np.array([0.0, 2.0, 2.0, 0.5])
    final = np.array([len(driven_switch_events(rng, nodes, up, 3.0, 0)) % 2 for _ in range(20_000)])
    grid = np.linspace(0, 4, 400_001)
    integrand = np.interp(grid, nodes, up) * np.exp(-3.0 * (4 - grid))
    exact = np.trapezoid(integrand, grid)
    assert abs(final.mean() - exact) < 5 * math.sqrt(exact * (1 - exact) / len(final))


def test_a_chain_spends_in_each_state_the_share_of_its_stationary_law():
    times, states = chain_events(stream(5), CHAIN, 0, 50_000.0)
    ends = np.append(times[1:], 50_000.0)
    law = stationary(CHAIN)
    for state in range(3):
        held = np.where(states == state, ends - times, 0.0)
        share = held.sum() / 50_000
        error = np.std([part.sum() for part in np.array_split(held, 100)], ddof=1) * 10 / 50_000
        assert abs(share - law[state]) < 5 * error
    assert len(times) / 50_000 == pytest.approx(law @ exit_rates(CHAIN), rel=0.02)


def test_a_chain_never_jumps_to_where_no_rate_leads():
    rates = np.array([[0, 1.0, 0.0], [0.0, 0, 1.0], [1.0, 0.0, 0]])
    _times, states = chain_events(stream(6), rates, 0, 1000.0)
    assert len(states) > 500
    np.testing.assert_array_equal(states, (1 + np.arange(len(states))) % 3)


@pytest.mark.parametrize(
    ("source", "drain", "occupied", "current", "fano"),
    [(1.0, 0.0, 0.25, 0.75, 0.625), (0.8, 0.3, 0.425, 0.375, None)],
)
def test_counting_electrons_of_each_lead_gives_the_current_and_its_shot_noise(source, drain, occupied, current, fano):
    gS, gD, duration, runs = 1.0, 3.0, 200.0, 4000
    enter = [gS * source, gD * drain]
    leave = [gS * (1 - source), gD * (1 - drain)]
    # states: 0, 1 empty and 2, 3 occupied, by the lead of the last electron
    rates = np.array([[0, 0, *enter], [0, 0, *enter], [*leave, 0, 0], [*leave, 0, 0]])
    rng, passed, held = stream(7), np.empty(runs), np.empty(runs)
    for k in range(runs):
        start = 2 if rng.random() < occupied else 0
        times, states = chain_events(rng, rates, start, duration)
        passed[k] = np.sum(states == 2) - np.sum(states == 0)
        edges = np.concatenate(([0.0], times, [duration]))
        held[k] = np.diff(edges)[np.concatenate(([start], states)) >= 2].sum() / duration
    assert abs(held.mean() - occupied) < 5 * held.std() / math.sqrt(runs)
    assert abs(passed.mean() / duration - current) < 5 * passed.std() / math.sqrt(runs) / duration
    if fano is not None:
        assert abs(passed.var() / passed.mean() - fano) < 5 * fano * math.sqrt(2 / runs) + 2e-3


def test_a_filtered_chain_is_the_convolution_of_its_own_jumps():
    levels, r, interval, run_in = np.array([1.0, -2.0, 5.0]), 6.0, 0.4, 1.7
    trace = np.empty(50)
    filtered_chain(stream(8), CHAIN, levels, r, interval, run_in, 2, trace)
    times, states = chain_events(stream(8), CHAIN, 2, run_in + 60 * interval)
    steps = np.diff(levels[np.concatenate(([2], states))])
    sampled = run_in + interval * np.arange(50)
    since = sampled[:, None] - times[None, :]
    exact = levels[2] + np.where(since > 0, steps * -np.expm1(-r * np.maximum(since, 0)), 0).sum(axis=1)
    np.testing.assert_allclose(trace, exact, atol=1e-12)


@pytest.mark.parametrize("r", [0.5, 30.0])
def test_a_filtered_telegraph_signal_has_its_exact_variance(r):
    rates, levels = np.array([[0, 2.0], [3.0, 0]]), np.array([0.0, 1.0])
    trace = np.empty(200_000)
    filtered_chain(stream(9), rates, levels, r, 0.5, 40 / r, 0, trace)
    spread = (trace - 0.4) ** 2
    assert abs(trace.mean() - 0.4) < 5 * batch_error(trace)
    assert abs(spread.mean() - 0.24 * r / (r + 5)) < 5 * batch_error(spread)


def test_steps_draw_their_ends_and_gather_the_moments_given():
    chance = np.array([[0.7, 0.3], [0.4, 0.6]])
    mean, deviation = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.array([[0.1, 0.2], [0.3, 0.4]])
    trace = np.empty(200_000)
    filtered_steps(stream(10), np.cumsum(chance, axis=1), mean, deviation, 0.0, 0, trace)
    law = np.array([4, 3]) / 7
    joint = law[:, None] * chance
    exact = (joint * mean).sum()
    second = (joint * (mean**2 + deviation**2)).sum()
    assert abs(trace.mean() - exact) < 5 * batch_error(trace)
    assert abs(np.mean(trace**2) - second) < 5 * batch_error(trace**2)
