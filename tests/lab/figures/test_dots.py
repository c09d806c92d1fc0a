import re

import numpy as np
import pytest

from lab.figures import draw


def with_errors(**values):
    return values | {f"{name}_standard_error": abs(value) / 100 for name, value in values.items()}


def lines_of(axes):
    return [line.get_ydata() for line in axes.lines]


def test_a_pinch_off_shows_points_with_errors_and_the_fit(stored, panels):
    gate = np.linspace(0, 1, 21)
    curve = 4e-11 * (1 + np.tanh(20 * gate - 10))
    sweeps = [{"gate_voltage": gate, "current": curve + shift} for shift in (-1e-12, 1e-12)]
    fit = with_errors(a=4e-11, b=20.0, c=-10.0, threshold=0.5, pinch_off_voltage=0.385)
    run = stored("pinch_off", {"primary": sweeps, "fit": [fit]}, plan_args={"gate": "barrier_left", "bias": 0.001})
    figure = draw(run)
    axes = panels(figure)["current (pA)"]
    assert axes.get_xlabel() == "barrier left (V)"
    assert np.allclose(axes.lines[0].get_ydata(), 1e12 * curve)
    fitted = next(line for line in axes.lines if len(line.get_xdata()) == 400)
    assert fitted.get_ydata()[-1] == pytest.approx(80.0, rel=1e-3)
    assert "threshold 500.0 ± 5.0 mV" in axes.texts[0].get_text()
    assert "bias 1 mV" in figure.get_suptitle()


def test_a_pinch_off_without_a_fit_shows_its_points(stored, panels):
    run = stored("pinch_off", {"primary": [{"gate_voltage": np.arange(3.0), "current": np.zeros(3)}]})
    assert len(lines_of(panels(draw(run))["current (A)"])) == 1


@pytest.fixture
def diamonds():
    gate, bias = np.linspace(0, 0.06, 31), np.linspace(-2e-3, 2e-3, 9)
    current = (
        8e-11 * np.sign(bias)[:, np.newaxis] * (np.abs(np.sin(gate / 0.02 * np.pi)) < np.abs(bias / 2e-3)[:, None])
    )
    fine = np.linspace(0, 0.06, 301)
    peaks = 1e-11 / np.cosh((fine - 0.03) / 1e-3) ** 2
    return {
        "conductance": [
            {"bias_voltage": sign * 5e-6, "gate_voltage": fine, "current": sign * peaks} for sign in (1.0, -1.0)
        ],
        "primary": [
            {"bias_voltage": volts, "gate_voltage": gate, "current": line}
            for volts, line in zip(bias, current, strict=True)
        ],
        "fit": [
            with_errors(
                rising_slope=0.15,
                falling_slope=-0.28,
                lever_arm=0.1,
                charging_energy=2e-3,
                electron_temperature=0.1,
            )
        ],
    }


def test_coulomb_diamonds_are_a_map_with_volts_on_both_axes(stored, panels, diamonds):
    figure = draw(stored("coulomb_diamonds", diamonds, plan_args={"gate": "plunger"}))
    axes = panels(figure)
    assert {"bias (mV)", "current (pA)", "conductance at zero bias (µS)"} <= set(axes)
    assert axes["bias (mV)"].get_xlabel() == "plunger (mV)"
    assert len(lines_of(axes["bias (mV)"])) == 2
    assert np.max(lines_of(axes["conductance at zero bias (µS)"])[0]) == pytest.approx(2.0)
    assert "lever arm 0.1000 ± 0.0010, charging energy 2.000 ± 0.020 meV" in figure.get_suptitle()


def test_a_map_that_was_cut_shows_the_lines_there_are(stored, panels, diamonds):
    cut = {"primary": diamonds["primary"][:3]}
    axes = panels(draw(stored("coulomb_diamonds", cut)))
    assert set(axes) == {"bias (mV)", "current (pA)"}


def test_charge_stability_shows_current_and_derivative(stored, panels):
    gate = np.linspace(0, 0.01, 11)
    lines = [
        {"step_voltage": volts, "gate_voltage": gate, "sensor_current": 5e-9 - 4e-10 * (gate > 0.005)}
        for volts in (0.0, 0.001, 0.002)
    ]
    run = stored("charge_stability", {"primary": lines}, plan_args={"gates": ["plunger", "plunger_2"]})
    axes = panels(draw(run))
    assert axes["plunger 2 (mV)"].get_xlabel() == "plunger (mV)"
    assert {"sensor current (nA)", "derivative along the diagonal (nA/V)"} <= set(axes)


def test_a_trace_shows_levels_filter_dwells_and_errors(stored, panels):
    occupied = np.arange(4000) // 200 % 2
    fit = with_errors(level_empty=5e-9, level_occupied=4.6e-9, rate_in=1000.0, rate_out=1000.0, information_rate=1e6)
    counts = {"empty_dwells": np.array([8, 4, 2, 1]), "occupied_dwells": np.array([9, 5, 0, 1])}
    streams = {
        "primary": [{"trace": 5e-9 - 4e-10 * occupied}],
        "fit": [fit],
        "dwells": [{"dwell_edges": np.linspace(0, 4e-3, 5), **counts}],
        "filtered": [{"trace": 5e-9 - 4e-10 * occupied, "trace_interval": 5e-6, "occupation": occupied.astype(float)}],
        "assignment": [
            {
                "integration_time": time,
                "assignment_error": 0.01,
                "assignment_error_standard_error": 1e-3,
                "expected_assignment_error": 0.009,
            }
            for time in (1e-5, 1e-4)
        ],
    }
    figure = draw(stored("qpc_trace", streams))
    axes = panels(figure)
    current = axes["current beyond 4.8 nA (pA)"]
    assert current.lines[0].get_ydata()[0] == pytest.approx(200.0)
    assert [line.get_ydata()[0] for line in current.lines[1:]] == pytest.approx([200.0, -200.0])
    assert axes["P(occupied)"].get_xlabel() == "time (ms)"
    legend = axes["dwells"].get_legend().get_texts()[0].get_text()
    assert re.fullmatch(r"empty, 1/Γ = 1 ms", legend)
    assert axes["error of a shot"].get_xlabel() == "integration time (µs)"
    assert "rate in 1.000 ± 0.010 k/s" in figure.get_suptitle()


def test_a_trace_without_levels_is_drawn_like_any_other_run(stored):
    streams = {"primary": [{"trace": np.zeros(100), "trace_interval": 1e-6}]}
    draw(stored("qpc_trace", streams)).canvas.draw()
