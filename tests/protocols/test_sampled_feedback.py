import itertools

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from protocols.logic_gates import logic_gate
from protocols.sampled_feedback import (
    Batch,
    SwitchNetwork,
    batch_error,
    bernoulli_shots,
    exact_feedback,
    mean_field_feedback,
    switch_feedback,
)

NOT, XOR = logic_gate("NOT"), logic_gate("XOR")
SHOTS = 200


def learn_not(start, beta, epochs, *, generator=None, seeds=1):
    """Follow eq. (63) from (w, b) with one random datum an epoch, or with means in place of samples, in turn."""
    parameters = np.tile(np.asarray(start, dtype=float), (seeds, 1))
    errors = []
    for epoch in range(epochs):
        x = np.where(generator.random(seeds) < 0.5, 1.0, -1.0) if generator else np.full(seeds, (-1.0) ** epoch)
        signals = x[:, np.newaxis]
        p = expit(beta * (parameters[:, 0] * x + parameters[:, 1]))
        mean = 2 * (generator.binomial(SHOTS, p) / SHOTS if generator else p) - 1
        errors.append(batch_error(mean, -x))
        parameters += switch_feedback(mean, -x, signals, beta=beta, rate=1.0)
    return parameters, np.array(errors)


@pytest.mark.parametrize(
    ("start", "weight", "bias"), [((0.01, 1.0), -4.540830, 0.046192), ((1.0, 0.01), -4.495250, 0.000612)]
)
def test_a_hundred_updates_by_exact_means_have_the_reference_end(start, weight, bias):
    parameters, _ = learn_not(start, 1.0, 100)
    assert parameters[0] == pytest.approx([weight, bias], abs=1e-6)


REFERENCE = [  # start, beta, epochs; mean and standard deviation of w and of b over 2000 seeds
    ((0.01, 1), 1, 100, -4.531, 0.05, 0.046, 0.122),
    ((0.01, 1), 1, 200, -5.258, 0.05, 0.022, 0.088),
    ((0.01, 1), 1, 300, -5.675, 0.049, 0.015, 0.078),
    ((0.01, 1), 0.1, 100, -2.459, 0.005, 0.984, 0.252),
    ((0.01, 1), 0.1, 200, -4.857, 0.01, 0.937, 0.331),
    ((0.01, 1), 0.1, 300, -7.129, 0.016, 0.873, 0.377),
    ((0.01, 1), 0.05, 100, -1.233, 0.001, 0.999, 0.128),
    ((0.01, 1), 0.05, 200, -2.473, 0.002, 0.993, 0.175),
    ((0.01, 1), 0.05, 300, -3.708, 0.003, 0.986, 0.212),
    ((1, 0.01), 1, 100, -4.485, 0.05, 0, 0.126),
    ((1, 0.01), 1, 200, -5.235, 0.05, 0, 0.089),
    ((1, 0.01), 1, 300, -5.66, 0.049, 0, 0.079),
    ((1, 0.01), 0.1, 100, -1.484, 0.002, 0.009, 0.255),
    ((1, 0.01), 0.1, 200, -3.923, 0.006, 0.003, 0.338),
    ((1, 0.01), 0.1, 300, -6.254, 0.011, -0.002, 0.388),
    ((1, 0.01), 0.05, 100, -0.244, 0.001, 0.009, 0.128),
    ((1, 0.01), 0.05, 200, -1.487, 0.001, 0.007, 0.175),
    ((1, 0.01), 0.05, 300, -2.727, 0.002, 0.004, 0.213),
]
ROUNDING = 6e-4


@pytest.mark.parametrize(("start", "beta", "epochs", "weight", "weight_sd", "bias", "bias_sd"), REFERENCE)
def test_learning_not_reaches_the_reference_weights_on_average(start, beta, epochs, weight, weight_sd, bias, bias_sd):
    seeds = 1000
    parameters, _ = learn_not(start, beta, epochs, generator=np.random.default_rng(epochs), seeds=seeds)
    spread = parameters.std(axis=0, ddof=1)
    error = spread * np.sqrt(1 / seeds + 1 / 2000)
    assert np.all(np.abs(parameters.mean(axis=0) - (weight, bias)) < 5 * error + ROUNDING)
    assert spread == pytest.approx((weight_sd, bias_sd), rel=5 * np.sqrt(1 / 2000 + 1 / 4000), abs=ROUNDING)


@pytest.mark.parametrize(("beta", "error"), [(1.0, 0.0116), (0.1, 0.4425), (0.05, 0.4854)])
def test_the_error_of_the_last_batches_falls_with_beta(beta, error):
    _, errors = learn_not((0.01, 1.0), beta, 100, generator=np.random.default_rng(5), seeds=1000)
    by_seed = errors[90:].mean(axis=0)
    assert abs(by_seed.mean() - error) < 5 * by_seed.std() / np.sqrt(1000) + 5e-5


def test_without_a_bias_small_steps_follow_the_closed_form():
    beta, rate, epochs = 1.3, 0.01, 2000
    weight = 0.0
    for _ in range(epochs):
        weight += switch_feedback(np.tanh(beta * weight / 2), -1.0, [1.0], beta=beta, rate=rate)[0]
    u = brentq(lambda u: u / 2 + np.sinh(2 * u) / 4 - epochs * rate * beta**2 / 8, 0, 10)
    assert beta * abs(weight) / 2 == pytest.approx(u, rel=2e-3)


def test_the_error_falls_as_the_corrected_first_order_says():
    w, b, beta, rate = 0.5, 0.2, 1.0, 1e-3
    mean = np.tanh(beta * (w + b) / 2)
    dw, db = switch_feedback(mean, -1.0, [1.0], beta=beta, rate=rate)
    change = batch_error(np.tanh(beta * (w + dw + b + db) / 2), -1.0) - batch_error(mean, -1.0)
    assert change == pytest.approx(-9.832e-5, abs=5e-9)
    assert -rate * beta**2 * (1 - mean**2) ** 2 / 16 * 2 == pytest.approx(-9.831e-5, abs=5e-9)


def test_the_shots_of_a_wanted_error_attain_the_bound():
    assert bernoulli_shots(0.05) == 100
    assert bernoulli_shots(0.05, 0.1) == 36
    assert bernoulli_shots(0.0499) == 101
    p, shots = 0.3, bernoulli_shots(0.02, 0.3)
    fractions = np.random.default_rng(0).binomial(shots, p, 20000) / shots
    assert fractions.std() == pytest.approx(0.02, rel=5 / np.sqrt(2 * 20000) + 1e-3)


def test_a_machine_without_hidden_switches_is_a_single_switch():
    network = SwitchNetwork.of([0.5, -0.3, 0.2], 2, 0)
    assert network.output_probability([1, -1], 2.0) == pytest.approx(expit(2.0 * (0.5 + 0.3 + 0.2)))
    batch = Batch(np.array([[1.0, -1.0]]), np.array([SHOTS]), np.array([0.4]), np.array([0.03]))
    expected = switch_feedback(0.4, 1.0, [1.0, -1.0], beta=2.0, rate=0.7)
    assert mean_field_feedback(batch, network, [1, -1], 1.0, beta=2.0, rate=0.7) == pytest.approx(expected)
    unbiased = exact_feedback(batch, network, [1, -1], 1.0, beta=2.0, rate=0.7)
    assert unbiased == pytest.approx(expected * SHOTS / (SHOTS - 1))
    assert batch.probability_standard_error == pytest.approx(0.03)


START = SwitchNetwork.of(XOR.start, 2, 2)


def large_batch(network, inputs, beta, shots=1e12):
    """Return the batch that infinitely many shots would give."""
    patterns, probability = network.patterns(inputs, beta)
    means = np.tanh(beta * network.output_activations(patterns) / 2)
    return Batch(patterns, probability * shots, means, np.zeros(len(patterns)))


def test_the_start_of_xor_has_the_reference_errors():
    errors = [
        batch_error(2 * START.output_probability(row, 1.0) - 1, n)
        for row, n in zip(XOR.inputs, XOR.wanted, strict=True)
    ]
    assert errors == pytest.approx([0.5012, 0.4427, 0.7808, 0.1195], abs=5e-5)
    assert START.mean_error(XOR.inputs, XOR.wanted, 1.0) == pytest.approx(0.4610, abs=5e-5)


@pytest.mark.parametrize(
    ("beta", "parameter", "exact", "mean_field"),
    [(0.3, 0, -0.01240, -0.01583), (1.0, 0, -0.00283, -0.01209), (1.0, 4, -0.0923, -0.1650)],
)
def test_the_rules_of_xor_have_the_reference_values(beta, parameter, exact, mean_field):
    batch = large_batch(START, [1, -1], beta)
    assert exact_feedback(batch, START, [1, -1], 1.0, beta=beta, rate=1.0)[parameter] == pytest.approx(exact, rel=2e-3)
    change = mean_field_feedback(batch, START, [1, -1], 1.0, beta=beta, rate=1.0)
    assert change[parameter] == pytest.approx(mean_field, rel=2e-3)


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_the_exact_rule_is_the_gradient_of_the_output_probability(beta):
    generator = np.random.default_rng(1)
    network = SwitchNetwork.of(generator.normal(size=9), 2, 2)
    for inputs in XOR.inputs:
        differences = []
        for step in 1e-5 * np.eye(9):
            up, down = (SwitchNetwork.of(network.parameters + sign * step, 2, 2) for sign in (1, -1))
            differences.append((up.output_probability(inputs, beta) - down.output_probability(inputs, beta)) / 2e-5)
        assert network.gradient(inputs, beta) == pytest.approx(differences, abs=1e-9)
        batch = large_batch(network, inputs, beta)
        change = exact_feedback(batch, network, inputs, -1.0, beta=beta, rate=0.5)
        assert change == pytest.approx(-0.5 * network.gradient(inputs, beta), abs=1e-9)


def test_the_mean_field_rule_is_the_gradient_where_hidden_switches_do_not_fluctuate():
    network = SwitchNetwork.of([30, -60, 25, 31, 0.4, -0.7, 0.9, -0.8, 0.3], 2, 2)
    batch = large_batch(network, [1, 1], 1.0)
    change = mean_field_feedback(batch, network, [1, 1], 1.0, beta=1.0, rate=1.0)
    assert change == pytest.approx(network.gradient([1, 1], 1.0), abs=1e-6)


def sampled_batch(network, inputs, beta, shots, generator):
    """Sample the hidden switches, and the output at each pattern."""
    hidden = np.where(generator.random((shots, 2)) < expit(beta * network.hidden_activations(inputs)), 1.0, -1.0)
    patterns, counts = np.unique(hidden, axis=0, return_counts=True)
    fractions = generator.binomial(counts, expit(beta * network.output_activations(patterns))) / counts
    smoothed = (fractions * counts + 1) / (counts + 2)
    return Batch(patterns, counts, 2 * fractions - 1, np.sqrt(smoothed * (1 - smoothed) / counts))


def test_batches_give_the_gradient_and_their_error_on_average():
    generator, repeats, shots, beta = np.random.default_rng(2), 2000, 20, 0.5
    batches = [sampled_batch(START, [1, -1], beta, shots, generator) for _ in range(repeats)]
    changes = np.array([exact_feedback(batch, START, [1, -1], 1.0, beta=beta, rate=1.0) for batch in batches])
    gradient = START.gradient([1, -1], beta)
    hidden = [0, 1, 2, 3, 6, 7]
    assert np.all(np.abs(changes.mean(axis=0) - gradient)[hidden] < 5 * changes.std(axis=0)[hidden] / np.sqrt(repeats))
    probabilities = np.array([batch.probability for batch in batches])
    assert abs(probabilities.mean() - START.output_probability([1, -1], beta)) < 5 * probabilities.std() / np.sqrt(
        repeats
    )
    predicted = np.sqrt(np.mean([batch.probability_standard_error**2 for batch in batches]))
    assert predicted == pytest.approx(probabilities.std(), rel=0.15)


def learn_xor(rule, beta, epochs, seed, start=XOR.start):
    """Yield the network after each epoch."""
    generator, parameters = np.random.default_rng(seed), np.array(start)
    for _ in range(epochs):
        network = SwitchNetwork.of(parameters, 2, 2)
        row = generator.integers(4)
        batch = sampled_batch(network, XOR.inputs[row], beta, SHOTS, generator)
        parameters = parameters + rule(batch, network, XOR.inputs[row], XOR.wanted[row], beta=beta, rate=1.0)
        yield SwitchNetwork.of(parameters, 2, 2)


def xor_error(network, beta):
    return network.mean_error(XOR.inputs, XOR.wanted, beta)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "median", "reference"),
    [
        (mean_field_feedback, 59, {100: (0.066, 0.003), 500: (0.019, 0.0005)}),
        (exact_feedback, 61, {100: (0.091, 0.015), 500: (0.015, 0.0008)}),
    ],
)
def test_both_rules_learn_xor_from_the_special_start(rule, median, reference):
    seeds = 12
    runs = [list(learn_xor(rule, 1.0, 500, seed)) for seed in range(seeds)]
    reached = np.array([next(epoch for epoch, net in enumerate(run, 1) if xor_error(net, 1.0) < 0.1) for run in runs])
    assert abs(np.median(reached) - median) < 5 * 1.25 * reached.std() * np.sqrt(1 / seeds + 1 / 24)
    for epochs, (mean, error) in reference.items():
        errors = np.array([xor_error(run[epochs - 1], 1.0) for run in runs])
        assert abs(errors.mean() - mean) < 5 * np.hypot(errors.std(ddof=1) / np.sqrt(seeds), error)
    for run in runs:
        probabilities = np.array([run[-1].output_probability(row, 1.0) for row in XOR.inputs])
        assert np.all(batch_error(2 * probabilities - 1, XOR.wanted) < 0.2)


@pytest.mark.slow
@pytest.mark.parametrize(("beta", "error"), [(0.1, 0.45), (5.0, 0.4)])
def test_xor_is_not_learnt_at_a_beta_far_from_one(beta, error):
    assert all(xor_error(list(learn_xor(mean_field_feedback, beta, 150, seed))[-1], beta) > error for seed in range(4))


@pytest.mark.slow
def test_xor_is_not_learnt_from_the_transposed_start():
    start = SwitchNetwork(START.hidden.T, START.hidden_bias, START.output, START.output_bias).parameters
    for rule in (mean_field_feedback, exact_feedback):
        assert all(xor_error(list(learn_xor(rule, 1.0, 400, seed, start))[-1], 1.0) > 0.2 for seed in range(2))


def test_parameters_keep_their_order():
    parameters = np.arange(9.0)
    network = SwitchNetwork.of(parameters, 2, 2)
    assert network.weights.tolist() == [0, 1, 2, 3, 4, 5]
    assert network.bias.tolist() == [6, 7, 8]
    activations = [float(value) for value in network.hidden_activations([1, 10])]
    assert activations == [0 + 20 + 6, 1 + 30 + 7]
    assert network.output_activations([[1, 1], [1, -1]]).tolist() == [4 + 5 + 8, 4 - 5 + 8]


def test_pattern_probabilities_add_up_to_one():
    patterns, probability = START.patterns([1, 1], 0.7)
    assert {tuple(row) for row in patterns} == set(itertools.product((-1.0, 1.0), repeat=2))
    assert probability.sum() == pytest.approx(1.0)
