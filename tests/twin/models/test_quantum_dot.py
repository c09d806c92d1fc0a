"""The gated double dot against closed forms of Coulomb blockade, pinch-off, sensing and telegraph noise."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq, curve_fit

from twin import compute
from twin.models import quantum_dot
from twin.models.gated_device import ELEMENTARY_CHARGE, GATES
from twin.models.quantum_dot import (
    CurrentAmplifier,
    DoubleDot,
    GateOxide,
    Junctions,
    Parameters,
    PointContact,
    Sample,
)

KT = 0.1 * 1.380649e-23 / ELEMENTARY_CHARGE
PLUNGER = GATES.index("plunger")
OPEN_JUNCTIONS = Junctions(maximum_rates=(1e9, 1e9, 1e9, 0), slopes=((0,) * 6,) * 4, offsets=(40,) * 4)


def single_dot(**dots):
    """Dot 1 alone under its plunger, with junctions of 1 GHz whatever the gates."""
    arms = ((0, 0.1, 0, 0, 0, 0), (0, 0, 0, 0, 0.09, 0))
    return Sample(Parameters(dots=DoubleDot(gate_lever_arms=arms, mutual_energy=0.0, **dots), junctions=OPEN_JUNCTIONS))


def at_plunger(volts):
    volts = np.atleast_1d(np.asarray(volts, float))
    gates = np.zeros((len(volts), len(GATES)))
    gates[:, PLUNGER] = volts
    return gates


def symmetric(sample, plunger, bias):
    """Current with half the bias on the source and half, negative, on the drain."""
    return sample.current(at_plunger(plunger), np.asarray(bias) / 2, -np.asarray(bias) / 2)


@pytest.fixture(scope="module")
def dot():
    return single_dot()


def test_the_first_electrons_are_degenerate_at_10_30_and_50_mv(dot):
    charges = dot.occupation(at_plunger([0.01, 0.03, 0.05]), 0.0)
    np.testing.assert_allclose(charges[:, 0], [0.5, 1.5, 2.5], atol=1e-9)


def test_the_conductance_peak_has_its_height_shape_and_width(dot):
    bias = 1e-10
    peak = symmetric(dot, 0.01, bias)[0] / bias
    assert peak == pytest.approx(2.32406e-6, rel=1e-5)
    detuned = symmetric(dot, 0.01 + np.arange(1, 5) * KT / 0.1, bias) / bias / peak
    np.testing.assert_allclose(detuned, [0.78645, 0.41997, 0.18071, 0.07065], atol=1e-5)
    half = brentq(lambda volts: symmetric(dot, volts, bias)[0] / bias / peak - 0.5, 0.01, 0.011)
    assert 2 * (half - 0.01) == pytest.approx(0.30380e-3, abs=2e-8)


@pytest.mark.parametrize(
    ("plunger", "bias", "current"),
    [
        (0.01, 0.5e-3, 80.109e-12), (0.01, -1e-3, -80.109e-12), (0.02, 1.5e-3, 1.6e-21), (0.02, 1.9e-3, 34.3e-12),
        (0.02, 2.0e-3, 79.93e-12), (0.02, 2.1e-3, 89.7e-12), (0.02, 2.5e-3, 106.8e-12),
    ],
)  # fmt: skip
def test_currents_through_and_beside_the_diamond_are_as_published(dot, plunger, bias, current):
    assert symmetric(dot, plunger, bias)[0] == pytest.approx(current, rel=0.03 if abs(current) < 1e-20 else 1e-3)


def test_the_window_of_conduction_at_1_mv_has_its_edges(dot):
    def beyond_half(volts):
        return symmetric(dot, volts, 1e-3)[0] - 80.109e-12 / 2

    assert brentq(beyond_half, 0.003, 0.009) == pytest.approx(4.75e-3, abs=0.02e-3)
    assert brentq(beyond_half, 0.011, 0.018) == pytest.approx(14.75e-3, abs=0.02e-3)


def test_diamonds_of_a_grounded_drain_have_the_slopes_of_the_lever_arms(dot):
    def edge(bias, low, high):
        level = abs(dot.current(at_plunger(0.01), bias)[0]) / 2
        return brentq(lambda volts: abs(dot.current(at_plunger(volts), bias)[0]) - level, low, high)

    small, large = 0.3e-3, 0.6e-3
    for low, high, slope in ((0.0, 0.0095, -0.1 / 0.35), (0.0105, 0.02, 0.1 / (1 - 0.35))):
        found = (large - small) / (edge(large, low, high) - edge(small, low, high))
        assert found == pytest.approx(slope, rel=2e-3)


def test_at_zero_bias_a_dot_is_exactly_the_sigmoid_switch_and_carries_no_current(dot):
    volts = 0.01 + np.linspace(-12, 12, 49) * KT / 0.1
    np.testing.assert_allclose(
        dot.occupation(at_plunger(volts), 0.0)[:, 0], 1 / (1 + np.exp(-0.1 * (volts - 0.01) / KT)), rtol=1e-9
    )
    assert np.abs(dot.current(at_plunger(volts), 0.0)).max() < 1e-24
    chain = dot.chain(at_plunger(0.0101)[0], 0.0)
    up = chain.rates[np.ix_(chain.charges[:, 0] == 0, chain.charges[:, 0] == 1)].max()
    down = chain.rates[np.ix_(chain.charges[:, 0] == 1, chain.charges[:, 0] == 0)].max()
    assert up + down == pytest.approx(2e9, rel=1e-12)
    assert up / down == pytest.approx(math.exp(0.1 * 1e-4 / KT), rel=1e-9)


def test_spin_moves_the_degeneracy_by_kt_ln_2_towards_the_odd_charge():
    spinful = single_dot(spin_degeneracies=(2, 1))
    charges = spinful.occupation(at_plunger([0.01 - KT * math.log(2) / 0.1, 0.03 + KT * math.log(2) / 0.1]), 0.0)
    np.testing.assert_allclose(charges[:, 0], [0.5, 1.5], atol=1e-9)


@pytest.mark.parametrize("bias", [0.0, 1e-4, -3e-3, 8e-3])
def test_the_two_routes_to_the_charge_agree_and_charge_is_conserved(bias):
    sample = Sample()
    gates = np.random.default_rng(1).uniform(-0.1, 0.1, (30, 6)) + np.array([0.8, 0, 0.9, 0.7, 0, 0.25])
    charges = sample.occupation(gates, bias)
    dots, junctions = sample.parameters.dots, sample.parameters.junctions
    for k, volts in enumerate(gates):
        chain = sample.chain(volts, bias)
        np.testing.assert_allclose(charges[k], chain.law @ chain.charges, atol=1e-9)
        phi = np.array(dots.gate_lever_arms) @ volts + np.array(dots.source_lever_arms) * bias
        z = np.array(junctions.slopes) @ volts + junctions.offsets
        opened = junctions.maximum_rates / (1 + np.exp(-2 * z))
        from_lead = {"source": 0.0, "drain": 0.0}
        for i, (a, b) in enumerate(chain.charges):
            there = np.flatnonzero((chain.charges == (a + 1, b)).all(axis=1))
            for j in there:
                cost = (a + 0.5) * dots.charging_energies[0] + dots.mutual_energy * b - phi[0]
                for lead, volt, rate in (("source", bias, opened[0]), ("drain", 0.0, opened[1])):
                    inside = 1 / (1 + math.exp(min((cost + volt) / KT, 700)))
                    outside = 1 / (1 + math.exp(min(-(cost + volt) / KT, 700)))
                    from_lead[lead] += rate * (chain.law[i] * inside - chain.law[j] * outside)
        flow = -sample.current(volts[None], bias)[0] / ELEMENTARY_CHARGE
        assert from_lead["source"] == pytest.approx(flow, rel=1e-6, abs=1e-3)
        assert from_lead["drain"] == pytest.approx(-flow, rel=1e-6, abs=1e-3)


def test_an_interdot_junction_carries_current_from_source_through_both_dots():
    closed = Junctions(maximum_rates=(1e9, 1e9, 1e9, 1e8), slopes=((0,) * 6,) * 4, offsets=(40, -40, 40, 40))
    dots = DoubleDot(gate_lever_arms=((0, 0.1, 0, 0, 0, 0), (0, 0, 0, 0, 0.09, 0)), mutual_energy=0.0)
    gates = at_plunger(0.0105)
    gates[0, GATES.index("plunger_2")] = 1.11e-3 / 0.09
    through = Sample(Parameters(dots=dots, junctions=closed)).current(gates, -1e-3)[0]
    blocked = replace(closed, maximum_rates=(1e9, 1e9, 1e9, 0.0))
    assert through < -1e-13
    assert abs(Sample(Parameters(dots=dots, junctions=blocked)).current(gates, -1e-3)[0]) < 1e-15


def test_pinch_off_is_the_shifted_hyperbolic_tangent():
    junctions = Junctions(maximum_rates=(1e9, 1e9, 1e9, 0), slopes=((10, 0, 0, 0, 0, 0),) + ((0,) * 6,) * 3,
                          offsets=(-5, 40, 40, 40))  # fmt: skip
    arms = ((0, 0.1, 0, 0, 0, 0), (0, 0, 0, 0, 0.09, 0))
    sample = Sample(Parameters(dots=DoubleDot(gate_lever_arms=arms, mutual_energy=0.0), junctions=junctions))
    barrier = np.linspace(0, 1, 101)
    gates = at_plunger(np.full(101, 0.01))
    gates[:, 0] = barrier
    share = sample.current(gates, 1e-3, -1e-3) / (ELEMENTARY_CHARGE * 1e9)
    swing = np.tanh(10 * barrier - 5)
    np.testing.assert_allclose(share, (1 + swing) / (3 + swing), rtol=1e-6)
    (a, b, c), _ = curve_fit(lambda x, a, b, c: a * (1 + np.tanh(b * x + c)), barrier, share, (0.2, 8, -4))
    assert (a, b, c) == pytest.approx((0.25, 10, -4.65343), abs=1e-5)


@pytest.mark.parametrize(("z", "printed", "full"), [(-1, 0.10651, 0.11920), (0, 0.33333, 0.5), (1, 0.46831, 0.88080)])
def test_a_junction_opens_over_its_full_swing_and_limits_the_current_as_printed(z, printed, full):
    arms = ((0, 0.1, 0, 0, 0, 0), (0, 0, 0, 0, 0.09, 0))
    junctions = replace(OPEN_JUNCTIONS, offsets=(z, 40, 40, 40))
    sample = Sample(Parameters(dots=DoubleDot(gate_lever_arms=arms, mutual_energy=0.0), junctions=junctions))
    assert sample.current(at_plunger(0.01), 1e-3, -1e-3)[0] / (ELEMENTARY_CHARGE * 1e9) == pytest.approx(
        printed, abs=1e-5
    )
    chain = sample.chain(at_plunger(0.01)[0], 0.0)
    assert chain.rates.max() == pytest.approx((full + 1) * 0.5e9, rel=1e-4)


def test_at_zero_volts_everything_is_closed_and_safe():
    sample, zero = Sample(), np.zeros((1, 6))
    assert abs(sample.current(zero, 5e-3)[0]) < 1e-17
    assert sample.sensor_current(zero, 0.0)[0] < 1e-18
    assert (sample.leakage(zero) == 0).all()


def test_gates_leak_beyond_their_breakdown_only_in_either_direction():
    sample = Sample(Parameters(gate_oxide=GateOxide((1.0, 2.0, 1.0, 1.0, 1.0, 1.0), 1e-6)))
    leakage = sample.leakage([[1.5, 1.5, -1.25, 1.0, 0.0, -0.5]])
    np.testing.assert_allclose(leakage, [[0.5e-6, 0, -0.25e-6, 0, 0, 0]], atol=1e-18)


def steepest(sample):
    """Gates at which the sensor, with dot 1 degenerate, is half open."""
    gates = at_plunger(0.005)[0]
    gates[[0, 2, 3]] = 0.1
    chain = sample.chain(gates, 0.0)
    contact = sample.parameters.point_contact
    shift = np.dot(contact.gate_weights[:5], gates[:5]) + chain.law @ chain.charges @ contact.electron_shifts
    gates[5] = contact.opening_voltage - shift
    return gates


def test_an_electron_closes_the_sensor_by_hundreds_of_picoampere():
    sample = Sample()
    chain = sample.chain(steepest(sample), 0.0)
    current = {tuple(charge): value for charge, value in zip(chain.charges, chain.currents, strict=True)}
    assert 300e-12 < current[0, 0] - current[1, 0] < 500e-12
    assert 100e-12 < current[0, 0] - current[0, 1] < 300e-12
    contact = sample.parameters.point_contact
    assert contact.open_current == pytest.approx(7.748091729e-5 * contact.bias, rel=1e-9)
    wide_open = np.array([[0.0, 0, 0, 0, 0, 2.0]])
    assert sample.sensor_current(wide_open, 0.0)[0] == pytest.approx(contact.open_current, rel=1e-9)


QUIET = CurrentAmplifier(0.0, 0.0)


def slow_switch(rate=1000.0, **others):
    """A degenerate dot with rates of this size under a half open sensor that leaves it alone, and its gates."""
    arms = ((0, 0.1, 0, 0, 0, 0), (0, 0, 0, 0, 0.09, 0))
    junctions = Junctions((rate / 2, rate / 2, 1.0, 0), ((0,) * 6,) * 4, (40,) * 4)
    sample = Sample(Parameters(dots=DoubleDot(gate_lever_arms=arms, mutual_energy=0.0), junctions=junctions, **others))
    gates = at_plunger(0.01 + 0.4 * KT / 0.1)[0]
    gates[5] = 0.3
    return sample, gates


def batch_error(series, batches=100):
    """Standard error of the mean of a correlated series."""
    return np.std([part.mean() for part in np.array_split(series, batches)], ddof=1) / math.sqrt(batches)


@pytest.mark.parametrize("jumps", [32.0, 0.0])
@pytest.mark.parametrize(("interval", "bandwidth"), [(2e-4, 200.0), (3e-3, 4e4)])
def test_a_trace_is_the_filtered_telegraph_signal_whichever_way_it_is_drawn(interval, bandwidth, jumps, monkeypatch):
    monkeypatch.setattr(quantum_dot, "MANY_JUMPS", jumps)
    sample, gates = slow_switch(sensor_amplifier=QUIET)
    chain = sample.chain(gates, 0.0)
    empty, occupied = (chain.currents[(chain.charges == state).all(axis=1)][0] for state in ((0, 0), (1, 0)))
    p = 1 / (1 + math.exp(-0.4))
    trace = sample.sensor_trace(gates, 0.0, interval, 200_000, bandwidth, (1, 2))
    r, s = 2 * math.pi * bandwidth, 1000.0
    mean = empty + p * (occupied - empty)
    assert sample.sensor_current(gates[None], 0.0)[0] == pytest.approx(mean, rel=1e-9)
    assert abs(trace.mean() - mean) < 5 * batch_error(trace)
    power = p * (1 - p) * (occupied - empty) ** 2
    for lag in (0, 1, 3):
        product = (trace[lag:] - mean) * (trace[: len(trace) - lag] - mean)
        t = lag * interval
        exact = power * r / (r * r - s * s) * (r * math.exp(-s * t) - s * math.exp(-r * t))
        assert abs(product.mean() - exact) < 5 * batch_error(product)


def test_a_fast_dot_shows_its_mean_charge_and_a_slow_one_beside_it_its_jumps():
    junctions = Junctions((1e9, 1e9, 100.0, 0), ((0,) * 6,) * 4, (40,) * 4)
    dots = DoubleDot(gate_lever_arms=((0, 0.1, 0, 0, 0, 0), (0, 0, 0, 0, 0.09, 0)), mutual_energy=0.0)
    sample = Sample(Parameters(dots=dots, junctions=junctions, sensor_amplifier=QUIET))
    gates = at_plunger(0.01)[0]
    gates[4:] = 1.1e-3 / 0.09, 0.3
    trace = sample.sensor_trace(gates, 0.0, 1e-3, 20_000, 1e4, (3, 4))
    chain = sample.chain(gates, 0.0)
    levels = [
        chain.law[mask] @ chain.currents[mask] / chain.law[mask].sum()
        for mask in (chain.charges[:, 1] == n for n in (0, 1))
    ]
    step = abs(levels[1] - levels[0])
    near = np.minimum(np.abs(trace - levels[0]), np.abs(trace - levels[1])) < 0.1 * step
    assert near.mean() > 0.9
    high = np.abs(trace - levels[1]) < np.abs(trace - levels[0])
    assert abs(np.mean(high) - 0.5) < 5 * batch_error(high)
    changes = np.mean(high[1:] != high[:-1])
    assert changes == pytest.approx((1 - math.exp(-100e-3)) / 2, rel=0.12)


def test_a_trace_carries_the_noise_of_its_amplifier():
    amplifier = CurrentAmplifier(1e-25, 0.0)
    blind = PointContact(electron_shifts=(0.0, 0.0))
    sample, gates = slow_switch(sensor_amplifier=amplifier, point_contact=blind)
    trace = sample.sensor_trace(gates, 0.0, 1e-3, 50_000, 1e4, (5, 6))
    assert trace.var() == pytest.approx(1e-25 * 2 * math.pi * 1e4 / 4, rel=5 * math.sqrt(2 / 50_000))
    assert sample.sensor_noise(0.02) == pytest.approx(math.sqrt(1e-25 / 0.04))
    assert sample.current_noise(0.02) == Parameters().current_amplifier.reading_noise(0.02)


def test_equal_keys_give_equal_traces_and_others_give_others():
    sample, gates = Sample(seed=3), steepest(Sample())
    arguments = gates, 0.0, 1e-5, 1000, 4e4
    first = sample.sensor_trace(*arguments, sample.noise_key(7, "trace"))
    np.testing.assert_array_equal(first, Sample(seed=3).sensor_trace(*arguments, sample.noise_key(7, "trace")))
    assert not np.isin(sample.sensor_trace(*arguments, sample.noise_key(8, "trace")), first).any()
    assert not np.isin(sample.sensor_trace(*arguments, Sample(seed=4).noise_key(7, "trace")), first).any()


def test_results_do_not_depend_on_the_number_of_threads():
    sample = Sample()
    gates = np.random.default_rng(2).uniform(-0.2, 0.2, (1000, 6)) + np.array([0.8, 0, 0.8, 0.8, 0, 0.3])
    before = compute.threads()
    try:
        results = []
        for threads in (1, 3):
            compute.set_threads(threads)
            results.append((sample.current(gates, 1e-3), sample.occupation(gates, 0.0), sample.ground_state(gates)))
    finally:
        compute.set_threads(before)
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DoubleDot(charging_energies=(1e-3,)), "charging_energies has shape"),
        (lambda: DoubleDot(charging_energies=(1e-3, 0.0)), "charging_energies"),
        (lambda: DoubleDot(mutual_energy=3e-3), "mutual_energy"),
        (lambda: DoubleDot(temperature=0.0), "temperature"),
        (lambda: DoubleDot(spin_degeneracies=(1, 3)), "spin_degeneracies"),
        (lambda: DoubleDot(gate_lever_arms=((0.1,) * 5,) * 2), r"must have \(2, 6\)"),
        (lambda: Junctions(maximum_rates=(1e9, -1.0, 1e9, 0.0)), "maximum_rates"),
        (lambda: Junctions(maximum_rates=(1e9, 0.0, 1e9, 0.0)), "drain"),
        (lambda: Junctions(offsets=(math.nan,) * 4), "offsets"),
        (lambda: PointContact(opening_width=0.0), "opening_width"),
        (lambda: PointContact(electron_shifts=(1e-4, math.inf)), "electron_shifts"),
        (lambda: GateOxide(conductance=-1e-9), "conductance"),
    ],
)
def test_an_impossible_sample_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_impossible_voltages_are_refused():
    sample = Sample()
    with pytest.raises(ValueError, match=r"\(n, 6\)"):
        sample.current(np.zeros(6), 0.0)
    with pytest.raises(ValueError, match="finite"):
        sample.occupation(np.full((1, 6), math.nan), 0.0)
    with pytest.raises(ValueError, match="source"):
        sample.current(np.zeros((1, 6)), math.inf)
    with pytest.raises(ValueError, match="interval"):
        sample.sensor_trace(np.zeros(6), 0.0, 0.0, 10, 1e4, (0, 0))
    with pytest.raises(ValueError, match="bandwidth"):
        sample.sensor_trace(np.zeros(6), 0.0, 1e-3, 10, 0.0, (0, 0))
