import math

import numpy as np
import pytest

from twin.models import board_gradient
from twin.models.board_gradient import HistoryMemoryError, simulate_board

COUPLINGS = np.array([[0, 0.8, 0], [0.8, 0, -0.5], [0, -0.5, 0]])
BIAS = np.array([0.3, -0.2, 0.1])
WEIGHTS = np.array([[1.0], [0.0], [0.0]])
STIFFNESS = np.array([(1.0, 0.0, 1.0)] * 3)
INPUTS = np.array([[-0.5], [0.5]])


def simulate(trajectories=8, *, couplings=COUPLINGS, bias=BIAS, key=(1, 2), **options):
    options = {"first": 1.0, "step": 1 / 12, **options}
    return simulate_board(
        couplings, bias, WEIGHTS, STIFFNESS, INPUTS, 0.1, trajectories=trajectories, key=key, **options
    )


def test_samples_and_derivatives_have_the_shapes_that_were_asked_for():
    run = simulate(observations=4, read=[2, 0])
    assert run.samples.shape == (2, 8, 4, 2)
    gradient = run.gradient(np.ones(run.samples.shape))
    assert gradient.couplings.shape == (3, 3)
    assert gradient.bias.shape == (3,)
    assert gradient.weights.shape == (3, 1)


def test_derivatives_by_couplings_are_symmetric_and_only_where_there_are_couplings():
    run = simulate()
    by_coupling = run.gradient(np.ones(run.samples.shape)).couplings
    np.testing.assert_array_equal(by_coupling, by_coupling.T)
    np.testing.assert_array_equal(by_coupling != 0, COUPLINGS != 0)


def test_the_gradient_is_linear_in_the_weights_of_the_samples():
    run = simulate()
    weights = np.random.default_rng(0).normal(size=run.samples.shape)
    for once, twice in zip(run.gradient(weights), run.gradient(2 * weights), strict=True):
        np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)


def test_a_harmonic_board_has_the_gradient_of_its_exact_mean():
    """d<x>/db of dx = (b - A x) dt + noise is (1 - exp(-A t)) / A, whatever the noise is."""
    rate, time = 2.0, 0.7
    run = simulate_board(
        [[0.0]], [0.4], np.zeros((1, 0)), [(rate / 2, 0, 0)], np.zeros((1, 0)), 0.3,
        trajectories=3, key=(1, 2), first=time, step=0.01,
    )  # fmt: skip
    exact = -math.expm1(-rate * time) / rate
    assert run.gradient(np.full(run.samples.shape, 1 / 3)).bias.item() == pytest.approx(exact, rel=1e-4)


def half_against_half(run, target):
    """Unbiased gradient of the sum of squares of (mean - target): each half is weighed by the residual of the other."""
    half = run.samples.shape[1] // 2
    first, second = run.samples[:, :half], run.samples[:, half:]
    residuals = [part.mean(axis=1, keepdims=True, dtype=float) - target for part in (second, first)]
    weights = np.concatenate([np.broadcast_to(r, first.shape) / half for r in residuals], axis=1)
    return run.gradient(weights)


@pytest.mark.slow
def test_two_half_ensembles_give_an_unbiased_gradient_of_a_squared_error():
    target, reach, count = np.array([1.0, 0.8]).reshape(2, 1, 1, 1), 0.1, 1500

    def loss(shift):
        means = simulate(200_000, bias=BIAS + np.array([0, 0, shift]), read=[2]).samples.mean(axis=1, dtype=float)
        return ((means - target[:, 0]) ** 2).sum()

    estimates = [
        half_against_half(simulate(8, key=(3, number), read=[2]), target).bias[2] for number in range(count)
    ]  # fmt: skip
    expected = (loss(reach) - loss(-reach)) / (2 * reach)
    error = np.std(estimates) / math.sqrt(count)
    assert 0.1 * abs(expected) > 5 * error
    assert abs(np.mean(estimates) - expected) < 5 * error + 0.01 * abs(expected)


@pytest.mark.parametrize("weights", [np.ones((2, 8, 1, 2)), np.ones(3), np.full((2, 8, 1, 3), np.nan)])
def test_weights_that_do_not_fit_the_samples_are_refused(weights):
    with pytest.raises(ValueError, match=r"weights have the shape .* \(2, 8, 1, 3\) are needed"):
        simulate().gradient(weights)


def test_a_run_of_too_many_states_is_refused_with_what_it_needs(monkeypatch):
    monkeypatch.setattr(board_gradient, "MAXIMUM_HISTORY", 2**20)
    with pytest.raises(HistoryMemoryError, match=r"take \d+ MiB; allowed are 1 MiB: take fewer"):
        simulate(observations=2000)
    assert issubclass(HistoryMemoryError, MemoryError)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"couplings": np.triu(COUPLINGS)}, "couplings have the shape .* a symmetric matrix"),
        ({"trajectories": 0}, "trajectories is 0; at least 1"),
        ({"observations": 0}, "observations is 0; at least 1"),
        ({"first": 0.0}, "time of the first observation is 0.0; it must be above 0"),
        ({"interval": math.inf}, "time of the interval is inf"),
        ({"step": 0.3}, "step is 0.3; allowed are up to 0.25"),
        ({"read": [3]}, r"cells read are \[3\]; a list of numbers from 0 to 2"),
    ],
)
def test_a_run_out_of_range_is_refused_with_what_is_allowed(change, message):
    with pytest.raises(ValueError, match=message):
        simulate(**change)


@pytest.mark.parametrize(
    ("inputs", "temperature", "message"),
    [
        (np.zeros((2, 3)), 0.1, r"inputs have the shape \(2, 3\), weights \(3, 1\)"),
        (np.zeros((0, 1)), 0.1, "inputs have the shape"),
        (np.full((2, 1), np.nan), 0.1, "inputs hold a value that is not finite"),
        (INPUTS, -0.1, "temperature is -0.1; it must be finite"),
    ],
)
def test_conditions_that_do_not_fit_the_program_are_refused(inputs, temperature, message):
    with pytest.raises(ValueError, match=message):
        simulate_board(COUPLINGS, BIAS, WEIGHTS, STIFFNESS, inputs, temperature, trajectories=1, key=(1, 2), first=1.0)


def test_cells_without_inputs_have_no_derivatives_by_them():
    run = simulate()
    by_weight = run.gradient(np.ones(run.samples.shape)).weights
    np.testing.assert_array_equal(by_weight != 0, WEIGHTS != 0)
