import numpy as np
import pytest

from protocols.dot_analysis import (
    coulomb_peaks,
    diamond_edges,
    electron_temperature,
    fit_diamonds,
    fit_pinch_off,
)

GATE, BIAS = np.linspace(0, 0.06, 161), np.linspace(-4e-3, 4e-3, 61)
FINE = np.linspace(0, 0.06, 1001)


@pytest.fixture
def conductance(dot_current):
    """Conductance, S, at the voltages of `FINE`."""
    probe = 2e-6
    return (dot_current(FINE, probe) - dot_current(FINE, -probe)) / (2 * probe)


def test_coulomb_peaks_have_the_positions_width_and_height_of_the_theory(conductance):
    peaks = coulomb_peaks(FINE, conductance)
    assert [peak.position for peak in peaks] == pytest.approx([0.01, 0.03, 0.05], abs=1e-7)
    for peak in peaks:
        assert peak.conductance == pytest.approx(2.32406e-6, rel=2e-3)
        assert 1.76275 * peak.width == pytest.approx(0.30380e-3, rel=2e-3)
    assert electron_temperature(peaks, 0.1, 0.0)["electron_temperature"] == pytest.approx(0.1, rel=2e-3)


def test_the_errors_of_noisy_peaks_hold(conductance):
    noisy = conductance + 5e-8 * np.random.default_rng(0).standard_normal(len(FINE))
    peaks = coulomb_peaks(FINE, noisy)
    assert len(peaks) == 3
    for peak, centre in zip(peaks, (0.01, 0.03, 0.05), strict=True):
        assert abs(peak.position - centre) < 5 * peak.position_standard_error
        assert abs(peak.conductance - 2.32406e-6) < 5 * peak.conductance_standard_error + 3e-9
        assert 0 < peak.conductance_standard_error < 1e-7
    temperature = electron_temperature(peaks, 0.1, 1e-4)
    assert abs(temperature["electron_temperature"] - 0.1) < 5 * temperature["electron_temperature_standard_error"]


def test_noise_alone_has_no_peaks():
    flat = 1e-7 * np.random.default_rng(3).standard_normal(1001)
    assert coulomb_peaks(FINE, flat) == []
    assert coulomb_peaks(FINE, np.zeros(1001)) == []


@pytest.mark.parametrize("deviation", [0.0, 2e-12])
@pytest.mark.parametrize(
    ("grounded", "rising", "falling"),
    [(True, 0.1 / 0.65, -0.1 / 0.35), (False, 0.1 / 0.475, -0.1 / 0.525)],
)
def test_the_edges_of_diamonds_give_slopes_lever_arm_and_charging_energy(
    dot_current, deviation, grounded, rising, falling
):
    generator = np.random.default_rng(1)
    current = dot_current(GATE, BIAS[:, np.newaxis], grounded=grounded)
    current = current + deviation * generator.standard_normal(current.shape)
    fit = fit_diamonds(diamond_edges(GATE, BIAS, current, (0.01, 0.03, 0.05)), 3)
    truth = {
        "rising_slope": rising,
        "falling_slope": falling,
        "lever_arm": 0.1,
        "period": 0.02,
        "charging_energy": 2e-3,
    }
    for name, value in truth.items():
        error = fit[f"{name}_standard_error"]
        assert abs(fit[name] - value) < 5 * error + 5e-4 * abs(value), name
        assert error < 0.01 * abs(value)
    assert fit["edge_residual"] < 5e-5
    if grounded:
        assert fit["source_lever_arm"] == pytest.approx(0.35, abs=5e-3)


def test_a_sweep_from_high_to_low_gives_the_same_edges(dot_current):
    current = dot_current(GATE, BIAS[:, np.newaxis])
    up = fit_diamonds(diamond_edges(GATE, BIAS, current, (0.01, 0.03, 0.05)), 3)
    down = fit_diamonds(diamond_edges(GATE[::-1], BIAS[::-1], current[::-1, ::-1], (0.01, 0.03, 0.05)), 3)
    assert down == pytest.approx(up, rel=1e-6)


def test_edges_that_are_not_straight_leave_a_residual(dot_current):
    clamped = np.clip(BIAS, -1e-3, 1e-3)
    current = dot_current(GATE, clamped[:, np.newaxis])
    fit = fit_diamonds(diamond_edges(GATE, BIAS, current, (0.01, 0.03, 0.05)), 3)
    assert fit["edge_residual"] > 5e-4


def test_one_degeneracy_gives_the_lever_arm_but_no_charging_energy(dot_current):
    near = np.linspace(0.002, 0.018, 81)
    current = dot_current(near, BIAS[:, np.newaxis])
    fit = fit_diamonds(diamond_edges(near, BIAS, current, (0.01,)), 1)
    assert fit["lever_arm"] == pytest.approx(0.1, rel=5e-3)
    assert "charging_energy" not in fit


def test_a_map_without_current_has_no_edges():
    edges = diamond_edges(GATE, BIAS, np.zeros((len(BIAS), len(GATE))), (0.01, 0.03))
    assert len(edges.gate) == 0
    assert fit_diamonds(edges, 2) is None


@pytest.mark.parametrize(("a", "b", "c"), [(8e-11, 20.0, -10.0), (8e-11, -20.0, 10.0), (-3e-9, 8.0, -5.0)])
def test_a_pinch_off_is_fitted_with_honest_errors(a, b, c):
    voltage = np.linspace(0, 1, 101)
    clean = a * (1 + np.tanh(b * voltage + c))
    deviation = 0.01 * abs(a)
    sweeps = clean + deviation * np.random.default_rng(2).standard_normal((4, 101))
    fit = fit_pinch_off(voltage, sweeps)
    for name, value in {"a": a, "b": b, "c": c, "threshold": -c / b}.items():
        assert abs(fit[name] - value) < 5 * fit[f"{name}_standard_error"]
        assert 0 < fit[f"{name}_standard_error"] < 0.02 * abs(value)
    closed = a * (1 + np.tanh(b * fit["pinch_off_voltage"] + c)) / (2 * a)
    assert closed == pytest.approx(0.01, rel=0.1)
    assert fit["residual"] == pytest.approx(deviation / 2, rel=0.3)
    assert fit["determination"] > 0.999
    assert 1e-4 < fit["fit_probability"] < 1


def test_the_current_of_the_printed_rates_is_a_tanh_shifted_by_half_ln_2():
    voltage = np.linspace(0, 1, 201)
    t = np.tanh(10 * voltage - 5)
    fit = fit_pinch_off(voltage, (1 + t) / (3 + t))
    assert (fit["a"], fit["b"], fit["c"]) == pytest.approx((0.25, 10, -5 + np.log(2) / 2), abs=1e-5)
    assert fit["c"] == pytest.approx(-4.65343, abs=1e-5)
    assert fit["fit_probability"] is None


def test_a_curve_that_is_no_tanh_has_a_poor_fit_probability():
    voltage = np.linspace(0, 1, 101)
    clean = np.clip(3 * voltage - 1, 0, 1)
    sweeps = clean + 0.002 * np.random.default_rng(4).standard_normal((4, 101))
    assert fit_pinch_off(voltage, sweeps)["fit_probability"] < 1e-6


def test_no_current_gives_no_fit():
    assert fit_pinch_off(np.linspace(0, 1, 11), np.zeros((2, 11))) is None
