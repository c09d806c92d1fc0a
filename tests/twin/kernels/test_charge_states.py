"""Charge states of two dots against brute force over many states and SciPy's null space."""

import itertools
import math

import numpy as np
import pytest
from scipy.linalg import null_space

from twin.kernels import charge_states
from twin.kernels.charge_states import Dots, charge_chain, ground_states, stationary_law, thermal_charges

KT = 0.05e-3
GATES = 3


def dots(**changes):
    """Two dots under three gates, of which the last also moves the barriers."""
    default = Dots(
        charging=np.array([1.0e-3, 1.3e-3]),
        mutual=0.3e-3,
        spacing=np.zeros(2),
        degeneracy=np.ones(2, np.int64),
        offsets=np.array([0.1e-3, -0.2e-3]),
        gate_arms=np.array([[0.1, 0.02, 0.01], [0.03, 0.09, 0.02]]),
        source_arms=np.array([0.3, 0.05]),
        drain_arms=np.array([0.25, 0.3]),
        temperature=KT,
        rates=np.array([1e6, 3e6, 2e6, 0.0]),
        slopes=np.array([[0, 0, 5.0], [0, 0, 2.0], [0, 0, 0], [0, 0, 0]]),
        closures=np.array([0.3, -0.2, 0.5, 0.0]),
    )
    return default._replace(**changes)


SHELLS = {"spacing": np.array([0.4e-3, 0.2e-3]), "degeneracy": np.array([2, 2])}
ORBITALS = {"spacing": np.array([0.4e-3, 0.2e-3])}
TUNNELLING = {"rates": np.array([1e6, 3e6, 2e6, 5e5])}
HOT = {"temperature": 0.25e-3}
KINDS = [{}, SHELLS, ORBITALS, TUNNELLING, HOT, HOT | SHELLS | TUNNELLING]


def voltages(count, seed=0):
    return np.random.default_rng(seed).uniform(-0.05, 0.05, (count, GATES))


def added_energy(sample, dot, charge):
    """Energy of `charge` electrons on one dot, added one by one."""
    total = 0.0
    for n in range(1, abs(charge) + 1):
        electron = n if charge > 0 else 1 - n
        cost = (electron - 0.5) * sample.charging[dot]
        cost += sample.spacing[dot] * math.floor((electron - 1) / sample.degeneracy[dot])
        total += cost if charge > 0 else -cost
    return total


def all_states(sample, reach=20):
    """Charges, energies without gates and multiplicities of every state within reach of the neutral one."""
    numbers = np.arange(-reach, reach + 1)
    charges = np.array(list(itertools.product(numbers, repeat=2)))
    alone = np.array([[added_energy(sample, dot, n) for n in numbers] for dot in range(2)])
    energy = alone[0][charges[:, 0] + reach] + alone[1][charges[:, 1] + reach] + sample.mutual * charges.prod(axis=1)
    odd = np.where((sample.degeneracy == 2) & (charges % 2 == 1), 2.0, 1.0).prod(axis=1)
    return charges, energy, odd


@pytest.mark.parametrize("kind", KINDS)
def test_thermal_charges_are_boltzmann_averages_over_all_states(kind):
    sample, gates = dots(**kind), voltages(40)
    charges = np.empty((40, 2))
    thermal_charges(0, 40, sample, gates, charges)
    states, neutral, ways = all_states(sample)
    for k in range(40):
        energy = neutral - states @ (sample.offsets + sample.gate_arms @ gates[k])
        weight = ways * np.exp(-(energy - energy.min()) / sample.temperature)
        np.testing.assert_allclose(charges[k], weight @ states / weight.sum(), atol=1e-9)


@pytest.mark.parametrize("kind", [{}, SHELLS, ORBITALS, {"mutual": 0.0}, {"mutual": 0.8e-3}])
def test_the_ground_state_is_the_state_of_least_energy_of_all(kind):
    sample, gates = dots(**kind), voltages(300, seed=1)
    charges = np.empty((300, 2), np.int64)
    ground_states(0, 300, sample, gates, charges)
    states, neutral, _ways = all_states(sample)
    for k in range(300):
        energy = neutral - states @ (sample.offsets + sample.gate_arms @ gates[k])
        np.testing.assert_array_equal(charges[k], states[np.argmin(energy)])


def chain_of(sample, gates, source, drain):
    charges, rates = charge_chain(sample, gates, source, drain)
    law = np.empty(len(charges))
    stationary_law(rates.copy(), len(charges), len(charges), law)
    return charges, rates, law


@pytest.mark.parametrize("kind", KINDS)
def test_the_stationary_law_is_the_null_space_of_the_master_equation(kind):
    sample = dots(**kind)
    count = 1 if "temperature" in kind else 10
    for gates, source in zip(voltages(count, seed=2), np.linspace(-4e-3, 4e-3, count), strict=True):
        _charges, rates, law = chain_of(sample, gates, source, 0.5e-3)
        generator = rates - np.diag(rates.sum(axis=1))
        exact = null_space(generator.T, rcond=1e-12)[:, 0]
        np.testing.assert_allclose(law, exact / exact.sum(), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_without_bias_every_transition_is_balanced_by_its_reverse(kind):
    sample = dots(**kind)
    for gates in voltages(4, seed=3):
        _charges, rates, law = chain_of(sample, gates, 0.0, 0.0)
        there = law[:, None] * rates
        np.testing.assert_allclose(there, there.T, rtol=1e-9, atol=1e-200)


def test_improbable_states_have_full_relative_accuracy():
    sample = dots(mutual=0.0, temperature=1e-5)
    gates = np.array([0.008, 0.0, 0.0])
    charges, _rates, law = chain_of(sample, gates, 0.0, 0.0)
    phi = sample.offsets + sample.gate_arms @ gates
    one, other = (int(np.flatnonzero((charges == state).all(axis=1))[0]) for state in ((0, 0), (1, 0)))
    exponent = (0.5 * sample.charging[0] - phi[0]) / 1e-5
    assert law[other] / law[one] == pytest.approx(math.exp(-exponent), rel=1e-9)


@pytest.mark.parametrize("kind", [{}, SHELLS, HOT])
def test_a_single_dot_has_the_product_form_of_a_birth_death_chain(kind):
    sample = dots(**kind | {"mutual": 0.0})
    gates = np.array([0.013, 0.0, 0.02])
    charges, rates, law = chain_of(sample, gates, 2.7e-3, -0.4e-3)
    _values, first = np.unique(charges[:, 0], return_index=True)
    up = np.array([rates[i, j] for i, j in itertools.pairwise(first)])
    down = np.array([rates[j, i] for i, j in itertools.pairwise(first)])
    logs = np.concatenate(([0.0], np.cumsum(np.log(up) - np.log(down))))
    exact = np.exp(logs - logs.max())
    marginal = np.array([law[charges[:, 0] == n].sum() for n in charges[first, 0]])
    np.testing.assert_allclose(marginal, exact / exact.sum(), rtol=1e-10)


def test_rates_are_fermi_functions_of_the_addition_energy_times_gated_junctions():
    sample, gates, source, drain = dots(), np.array([0.004, 0.003, 0.1]), 0.9e-3, -0.2e-3
    charges, rates, _law = chain_of(sample, gates, source, drain)
    phi = sample.offsets + sample.gate_arms @ gates + sample.source_arms * source + sample.drain_arms * drain
    junction = sample.rates[:3] / (1 + np.exp(-2 * (sample.slopes[:3] @ gates + sample.closures[:3])))
    checked = 0
    for i, j in itertools.product(range(len(charges)), repeat=2):
        (a, b), step = charges[i], tuple(charges[j] - charges[i])
        if step == (1, 0):
            cost = (a + 0.5) * sample.charging[0] + sample.mutual * b - phi[0]
            exact = sum(g / (1 + math.exp((cost + v) / KT)) for g, v in zip(junction, (source, drain), strict=False))
        elif step == (0, -1):
            cost = (b - 0.5) * sample.charging[1] + sample.mutual * a - phi[1]
            exact = junction[2] / (1 + math.exp(-(cost + drain) / KT))
        elif step in ((-1, 0), (0, 1)):
            continue
        else:
            assert rates[i, j] == 0
            continue
        assert rates[i, j] == pytest.approx(exact, rel=1e-9)
        checked += 1
    assert checked >= 4


@pytest.mark.parametrize("kind", [{}, TUNNELLING | SHELLS])
def test_states_left_out_have_no_weight(kind):
    sample = dots(**kind)
    for gates, source in zip(voltages(6, seed=4), np.linspace(-3e-3, 3e-3, 6), strict=True):
        charges, _rates, law = chain_of(sample, gates, source, 0.0)
        first, last = charges.min(axis=0) - 2, charges.max(axis=0) + 2
        window = tuple(int(x) for pair in zip(first, last, strict=True) for x in pair)
        size = int(np.prod(last - first + 1))
        rates, full = np.zeros((size, size)), np.empty(size)
        phi = sample.offsets + sample.gate_arms @ gates + sample.source_arms * source
        z = sample.slopes @ gates + sample.closures
        open_rates = sample.rates / (1 + np.exp(-2 * z))
        band = charge_states.fill_rates(sample, open_rates, phi, source, 0.0, window, rates)
        stationary_law(rates, size, band, full)
        full = full.reshape(last - first + 1)
        inner = law.reshape(charges.max(axis=0) - charges.min(axis=0) + 1)
        np.testing.assert_allclose(full[2:-2, 2:-2], inner, atol=1e-12)
        assert full.sum() - full[2:-2, 2:-2].sum() < 1e-12
