import itertools

import numpy as np
import pytest
from scipy.special import log_softmax

from protocols.learning_rules import (
    AdamState,
    adam,
    clip_norm,
    cross_entropy,
    factorised_gradient,
    mean_square,
    softmax,
    thermal_gradient,
)

COUPLINGS = np.array([[0.0, 0.9, -0.6], [0.9, 0.0, 1.1], [-0.6, 1.1, 0.0]])
BIAS = np.array([0.3, -0.2, 0.1])
WEIGHTS = np.array([0.7, -0.5, 0.2])
CUBIC = np.array([0.1, 0.0, -0.1])
INPUT = 0.8
TARGET = 0.4


def boltzmann(temperature, couplings=COUPLINGS, bias=BIAS, weights=WEIGHTS, points=81):
    """Return the states (shots, 3) of a grid and their probabilities: three cells, one input, J = (1, J3, 1)."""
    axis = np.linspace(-2.5, 2.5, points)
    states = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    energy = np.sum(states**2 + CUBIC * states**3 + states**4 - (bias - weights * INPUT) * states, axis=1)
    energy += np.einsum("si,ij,sj->s", states, couplings, states) / 2
    weight = np.exp(-(energy - energy.min()) / temperature)
    return states, weight / weight.sum()


def resampled(states, probabilities, shots):
    """Return states as often as their probability says: plain averages over them are averages over the grid."""
    edges = np.round(np.cumsum(probabilities) * shots).astype(int)
    return np.repeat(states, np.diff(edges, prepend=0), axis=0)


def loss_of_mean(temperature, **parameters):
    states, p = boltzmann(temperature, points=51, **parameters)
    return 0.5 * (p @ states[:, 2] - TARGET) ** 2


@pytest.fixture(scope="module", params=[0.05, 0.1])
def three_cells(request):
    states, p = boltzmann(request.param)
    samples = resampled(states, p, 2_000_000)[np.newaxis]
    delta = np.array([[0.0, 0.0, samples[0, :, 2].mean() - TARGET]])
    return request.param, samples, delta, thermal_gradient(samples, delta, request.param, [[INPUT]])


REFERENCE = {
    0.05: ((0.06026867, -0.08979063, 0.09410751), (-0.12271999, 0.16006947, -0.30971708), 0.175203),
    0.1: ((0.04146067, -0.06351957, 0.06392365), None, 0.151326),
}


@pytest.mark.slow
def test_the_thermal_gradient_of_three_cells_has_the_reference_values(three_cells):
    temperature, samples, _, gradient = three_cells
    couplings, bias, loss = REFERENCE[temperature]
    assert gradient.couplings[[0, 0, 1], [1, 2, 2]] == pytest.approx(couplings, abs=5e-5)
    assert mean_square(samples.mean(axis=1)[:, 2:], [[TARGET]])[0] == pytest.approx(loss, abs=5e-5)
    if bias is not None:
        assert gradient.bias == pytest.approx(bias, abs=5e-5)
    assert np.array_equal(gradient.couplings, gradient.couplings.T)


@pytest.mark.slow
def test_the_thermal_gradient_is_the_finite_difference_of_the_loss(three_cells):
    temperature, _, _, gradient = three_cells
    h = 1e-4
    for cell in range(3):
        step = h * np.eye(3)[cell]
        by_bias = (loss_of_mean(temperature, bias=BIAS + step) - loss_of_mean(temperature, bias=BIAS - step)) / (2 * h)
        by_weight = (
            loss_of_mean(temperature, weights=WEIGHTS + step) - loss_of_mean(temperature, weights=WEIGHTS - step)
        ) / (2 * h)
        assert gradient.bias[cell] == pytest.approx(by_bias, abs=5e-5)
        assert gradient.weights[cell, 0] == pytest.approx(by_weight, abs=5e-5)
    for i, j in itertools.combinations(range(3), 2):
        step = np.zeros((3, 3))
        step[i, j] = step[j, i] = h
        difference = loss_of_mean(temperature, couplings=COUPLINGS + step) - loss_of_mean(
            temperature, couplings=COUPLINGS - step
        )
        assert gradient.couplings[i, j] == pytest.approx(difference / (2 * h), abs=5e-5)


def test_random_shots_give_the_thermal_gradient_within_their_error():
    temperature = 0.1
    states, p = boltzmann(temperature, points=41)
    generator = np.random.default_rng(3)
    samples = states[generator.choice(len(p), (40, 2000), p=p)]
    delta = np.tile([0.0, 0.0, -0.55], (40, 1))
    single = [thermal_gradient(row[np.newaxis], delta[:1], temperature, [[INPUT]]).couplings[0, 1] for row in samples]
    exact = thermal_gradient(resampled(states, p, 400_000)[np.newaxis], delta[:1], temperature, [[INPUT]])
    batch = thermal_gradient(samples, delta, temperature, np.full((40, 1), INPUT))
    assert batch.couplings[0, 1] == pytest.approx(np.mean(single))
    assert abs(np.mean(single) - exact.couplings[0, 1]) < 5 * np.std(single) / np.sqrt(40)


def test_the_factorised_gradient_is_exact_for_a_gaussian_machine_but_for_its_couplings_in_general():
    generator = np.random.default_rng(5)
    mixing = generator.normal(size=(4, 4))
    inputs = generator.uniform(-1, 1, (3, 2))
    delta = generator.normal(size=(3, 4))
    samples = generator.normal(size=(3, 200_000, 4)) @ mixing + generator.normal(size=(3, 1, 4))
    y = np.einsum("rsc,rc->rs", samples, delta)
    covariance = np.einsum("rs,rsc->rc", y - y.mean(axis=1, keepdims=True), samples) / (samples.shape[1] - 1)
    full = thermal_gradient(samples, delta, 0.3, inputs)
    short = factorised_gradient(samples.mean(axis=1), covariance, 0.3, inputs)
    assert short.bias == pytest.approx(full.bias)
    assert short.weights == pytest.approx(full.weights)
    assert short.couplings == pytest.approx(full.couplings, rel=0.02, abs=0.05 * np.abs(full.couplings).max())
    skewed = factorised_gradient((samples**2).mean(axis=1), covariance, 0.3, inputs)
    assert skewed.couplings != pytest.approx(full.couplings, rel=0.02)


def test_probabilities_of_huge_logits_stay_finite():
    assert softmax([[1e4, 0.0, -1e4]]) == pytest.approx(np.array([[1.0, 0.0, 0.0]]))
    assert cross_entropy([[1e4, 0.0]], [1])[0] == pytest.approx([1e4])


def test_the_cross_entropy_and_its_derivative_agree_with_finite_differences():
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
    loss, derivative = cross_entropy(logits, labels)
    assert loss == pytest.approx(-log_softmax(logits, axis=1)[np.arange(5), labels])
    for row, column in itertools.product(range(5), range(4)):
        step = np.zeros_like(logits)
        step[row, column] = 1e-6
        difference = cross_entropy(logits + step, labels)[0] - cross_entropy(logits - step, labels)[0]
        assert derivative[row, column] == pytest.approx(difference[row] / 2e-6, abs=1e-8)


def test_a_loss_of_many_machines_is_that_of_each():
    logits, labels = np.random.default_rng(2).normal(size=(3, 5, 4)), np.array([0, 3, 1, 1, 2])
    losses, derivatives = cross_entropy(logits, labels)
    for machine in range(3):
        loss, derivative = cross_entropy(logits[machine], labels)
        assert losses[machine] == pytest.approx(loss)
        assert derivatives[machine] == pytest.approx(derivative)


def test_the_mean_square_is_half_the_squared_distance():
    loss, derivative = mean_square([[1.0, 2.0]], [[0.0, 4.0]])
    assert loss == pytest.approx([2.5])
    assert derivative == pytest.approx(np.array([[1.0, -2.0]]))


def test_a_gradient_is_shortened_to_the_norm_that_is_allowed_and_keeps_its_direction():
    assert clip_norm([3.0, -4.0], 1.0) == pytest.approx([0.6, -0.8])
    assert clip_norm([0.3, -0.4], 1.0).tolist() == [0.3, -0.4]
    assert clip_norm([0.0, 0.0], 1.0).tolist() == [0.0, 0.0]


def test_the_first_step_of_adam_is_the_learning_rate_against_the_sign_of_the_gradient():
    state, change = adam(AdamState.start(3), [1e-3, -50.0, 0.0], 0.02)
    assert change == pytest.approx([-0.02, 0.02, 0.0], rel=1e-4)
    assert state.step == 1


def test_adam_follows_its_defining_recursion():
    gradients = np.random.default_rng(0).normal(size=(20, 6))
    state = AdamState.start(6)
    for gradient in gradients:
        state, change = adam(state, gradient, 0.1)
    age = np.arange(len(gradients))[::-1, np.newaxis]
    first = np.sum(0.1 * 0.9**age * gradients, axis=0) / (1 - 0.9**20)
    second = np.sum(0.001 * 0.999**age * gradients**2, axis=0) / (1 - 0.999**20)
    assert change == pytest.approx(-0.1 * first / (np.sqrt(second) + 1e-8))


def test_adam_finds_the_minimum_of_a_parabola():
    position, state = np.array([3.0, -2.0]), AdamState.start(2)
    for step in range(2000):
        state, change = adam(state, 2 * (position - [1.0, 0.5]), 0.1 * 0.995**step)
        position = position + change
    assert position == pytest.approx([1.0, 0.5], abs=1e-3)
