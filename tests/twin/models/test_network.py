import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from twin import compute
from twin.compute import Cancelled
from twin.models.network import sample_network, steps_in

DIGEST = """
import hashlib, numpy as np
from twin import compute
from twin.models.network import sample_network
rng = np.random.default_rng(0)
couplings = np.triu(rng.normal(size=(3, 7, 7)), 1)
x = sample_network(couplings + couplings.swapaxes(1, 2), rng.normal(size=(3, 5, 7)), np.ones((3, 7, 3)), 0.1,
                   trajectories=37, key=(1, 2), first=0.5, observations=3)
print(compute.threads(), hashlib.sha256(x.tobytes()).hexdigest())
"""


@pytest.fixture(autouse=True)
def _threads_restored():
    before = compute.threads()
    yield
    compute.set_threads(before)


def network(**options):
    rng = np.random.default_rng(3)
    upper = np.triu(rng.normal(size=(4, 6, 6)), 1)
    arguments = {"trajectories": 50, "key": (5, 6), "first": 0.5, "interval": 0.3, "observations": 2} | options
    return sample_network(
        upper + upper.swapaxes(1, 2), rng.normal(size=(4, 3, 6)), np.ones((4, 6, 3)), 0.2, **arguments
    )


def test_samples_have_the_shape_that_was_asked_for():
    samples = network(read=[1, 4])
    assert samples.shape == (4, 3, 50, 2, 2)
    assert samples.dtype == np.float32


@pytest.mark.parametrize("count", [2, 3, 7])
def test_samples_do_not_depend_on_the_number_of_threads(count):
    compute.set_threads(1)
    one = network()
    compute.set_threads(count)
    np.testing.assert_array_equal(network(), one)


@pytest.mark.slow
def test_samples_do_not_depend_on_the_process():
    lines = []
    for count in ("1", "2"):
        environment = os.environ | {"NUMBA_NUM_THREADS": count}
        run = subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        lines.append(run.stdout.split())
    assert [line[0] for line in lines] == ["1", "2"]
    assert lines[0][1] == lines[1][1]


@pytest.mark.parametrize(
    "options", [{}, {"noise": "gaussian"}, {"noise": "rademacher"}, {"scheme": "euler", "noise": "popcount"}]
)
def test_a_trajectory_does_not_depend_on_what_runs_beside_it(options):
    everything = network(**options)
    rng = np.random.default_rng(3)
    upper = np.triu(rng.normal(size=(4, 6, 6)), 1)
    fields = rng.normal(size=(4, 3, 6))
    alone = sample_network(
        (upper + upper.swapaxes(1, 2))[2:3], fields[2:3, 1:2], np.ones((1, 6, 3)), 0.2,
        trajectories=3, key=(5, 6), first=0.5, interval=0.3, observations=2,
        slots=np.array([2]), rows=np.array([1]), first_trajectory=17, **options,
    )  # fmt: skip
    np.testing.assert_array_equal(alone[0, 0], everything[2, 1, 17:20])


@pytest.mark.parametrize(
    "options", [{}, {"noise": "gaussian"}, {"noise": "rademacher"}, {"scheme": "euler", "noise": "gaussian"}]
)
def test_a_series_that_is_cut_goes_on_as_if_it_were_not(options):
    whole = network(observations=9, **options)
    state = np.zeros((4, 150, 6), np.float32)
    parts, done = [], 0
    for observations in (1, 5, 3):
        parts.append(network(observations=observations, state=state, done=done, **options))
        done += observations
    np.testing.assert_array_equal(np.concatenate(parts, axis=3), whole)


def test_keys_slots_rows_and_trajectories_each_have_their_own_noise():
    still = {"first": 1.0, "trajectories": 2, "key": (1, 2)}
    arrays = np.zeros((2, 3, 3)), np.zeros((2, 2, 3)), np.ones((2, 3, 3)), 0.1
    samples = sample_network(*arrays, **still)
    assert len(np.unique(samples)) == samples.size
    assert not (sample_network(*arrays, **still | {"key": (1, 3)}) == samples).any()


@pytest.mark.parametrize(
    ("interval", "step", "expected"), [(1.0, 0.25, 4), (1.0, 0.3, 4), (0.1, 0.3, 1), (0.3, 0.1, 3), (1e-9, 0.02, 1)]
)
def test_an_interval_is_cut_into_equal_steps(interval, step, expected):
    count, size = steps_in(interval, step)
    assert count == expected
    assert count * size == pytest.approx(interval, rel=1e-12)


def test_a_long_run_is_cancelled_within_a_fraction_of_a_second():
    flag = threading.Event()
    threading.Timer(0.1, flag.set).start()
    begin = time.perf_counter()
    with pytest.raises(Cancelled):
        network(first=1e6, cancelled=flag.is_set)
    assert time.perf_counter() - begin < 5.0


def test_a_long_run_tells_how_much_of_it_is_done():
    fractions = []
    network(trajectories=20_000, first=2.0, observations=4, progress=fractions.append)
    assert fractions[0] == 0.0
    assert fractions == sorted(fractions)
    assert len(np.unique(fractions)) > 2
    assert fractions[-1] <= 1.0


def test_two_threads_may_compute_at_once():
    results, expected = {}, network()
    runs = [threading.Thread(target=lambda i=i: results.update({i: network()})) for i in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    for i in range(4):
        np.testing.assert_array_equal(results[i], expected)


def test_a_trajectory_longer_than_its_noise_is_refused():
    with pytest.raises(ValueError, match="noise"):
        network(first=1e10)
