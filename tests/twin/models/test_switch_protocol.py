"""Driven switches: simulations against exact moments, published swaps and work relations."""

import math

import numpy as np
import pytest

from twin.models.markov_switch import linear_swap_statistics
from twin.models.switch_protocol import SwitchProtocol, free_energy_difference
from twin.noise import generator

KEY = (81, 82)
RUNS = 40_000
BY_RESET_OR_THINNING = pytest.mark.parametrize("method", ["reset", "thinning"])


def start(protocol, count=RUNS):
    return protocol.initial_equilibrium(generator(1, "switch", 0, "start"), count)


def check(samples, exact):
    """Compare means along the first axis with 5 standard errors."""
    samples = samples.astype(float)
    error = np.maximum(samples.std(axis=0), 1 / len(samples)) / math.sqrt(len(samples))
    assert (np.abs(samples.mean(axis=0) - exact) < 5 * error).all()


@pytest.mark.parametrize("duration", [0.05, 0.2, 1.0, 5.0])
def test_moments_of_a_linear_swap_are_those_of_the_closed_form(duration):
    moments = SwitchProtocol.linear_swap(1.0, 10.0, duration).moments([duration])
    swap = linear_swap_statistics(1.0, 10.0, duration)
    assert moments.on[0] == pytest.approx(swap.on, abs=1e-10)
    assert moments.no_jump[0] == pytest.approx(swap.no_jump, abs=1e-10)
    assert moments.work[0] == 0
    if duration == 5.0:
        assert moments.jumps[0] == pytest.approx(21.3754, abs=5e-5)


@BY_RESET_OR_THINNING
@pytest.mark.parametrize("duration", [0.05, 0.2, 5.0])
def test_simulated_swaps_have_the_published_statistics(method, duration):
    protocol, swap = SwitchProtocol.linear_swap(1.0, 10.0, duration), linear_swap_statistics(1.0, 10.0, duration)
    first = start(protocol)
    paths = protocol.simulate(first, [duration], key=KEY, method=method)
    last = paths.states[:, 0]
    check(last > 0, swap.on)
    check((first < 0) & (last > 0), swap.turned_on)
    check((first > 0) & (last < 0), swap.turned_off)
    check(paths.jumps == 0, swap.no_jump)
    check(paths.jumps, protocol.moments([duration]).jumps[0])
    if method == "reset":
        check(paths.candidates == 0, swap.no_reset)
        check((paths.candidates > 0) & (last > 0), swap.reset_on)
        check((paths.candidates > 0) & (last < 0), swap.reset_off)


@BY_RESET_OR_THINNING
def test_a_smooth_swap_has_the_published_occupation(method):
    times, published = [4.0, 5.0, 6.0, 10.0], [0.10174, 0.42965, 0.88644, 0.90909]
    protocol = SwitchProtocol.smooth_swap(1.0, 10.0, 5.0, 0.25, 10.0)
    np.testing.assert_allclose(protocol.moments(times).on, published, atol=5.01e-6)
    check(protocol.simulate(start(protocol), times, key=KEY, method=method).states > 0, published)


def test_swapped_rates_stay_swapped():
    protocol = SwitchProtocol.linear_swap(1.0, 10.0, 0.2)
    assert protocol.moments([5.0]).on[0] == pytest.approx(10 / 11)
    check(protocol.simulate(start(protocol), [5.0], key=KEY).states[:, 0] > 0, 10 / 11)


def test_rates_of_any_sum_are_thinned():
    protocol = SwitchProtocol((0.0, 1.0, 1.5, 4.0), (0.0, 2.0, -1.0, 0.5), up=(3.0, 2.0), down=(2.0, 0.5))
    moments = protocol.moments([0.5, 1.2, 3.0], initial=0.0)
    paths = protocol.simulate(np.full(RUNS, -1), [0.5, 1.2, 3.0], key=KEY, method="thinning")
    check(paths.states > 0, moments.on)
    check(paths.jumps, moments.jumps[-1])
    check(paths.jumps == 0, moments.no_jump[-1])


def test_steps_with_rates_of_their_middle_err_in_second_order():
    protocol = SwitchProtocol.smooth_swap(1.0, 10.0, 5.0, 0.25, 10.0)

    def error(steps):
        up, down = protocol.rates((np.arange(steps) + 0.5) * 5.0 / steps)
        on = 1 / 11
        for p, decay in zip(up / (up + down), np.exp(-(up + down) * 5.0 / steps), strict=True):
            on = p + (on - p) * decay
        return on - protocol.moments([5.0]).on[0]

    assert error(50) / error(100) == pytest.approx(4, rel=0.1)
    states = protocol.sample_grid(start(protocol), 0.05, 100, key=KEY)
    check(states[:, -1] > 0, 0.42965 + error(100))


@BY_RESET_OR_THINNING
def test_what_no_protocol_changes_is_the_constant_switch(method):
    protocol = SwitchProtocol((0.0, 1.0), (0.0, 0.0), up=(1.0, 0.0), down=(3.0, 0.0))
    paths = protocol.simulate(np.full(RUNS, -1), [0.3], key=KEY, method=method)
    check(paths.states[:, 0] > 0, (1 - 0.6506) / 2)


LN10 = math.log(10)
PROTOCOLS = [
    # first and last splitting, duration, rate, exact <w>, <exp(-w)>
    (0.0, 4.0, 0.5, 1.0, -0.22297, 3.76220),
    (0.0, 4.0, 5.0, 1.0, -0.96788, 3.76220),
    (0.0, 4.0, 50.0, 1.0, -1.28656, 3.76220),
    (3.0, -3.0, 5.0, 1.0, 0.92419, 1.0),
    (LN10, -LN10, 1.0, 11.0, 0.32222, 1.0),
]


@pytest.mark.parametrize(("first", "last", "duration", "rate", "work", "exact"), PROTOCOLS)
def test_work_on_a_switch_in_a_bath_obeys_the_equality_of_jarzynski(first, last, duration, rate, work, exact):
    protocol = SwitchProtocol.thermal(rate, 1.0, first, last, duration)
    assert protocol.moments([duration]).work[0] == pytest.approx(work, abs=5.01e-6)
    assert math.exp(-free_energy_difference(1.0, first, last)) == pytest.approx(exact, abs=5e-6)
    initial = start(protocol)
    paths = protocol.simulate(initial, [duration], key=KEY)
    check(paths.work, work)
    check(np.exp(-paths.work), exact)
    energy = paths.states[:, 0] * last / 2 - initial * first / 2
    np.testing.assert_allclose(paths.work - paths.heat, energy, atol=1e-13)


def test_work_scales_with_the_temperature_of_the_bath():
    hot, cold = (SwitchProtocol.thermal(1.0, beta, 0.0, 4.0 / beta, 2.0) for beta in (0.5, 2.0))
    assert hot.moments([2.0]).work[0] == pytest.approx(4 * cold.moments([2.0]).work[0])
    paths = hot.simulate(start(hot), [2.0], key=KEY)
    check(np.exp(-0.5 * paths.work), math.exp(-0.5 * free_energy_difference(0.5, 0.0, 8.0)))


@pytest.mark.parametrize(("state", "published"), [(-1, 5.005), (1, 2.522)])
def test_the_equality_fails_from_one_state_alone(state, published):
    protocol = SwitchProtocol.thermal(1.0, 1.0, 0.0, 4.0, 5.0)
    gains = np.exp(-protocol.simulate(np.full(RUNS, state), [5.0], key=KEY).work)
    error = gains.std() / math.sqrt(RUNS)
    assert abs(gains.mean() - published) < 5 * error * math.sqrt(1 + 0.1) + 1e-3
    assert abs(gains.mean() - 3.7622) > 20 * error


def test_the_rates_of_a_bath_obey_detailed_balance():
    protocol = SwitchProtocol.thermal(2.0, 1.5, -1.0, 3.0, 1.0)
    times = np.linspace(0, 1, 5)
    up, down = protocol.rates(times)
    np.testing.assert_allclose(up / down, np.exp(-1.5 * (-1 + 4 * times)))
    np.testing.assert_allclose(up + down, 2.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"times": (0.0,), "control": (0.0,)}, "1 ascending times"),
        ({"times": (0.0, 0.0)}, "2 ascending times"),
        ({"control": (0.0, math.nan)}, "must be finite"),
        ({"up": (1.0, -2.0)}, "rate up is -1.0"),
    ],
)
def test_impossible_protocols_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        SwitchProtocol(**{"times": (0.0, 1.0), "control": (0.0, 1.0), "up": (1.0, 1.0), "down": (1.0, 1.0)} | values)


def test_what_does_not_fit_a_protocol_is_refused():
    protocol = SwitchProtocol((0.0, 1.0), (0.0, 1.0), up=(1.0, 1.0), down=(1.0, 1.0))
    with pytest.raises(ValueError, match="needs a constant sum"):
        protocol.simulate([1], [1.0], key=KEY)
    for times in ([], [-1.0], [1.0, 0.5]):
        with pytest.raises(ValueError, match=r"must ascend from 0\.0 on"):
            protocol.simulate([1], times, key=KEY, method="thinning")
    with pytest.raises(ValueError, match="ascend from beyond"):
        protocol.moments([0.0])
