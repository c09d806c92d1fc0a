import numpy as np
import pytest

from twin.models import disturbances


@pytest.mark.parametrize(
    "path",
    [
        lambda times: disturbances.walk(times, 2, 1, "probe"),
        lambda times: disturbances.jumps(times, 0.5, 2, 1, "probe"),
        lambda times: disturbances.bursts(times, 0.5, 0.3, 1, "probe"),
    ],
)
def test_disturbances_are_the_same_in_whatever_order_times_are_asked_for(path):
    times = np.random.default_rng(1).uniform(0, 300, 200)
    together = path(times)
    one_by_one = np.concatenate([path(times[index : index + 1]) for index in reversed(range(200))])[::-1]
    assert np.array_equal(together, one_by_one)


def test_a_walk_begins_at_zero_and_has_unit_variance_after_an_hour():
    ends = np.array([disturbances.walk(np.array([0.0, 3600.0]), 100, seed, "probe") for seed in range(20)])
    assert not ends[:, 0].any()
    assert abs(ends[:, 1].var() - 1) < 5 * np.sqrt(2 / 2000)


def test_jumps_come_at_their_rate_and_have_unit_variance():
    times = np.linspace(0, 1000, 100001)
    offsets = disturbances.jumps(times, 0.5, 1, 1, "probe")[:, 0]
    assert abs(np.count_nonzero(np.diff(offsets)) - 500) <= 2
    assert abs(np.unique(offsets[offsets != 0]).var() - 1) < 5 * np.sqrt(2 / 500)


def test_charges_have_not_jumped_at_the_start():
    assert not disturbances.jumps(np.zeros(1), 0.5, 3, 1, "probe").any()


def test_bursts_are_on_for_their_duration():
    times = np.linspace(0, 1000, 100001)
    share = disturbances.bursts(times, 0.5, 0.2, 1, "probe").mean()
    assert abs(share - 0.1) < 0.01


def test_a_rate_of_zero_disturbs_nothing():
    times = np.linspace(0, 10, 11)
    assert not disturbances.jumps(times, 0.0, 2, 1, "probe").any()
    assert not disturbances.bursts(times, 0.0, 1.0, 1, "probe").any()
