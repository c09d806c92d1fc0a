"""Exact sampling of harmonic cells against the closed forms of the Ornstein-Uhlenbeck process."""

import math

import numpy as np
import pytest
from scipy.linalg import expm, solve_continuous_lyapunov

from twin import compute
from twin.models.linear_network import prepare_process, sample_process

KEY = (3, 4)
TEMPERATURE = np.array([0.3, 0.1, 0.5, 0.2, 0.4])


@pytest.fixture(autouse=True)
def _threads_restored():
    before = compute.threads()
    yield
    compute.set_threads(before)


def networks(turning=0.0):
    """Three programs of five cells with four rows."""
    rng = np.random.default_rng(8)
    upper = np.triu(0.5 * rng.normal(size=(3, 5, 5)), 1)
    stiffness = np.zeros((3, 5, 3), np.float32)
    stiffness[:, :, 0] = rng.uniform(1, 2, (3, 5))
    couplings = (1 + turning) * upper + (1 - turning) * upper.swapaxes(1, 2)
    return couplings.astype(np.float32), rng.normal(size=(3, 4, 5)).astype(np.float32), stiffness


def drift(couplings, stiffness):
    return couplings.astype(float) + np.diag(2.0 * stiffness[:, 0])


def draw(arrays, trajectories=50, observations=1, first=0.5, interval=0.3, start=None, **options):
    within, process = prepare_process(
        *arrays,
        TEMPERATURE,
        first=first,
        interval=interval,
        observations=options.pop("planned", observations),
        start=start,
    )
    assert within.all()
    return sample_process(process, trajectories=trajectories, key=KEY, observations=observations, **options)


@pytest.mark.parametrize("turning", [0.0, 0.8])
@pytest.mark.parametrize("time", [0.1, 1.0, 20.0])
def test_mean_and_covariance_after_a_reset_are_those_of_the_process(turning, time):
    couplings, fields, stiffness = networks(turning)
    start, count = np.linspace(-1, 1, 5), 100_000
    samples = draw((couplings[:1], fields[:1, :1], stiffness[:1]), count, first=time, start=start)[0, 0, :, 0]
    A = drift(couplings[0], stiffness[0])
    decay, stationary = expm(-A * time), solve_continuous_lyapunov(A, 2 * np.diag(TEMPERATURE))
    mean = decay @ start + np.linalg.solve(A, (np.eye(5) - decay) @ fields[0, 0])
    covariance = stationary - decay @ stationary @ decay.T
    variance = np.diag(covariance)
    assert (np.abs(samples.mean(axis=0, dtype=float) - mean) < 5 * np.sqrt(variance / count)).all()
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / count)
    assert (np.abs(np.cov(samples.T.astype(float)) - covariance) < 5 * error).all()


def test_a_series_has_the_correlations_of_the_process():
    couplings, fields, stiffness = networks(0.5)
    arrays = couplings[:1], fields[:1, :1], stiffness[:1]
    samples = draw(arrays, 100_000, observations=3, first=0.4, interval=0.7)[0, 0].astype(float)
    A = drift(couplings[0], stiffness[0])
    stationary = solve_continuous_lyapunov(A, 2 * np.diag(TEMPERATURE))
    decay = expm(-A * 1.1)
    before = stationary - decay @ stationary @ decay.T
    second, third = samples[:, 1] - samples[:, 1].mean(axis=0), samples[:, 2] - samples[:, 2].mean(axis=0)
    products = third[:, :, None] * second[:, None, :]
    error = products.std(axis=0) / math.sqrt(len(samples))
    assert (np.abs(products.mean(axis=0) - expm(-A * 0.7) @ before) < 5 * error).all()


def test_cells_without_noise_follow_their_mean_exactly():
    couplings, fields, stiffness = networks()
    within, process = prepare_process(couplings, fields, stiffness, 0.0, first=0.6, interval=0.6, observations=2)
    samples = sample_process(process, trajectories=3, key=KEY, observations=2)
    assert within.all()
    for p in range(3):
        A = drift(couplings[p], stiffness[p])
        for o, time in enumerate((0.6, 1.2)):
            exact = np.linalg.solve(A, (np.eye(5) - expm(-A * time)) @ fields[p].T.astype(float)).T
            np.testing.assert_allclose(samples[p, :, :, o], np.repeat(exact[:, None], 3, 1), atol=2e-6)


@pytest.mark.parametrize("count", [2, 3])
def test_samples_do_not_depend_on_the_number_of_threads(count):
    compute.set_threads(1)
    one = draw(networks(), observations=4)
    compute.set_threads(count)
    np.testing.assert_array_equal(draw(networks(), observations=4), one)


def test_a_trajectory_does_not_depend_on_what_runs_beside_it():
    couplings, fields, stiffness = networks()
    everything = draw((couplings, fields, stiffness), observations=2)
    alone = draw(
        (couplings[2:], fields[2:, 1:2], stiffness[2:]), 3, observations=2, slots=[2], rows=[1], first_trajectory=17
    )
    np.testing.assert_array_equal(alone[0, 0], everything[2, 1, 17:20])


def test_a_series_that_is_cut_goes_on_as_if_it_were_not():
    whole = draw(networks(), observations=9)
    state, parts, done = np.zeros((3, 200, 5), np.float32), [], 0
    for observations in (1, 5, 3):
        parts.append(draw(networks(), observations=observations, planned=9, state=state, done=done))
        done += observations
    np.testing.assert_array_equal(np.concatenate(parts, axis=3), whole)


def test_every_cell_program_row_trajectory_and_observation_has_its_own_noise():
    arrays = np.zeros((2, 5, 5), np.float32), np.zeros((2, 3, 5), np.float32), np.ones((2, 5, 3), np.float32)
    arrays[2][..., 1:] = 0
    samples = draw(arrays, 20, observations=3)
    assert len(np.unique(samples)) == samples.size


def test_cells_read_are_those_that_were_asked_for():
    np.testing.assert_array_equal(draw(networks(), read=[4, 0]), draw(networks())[..., [4, 0]])


@pytest.mark.parametrize(
    ("bias", "quadratic", "observations", "clear"),
    [
        (30.0, 1.0, 1, True),  # 9.5 +- 0.21, on the way to 15
        (48.0, 1.0, 1, False),  # 15.2 +- 0.21
        (0.0, -1.0, 1, True),  # e^{1} away
        (0.0, -1.0, 100, False),  # e^{100} away
        (1.0, 0.0, 1, True),  # 0.5 +- 0.32, on its way
        (1.0, 0.0, 100, False),  # 50
    ],
)
def test_networks_that_may_come_near_the_rails_are_told_apart(bias, quadratic, observations, clear):
    arrays = np.zeros((1, 1, 1), np.float32), np.full((1, 1, 1), bias, np.float32), np.float32([[[quadratic, 0, 0]]])
    within, _process = prepare_process(*arrays, 0.1, first=0.5, observations=observations)
    assert within.item() is clear


def test_a_network_that_swings_through_the_rails_is_not_clear_of_them():
    couplings = np.zeros((1, 2, 2), np.float32)
    couplings[0] = [[0, 20.0], [-20.0, 0]]
    stiffness = np.zeros((1, 2, 3), np.float32)
    stiffness[..., 0] = 0.5
    A = drift(couplings[0], stiffness[0])
    start, turn = np.array([15.0, 10.0]), 2 * math.pi / 20
    assert np.abs(expm(-A * turn) @ start).max() < 12.0
    within, _process = prepare_process(
        couplings, np.zeros((1, 1, 2), np.float32), stiffness, 0.0, first=turn, start=start
    )
    assert not within.any()


def test_programs_that_are_not_harmonic_are_left_out():
    couplings, fields, stiffness = networks()
    stiffness[1, 3, 2] = 1e-3
    within, _process = prepare_process(couplings, fields, stiffness, TEMPERATURE, first=1.0)
    assert within.tolist() == [[True] * 4, [False] * 4, [True] * 4]
