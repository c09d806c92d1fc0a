"""Gate-defined dots through the whole stack: diamonds, peaks, blockade, pinch-off, the switch, and charge sensing."""

import math

import numpy as np
import pytest
from bluesky.preprocessors import stage_wrapper
from scipy.special import expit

from protocols import coulomb_diamonds, pinch_off, qpc_trace, switch_curve
from protocols.acquisition import configure, measure
from protocols.gate_settings import prepare_sweep, set_gates, sweep_line
from twin.models.charge_detection import assignment_error, best_integration_time
from twin.models.gated_device import BOLTZMANN, CONDUCTANCE_QUANTUM, ELEMENTARY_CHARGE

KT = 0.1 * BOLTZMANN
CHARGING_ENERGY, GATE_ARM, SOURCE_ARM, DRAIN_ARM = 2e-3, 0.1, 0.35, 0.30
OPEN = ("barrier_left=0.9", "barrier_right=0.9", "virtual_plunger_2=0.0")
"""Junctions of 1 GHz, and the second dot empty."""
QUIET = """
[bench.dot.current_amplifier]
white_noise = 1e-38
corner_frequency = 0.0
"""
FINE_AMMETER = (('current_range = "10 nA"', 'current_range = "1 nA"'),)

EMPTY_LEVEL = CONDUCTANCE_QUANTUM * 0.5e-3 / 2
STEP = CONDUCTANCE_QUANTUM * 0.5e-3 * (0.5 - 1 / (1 + math.exp(0.041)))
"""Of the point contact at the middle of its step, 0.41 mV of 10 mV an electron."""
BANDWIDTH, INTERVAL = 4e4, 2e-6
GATHERED = math.tanh(math.pi * BANDWIDTH * INTERVAL) / (math.pi * BANDWIDTH * INTERVAL)
"""Share of the information that samples behind one pole keep: they weight the end of their intervals most."""


def close(value, error, exact, allowance=0.0):
    return abs(value - exact) < 5 * error + allowance * abs(exact)


def tunnel_rate(barrier_left):
    """Sum of the rates in and out, with the right barrier at 0 V."""
    return 1e9 * (expit(2 * (20 * barrier_left - 10)) + expit(-20))


# transport


@pytest.fixture(scope="module")
def diamonds(opened):
    session = opened("dot_switch")
    return session.run(coulomb_diamonds(session.station["dot"], gate_points=401, bias_points=21, fixed_gates=OPEN))


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("rising_slope", GATE_ARM / (1 - SOURCE_ARM)),
        ("falling_slope", -GATE_ARM / SOURCE_ARM),
        ("lever_arm", GATE_ARM),
        ("source_lever_arm", SOURCE_ARM),
        ("period", CHARGING_ENERGY / GATE_ARM),
        ("charging_energy", CHARGING_ENERGY),
        ("electron_temperature", 0.1),
    ],
)
def test_diamonds_tell_what_the_dot_is_made_of(diamonds, name, exact):
    # the bias of the fine sweeps widens a peak by (eV/kT)^2/40 or so
    allowance = 0.01 if name == "electron_temperature" else 0.0
    assert close(diamonds[name], diamonds[f"{name}_standard_error"], exact, allowance)


def test_the_electrons_are_degenerate_at_10_30_and_50_mv(diamonds):
    positions, errors = np.array(diamonds["peak_position"]), np.array(diamonds["peak_position_standard_error"])
    np.testing.assert_array_less(np.abs(positions - [0.01, 0.03, 0.05]), 5 * errors)


def test_a_conductance_peak_has_its_height_and_its_width(opened):
    session, bias = opened("dot", options=QUIET, changes=FINE_AMMETER), 1e-6
    result = session.run(
        coulomb_diamonds(
            session.station["dot"], gate_range=(0.0095, 0.0105), gate_points=2, bias_range=(-bias, bias), bias_points=2,
            peak_points=1001, probe_bias=bias, fixed_gates=OPEN, integration_time=0.02,
        )
    )  # fmt: skip
    finite_bias = (bias / KT) ** 2 / 30
    (height,), (error,) = result["peak_conductance"], result["peak_conductance_standard_error"]
    assert close(height, error, 2.32406e-6, finite_bias)
    lines = session.record("conductance")
    gate, (forward, backward) = lines.gate_voltage.values[0], lines.current.values
    share = (forward - backward) / (2 * bias) / height - 0.5
    rising, falling = (np.interp(0.0, side * share[part], gate[part]) for side, part in halves(share))
    assert falling - rising == pytest.approx(3.5255 * KT / GATE_ARM, rel=2 * finite_bias + 2e-4)
    assert falling - rising == pytest.approx(0.30380e-3, rel=1e-3)


def halves(share):
    top = int(np.argmax(share))
    return (1, slice(0, top)), (-1, slice(top, None))


@pytest.fixture(scope="module")
def conductance(opened):
    """Measure the conductance with the lock-in, settled at every point: excitation in V rms, then gate voltages."""
    session = opened("dot", options=QUIET)
    dot = session.station["dot"]

    def plan(excitation, gate):
        yield from prepare_sweep(
            dot, "virtual_plunger", gate, {"barrier_left": 0.9, "barrier_right": 0.9, "virtual_plunger_2": 0.0},
            settling_time=3.0, integration_time=0.001,
        )  # fmt: skip
        yield from configure(dot, measurement="conductance", excitation=excitation)
        yield from measure(dot)
        return np.asarray(dot.conductance.get(), float)

    return lambda excitation, gate: session.run(stage_wrapper(plan(excitation, gate), [dot]))


def test_a_lock_in_sees_the_same_peak(conductance):
    found = conductance(4e-8, 0.01 + np.arange(5) * KT / GATE_ARM)
    assert found[0] == pytest.approx(2.32406e-6, rel=1e-4)
    np.testing.assert_allclose(found / found[0], [1, 0.78645, 0.41997, 0.18071, 0.07065], atol=3e-4)


def test_an_excitation_beyond_the_temperature_flattens_the_peak(conductance):
    excitation, detuned = 1e-5, np.array([0.0, 1.0, 3.0])
    phases = 2 * np.pi * (np.arange(64) + 0.5) / 64
    volts = math.sqrt(2) * excitation * np.cos(phases)
    level = -(detuned[:, np.newaxis] + SOURCE_ARM * volts / KT)
    current = ELEMENTARY_CHARGE * 1e9 / 2 * (expit(-level) - expit(-level - volts / KT))
    exact = 2 * np.mean(current * np.cos(phases), axis=1) / (math.sqrt(2) * excitation)
    found = conductance(excitation, 0.01 + detuned * KT / GATE_ARM)
    np.testing.assert_allclose(found, exact, rtol=5e-4)
    assert found[0] < 0.96 * 2.32406e-6


@pytest.fixture(scope="module")
def current(opened):
    """Measure the current in A at a bias in V, and at gate voltages as if the bias were applied symmetrically."""
    session = opened("dot_switch")
    dot = session.station["dot"]

    def plan(bias, gate):
        # moving all voltages by half the bias makes the drain ground, and is a shift of the gate
        shifted = np.asarray(gate) + bias * (1 - SOURCE_ARM - DRAIN_ARM) / (2 * GATE_ARM)
        gates = {"barrier_left": 0.9, "barrier_right": 0.9, "virtual_plunger_2": 0.0, "bias": bias}
        yield from prepare_sweep(dot, "virtual_plunger", shifted, gates, settling_time=1e-3, integration_time=0.1)
        yield from sweep_line(dot, {})
        return np.asarray(dot.current.get(), float)

    return lambda bias, gate: session.run(stage_wrapper(plan(bias, gate), [dot]))


READING_NOISE = math.sqrt(1e-28 / 2 / 0.1 + 1e-28 * 10 * math.log(10 * 1e3))
"""Of the ammeter's amplifier over 0.1 s, with its 1/f noise."""


@pytest.mark.parametrize("bias", [0.5e-3, 1e-3, -0.5e-3, -1e-3])
def test_on_degeneracy_the_current_is_that_of_two_equal_junctions(current, bias):
    found = current(bias, [0.01, 0.03, 0.05])
    np.testing.assert_allclose(found, math.copysign(80.109e-12, bias), rtol=1e-4, atol=5 * READING_NOISE)


@pytest.mark.parametrize(
    ("bias", "exact"),
    [(1.5e-3, 1.6e-21), (1.9e-3, 34.3e-12), (2.0e-3, 79.93e-12), (2.1e-3, 89.7e-12), (2.5e-3, 106.8e-12)],
)
def test_in_the_middle_of_a_diamond_no_current_flows_below_its_apex(current, bias, exact):
    (found,) = current(bias, [0.02])
    # the published figures have three digits
    assert found == pytest.approx(exact, rel=3e-3, abs=5 * READING_NOISE)


def test_the_window_of_conduction_at_1_mv_has_its_edges(current):
    gate = np.linspace(0.004, 0.0155, 231)
    line = current(1e-3, gate) - 80.109e-12 / 2
    assert np.interp(0, line[:40], gate[:40]) == pytest.approx(4.75e-3, abs=0.02e-3)
    assert np.interp(0, -line[-40:], gate[-40:]) == pytest.approx(14.75e-3, abs=0.02e-3)


ONE_TRANSITION = """
[bench.dot.dots]
gate_lever_arms = [[0.0, 0.1, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.09, 0.0]]
"""
"""Barriers that open and do nothing else, so that one charge state stays in the middle of the bias."""


@pytest.mark.slow
def test_pinch_off_is_the_closed_form_with_its_threshold_moved(opened):
    session, bias = opened("dot", options=ONE_TRANSITION), 1e-3
    plunger = 0.01 + bias * (1 - SOURCE_ARM - DRAIN_ARM) / (2 * GATE_ARM)
    result = session.run(
        pinch_off(
            session.station["dot"], bias=bias, fixed_gates=("barrier_right=1.0", f"plunger={plunger}"), repeats=5,
            points=201,
        )
    )  # fmt: skip
    fit = result["fit"]
    exact = {"a": ELEMENTARY_CHARGE * 1e9 / 4, "b": 20.0, "c": -10 + math.log(2) / 2}
    for name, value in exact.items():
        assert close(fit[name], fit[f"{name}_standard_error"], value), name
    assert fit["fit_probability"] > 1e-6


# the switch and its sensor


@pytest.mark.slow
def test_the_dot_is_the_sigmoid_switch_of_its_lever_arm_and_temperature(opened):
    session = opened("dot_switch")
    drives = 0.01 + np.linspace(-5, 5, 9) * KT / GATE_ARM
    result = session.run(switch_curve(session.station["dot_switch"], drive=drives.tolist(), shots=1000))
    exact = expit((np.array(result["drive"]) - 0.01) * GATE_ARM / KT)
    errors = np.maximum(result["probability_standard_error"], np.sqrt(exact * (1 - exact) / 1000))
    # two jumps within an integration time, and noise, change one outcome of 2000 at most
    np.testing.assert_array_less(np.abs(result["probability"] - exact), 5 * errors + 5e-4)
    assert close(result["beta"], result["beta_standard_error"], GATE_ARM / KT)
    assert close(result["offset"], result["offset_standard_error"], 0.01)


WHITE = """
[bench.dot.sensor_amplifier]
white_noise = {}
corner_frequency = 0.0
"""


@pytest.fixture(scope="module")
def trace(opened):
    noise_density = 1.6e-25
    finer = (('trace_range = "4 nA"', 'trace_range = "1.2 nA"'),)
    session = opened("dot", options=WHITE.format(noise_density), changes=finer)
    result = session.run(qpc_trace(session.station["dot"], points=115_000, interval=INTERVAL))
    rate = tunnel_rate(0.17) / 2
    exact = {"rate_in": rate, "rate_out": rate, "level_empty": EMPTY_LEVEL, "level_occupied": EMPTY_LEVEL - STEP}
    exact |= {"current_step": STEP, "noise_density": noise_density, "information_rate": STEP**2 / noise_density}
    return result, exact | {"occupied_fraction": 0.5}


@pytest.mark.slow
def test_a_trace_tells_levels_rates_and_noise(trace):
    result, exact = trace
    for name, value in exact.items():
        assert close(result[name], result[f"{name}_standard_error"], value), name


@pytest.mark.slow
def test_averages_are_assigned_with_the_errors_of_theory_and_best_at_its_time(trace):
    result, exact = trace
    rates = exact["rate_in"], exact["rate_out"]
    information = GATHERED * exact["information_rate"]
    times, errors = np.array(result["integration_time"]), np.array(result["assignment_error_standard_error"])
    theory = np.array([assignment_error(information, time, *rates) for time in times])
    np.testing.assert_array_less(np.abs(result["assignment_error"] - theory), 5 * errors)
    best, least = best_integration_time(information, *rates)
    assert close(1 - result["fidelity"], result["fidelity_standard_error"], least)
    assert 0.5 * best < result["best_integration_time"] < 2 * best


@pytest.mark.slow
@pytest.mark.parametrize(
    ("information", "up", "down", "error", "second_moment"),
    [
        # Gamma, mu, nu and what the stationary law of the filter gives (Milburn and Basiri-Esfahani, section 3)
        (1, 0.5, 0.5, 0.32018, 0.17683),
        (10, 0.5, 0.5, 0.13161, 0.60474),
        (50, 0.5, 0.5, 0.04606, 0.85075),
        (50, 1, 10, 0.06648, 0.78948),
    ],
)
def test_the_filter_of_the_device_errs_as_its_stationary_law_says(opened, information, up, down, error, second_moment):
    total = tunnel_rate(0.18)
    noise_density = GATHERED * STEP**2 * (up + down) / (information * total)
    spread = math.sqrt(noise_density * 2 * math.pi * BANDWIDTH / 4)
    span = f'trace_range = "{(12 * spread + STEP) / 1.25:.3g} A"'
    session = opened("dot", options=WHITE.format(noise_density), changes=(('trace_range = "4 nA"', span),))
    dot = session.station["dot"]
    settings = {
        "trace_points": 1_200_000, "trace_interval": INTERVAL, "level_empty": EMPTY_LEVEL,
        "level_occupied": EMPTY_LEVEL - STEP, "noise_density": noise_density,
        "rate_in": total * up / (up + down), "rate_out": total * down / (up + down),
    }  # fmt: skip

    def plan():
        plunger = 0.01 + KT / GATE_ARM * math.log(up / down)
        yield from set_gates(dot, {"barrier_left": 0.18, "virtual_sensor": 0.3, "virtual_plunger": plunger})
        yield from configure(dot, measurement="trace", **settings)
        yield from measure(dot)
        return 2 * np.asarray(dot.occupation.get(), float) - 1

    nc = session.run(stage_wrapper(plan(), [dot]))
    for values, exact in (((1 - np.abs(nc)) / 2, error), (nc**2, second_moment), (nc, (up - down) / (up + down))):
        blocks = values.reshape(100, -1).mean(axis=1)
        assert close(blocks.mean(), blocks.std(ddof=1) / 10, exact), exact
