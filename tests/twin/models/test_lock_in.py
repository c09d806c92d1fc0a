import math

import numpy as np
import pytest
from scipy.integrate import quad

from twin.models.lock_in import MEMORY, OutputFilter


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_noise_bandwidth_is_that_of_the_transfer_function(order):
    output = OutputFilter(0.1, order)
    integral, _ = quad(lambda f: (1 + (2 * math.pi * f * 0.1) ** 2) ** -order, 0, math.inf)
    assert output.noise_bandwidth == pytest.approx(integral, rel=1e-9)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_white_noise_comes_out_with_the_noise_bandwidth(order):
    output = OutputFilter(0.01, order)
    interval, count = 0.2, 4000
    starts, aperture = output.windows(0.0, interval, count)
    density = 3e-9
    noise = np.random.default_rng(1).normal(scale=density / math.sqrt(2 * aperture), size=(*starts.shape, 1))
    outputs = output.follow(np.zeros((4, 1)), noise, interval)[:, -1, 0]
    expected = density**2 * output.noise_bandwidth
    assert outputs.var() == pytest.approx(expected, rel=5 * math.sqrt(2 / count) + 2e-3)


@pytest.mark.parametrize("interval", [0.004, 0.05, 1.0])
def test_windows_cover_the_end_of_every_interval(interval):
    output = OutputFilter(0.01, 4)
    starts, aperture = output.windows(5.0, interval, 3)
    np.testing.assert_allclose(starts[:, -1] + aperture, 5.0 + interval * np.arange(1, 4))
    np.testing.assert_allclose(np.diff(starts, axis=1), aperture)
    assert starts.shape[1] * aperture == pytest.approx(min(interval, MEMORY * 0.01))


def test_a_long_interval_ends_where_a_short_one_does_when_the_past_is_forgotten():
    output = OutputFilter(0.01, 4)
    ends = []
    for interval in (1.0, 100.0):
        starts, _ = output.windows(0.0, interval, 1)
        ends.append(output.follow(np.zeros((4, 1)), np.ones((*starts.shape, 1)), interval)[-1, -1, 0])
    assert ends == pytest.approx([1.0, 1.0], rel=1e-9)


@pytest.mark.parametrize(("time_constant", "order"), [(0.0, 1), (math.inf, 1), (math.nan, 2), (0.1, 0), (0.1, 5)])
def test_a_filter_that_cannot_be_is_refused(time_constant, order):
    with pytest.raises(ValueError, match="output filter"):
        OutputFilter(time_constant, order)
