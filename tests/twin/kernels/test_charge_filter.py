"""The Bayes filter of a switch against brute force, stationary theory and its stochastic differential equation."""

import math

import numpy as np
import pytest

from twin.kernels.charge_filter import filter_record, first_state_ratio, observe_switch, smooth_record
from twin.kernels.telegraph import switch_events
from twin.models.charge_detection import filter_accuracy


def stream(seed):
    return np.random.Generator(np.random.Philox(key=seed))


def batch_error(series, batches=100):
    """Standard error of the mean of a correlated series."""
    return np.std([part.mean() for part in np.array_split(series, batches)], ddof=1) / math.sqrt(batches)


def observed(up, down, kappa, gamma, response, step, steps, seed=1):
    switch, (record, output, conditional) = np.empty(steps, np.int8), np.empty((3, steps))
    observe_switch(seed, 0, up, down, kappa, gamma, response, step, switch, record, output, conditional)
    return switch, record, output, conditional


def transition(up, down, time):
    """Matrix [to, from] over (+1, -1)."""
    reset = 1 - math.exp(-(up + down) * time)
    rise, fall = up / (up + down) * reset, down / (up + down) * reset
    return np.array([[1 - fall, rise], [fall, 1 - rise]])


def brute_force(evidence, up, down, before, after, prior):
    """Filtered and smoothed probability of +1, and the evidence for the first state, by unnormalised vectors."""
    first, second = transition(up, down, before), transition(up, down, after)
    forward = [np.array([prior, 1 - prior])]
    for e in evidence:
        state = second @ (np.array([math.exp(e / 2), math.exp(-e / 2)]) * (first @ forward[-1]))
        forward.append(state / state.sum())
    backward = [np.ones(2)]
    for e in evidence[::-1]:
        state = first.T @ (np.array([math.exp(e / 2), math.exp(-e / 2)]) * (second.T @ backward[-1]))
        backward.append(state / state.sum())
    backward = backward[::-1]
    joint = np.array(forward[1:]) * np.array(backward[1:])
    return np.array(forward[1:])[:, 0], joint[:, 0] / joint.sum(axis=1), math.log(backward[0][0] / backward[0][1])


@pytest.mark.parametrize(("before", "after"), [(0.3, 0.0), (0.15, 0.15)])
def test_filter_smoother_and_first_state_are_those_of_a_hidden_markov_model(before, after):
    record = np.random.default_rng(0).normal(0.2, 1.5, 60)
    arguments = 1.3, -0.2, 0.7, 2.0, before, after
    filtered, smoothed = np.empty((2, 60))
    filter_record(record, *arguments, 0.35 / 0.65, filtered)
    smooth_record(record, *arguments, 0.35 / 0.65, smoothed)
    exact = brute_force(1.3 * record - 0.2, 0.7, 2.0, before, after, 0.35)
    np.testing.assert_allclose(filtered, exact[0], rtol=1e-12)
    np.testing.assert_allclose(smoothed, exact[1], rtol=1e-12)
    assert first_state_ratio(record, *arguments) == pytest.approx(exact[2], rel=1e-12)


@pytest.mark.parametrize("kernel", [filter_record, smooth_record])
def test_overwhelming_evidence_leaves_a_probability_and_can_be_reversed(kernel):
    record = np.array([5000.0] * 5 + [-5000.0] * 11)
    probability = np.empty(16)
    kernel(record, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, probability)
    assert ((probability >= 0) & (probability <= 1)).all()
    assert probability[-1] < 1e-9
    kernel(record, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, probability)
    assert (probability[:5] > 0.999999).all()
    assert (probability[5:] < 1e-6).all()


def test_a_silent_record_leaves_the_master_equation():
    probability = np.empty(40)
    filter_record(np.zeros(40), 1.0, 0.0, 1.0, 3.0, 0.05, 0.0, 1e100, probability)
    np.testing.assert_allclose(probability, 0.25 + 0.75 * np.exp(-4 * 0.05 * np.arange(1, 41)), rtol=1e-12)


FIGURE_7 = [  # information rate, step, wrong if the sign of the filtered output is used
    (1.0, 0.01, 0.417),
    (10.0, 0.002, 0.250),
    (100.0, 2e-4, 0.032),
]


@pytest.mark.parametrize(("information", "step", "wrong"), FIGURE_7)
def test_switch_record_output_and_filter_agree_with_theory(information, step, wrong):
    up = down = 0.5
    kappa, response, steps = 40.0, 20.0, 2_000_000
    gamma = 2 * kappa**2 / information
    switch, record, output, conditional = observed(up, down, kappa, gamma, response, step, steps)
    theory = filter_accuracy(information, up, down)
    missed = np.sign(conditional) != switch
    square = conditional**2
    variance = gamma * response / 2 + 4 * kappa**2 * 0.25 * response / (response + 1)
    for series, exact, bias in (
        (square, theory.second_moment, 0.005),
        (switch * conditional, theory.second_moment, 0.005),
        (missed, theory.error_probability, 0.005),
        (output**2, variance, 0.0),
        (conditional, 0.0, 0.0),
        (record**2, gamma * step + (kappa * step) ** 2, 0.0),
    ):
        assert abs(series.mean() - exact) < 5 * batch_error(series) + bias * abs(exact)
    by_output = np.sign(output) != switch
    assert abs(by_output.mean() - wrong) < 5 * batch_error(by_output) + 5e-4


def test_a_lopsided_switch_is_followed_as_theory_says():
    step, kappa, information = 5e-4, 1.0, 50.0
    switch, _record, _output, conditional = observed(1.0, 10.0, kappa, 2 / information, 20.0, step, 3_000_000, seed=4)
    theory = filter_accuracy(information, 1.0, 10.0)
    assert theory.mean == pytest.approx(-9 / 11, abs=1e-9)
    for series, exact in (
        (conditional, theory.mean),
        (conditional**2, theory.second_moment),
        (np.sign(conditional) != switch, theory.error_probability),
    ):
        assert abs(series.mean() - exact) < 5 * batch_error(series) + 0.01 * abs(exact)


def test_the_innovation_is_white_and_the_predicted_variance_is_met():
    step, kappa, gamma = 0.1, 1.0, 0.5
    _switch, record, _output, conditional = observed(0.5, 0.5, kappa, gamma, 20.0, step, 500_000, seed=5)
    predicted = math.exp(-step) * conditional[:-1]
    innovation = record[1:] - kappa * step * predicted
    exact = gamma * step + (kappa * step) ** 2 * (1 - np.mean(predicted**2))
    square = innovation**2
    assert abs(square.mean() - exact) < 5 * batch_error(square)
    neighbours = innovation[1:] * innovation[:-1]
    assert abs(neighbours.mean()) < 5 * batch_error(neighbours)


def bin_means(times, start, step, bins):
    """Mean of n = +-1 in each bin, given the times of its jumps."""
    edges = step * np.arange(bins + 1)
    signs = start * (-1.0) ** np.arange(len(times) + 1)
    starts = np.concatenate(([0.0], times))
    gathered = np.concatenate(([0.0], np.cumsum(signs[:-1] * np.diff(starts))))
    index = np.searchsorted(starts, edges, side="right") - 1
    integral = gathered[index] + signs[index] * (edges - starts[index])
    return np.diff(integral) / step, signs[index[1:]]


@pytest.mark.parametrize("step", [0.05, 0.1])
def test_jumps_within_bins_cost_the_halved_prediction_little(step):
    bins, information = 600_000, 10.0
    rng = stream(6)
    means, truth = bin_means(switch_events(rng, 0.5, 0.5, 1, step * bins), 1, step, bins)
    gain = math.sqrt(information / 2)
    record = gain * means * step + math.sqrt(step) * rng.standard_normal(bins)
    probability = np.empty(bins)
    filter_record(record, 2 * gain, 0.0, 0.5, 0.5, step / 2, step / 2, 1.0, probability)
    wrong = np.where(probability > 0.5, 1, -1) != truth
    assert abs(wrong.mean() - 0.13161) < 5 * batch_error(wrong) + 0.004


def test_the_stochastic_equation_needs_a_plus_sign():
    rng, up, down, information, step, steps = np.random.default_rng(7), 0.5, 0.5, 4.0, 0.001, 40_000
    noise = rng.standard_normal(steps) * math.sqrt(step)
    gain = math.sqrt(information / 2)
    correlation = {}
    for sign in (1, -1):
        nc, path, record = 0.0, np.empty(steps), np.empty(steps)
        for k in range(steps):
            record[k] = gain * nc * step + noise[k]
            nc += (up * (1 - nc) - down * (1 + nc)) * step + sign * gain * (1 - nc * nc) * noise[k]
            nc = min(max(nc, -1.0), 1.0)
            path[k] = nc
        probability = np.empty(steps)
        filter_record(record, 2 * gain, 0.0, up, down, step, 0.0, 1.0, probability)
        correlation[sign] = np.corrcoef(path, probability)[0, 1]
    assert correlation[1] > 0.999
    assert correlation[-1] < 0.7
