import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit

from protocols.sampled_feedback import switch_feedback
from protocols.thermodynamics import (
    Ledger,
    Quenches,
    binary_entropy,
    energy,
    energy_differential,
    entropy_differential,
    free_energy,
    landauer_bound,
    quench_and_relax,
    sampled_activation,
    sampled_entropy,
)


def learn_not(start):
    """Return the activations of learning NOT by exact means, +1 and -1 in turn, for 100 epochs."""
    parameters, quenches, activations = np.array(start), Quenches(), []
    for epoch in range(100):
        signals = np.array([(-1.0) ** epoch, 1.0])
        quenches.present(float(parameters @ signals))
        activations.append(float(parameters @ signals))
        mean = np.tanh(activations[-1] / 2)
        parameters = parameters + switch_feedback(mean, -signals[0], signals[:1], beta=1.0, rate=1.0)
        quenches.update(float(parameters @ signals))
        activations.append(float(parameters @ signals))
    return quenches, activations


NAMES = ("work", "heat", "energy_change", "entropy_change", "free_energy_change", "entropy_production")


def test_the_first_activations_of_the_reference_run():
    assert learn_not((0.01, 1.0))[1][:6] == pytest.approx(
        [1.01, 0.618597, 0.99, 1.385037, 0.618597, 0.163536], abs=1e-6
    )


def test_the_ledger_of_learning_not_has_the_reference_values():
    updates, presentations = learn_not((0.01, 1.0))[0].ledgers()
    expected = {
        "all": (317.70236, 319.71428, -2.01192, -0.52386, -1.48806, 319.19042),
        "updates": (-2.76113, 1.22167, -3.98280, -1.04727, -2.93553, 0.17440),
        "presentations": (320.46349, 318.49261, 1.97088, 0.52341, 1.44746, 319.01602),
    }
    got = {"all": updates + presentations, "updates": updates, "presentations": presentations}
    for cause, values in expected.items():
        assert [getattr(got[cause], name) for name in NAMES] == pytest.approx(values, abs=6e-6)


def test_the_ledger_of_the_other_start_has_the_reference_values():
    updates, presentations = learn_not((1.0, 0.01))[0].ledgers()
    total = updates + presentations
    assert (total.work, total.heat, total.entropy_production) == pytest.approx(
        (301.66746, 303.63045, 303.11091), abs=6e-6
    )
    assert updates.entropy_production == pytest.approx(0.28056, abs=6e-6)


def test_the_laws_of_thermodynamics_hold_for_any_quench():
    a, b = np.random.default_rng(0).normal(scale=6, size=(2, 500))
    for before, after in zip(a, b, strict=True):
        ledger = quench_and_relax([before], [after])
        assert ledger.energy_change == pytest.approx(ledger.work - ledger.heat, abs=1e-13)
        assert ledger.entropy_production == pytest.approx(ledger.entropy_change + ledger.heat, abs=1e-12)
        assert ledger.entropy_production == pytest.approx(ledger.work - ledger.free_energy_change, abs=1e-12)
        assert ledger.entropy_production >= 0
        assert free_energy(after) == pytest.approx(energy(after) - binary_entropy(expit(after)), abs=1e-12)


def test_the_ledger_is_the_average_over_trajectories():
    generator, runs, path = np.random.default_rng(1), 200_000, [0.5, -1.2, 2.0, 0.3]
    n = np.where(generator.random(runs) < expit(path[0]), 1.0, -1.0)
    work, heat = np.zeros(runs), np.zeros(runs)
    for before, after in pairwise(path):
        work += -n * (after - before) / 2
        relaxed = np.where(generator.random(runs) < expit(after), 1.0, -1.0)
        heat += after * (relaxed - n) / 2
        n = relaxed
    ledger = quench_and_relax(path[:-1], path[1:])
    assert abs(work.mean() - ledger.work) < 5 * work.std() / math.sqrt(runs)
    assert abs(heat.mean() - ledger.heat) < 5 * heat.std() / math.sqrt(runs)
    weights = np.exp(-work)
    assert abs(weights.mean() - math.exp(-ledger.free_energy_change)) < 5 * weights.std() / math.sqrt(runs)


def test_jarzynski_holds_on_the_replay_of_the_first_steps():
    activations = np.array(learn_not((0.01, 1.0))[1])
    for steps, exact in ((6, 1.1055), (10, 1.2263), (16, 0.9601)):
        change = quench_and_relax(activations[:steps], activations[1 : steps + 1]).free_energy_change
        assert math.exp(-change) == pytest.approx(exact, abs=5e-5)


def test_nothing_costs_nothing():
    assert quench_and_relax([], []) == Ledger()
    quenches = Quenches()
    quenches.present(3.0)
    assert quenches.ledgers() == (Ledger(), Ledger())


def test_extreme_activations_stay_finite():
    ledger = quench_and_relax([1e3, -1e3], [-1e3, 1e3])
    assert ledger.entropy_production == pytest.approx(2000, rel=1e-6)
    assert ledger.entropy_change == pytest.approx(0, abs=1e-9)


def test_the_differentials_have_the_reference_values():
    splitting, a, rate, wanted = 1.3, 0.7, 1e-3, -1.0
    p = expit(a)
    change = rate * wanted * p * (1 - p)
    moved = expit(a + change) - p
    error_change = -wanted * moved
    assert energy_differential(splitting, wanted, error_change) == pytest.approx(-6.3906e-5, abs=5e-10)
    assert entropy_differential(a, wanted, error_change) == pytest.approx(3.4411e-5, abs=5e-10)
    assert binary_entropy(expit(a + change)) - binary_entropy(p) == pytest.approx(3.4405e-5, abs=5e-10)


@pytest.mark.parametrize(
    ("p", "plug_in", "corrected", "true", "deviation"),
    [
        (0.5, 0.69065, 0.69315, 0.69315, 0.0035),
        (0.7, 0.60834, 0.61084, 0.61086, 0.0276),
        (0.9, 0.32257, 0.32507, 0.32508, 0.0467),
        (0.99, 0.05321, 0.05538, 0.05600, 0.033),
    ],
)
def test_the_entropy_of_two_hundred_outcomes_is_nearly_unbiased(p, plug_in, corrected, true, deviation):
    shots = 200
    on = np.arange(shots + 1)
    log_weights = [math.lgamma(shots + 1) - math.lgamma(k + 1) - math.lgamma(shots - k + 1) for k in on]
    weights = np.exp(np.array(log_weights) + on * math.log(p) + (shots - on) * math.log(1 - p))
    entropies = sampled_entropy(on, shots)
    simulated = 5 * deviation / math.sqrt(200_000)
    assert weights @ binary_entropy(on / shots) == pytest.approx(plug_in, abs=simulated)
    assert weights @ entropies == pytest.approx(corrected, abs=simulated)
    assert abs(weights @ entropies - true) < 0.3 * abs(weights @ binary_entropy(on / shots) - true)
    assert binary_entropy(p) == pytest.approx(true, abs=6e-6)
    assert np.sqrt(weights @ (entropies - weights @ entropies) ** 2) == pytest.approx(deviation, rel=0.02)


def test_outcomes_that_were_all_alike_hold_no_entropy():
    assert sampled_entropy([0, 200], [200, 200]).tolist() == [0, 0]


def test_the_activation_of_counts_is_right_within_its_error():
    generator, shots, a = np.random.default_rng(2), 400, 1.5
    values, errors = sampled_activation(generator.binomial(shots, expit(a), 20000), shots)
    assert abs(values.mean() - a) < 5 * values.std() / np.sqrt(20000) + 1e-3
    assert errors.mean() == pytest.approx(values.std(), rel=0.03)
    assert np.isfinite(sampled_activation([0, 400], [400, 400])).all()


def test_erasing_a_record_of_fair_coins_costs_ln_2_each():
    assert landauer_bound(binary_entropy(np.full(100, 0.5)), np.full(100, 200)) == pytest.approx(
        200 * 100 * math.log(2)
    )
    boltzmann = 1.380649e-23
    assert boltzmann * 0.1 * landauer_bound(math.log(2), 1) == pytest.approx(9.57e-25, rel=1e-3)
    assert boltzmann * 300 * landauer_bound(math.log(2), 1) == pytest.approx(2.87e-21, rel=1e-3)
