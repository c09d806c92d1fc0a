"""What is promised of the addresses of the noise and of the order of the scheme; the physics is tested on the model."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from twin.kernels.double_well import first_passages, ramp_work, trajectories

KEY = (41, 42)
STARTS = np.full(20, -0.7)


def run_trajectories(begin, end, out):
    trajectories(begin, end, STARTS, 0.1, 0.2, 0.01, 50, *KEY, out)


def run_passages(begin, end, out):
    first_passages(begin, end, -0.7, 0.0, 0.1, 0.2, 0.01, 100_000, *KEY, out)


def run_work(begin, end, out):
    ramp_work(begin, end, STARTS, 0.0, 0.3, 0.2, 0.01, 100, *KEY, out)


@pytest.mark.parametrize(("run", "shape"), [(run_trajectories, (20, 3)), (run_passages, 20), (run_work, 20)])
def test_a_trajectory_does_not_depend_on_what_runs_beside_it(run, shape):
    whole, parts = np.full(shape, np.nan), np.full(shape, np.nan)
    run(0, 20, whole)
    for begin, end in ((13, 20), (0, 5), (5, 13)):
        run(begin, end, parts)
    np.testing.assert_array_equal(parts, whole)
    assert len(np.unique(whole)) == whole.size


def test_without_noise_a_particle_rolls_into_its_well():
    final = np.empty((2, 1))
    trajectories(0, 2, np.array([-0.1, 0.1]), 0.0, 0.0, 0.01, 2000, *KEY, final)
    np.testing.assert_allclose(final[:, 0], [-math.sqrt(0.5), math.sqrt(0.5)], atol=1e-9)


def test_in_equilibrium_the_scheme_is_right_at_a_step_at_which_that_of_euler_is_not():
    def weight(x):
        return math.exp(-(x**4 - x**2 - 0.1 * x) / 0.2)

    exact = quad(lambda x: x * x * weight(x), -4, 4)[0] / quad(weight, -4, 4)[0]
    assert exact == pytest.approx(0.42577, abs=5e-6)
    h, rng = 0.05, np.random.default_rng(1)
    observed, euler, x = np.empty((2000, 100)), np.zeros(2000), np.full(2000, -0.7)
    trajectories(0, 2000, x, 0.1, 0.2, h, 30, *KEY, observed)
    for k in range(3000):
        x = x + h * (2 * x - 4 * x**3 + 0.1) + math.sqrt(0.4 * h) * rng.standard_normal(x.size)
        euler += (k >= 300) * x**2 / 2700
    squares = (observed[:, 10:] ** 2).mean(axis=1)
    error = squares.std() / math.sqrt(squares.size)
    assert abs(squares.mean() - exact) < 5 * error + 5e-4
    assert abs(euler.mean() - 0.4117) < 5 * 0.0028
    assert abs(euler.mean() - exact) > 10 * error
