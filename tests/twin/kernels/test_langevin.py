"""The kernel against closed forms, quadrature, an ODE solver and published finite-time values."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm, solve_continuous_lyapunov

from twin.models.network import sample_network

KEY = (11, 12)


def single(stiffness, bias, kT, **options):
    """Sample independent cells, one row for each bias; returns (rows, trajectories)."""
    fields = np.reshape(bias, (1, -1, 1))
    samples = sample_network(np.zeros((1, 1, 1)), fields, np.reshape(stiffness, (1, 1, 3)), kT, key=KEY, **options)
    return samples[0, :, :, 0, 0]


def network(couplings, bias, stiffness, kT, **options):
    """Sample one network; returns (trajectories, cells) at the last observation."""
    n = len(bias)
    samples = sample_network(
        np.reshape(couplings, (1, n, n)), np.reshape(bias, (1, 1, n)), np.reshape(stiffness, (1, n, 3)), kT,
        key=KEY, **options,
    )  # fmt: skip
    return samples[0, 0, :, -1]


def quadrature(stiffness, bias, kT):
    """Mean and variance of one cell in equilibrium."""
    x = np.linspace(-8, 8, 160001)
    energy = stiffness[0] * x**2 + stiffness[1] * x**3 + stiffness[2] * x**4 - bias * x
    weight = np.exp(-(energy - energy.min()) / kT)
    weight /= weight.sum()
    mean = weight @ x
    return mean, weight @ (x - mean) ** 2


def check_moments(samples, mean, variance, bias=0.01):
    """Compare with 5 standard errors plus a relative bias."""
    count = len(samples)
    values = samples.astype(float)
    spread = np.var((values - values.mean()) ** 2)
    assert abs(values.mean() - mean) < 5 * math.sqrt(values.var() / count) + bias * abs(mean)
    assert abs(values.var(ddof=1) - variance) < 5 * math.sqrt(spread / count) + bias * variance


BISTABLE = (-1, 0, 1), (0, 1, 1)


@pytest.mark.parametrize("kT", [0.1, 1.0])
@pytest.mark.parametrize("stiffness", [(1, 0, 0), (0, 0, 1), (1, 0, 1), (-1, 0, 1), (1, 1, 1), (0, 1, 1)])
def test_cells_in_equilibrium_agree_with_quadrature(stiffness, kT):
    biases = (-2.0, -0.8, 0.0, 1.0, 5.0) if kT == 1.0 or stiffness not in BISTABLE else (-5.0, -2.0, -1.5, 1.5, 3.0)
    samples = single(stiffness, biases, kT, trajectories=40_000, first=8.0 if stiffness[0] < 0 else 5.0)
    for row, bias in enumerate(biases):
        check_moments(samples[row], *quadrature(stiffness, bias, kT))


PUBLISHED = [
    # kT, bias, mean and variance at t = .2, .5, 1, 2 by Fokker-Planck, J = (1, 0, 1)
    (0.1, 1.0, (0.16047, 0.28209, 0.34152, 0.35444), (0.025696, 0.032039, 0.028975, 0.027682)),
    (0.1, 5.0, (0.72156, 0.90945, 0.91620, 0.91622), (0.014707, 0.008554, 0.008329, 0.008328)),
    (1.0, 1.0, (0.13945, 0.20557, 0.22629, 0.22894), (0.202176, 0.222450, 0.219896, 0.219401)),
    (0.01, 1.0, (0.16356, 0.29866, 0.36819, 0.38189), (0.002658, 0.003359, 0.002841, 0.002667)),
]


SOLVERS = [
    {}, {"scheme": "euler", "noise": "gaussian", "step": 0.001}, {"noise": "rademacher", "step": 1 / 128},
    {"noise": "popcount"},
]  # fmt: skip


@pytest.mark.parametrize("scheme", SOLVERS, ids=["matched", "euler", "rademacher", "popcount"])
@pytest.mark.parametrize(("kT", "bias", "means", "variances"), PUBLISHED)
def test_cells_at_finite_times_agree_with_the_fokker_planck_equation(kT, bias, means, variances, scheme):
    for time, mean, variance in zip((0.2, 0.5, 1.0, 2.0), means, variances, strict=True):
        check_moments(single((1, 0, 1), bias, kT, trajectories=60_000, first=time, **scheme)[0], mean, variance)


@pytest.mark.parametrize(
    ("time", "means"),
    [
        (0.2, (0.163923, 0.322550, 0.471541, 0.608091, 0.731009)),
        (0.5, (0.300791, 0.535061, 0.700991, 0.822491, 0.917849)),
        (1.0, (0.371514, 0.587102, 0.727656, 0.835051, 0.923697)),
        (2.0, (0.385136, 0.589749, 0.728082, 0.835122, 0.923710)),
    ],
)
def test_without_noise_a_cell_follows_its_ode(time, means):
    final = single((1, 0, 1), (1.0, 2.0, 3.0, 4.0, 5.0), 0.0, trajectories=1, first=time, step=0.001)
    np.testing.assert_allclose(final[:, 0], means, atol=8e-6)


COUPLED = np.array([[0, 1.1, -0.7], [1.1, 0, 0.6], [-0.7, 0.6, 0]])
BIAS = np.array([0.8, -1.2, 2.0])
STIFFNESS = np.array([(1, 0, 1), (0.4, 0.2, 1), (-1, 0, 1)])


def order_of(errors):
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


@pytest.mark.parametrize(("scheme", "order"), [("ros2", 2), ("euler", 1)])
def test_without_noise_a_network_converges_with_the_order_of_the_scheme(scheme, order):
    def motion(_time, x):
        return BIAS - COUPLED @ x - 2 * STIFFNESS[:, 0] * x - 3 * STIFFNESS[:, 1] * x**2 - 4 * STIFFNESS[:, 2] * x**3

    exact = solve_ivp(motion, (0, 1), np.zeros(3), rtol=1e-10, atol=1e-12).y[:, -1]
    errors = [
        np.linalg.norm(
            network(COUPLED, BIAS, STIFFNESS, 0.0, trajectories=1, first=1.0, step=1 / n, scheme=scheme)[0] - exact
        )
        for n in (16, 32, 64)
    ]
    np.testing.assert_allclose(order_of(errors), order, atol=0.35)


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["matched", "gaussian"])
def test_the_mean_converges_with_weak_order_two_of_the_splitting_scheme(noise):
    exact, _variance = quadrature((1, 0, 1), 1.0, 0.3)
    errors = [
        single((1, 0, 1), 1.0, 0.3, trajectories=4_000_000, first=4.0, step=step, noise=noise).mean(dtype=float) - exact
        for step in (0.1, 0.05)
    ]
    np.testing.assert_allclose(order_of(np.abs(errors)), 1.83, atol=0.25)


@pytest.mark.slow
def test_the_variance_converges_with_weak_order_one_of_the_euler_scheme():
    _mean, exact = quadrature((1, 0, 1), 0.0, 1.0)
    options = {"trajectories": 2_000_000, "first": 3.0, "scheme": "euler", "noise": "gaussian"}
    errors = [single((1, 0, 1), 0.0, 1.0, step=step, **options).var(dtype=float) - exact for step in (0.04, 0.02)]
    np.testing.assert_allclose(order_of(errors), 1, atol=0.25)


@pytest.mark.parametrize("step", [0.25, 0.02])
def test_a_harmonic_cell_has_its_exact_variance_at_any_step(step):
    samples = single((1.5, 0, 0), 0.7, 0.4, trajectories=400_000, first=6.0, step=step)[0]
    check_moments(samples, 0.7 / 3, 0.4 / 3, bias=1e-4)


def ornstein_uhlenbeck(A, bias, kT, time):
    """Exact mean and covariance from x(0) = 0 of dx = (b - A x) dt + sqrt(2 kT) dB."""
    decay = expm(-A * time)
    mean = np.linalg.solve(A, (np.eye(len(A)) - decay) @ bias)
    stationary = solve_continuous_lyapunov(A, 2 * kT * np.eye(len(A)))
    return mean, stationary - decay @ stationary @ decay.T


def check_covariance(samples, mean, covariance):
    count = len(samples)
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (np.abs(samples.mean(axis=0, dtype=float) - mean) < 5 * np.sqrt(np.diag(covariance) / count) + 1e-3).all()
    deviation = np.abs(np.cov(samples.T.astype(float)) - covariance)
    assert (deviation < 5 * scale * math.sqrt(2 / count) + 0.004 * scale).all()


@pytest.mark.parametrize("time", [0.3, 1.0, 8.0])
def test_coupled_harmonic_cells_agree_with_the_ornstein_uhlenbeck_process(time):
    couplings = COUPLED
    A = couplings + np.diag([2.0, 3.0, 4.0])
    stiffness = np.array([(1, 0, 0), (1.5, 0, 0), (2, 0, 0)])
    samples = network(couplings, BIAS, stiffness, 0.3, trajectories=200_000, first=time)
    mean, covariance = ornstein_uhlenbeck(A, BIAS, 0.3, time)
    check_covariance(samples, mean, covariance)
    if time == 8.0:
        np.testing.assert_allclose(covariance, 0.3 * np.linalg.inv(A), rtol=1e-6)


def test_couplings_without_detailed_balance_are_a_rotation_in_the_steady_state():
    couplings = np.array([[0, 1.5], [-1.5, 0]])
    A = couplings + 2 * np.eye(2)
    samples = network(couplings, [1.0, 0.0], [(1, 0, 0)] * 2, 0.3, trajectories=200_000, first=6.0)
    check_covariance(samples, *ornstein_uhlenbeck(A, np.array([1.0, 0.0]), 0.3, 6.0))
    assert samples[:, 1].mean() == pytest.approx(1.5 / (4 + 2.25), abs=0.01)


def test_two_coupled_nonlinear_cells_agree_with_quadrature():
    x = np.linspace(-3, 3, 1201)
    a, b = np.meshgrid(x, x, indexing="ij")
    energy = a**2 + a**4 - 0.5 * b**2 + 0.3 * b**3 + b**4 + 1.2 * a * b - 0.4 * a + 0.2 * b
    weight = np.exp(-(energy - energy.min()) / 0.5)
    weight /= weight.sum()
    samples = network(
        [[0, 1.2], [1.2, 0]], [0.4, -0.2], [(1, 0, 1), (-0.5, 0.3, 1)], 0.5, trajectories=300_000, first=8.0
    ).astype(float)
    count = len(samples)
    for observable, grid in ((samples[:, 0], a), (samples[:, 1], b), (samples.prod(axis=1), a * b)):
        exact = (weight * grid).sum()
        assert abs(observable.mean() - exact) < 5 * observable.std() / math.sqrt(count) + 2e-3


@pytest.mark.parametrize("topology", ["layered", "sparse", "all-to-all"])
def test_every_topology_has_the_covariance_of_its_network(topology):
    rng = np.random.default_rng(5)
    n = 12
    couplings = np.triu(rng.normal(size=(n, n)) * 0.3, 1)
    layer = np.arange(n) // 4
    keep = {
        "layered": layer[None, :] - layer[:, None] == 1,
        "sparse": rng.random((n, n)) < 0.2,
        "all-to-all": np.ones((n, n), bool),
    }[topology]
    couplings = couplings * keep
    couplings += couplings.T
    A = couplings + 3 * np.eye(n)
    bias = rng.normal(size=n)
    samples = network(couplings, bias, [(1.5, 0, 0)] * n, 0.2, trajectories=100_000, first=5.0)
    check_covariance(samples, np.linalg.solve(A, bias), 0.2 * np.linalg.inv(A))


def test_every_cell_may_have_its_own_temperature():
    kT = np.array([0.0, 0.1, 1.0])
    samples = network(np.zeros((3, 3)), np.zeros(3), [(1, 0, 0)] * 3, kT, trajectories=100_000, first=6.0)
    np.testing.assert_allclose(samples.var(axis=0, dtype=float), kT / 2, rtol=0.03)


def test_an_unstable_network_runs_to_the_rails_and_stays_finite():
    couplings = 8 * (np.ones((9, 9)) - np.eye(9))
    samples = network(couplings, np.full(9, 16.0), [(-4, 0, 0)] * 9, 4.0, trajectories=300, first=3.0)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() == 16.0


@pytest.mark.parametrize("stiffness", [(-4, 0, 4), (-4, 0, 0.05), (-4, 2, 0.01), (4, -2, 4)])
@pytest.mark.parametrize("step", [0.02, 0.25])
def test_extreme_cells_stay_in_their_wells(stiffness, step):
    j2, j3, j4 = stiffness
    biases = np.array([-16.0, 0.0, 16.0])
    final = single(stiffness, biases, 0.0, trajectories=1, first=20.0, step=step)[:, 0].astype(float)
    force = biases - 2 * j2 * final - 3 * j3 * final**2 - 4 * j4 * final**3
    assert (np.where(np.abs(final) < 16.0, np.abs(force), 0.0) < 1e-3 * (16 + np.abs(4 * j4 * final**3))).all()


def test_a_bistable_cell_is_found_on_both_sides_in_proportion():
    samples = single((-1, 0, 1), 0.1, 0.3, trajectories=100_000, first=30.0, step=0.05)[0]
    x = np.linspace(-4, 4, 80001)
    weight = np.exp(-(-(x**2) + x**4 - 0.1 * x) / 0.3)
    right = weight[x > 0].sum() / weight.sum()
    assert (samples > 0).mean() == pytest.approx(right, abs=5 * math.sqrt(0.25 / len(samples)) + 0.005)


def test_a_trajectory_starts_where_it_is_told_to():
    start = np.array([0.5, -2.0])
    samples = network(np.zeros((2, 2)), np.zeros(2), [(1, 0, 0)] * 2, 0.0, trajectories=2, first=0.5, start=start)
    np.testing.assert_allclose(samples, np.tile(start * math.exp(-1), (2, 1)), rtol=3e-4)


def test_fields_that_settle_rise_exponentially():
    final = single((1, 0, 0), 1.0, 0.0, trajectories=1, first=1.0, step=0.002, settling_time=0.4)[0, 0]
    exact = solve_ivp(lambda t, x: 1 - math.exp(-t / 0.4) - 2 * x, (0, 1), [0.0], rtol=1e-9).y[0, -1]
    assert final == pytest.approx(exact, abs=2e-5)


def test_serial_samples_are_those_of_one_trajectory():
    options = {"trajectories": 3, "first": 1.0, "interval": 0.25}
    arrays = np.zeros((1, 1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 3)), 0.1
    series = sample_network(*arrays, key=KEY, observations=4, **options)
    reset = sample_network(*arrays, key=KEY, **options)
    np.testing.assert_array_equal(series[..., 0, :], reset[..., 0, :])
    assert len(np.unique(series)) == series.size
