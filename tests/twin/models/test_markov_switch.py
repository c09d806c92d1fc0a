"""A switch with constant rates against its closed forms; what a swap and a stepped rate do."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from twin.models.markov_switch import MarkovSwitch, StepWaiting, linear_swap_statistics
from twin.noise import generator

KEY = (71, 72)
SWITCH = MarkovSwitch(1.0, 3.0)


def check_fraction(measured, exact, count):
    assert abs(measured - exact) < 5 * math.sqrt(max(exact * (1 - exact), 1 / count) / count)


def test_a_switch_relaxes_at_the_sum_of_its_rates():
    assert SWITCH.on == 0.25
    np.testing.assert_allclose(SWITCH.on_probability([0.0, 1e9], 1.0), [1.0, 0.25])
    assert 2 * SWITCH.on_probability(0.3, 0.0) - 1 == pytest.approx(-0.6506, abs=5e-5)
    assert SWITCH.mean_energy(2.0) == pytest.approx(-0.5)


@pytest.mark.parametrize("step", [0.03, 0.3, 3.0])
def test_a_switch_is_exact_on_a_grid_of_any_step(step):
    states = SWITCH.sample_grid(np.full(50_000, -1), step, 2, key=KEY)
    for k in range(2):
        exact = float(SWITCH.on_probability((k + 1) * step, 0.0))
        check_fraction(np.mean(states[:, k] > 0), exact, len(states))
    together = np.mean((states[:, 0] > 0) & (states[:, 1] > 0))
    exact = float(SWITCH.on_probability(step, 0.0) * SWITCH.on_probability(step, 1.0))
    check_fraction(together, exact, len(states))


def test_the_stationary_switch_has_its_covariance_and_its_rate_of_jumps():
    rng = generator(1, "switch", 0, "start")
    states = SWITCH.sample_grid(SWITCH.sample_stationary(rng, 50_000), 0.2, 3, key=KEY).astype(float)
    centred = states - (2 * SWITCH.on - 1)
    for lag in range(3):
        products = centred[:, 0] * centred[:, lag]
        error = products.std() / math.sqrt(len(products))
        assert abs(products.mean() - SWITCH.covariance(0.2 * lag)) < 5 * error
    jumps = np.array([len(times) for times in SWITCH.jump_times(SWITCH.sample_stationary(rng, 5000), 4.0, key=KEY)])
    assert SWITCH.jump_rate == 1.5
    assert abs(jumps.mean() - 6.0) < 5 * jumps.std() / math.sqrt(jumps.size)


def test_the_spectrum_is_the_transform_of_the_covariance():
    for frequency in (0.0, 1.0, 7.0):
        half, _error = quad(lambda t, w=frequency: float(SWITCH.covariance(t)) * math.cos(w * t), 0, 12, limit=200)
        assert SWITCH.spectrum(frequency) == pytest.approx(2 * half, abs=1e-8)


def test_dwell_times_are_exponential_in_either_state():
    jumps = SWITCH.jump_times([-1] * 2000, 40.0, key=KEY)
    dwells = [np.diff(times, prepend=0.0) for times in jumps]
    for first, rate in ((0, 1.0), (1, 3.0)):
        here = np.concatenate([dwell[first:20:2] for dwell in dwells])
        assert abs(here.mean() - 1 / rate) < 5 / rate / math.sqrt(here.size)
        check_fraction(np.mean(here > 1 / rate), math.exp(-1), here.size)


def test_a_switch_with_one_rate_jumps_once():
    jumps = MarkovSwitch(2.0, 0.0).jump_times([-1, 1, -1], 1e3, key=KEY)
    assert [len(times) for times in jumps] == [1, 0, 1]


SWAPS = [
    # duration, p_+, no reset, Pr(+1), no jump, turned on, turned off, E[dn]/2, Pr(+1) - Pr(-1)
    (0.05, 0.27976, 0.57695, 0.22731, 0.75957, 0.20665, 0.01779, 0.18885, 0.03157),
    (0.2, 0.57840, 0.11080, 0.56832, 0.33287, 0.51666, 0.02917, 0.48749, 0.24745),
    (1, 0.83471, 1.67e-5, 0.83471, 0.00409, 0.75883, 0.01502, 0.74380, 0.66944),
    (5, 0.89421, 0, 0.89421, 0, 0.81292, 0.00962, 0.80331, 0.78843),
]


@pytest.mark.parametrize(("duration", *"abcdefgh"), SWAPS)
def test_what_a_linear_swap_does_is_what_is_published(duration, a, b, c, d, e, f, g, h):
    swap = linear_swap_statistics(1.0, 10.0, duration)
    values = (
        swap.on, swap.no_reset, swap.reset_on, swap.no_jump, swap.turned_on, swap.turned_off, swap.mean_change,
        swap.reset_on - swap.reset_off,
    )  # fmt: skip
    np.testing.assert_allclose(values, (a, b, c, d, e, f, g, h), atol=6e-6)
    assert swap.no_reset + swap.reset_on + swap.reset_off == pytest.approx(1)
    assert swap.mean_change == pytest.approx(swap.on - 1 / 11)


WAITS = [
    # gain, mean, P(5 < T < 6)
    (0.0, 10.0, 0.05772),
    (9.0, 4.54122, 0.38340),
    (49.0, 4.05600, 0.60244),
]


@pytest.mark.parametrize(("gain", "mean", "soon"), WAITS)
def test_the_wait_at_a_rate_that_steps_is_the_one_published(gain, mean, soon):
    waiting = StepWaiting(0.1, gain, 5.0)
    assert waiting.mean == pytest.approx(mean, abs=5.01e-6)
    assert waiting.survival(5.0) == pytest.approx(0.60653, abs=5e-6)
    assert waiting.survival(5.0) - waiting.survival(6.0) == pytest.approx(soon, abs=5e-6)
    density, _error = quad(lambda t: float(waiting.density(t)), 5.0, 6.0)
    assert density == pytest.approx(soon, abs=5e-6)
    times = waiting.sample(generator(1, "switch", 0, "wait"), 100_000)
    assert abs(times.mean() - mean) < 5 * times.std() / math.sqrt(times.size)
    check_fraction(np.mean((times > 5) & (times < 6)), soon, times.size)


@pytest.mark.parametrize(("up", "down"), [(-1.0, 1.0), (1.0, math.inf), (0.0, 0.0), (math.nan, 1.0)])
def test_impossible_rates_are_refused(up, down):
    with pytest.raises(ValueError, match="switch: "):
        MarkovSwitch(up, down)
    with pytest.raises(ValueError, match="switch: "):
        linear_swap_statistics(up, down, 1.0)


def test_what_is_no_swap_no_wait_and_no_state_is_refused():
    with pytest.raises(ValueError, match="duration is 0"):
        linear_swap_statistics(1.0, 2.0, 0.0)
    with pytest.raises(ValueError, match="rates must be positive"):
        StepWaiting(0.1, -1.0, 5.0)
    with pytest.raises(ValueError, match="a list of"):
        SWITCH.sample_grid([0, 1], 0.1, 2, key=KEY)
