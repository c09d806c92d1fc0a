"""A double well against published quadratures, passage times, switching errors and work relations."""

import math
from dataclasses import replace

import numpy as np
import pytest

from twin.models.double_well import LARGEST_BIAS, WELL, DoubleWell, UnstableStepError, fastest_temperature
from twin.noise import generator

KEY = (51, 52)


def within(samples, exact, allowance=0.0):
    """Whether a mean agrees with 5 of its standard errors and an allowance."""
    return abs(samples.mean() - exact) < 5 * samples.std() / math.sqrt(samples.size) + allowance


@pytest.mark.parametrize("bias", [0.0, 0.3, -0.5, 0.54])
def test_the_force_vanishes_at_the_extrema(bias):
    well = DoubleWell(bias)
    left, barrier, right = well.extrema
    for x in (left, barrier, right):
        assert 4 * x**3 - 2 * x - bias == pytest.approx(0, abs=1e-14)
    assert left < barrier < right
    assert well.curvature(left) > 0 > well.curvature(barrier)
    assert well.curvature(right) > 0


def test_an_unbiased_particle_has_a_barrier_of_a_quarter():
    well = DoubleWell()
    left, barrier, right = well.extrema
    np.testing.assert_allclose([left, barrier, right], [-WELL, 0, WELL], atol=1e-15)
    assert well.energy(barrier) - well.energy(left) == pytest.approx(0.25)
    np.testing.assert_allclose(well.curvature([left, barrier]), [4, -2])


@pytest.mark.parametrize(("bias", "splitting"), [(0.1, 0.141332), (0.3, 0.421717), (-0.3, -0.421717)])
def test_the_splitting_of_the_wells_is_odd_and_linear_in_the_bias(bias, splitting):
    well = DoubleWell(bias)
    assert well.level_splitting == pytest.approx(splitting, abs=1e-6)
    series = math.sqrt(2) * bias - math.sqrt(2) / 16 * bias**3
    assert well.level_splitting == pytest.approx(series, abs=2 * abs(bias) ** 5)


EQUILIBRIA = [
    # temperature, bias, mean, variance, P(x > 0), sign mean, tanh(E0 / 2D), Kramers
    (0.5, 0.1, 0.08901, 0.44177, 0.55875, 0.11750, 0.14040, 0.08750),
    (0.2, 0.1, 0.20249, 0.38476, 0.64349, 0.28698, 0.33933, 0.29106),
    (0.1, 0.1, 0.38876, 0.30782, 0.77816, 0.55632, 0.60858, 0.57372),
    (0.1, 0.3, 0.69864, 0.06095, 0.97631, 0.95262, 0.97095, 0.95880),
    (0.05, 0.05, 0.41033, 0.31189, 0.79287, 0.58573, 0.60879, 0.59179),
    (0.05, 0.1, 0.61749, 0.12182, 0.93586, 0.87172, 0.88820, 0.87633),
    (0.025, 0.05, 0.62416, 0.11301, 0.94094, 0.88187, 0.88834, 0.88260),
]


@pytest.mark.parametrize(
    ("temperature", "bias", "mean", "variance", "right", "sign", "two_states", "kramers"), EQUILIBRIA
)
def test_equilibria_are_those_published(temperature, bias, mean, variance, right, sign, two_states, kramers):
    well = DoubleWell(bias, temperature)
    law = well.equilibrium
    values = law.mean, law.variance, law.right, law.mean_sign, well.two_state_mean, well.kramers_mean
    np.testing.assert_allclose(values, (mean, variance, right, sign, two_states, kramers), atol=5.01e-6)


def test_the_two_state_mean_is_the_limit_of_a_low_temperature():
    def deviation(temperature):
        well = DoubleWell(0.05, temperature)
        return abs(well.two_state_mean - well.equilibrium.mean_sign)

    assert deviation(0.025) < 0.3 * deviation(0.05) < 0.09 * deviation(0.1) + 0.01


PASSAGES = [
    # temperature, bias, left to right, Kramers, left to barrier
    (0.1, 0.0, 33.134, 27.063, 15.411),
    (0.1, 0.2, 11.163, 9.048, 4.818),
    (0.05, 0.0, 364.84, 329.69, 180.95),
    (0.05, 0.2, 37.009, 31.297, 18.477),
    (0.03, 0.0, 9742.9, 9241.8, 4869.8),
    (0.025, 0.0, 51054, 48931, 25525),
]


@pytest.mark.parametrize(("temperature", "bias", "over", "kramers", "up"), PASSAGES)
def test_mean_first_passage_times_are_those_published(temperature, bias, over, kramers, up):
    well = DoubleWell(bias, temperature)
    left, barrier, right = well.extrema
    assert well.mean_first_passage_time(left, right) == pytest.approx(over, rel=6e-5)
    assert 1 / well.kramers_rates[0] == pytest.approx(kramers, rel=6e-5)
    assert well.mean_first_passage_time(left, barrier) == pytest.approx(up, rel=6e-5)


def test_the_way_back_is_the_way_of_the_mirrored_particle():
    well = DoubleWell(0.2, 0.1)
    left, _barrier, right = well.extrema
    assert well.mean_first_passage_time(right, left) > 5 * well.mean_first_passage_time(left, right)
    mirrored = DoubleWell(-0.2, 0.1)
    assert well.mean_first_passage_time(right, left) == pytest.approx(mirrored.mean_first_passage_time(-right, -left))
    np.testing.assert_array_equal(
        well.first_passage_times(right, left, 3, key=KEY), mirrored.first_passage_times(-right, -left, 3, key=KEY)
    )


def test_a_long_passage_is_twice_that_to_the_barrier_within_the_width_of_its_top():
    well = DoubleWell(0.0, 0.025)
    assert well.mean_first_passage_time(-WELL, WELL) / well.mean_first_passage_time(-WELL, 0.0) == pytest.approx(
        2, 0.01
    )


@pytest.mark.slow
@pytest.mark.parametrize(("temperature", "bias"), [(0.1, 0.2), (0.1, 0.0)])
def test_simulated_passages_take_the_time_of_the_quadrature(temperature, bias):
    well = DoubleWell(bias, temperature)
    left, _barrier, right = well.extrema
    exact = well.mean_first_passage_time(left, right)
    times = well.first_passage_times(left, right, 2500, key=KEY, step=0.005)
    assert within(times, exact, 0.003 * exact)


def test_a_passage_that_takes_too_long_is_infinite():
    times = DoubleWell(0.0, 0.05).first_passage_times(-WELL, WELL, 200, key=KEY, step=0.01, longest=20.0)
    assert np.isinf(times).sum() > 150
    assert times[np.isfinite(times)].max(initial=0.0) < 20.0


ERRORS = [
    # temperature, P(x < 0) at t = 5, 10, 20, 50, 100 after the bias stepped to 0.3
    (0.03, 0.91618, 0.80591, 0.62351, 0.28875, 0.08004),
    (0.05, 0.75941, 0.53210, 0.26130, 0.03121, 0.00125),
    (0.1, 0.48194, 0.21587, 0.05749, 0.02388, 0.02369),
    (0.2, 0.30551, 0.17263, 0.14678, 0.14604, 0.14604),
    (0.3, 0.29383, 0.24148, 0.23778, 0.23776, 0.23776),
]


@pytest.mark.parametrize(("temperature", *"abcde"), ERRORS)
def test_switching_errors_are_those_published(temperature, a, b, c, d, e):
    well = DoubleWell(0.3, temperature)
    np.testing.assert_allclose(well.left_probability([5, 10, 20, 50, 100]), [a, b, c, d, e], atol=1e-4)
    assert well.left_probability([1e5])[0] == pytest.approx(1 - well.equilibrium.right, abs=2e-5)


def test_switching_starts_on_the_left_for_certain():
    np.testing.assert_allclose(DoubleWell(0.3, 0.05).left_probability([0.0, 0.01]), [1, 1], atol=1e-9)


@pytest.mark.parametrize("temperature", [0.03, 0.1, 0.3])
def test_simulated_switching_errs_as_the_diffusion_on_a_grid(temperature):
    well = DoubleWell(0.3, temperature)
    final = well.trajectories(np.full(4000, -WELL), 20.0, key=KEY)[:, 0]
    assert within((final < 0) * 1.0, well.left_probability([20.0])[0], 2e-3)


OPTIMA = [
    # bias, time, best temperature, error there
    (0.3, 5, 0.263, 0.2910),
    (0.3, 10, 0.1545, 0.1552),
    (0.3, 20, 0.1059, 0.0565),
    (0.3, 50, 0.0703, 0.00765),
    (0.3, 100, 0.0533, 0.00105),
    (0.1, 10, 0.221, 0.397),
    (0.1, 100, 0.0734, 0.1695),
]


@pytest.mark.parametrize(("bias", "time", "temperature", "error"), OPTIMA)
def test_there_is_a_noise_at_which_switching_errs_least(bias, time, temperature, error):
    best, least = fastest_temperature(bias, time)
    assert best == pytest.approx(temperature, rel=0.01)
    assert least == pytest.approx(error, rel=0.01)


def test_trajectories_are_in_equilibrium_after_a_long_time():
    well = DoubleWell(0.1, 0.2)
    final = well.trajectories(np.zeros(20_000), 6.0, 2, key=KEY, step=0.02)[:, 1]
    law = well.equilibrium
    assert within(final, law.mean, 2e-3)
    assert within((final - law.mean) ** 2, law.variance, 2e-3)
    assert within((final > 0) * 1.0, law.right, 2e-3)


def test_equilibrium_can_be_sampled_at_once_and_on_the_left_alone():
    well = DoubleWell(0.1, 0.2)
    law = well.equilibrium
    samples = well.sample_equilibrium(generator(1, "well", 0, "start"), 100_000)
    assert within(samples, law.mean)
    assert within((samples - law.mean) ** 2, law.variance)
    left = well.sample_equilibrium(generator(1, "well", 1, "start"), 100_000, left_only=True)
    assert left.max() < 0
    assert within(left, samples[samples < 0].mean(), 5 * samples.std() / math.sqrt(np.sum(samples < 0)))


RAMPS = [
    # temperature, bias from, to, duration, free-energy difference, <exp(-w/D)>, published <w>
    (0.1, 0.0, 0.3, 1.0, -0.13750, 3.9550, (-0.0085, 0.0014)),
    (0.1, 0.0, 0.3, 10.0, -0.13750, 3.9550, (-0.0451, 0.0012)),
    (0.1, -0.2, 0.2, 10.0, 0.0, 1.0, (0.1825, 0.0010)),
    (0.2, 0.0, 0.3, 10.0, -0.08438, 1.5249, (-0.0479, 0.0009)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("temperature", "first", "last", "duration", "difference", "exact", "published"), RAMPS)
def test_ramps_from_equilibrium_obey_the_equality_of_jarzynski(
    temperature, first, last, duration, difference, exact, published
):
    well = DoubleWell(first, temperature)
    assert replace(well, bias=last).equilibrium.free_energy - well.equilibrium.free_energy == pytest.approx(
        difference, abs=6e-6
    )
    assert math.exp(-difference / temperature) == pytest.approx(exact, abs=5e-4)
    starts = well.sample_equilibrium(generator(2, "well", 0, "start"), 6000)
    work = well.ramp_work(last, duration, starts, key=KEY)
    assert within(np.exp(-work / temperature), exact)
    assert work.mean() > difference
    assert within(work, published[0], 5 * published[1])


@pytest.mark.slow
def test_slow_ramps_dissipate_little():
    well = DoubleWell(0.0, 0.1)
    starts = well.sample_equilibrium(generator(3, "well", 0, "start"), 1000)
    work = well.ramp_work(0.3, 100.0, starts, key=KEY)
    assert within(work, -0.1145, 5 * 0.0005)
    assert work.mean() > -0.1375
    assert within(np.exp(-work / 0.1), 3.9550)


@pytest.mark.parametrize(("duration", "published", "error"), [(1.0, 0.245, 0.003), (10.0, 0.923, 0.010)])
def test_the_equality_fails_for_particles_that_start_on_the_left(duration, published, error):
    well = DoubleWell(0.0, 0.1)
    starts = well.sample_equilibrium(generator(4, "well", 0, "start"), 3000, left_only=True)
    gains = np.exp(-well.ramp_work(0.3, duration, starts, key=KEY) / 0.1)
    assert within(gains, published, 5 * error)


def test_large_steps_and_starts_far_out_are_refused():
    well = DoubleWell()
    with pytest.raises(ValueError, match=r"step is 0\.05"):
        well.trajectories([0.0], 1.0, key=KEY, step=0.05)
    with pytest.raises(UnstableStepError, match=r"7\.07"):
        well.trajectories([0.0, 12.0], 1.0, key=KEY)


@pytest.mark.parametrize(("bias", "temperature"), [(math.inf, 0.1), (0.0, 0.0), (0.0, -1.0), (0.0, math.nan)])
def test_impossible_values_are_refused(bias, temperature):
    with pytest.raises(ValueError, match="double well"):
        DoubleWell(bias, temperature)


def test_a_single_well_has_no_barrier():
    assert pytest.approx(0.544331, abs=1e-6) == LARGEST_BIAS
    with pytest.raises(ValueError, match=r"two wells need less than 0\.544331"):
        _ = DoubleWell(0.6).extrema
    assert DoubleWell(0.6).equilibrium.right > 0.99
