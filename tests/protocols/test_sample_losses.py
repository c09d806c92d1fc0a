import numpy as np
import pytest

from protocols.sample_losses import ensemble_loss, shot_cross_entropy, time_average_loss

TARGET = np.array([0.5, -1.0, 0.0])


def differences(loss, outputs, step=1e-6):
    """The derivative of a loss by every sample, by central differences."""
    derivative = np.zeros(outputs.shape)
    for index in np.ndindex(outputs.shape):
        shift = np.zeros(outputs.shape)
        shift[index] = step
        derivative[index] = (loss(outputs + shift)[0] - loss(outputs - shift)[0]) / (2 * step)
    return derivative


@pytest.mark.parametrize(
    ("shape", "loss"),
    [
        ((3, 6), lambda y: ensemble_loss(y, TARGET)),
        ((3, 6), lambda y: ensemble_loss(y, TARGET, 0.3)),
        ((3, 4, 5), lambda y: time_average_loss(y, TARGET)),
        ((3, 2, 4), lambda y: shot_cross_entropy(y, np.array([0, 3, 1]))),
    ],
)
def test_the_derivative_of_a_loss_is_that_of_finite_differences(shape, loss):
    outputs = np.random.default_rng(3).normal(size=shape)
    value, derivative = loss(outputs)
    assert derivative.shape == shape
    assert np.isfinite(value)
    np.testing.assert_allclose(derivative, differences(loss, outputs), atol=1e-8)


def test_two_halves_estimate_the_squared_error_of_the_mean_without_bias():
    generator = np.random.default_rng(5)
    true = np.mean((np.array([0.2, 0.1, -0.4]) - TARGET) ** 2)
    draws = np.array([0.2, 0.1, -0.4])[:, np.newaxis] + generator.normal(size=(4000, 3, 4))
    estimates = np.array([ensemble_loss(y, TARGET)[0] for y in draws])
    error = estimates.std(ddof=1) / np.sqrt(len(estimates))
    assert abs(estimates.mean() - true) < 5 * error
    plain = np.mean((draws.mean(axis=2) - TARGET) ** 2)
    assert plain - true > 20 * error


def test_the_weight_of_the_variance_adds_the_unbiased_variance_of_a_sample():
    outputs = np.random.default_rng(1).normal(size=(3, 8))
    added = ensemble_loss(outputs, TARGET, 0.5)[0] - ensemble_loss(outputs, TARGET)[0]
    assert added == pytest.approx(0.5 * outputs.var(axis=1, ddof=1).mean())


def test_a_machine_that_is_right_on_average_only_is_wrong_along_each_trajectory():
    stuck = np.stack([np.ones((1, 5)), -np.ones((1, 5))], axis=1)
    assert time_average_loss(stuck, [0.0])[0] == 1.0
    hopping = np.tile([1.0, -1.0], 3)[np.newaxis, np.newaxis]
    assert time_average_loss(hopping, [0.0])[0] == 0.0


def test_the_loss_of_single_shots_is_the_mean_over_them_and_not_that_of_their_mean():
    logits = np.array([[[4.0, 0.0], [0.0, 4.0]]])
    expected = np.mean([np.log1p(np.exp(-4.0)), np.log1p(np.exp(4.0))])
    assert shot_cross_entropy(logits, [0])[0] == pytest.approx(expected)
    assert expected > np.log(2)
