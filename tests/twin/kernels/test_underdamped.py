"""The kernel against published finite-time values, quadrature, closed forms of linear loops and conservation laws."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm, solve_continuous_lyapunov

from twin.models.loop_network import sample_loops

KEY = (11, 12)


def single(stiffness, bias, kT, mass, **options):
    """Sample uncoupled loops, one row for each bias; returns (rows, trajectories)."""
    fields = np.reshape(bias, (1, -1, 1))
    samples = sample_loops(
        np.zeros((1, 1, 1)), fields, np.reshape(stiffness, (1, 1, 3)), kT, mass=mass, key=KEY, **options
    )
    return samples[0, :, :, 0, 0].astype(float)


def network(couplings, bias, stiffness, kT, mass, **options):
    """Sample one network; returns (trajectories, observations, loops)."""
    n = len(bias)
    return sample_loops(
        np.reshape(couplings, (1, n, n)), np.reshape(bias, (1, 1, n)), np.reshape(stiffness, (1, n, 3)), kT,
        mass=mass, key=KEY, **options,
    )[0, 0].astype(float)  # fmt: skip


PUBLISHED = {
    # mass: means at t = 1 for bias 1 and 5, J = (1, 0, 1), kT = 0.1, known to 5e-4
    0.01: (0.3433, 0.9166), 0.05: (0.3468, 0.9165), 0.1: (0.3542, 0.9185),
    0.2: (0.3804, 0.8476), 0.5: (0.3950, 1.0680), 1.0: (0.3085, 1.2730),
}  # fmt: skip


@pytest.mark.parametrize("mass", PUBLISHED)
def test_loops_released_at_rest_have_the_published_means(mass):
    count = 200_000
    samples = single((1, 0, 1), (1.0, 5.0), 0.1, mass, trajectories=count, first=1.0, step=0.02)
    error = np.sqrt(samples.var(axis=1) / count + 5e-4**2)
    assert (np.abs(samples.mean(axis=1) - PUBLISHED[mass]) < 5 * error).all()


@pytest.mark.parametrize("mass", [0.01, 0.3])
@pytest.mark.parametrize(
    ("stiffness", "bias"), [((1, 0, 1), 1.0), ((1, 0, 1), 5.0), ((0, 0, 1), 0.0), ((1, 1, 1), 1.0)]
)
def test_loops_in_equilibrium_agree_with_quadrature_whatever_their_mass(mass, stiffness, bias):
    x = np.linspace(-5, 5, 100_001)
    weight = np.exp(-(stiffness[0] * x**2 + stiffness[1] * x**3 + stiffness[2] * x**4 - bias * x) / 0.1)
    weight /= weight.sum()
    mean = weight @ x
    variance = weight @ (x - mean) ** 2
    count = 60_000
    samples = single(stiffness, bias, 0.1, mass, trajectories=count, first=5.0)[0]
    spread = np.var((samples - samples.mean()) ** 2)
    assert abs(samples.mean() - mean) < 5 * math.sqrt(samples.var() / count) + 1e-3 * abs(mean)
    assert abs(samples.var() - variance) < 5 * math.sqrt(spread / count) + 0.01 * variance


COUPLED = np.array([[0, 1.1, -0.7], [1.1, 0, 0.6], [-0.7, 0.6, 0]])
BIAS = np.array([0.8, -1.2, 2.0])


@pytest.mark.parametrize("mass", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("time", [0.3, 2.0])
def test_coupled_linear_loops_agree_with_the_process_of_positions_and_velocities(mass, time):
    kT, start, count = np.array([0.1, 0.3, 0.5]), np.array([0.5, -1.0, 0.0]), 100_000
    stiffness = np.array([(1, 0, 0), (1.5, 0, 0), (2, 0, 0)])
    A = np.block([[np.zeros((3, 3)), -np.eye(3)], [(COUPLED + np.diag([2.0, 3, 4])) / mass, np.eye(3) / mass]])
    decay = expm(-A * time)
    stationary = solve_continuous_lyapunov(A, 2 * np.diag(np.concatenate([np.zeros(3), kT])) / mass**2)
    rest = np.linalg.solve(A, np.concatenate([np.zeros(3), BIAS / mass]))
    mean = (rest + decay @ (np.concatenate([start, np.zeros(3)]) - rest))[:3]
    covariance = (stationary - decay @ stationary @ decay.T)[:3, :3]
    samples = network(COUPLED, BIAS, stiffness, kT, mass, trajectories=count, first=time, start=start, step=0.01)[:, 0]
    variance = np.diag(covariance)
    assert (np.abs(samples.mean(axis=0) - mean) < 5 * np.sqrt(variance / count) + 1e-3 * np.abs(rest[:3])).all()
    scale = np.sqrt(np.outer(variance, variance))
    assert (np.abs(np.cov(samples.T) - covariance) < 5 * scale * math.sqrt(2 / count) + 0.004 * scale).all()


STIFFNESS = np.array([(1, 0, 1), (0.4, 0.2, 1), (-1, 0, 1)])


def motion(mass, settling_time=0.0):
    def rate(t, state):
        x, v = state[:3], state[3:]
        gain = 1 - math.exp(-t / settling_time) if settling_time else 1.0
        force = (
            gain * BIAS - COUPLED @ x - (2 * STIFFNESS[:, 0] + (3 * STIFFNESS[:, 1] + 4 * STIFFNESS[:, 2] * x) * x) * x
        )
        return np.concatenate([v, (force - v) / mass])

    return rate


@pytest.mark.parametrize("mass", [0.05, 0.5])
def test_without_noise_a_network_converges_with_the_second_order_of_the_scheme(mass):
    exact = solve_ivp(motion(mass), (0, 1), np.zeros(6), rtol=1e-10, atol=1e-12).y[:3, -1]
    errors = [
        np.linalg.norm(
            network(COUPLED, BIAS, STIFFNESS, 0.0, mass, trajectories=1, first=1.0, step=1 / n)[0, 0] - exact
        )
        for n in (32, 64, 128)
    ]
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 2, atol=0.35)


def test_fields_that_settle_rise_exponentially():
    exact = solve_ivp(motion(0.1, 0.4), (0, 1), np.zeros(6), rtol=1e-9, atol=1e-11).y[:3, -1]
    final = network(
        COUPLED, BIAS, STIFFNESS, 0.0, 0.1, trajectories=1, first=0.5, interval=0.5, observations=2, step=0.002,
        settling_time=0.4,
    )[0, -1]  # fmt: skip
    np.testing.assert_allclose(final, exact, atol=5e-5)


def test_a_heavy_loop_keeps_its_energy_while_friction_has_not_stopped_it():
    mass, time = 100.0, 30.0
    options = {"trajectories": 1, "first": time, "step": 0.02, "start": np.array([2.0])}
    moved = network([[0.0]], [0.0], [(1, 0, 0)], 0.0, mass, **options)[0, 0, 0]
    frequency = math.sqrt(2 / mass - 1 / (2 * mass) ** 2)
    phase = math.exp(-time / (2 * mass)) * (
        math.cos(frequency * time) + math.sin(frequency * time) / (2 * mass * frequency)
    )
    assert moved == pytest.approx(2 * phase, abs=1e-4)


def test_a_loop_diffuses_as_fast_as_one_without_inductance_at_any_step():
    for step in (0.02, 0.25):
        samples = single((0, 0, 0), 2.0, 0.3, 0.01, trajectories=100_000, first=3.0, step=step)[0]
        # exactly: drift F (t - m), variance 2 kT (t - 3 m / 2)
        assert samples.mean() == pytest.approx(
            2.0 * 2.99, abs=5 * samples.std() / math.sqrt(samples.size) + 2 * step * 0.01
        )
        assert samples.var() == pytest.approx(0.6 * 2.985, rel=5 * math.sqrt(2 / samples.size) + step * 0.1)


def test_an_unstable_network_runs_to_the_rails_and_stays_there():
    couplings = 8 * (np.ones((9, 9)) - np.eye(9))
    samples = network(couplings, np.full(9, 16.0), [(-4, 0, 0)] * 9, 4.0, 0.1, trajectories=100, first=5.0, step=0.01)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() == 16.0


def test_every_loop_may_have_its_own_temperature():
    kT, count = np.array([0.0, 0.1, 1.0]), 50_000
    samples = network(np.zeros((3, 3)), np.zeros(3), [(1, 0, 0)] * 3, kT, 0.1, trajectories=count, first=6.0)[:, 0]
    np.testing.assert_allclose(samples.var(axis=0), kT / 2, rtol=5 * math.sqrt(2 / count))
