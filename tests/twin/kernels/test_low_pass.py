import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from twin.kernels.low_pass import follow


@pytest.mark.parametrize("time", [1e-3, 0.5, 3.0, 20.0, 900.0])
def test_a_step_is_answered_as_the_closed_form_says(time):
    stages = np.zeros((4, 1))
    follow(stages, np.ones((1, 1)), np.array([time]))
    expected = [1 - math.exp(-time) * sum(time**j / math.factorial(j) for j in range(order)) for order in range(1, 5)]
    np.testing.assert_allclose(stages[:, 0], expected, rtol=1e-9, atol=1e-12)


def test_the_answer_does_not_depend_on_how_a_step_is_cut():
    start = np.random.default_rng(0).normal(size=(4, 2))
    whole, cut = start.copy(), start.copy()
    follow(whole, np.array([[2.0, -1.0]]), np.array([1.7]))
    outputs = follow(cut, np.tile([2.0, -1.0], (17, 1)), np.full(17, 0.1))
    np.testing.assert_allclose(cut, whole, rtol=1e-12)
    np.testing.assert_array_equal(outputs[-1], cut)


def test_the_chain_obeys_its_differential_equation():
    start = np.array([0.3, -1.0, 2.0, 0.5])
    reference = solve_ivp(lambda _, x: np.concatenate([[1.5], x[:-1]]) - x, (0, 2.5), start, rtol=1e-10, atol=1e-12).y[
        :, -1
    ]
    stages = start[:, None].copy()
    follow(stages, np.full((1, 1), 1.5), np.array([2.5]))
    np.testing.assert_allclose(stages[:, 0], reference, rtol=1e-8)
