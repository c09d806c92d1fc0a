"""Pictures of dots: pinch-off, Coulomb diamonds, charge stability, and traces of the charge sensor."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lab.catalogue import Run
from lab.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    SKY,
    in_units,
    in_units_short,
    new_figure,
    numbers_beside,
    points_with_errors,
    prefix,
    scaled,
)

Array = NDArray[np.float64]

SHOWN_TRANSITIONS = 12
"""Changes of the charge that the picture of a trace shows."""


def draw_pinch_off(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Draw the current through the dot against the gate, with the fitted tanh and its threshold."""
    from protocols.dot_analysis import pinch_off_current

    data, arguments = streams["primary"], run.start.get("plan_args", {})
    gate = np.asarray(data["gate_voltage"])[0]
    factor, units = prefix(data["current"], "A")
    currents = factor * np.asarray(data["current"], dtype=float)
    error = currents.std(axis=0, ddof=1) / np.sqrt(len(currents)) if len(currents) > 1 else None
    figure = new_figure(6.4, 4.4)
    axes = figure.subplots()
    points_with_errors(axes, gate, currents.mean(axis=0), error, BLUE)
    if "fit" in streams:
        fit = {str(key): float(value) for key, value in streams["fit"].isel(event=-1).data_vars.items()}
        fine = np.linspace(gate.min(), gate.max(), 400)
        axes.plot(fine, factor * pinch_off_current(fine, fit["a"], fit["b"], fit["c"]), color=ORANGE, zorder=0)
        axes.axvline(fit["threshold"], color=GREY, linestyle="--", linewidth=0.8)
        names = (("threshold", "V"), ("pinch_off_voltage", "V"), ("a", "A"), ("b", "/V"), ("c", ""))
        lines = [f"{_words(name)} {_fitted(fit, name, unit)}" for name, unit in names]
        numbers_beside(axes, lines, place="upper left" if fit["b"] > 0 else "upper right")
    axes.set(xlabel=f"{_words(arguments.get('gate', 'gate'))} (V)", ylabel=f"current ({units})")
    bias = in_units_short(float(arguments.get("bias", float("nan"))), "V")
    figure.suptitle(f"pinch-off, I = a [1 + tanh(b V + c)], bias {bias}")
    return figure


def draw_coulomb_diamonds(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Draw the current over gate and bias with the fitted edges, and the Coulomb peaks of the conductance."""
    data, arguments = streams["primary"].sortby("bias_voltage"), run.start.get("plan_args", {})
    gate_name = f"{_words(arguments.get('gate', 'gate'))} (mV)"
    gate, bias = 1e3 * np.asarray(data["gate_voltage"])[0], 1e3 * np.asarray(data["bias_voltage"])
    peaks = streams.get("conductance")
    whole = peaks is not None and peaks.sizes["event"] == 2
    figure = new_figure(11.0 if whole else 7.0, 4.8)
    axes = figure.subplots(1, 2 if whole else 1, squeeze=False, width_ratios=(1.4, 1.0) if whole else None)[0]
    current, units = scaled(data["current"], "A")
    _map(axes[0], gate, bias, current, f"current ({units})", symmetric=True)
    axes[0].set(xlabel=gate_name, ylabel="bias (mV)")
    title = "Coulomb diamonds"
    if "fit" in streams:
        fit = {str(key): float(value) for key, value in streams["fit"].isel(event=-1).data_vars.items()}
        parts = [("lever arm", "lever_arm", ""), ("charging energy", "charging_energy", "eV")]
        title += ": " + ", ".join(f"{word} {_fitted(fit, key, unit)}" for word, key, unit in parts if key in fit)
    if peaks is not None and whole:
        _peaks(axes[1], peaks, gate_name)
        if "fit" in streams:
            numbers_beside(axes[1], [f"T = {_fitted(fit, 'electron_temperature', 'K')}"], place="upper right")
            _edges(axes[0], peaks, fit, bias)
    figure.suptitle(title)
    return figure


def draw_charge_stability(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Sensor current over two gates, and its derivative along both, in which every change of a charge is a line."""
    data, arguments = streams["primary"].sortby("step_voltage"), run.start.get("plan_args", {})
    first, second = arguments.get("gates", ("swept gate", "stepped gate"))
    gate, step = 1e3 * np.asarray(data["gate_voltage"])[0], 1e3 * np.asarray(data["step_voltage"])
    sensor = np.asarray(data["sensor_current"], dtype=float)
    figure = new_figure(11.0, 4.8)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    current, units = scaled(sensor, "A")
    _map(left, gate, step, current, f"sensor current ({units})")
    slope, units = scaled(_slope(sensor, gate, step), "A/V")
    _map(right, gate, step, slope, f"derivative along the diagonal ({units})", symmetric=True)
    for axes in (left, right):
        axes.set(xlabel=f"{_words(first)} (mV)")
    left.set(ylabel=f"{_words(second)} (mV)")
    figure.suptitle("charge stability")
    return figure


def _slope(sensor: Array, gate: Array, step: Array) -> Array:
    """Return the derivative (steps, points), per volt, along the diagonal of two axes in mV."""
    along = [
        np.gradient(sensor, 1e-3 * axis, axis=place) if len(axis) > 1 else 0 for place, axis in ((1, gate), (0, step))
    ]
    return (along[0] + along[1]) / np.sqrt(2)


def draw_qpc_trace(_run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Trace with the filter of the device, dwell times with the fitted rates, and the error of a shot."""
    fit = {str(key): float(value) for key, value in streams["fit"].isel(event=-1).data_vars.items()}
    assignment = streams.get("assignment")
    figure = new_figure(11.5, 7.4)
    grid = figure.add_gridspec(2, 1, height_ratios=(1.1, 1.0))
    top, bottom = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    trace, occupation = top.subplots(2, 1, sharex=True, height_ratios=(2.0, 1.0))
    _trace(trace, occupation, streams["filtered"].isel(event=-1), fit)
    dwells, errors = bottom.subplots(1, 2)
    _dwells(dwells, streams["dwells"].isel(event=-1), fit)
    if assignment is not None:
        _assignment(errors, assignment)
    else:
        errors.set_visible(False)
    rates = ", ".join(f"{_words(name)} {_fitted(fit, name, '/s')}" for name in ("rate_in", "rate_out"))
    figure.suptitle(f"charge sensing: {rates}, information rate {_fitted(fit, 'information_rate', '/s')}")
    return figure


def _trace(trace: Axes, occupation: Axes, data: xr.Dataset, fit: Mapping[str, float]) -> None:
    interval = float(data["trace_interval"])
    slow = 1 / fit["rate_in"] + 1 / fit["rate_out"]
    shown = slice(0, max(200, int(SHOWN_TRANSITIONS * slow / 2 / interval)))
    values = np.asarray(data["trace"], dtype=float)
    time, seconds = scaled(interval * np.arange(len(values))[shown], "s")
    middle = (fit["level_empty"] + fit["level_occupied"]) / 2
    factor, units = prefix(values[shown] - middle, "A")
    trace.plot(time, factor * (values[shown] - middle), color=SKY, linewidth=0.5)
    for name, colour in (("empty", ORANGE), ("occupied", BLUE)):
        trace.axhline(factor * (fit[f"level_{name}"] - middle), color=colour, linestyle="--", linewidth=0.9, label=name)
    base = in_units_short(middle, "A")
    trace.set(ylabel=f"current beyond {base} ({units})")
    trace.legend(loc="upper right", frameon=False, fontsize=8, ncols=2)
    occupation.plot(time, np.asarray(data["occupation"])[shown], color=BLUE, linewidth=0.8)
    occupation.set(xlabel=f"time ({seconds})", ylabel="P(occupied)", ylim=(-0.05, 1.05))


def _dwells(axes: Axes, data: xr.Dataset, fit: Mapping[str, float]) -> None:
    edges = np.asarray(data["dwell_edges"], dtype=float)
    factor, units = prefix(edges, "s")
    centres, width = factor * (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    for name, leaves, colour in (("empty", "rate_in", ORANGE), ("occupied", "rate_out", BLUE)):
        counts = np.asarray(data[f"{name}_dwells"], dtype=float)
        seen = counts > 0
        error = np.sqrt(np.maximum(counts, 1))
        label = f"{name}, 1/\N{GREEK CAPITAL LETTER GAMMA} = {in_units_short(1 / fit[leaves], 's')}"
        axes.errorbar(centres[seen], counts[seen], yerr=error[seen], fmt="o", color=colour, markersize=3, capsize=1.5)
        rate = fit[leaves]
        expected = counts.sum() * np.exp(-rate * edges[:-1]) * -np.expm1(-rate * width)
        axes.plot(centres, expected, color=colour, linewidth=1.0, label=label)
    axes.set(xlabel=f"dwell time ({units})", ylabel="dwells", yscale="log")
    axes.set_ylim(bottom=0.5)
    axes.legend(frameon=False, fontsize=8)


def _assignment(axes: Axes, data: xr.Dataset) -> None:
    time, units = scaled(data["integration_time"], "s")
    points_with_errors(
        axes, time, data["assignment_error"], data["assignment_error_standard_error"], BLUE, name="measured"
    )
    axes.plot(time, data["expected_assignment_error"], color=GREY, label="theory")
    axes.set(xlabel=f"integration time ({units})", ylabel="error of a shot", xscale="log", yscale="log")
    axes.legend(frameon=False, fontsize=8)


def _map(axes: Axes, x: Array, y: Array, values: Array, label: str, *, symmetric: bool = False) -> None:
    largest = float(np.nanpercentile(np.abs(values), 99.5)) or 1.0
    limits: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest} if symmetric else {"cmap": "cividis"}
    order = np.argsort(x)
    mesh = axes.pcolormesh(x[order], y, values[:, order], shading="nearest", rasterized=True, **limits)
    axes.figure.colorbar(mesh, ax=axes, label=label, extend="both" if symmetric else "neither")


def _peaks(axes: Axes, data: xr.Dataset, gate_name: str) -> None:
    gate, conductance = _conductance(data)
    values, units = scaled(conductance, "S")
    axes.plot(1e3 * gate, values, color=BLUE, linewidth=0.8)
    axes.set(xlabel=gate_name, ylabel=f"conductance at zero bias ({units})")


def _conductance(data: xr.Dataset) -> tuple[Array, Array]:
    currents, biases = np.asarray(data["current"], dtype=float), np.asarray(data["bias_voltage"], dtype=float)
    return np.asarray(data["gate_voltage"], dtype=float)[0], (currents[0] - currents[1]) / (biases[0] - biases[1])


def _edges(axes: Axes, data: xr.Dataset, fit: Mapping[str, float], bias: Array) -> None:
    """Draw the fitted lines through each degeneracy point."""
    from protocols.dot_analysis import coulomb_peaks

    limits = axes.get_xlim(), axes.get_ylim()
    for peak in coulomb_peaks(*_conductance(data)):
        for slope in (fit["rising_slope"], fit["falling_slope"]):
            axes.plot(1e3 * peak.position + bias / slope, bias, color="black", linewidth=0.6, linestyle="--")
    axes.set(xlim=limits[0], ylim=limits[1])


def _fitted(fit: Mapping[str, float], name: str, units: str) -> str:
    return in_units(fit[name], fit[f"{name}_standard_error"], units)


def _words(name: Any) -> str:
    return str(name).replace("_", " ")
