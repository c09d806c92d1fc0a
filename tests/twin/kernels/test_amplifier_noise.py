"""The kernel that adds modes to a trace, against the recursion that defines it."""

import numpy as np
import pytest

from twin.kernels.amplifier_noise import BATCH, add_modes, reading_variance
from twin.kernels.variates import fill_normals

DECAY, GAIN, DIRECT = np.array([0.9, -0.3, 0.0]), np.array([0.5, 0.2, 1.5]), 0.7


def added(points):
    modes, trace = np.array([1.0, -2.0, 0.5]), np.linspace(0, 1, points)
    add_modes(3, 4, DECAY, GAIN, DIRECT, modes, trace)
    return trace, modes


@pytest.mark.parametrize("points", [1, BATCH, 2 * BATCH + 11])
def test_every_mode_relaxes_and_all_are_driven_by_one_variate(points):
    normals = np.empty((points // BATCH + 1, 2, BATCH // 2))
    for batch, filled in enumerate(normals):
        fill_normals(filled, batch, 0, 3, 4)
    modes, exact = np.array([1.0, -2.0, 0.5]), np.linspace(0, 1, points)
    for k, z in enumerate(normals.ravel()[:points]):
        modes = DECAY * modes + GAIN * z
        exact[k] += modes.sum() + DIRECT * z
    trace, carried = added(points)
    np.testing.assert_allclose(trace, exact, atol=1e-13)
    np.testing.assert_allclose(carried, modes, atol=1e-13)


def test_a_reading_averages_white_noise_and_follows_what_is_slower_than_it():
    assert reading_variance(2.0, np.array([3.0]), np.array([1e-9]), 0.5) == pytest.approx(2.0 + 9.0)
    assert reading_variance(2.0, np.array([3.0]), np.array([1e6]), 0.5) == pytest.approx(
        2.0 + 9.0 * 2 / 0.5e6, rel=1e-5
    )
