"""Charge sensing: traces of the point contact, and what they say of the dot beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, as_json, configure, measure, recorded, save
from protocols.arguments import allowed_by, number, whole
from protocols.charge_analysis import (
    Dwells,
    Levels,
    analyse,
    bandwidth_corrected,
    dead_time,
    dwell_histogram,
    dwell_time,
    telegraph_values,
)
from protocols.charge_assignment import assignment_error, integration_points, measured_error
from protocols.gate_settings import HIGHEST_VOLTAGE, arrange_gates, check_gates, gate_voltages
from protocols.ports import QuantumDot
from protocols.record import Record
from protocols.telegraph_fit import TelegraphFit, filtered_occupation, whitened

Array = NDArray[np.float64]

MOST_SAMPLES = 10**7
"""Samples of one trace."""

LONGEST_TRACE = 3600.0
"""Duration of one trace, s."""

EXAMPLES: Mapping[str, Mapping[str, Any]] = {"qpc_trace": {"points": 20000}}
"""Arguments of a short run of each plan."""

UNITS = {
    **dict.fromkeys(("rate_in", "rate_out", "apparent_rate_in", "apparent_rate_out"), "1/s"),
    **dict.fromkeys(("corrected_rate_in", "corrected_rate_out", "information_rate"), "1/s"),
    **dict.fromkeys(("trace", "level_empty", "level_occupied", "level_threshold", "current_step"), "A"),
    **dict.fromkeys(("dwell_edges", "dwell_time_empty", "dwell_time_occupied"), "s"),
    **dict.fromkeys(("trace_interval", "integration_time", "averaging_time"), "s"),
    "noise_density": "A^2/Hz",
}
"""Units of what this plan records; the others are pure numbers."""

DIMS = {
    "trace": ("sample",),
    "occupation": ("sample",),
    "dwell_edges": ("edge",),
    "empty_dwells": ("bin",),
    "occupied_dwells": ("bin",),
}
"""Names of the axes of the arrays that this plan records."""


def qpc_trace(
    dot: QuantumDot,
    *,
    points: int = 100000,
    interval: float = 5e-6,
    traces: int = 1,
    bias: float = 0.0,
    fixed_gates: Sequence[str] = ("barrier_left=0.17", "virtual_sensor=0.3", "virtual_plunger=0.01"),
    bins: int = 40,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Record the current of the point contact while single electrons enter and leave a dot.

    The traces give levels, noise and rates by maximum likelihood, the bandwidth of the read-out included; beside them
    stand the dwell times that a threshold on averages sees, and the rates they give with the correction of Naaman and
    Aumentado for its dead time. Then the filter of the device is told levels, noise and rates, one more trace is
    recorded and filtered, and the error of telling the charge by an average over a time is measured on it and compared
    with theory.

    Parameters
    ----------
    dot : QuantumDot
        The dot with its point contact.
    points : int
        Samples of a trace, from 100 to 10000000.
    interval : float
        Time between samples, s; the digitizer may take a shorter one. A trace may last an hour.
    traces : int
        Traces to take levels and rates from, from 1 to 1000.
    bias : float
        Voltage between source and drain, V.
    fixed_gates : sequence of str
        Gates, as "name=volts"; those not named stay at their safe voltage.
    bins : int
        Bins of the dwell times in the record, from 2 to 1000.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        ``rate_in``, ``rate_out`` and ``information_rate`` dI^2/S in 1/s, ``level_empty``, ``level_occupied`` and
        ``current_step`` dI in A, ``noise_density`` S in A^2/Hz (one-sided), ``occupied_fraction``,
        ``dwell_time_empty`` and ``dwell_time_occupied`` in s, each with its standard error; of the threshold
        ``level_threshold`` in A, ``averaging_time`` in s, ``transitions``, ``apparent_rate_in``, ``apparent_rate_out``,
        ``corrected_rate_in`` and ``corrected_rate_out`` in 1/s; ``filtered_fraction``, mean of the filter of the
        device; lists ``integration_time`` in s, ``assignment_error`` with standard errors and
        ``expected_assignment_error``; ``fidelity``, the largest that was measured, and the ``best_integration_time``
        for it; ``trace_interval``, ``bandwidth`` and ``seconds``.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    TraceError
        The traces, which are kept, show no two levels or hardly any change of the charge.
    """
    whole("points", points, 100, MOST_SAMPLES)
    number("interval", interval, 0.0, 1.0, unit="s", above=True)
    number("points times interval", points * interval, 0.0, LONGEST_TRACE, unit="s", above=True)
    whole("traces", traces, 1, 1000)
    whole("bins", bins, 2, 1000)
    fixed = gate_voltages("fixed_gates", fixed_gates)
    voltages = {**fixed, "bias": number("bias", bias, -HIGHEST_VOLTAGE, HIGHEST_VOLTAGE, unit="V")}
    check_gates(dot, {name: (volts,) for name, volts in voltages.items()})
    allowed_by(dot, trace_points=points, trace_interval=interval)
    arguments: dict[str, Any] = {"points": points, "interval": interval, "traces": traces, "bias": bias}
    arguments |= {"fixed_gates": fixed_gates, "bins": bins}
    body = _sense(dot, voltages, {"trace_points": points, "trace_interval": interval}, traces, bins)
    return (yield from recorded(dot, "qpc_trace", as_json(arguments), body, md))


def _sense(
    dot: QuantumDot, voltages: Mapping[str, float], settings: Mapping[str, Any], count: int, bins: int
) -> Plan[dict[str, Any]]:
    yield from arrange_gates(dot, voltages)
    yield from configure(dot, measurement="trace", **settings)
    record = Record("primary", units=UNITS, dims=DIMS)
    traces: list[Array] = []
    seconds = 0.0
    for _ in range(count):
        seconds += yield from measure(dot)
        traces.append(np.asarray(dot.trace.get(), dtype=float))
        yield from save(record, trace=traces[-1], trace_interval=float(dot.trace_interval.get()))
    interval, bandwidth = float(dot.trace_interval.get()), float(dot.bandwidth.get())
    levels, dwells, fit = analyse(traces, interval, bandwidth)
    values = telegraph_values(fit, interval, bandwidth) | _threshold_values(levels, dwells)
    yield from save(Record("fit", units=UNITS, dims=DIMS), **values)
    edges, empty, occupied = dwell_histogram(dwells, bins)
    yield from save(
        Record("dwells", units=UNITS, dims=DIMS), dwell_edges=edges, empty_dwells=empty, occupied_dwells=occupied
    )

    yield from configure(dot, **{name: values[name] for name in FILTER})
    seconds += yield from measure(dot)
    trace, occupation = (np.asarray(result.get(), dtype=float) for result in (dot.trace, dot.occupation))
    yield from save(
        Record("filtered", units=UNITS, dims=DIMS), trace=trace, trace_interval=interval, occupation=occupation
    )
    assignment = _assignment(trace, interval, bandwidth, fit)
    record = Record("assignment", units=UNITS, dims=DIMS)
    for point in assignment:
        yield from save(record, **point)
    return {
        **values,
        "filtered_fraction": float(occupation.mean()),
        **_best(assignment),
        "trace_interval": interval,
        "bandwidth": bandwidth,
        "seconds": seconds,
    }


FILTER = ("level_empty", "level_occupied", "noise_density", "rate_in", "rate_out")
"""What the filter of the device is told."""


def _threshold_values(levels: Levels, dwells: Dwells) -> dict[str, float]:
    """Return what a threshold sees: apparent rates, the same corrected for its dead time, and dwell times."""
    blind = dead_time(dwells.interval)
    rate_in, rate_out = bandwidth_corrected(dwells.rate_in, dwells.rate_out, 1 / blind)
    values: dict[str, float] = {
        "level_threshold": levels.threshold,
        "averaging_time": dwells.interval,
        "transitions": dwells.transitions,
        "apparent_rate_in": dwells.rate_in,
        "apparent_rate_out": dwells.rate_out,
        "corrected_rate_in": rate_in,
        "corrected_rate_out": rate_out,
    }
    for name, times in (("empty", dwells.empty), ("occupied", dwells.occupied)):
        values[f"dwell_time_{name}"], values[f"dwell_time_{name}_standard_error"] = dwell_time(times, 2 * blind)
    return values


def _assignment(trace: Array, interval: float, bandwidth: float, fit: TelegraphFit) -> list[dict[str, float]]:
    """Return the error of telling the charge against the integration time, measured and expected."""
    telegraph = fit.telegraph
    record = whitened(trace, interval, bandwidth)
    occupation = filtered_occupation(telegraph, record, interval, 1 / (2 * np.pi * bandwidth))
    step = telegraph.level_empty - telegraph.level_occupied
    information_rate = step**2 / (2 * telegraph.deviation**2 * interval)
    found = []
    for points in integration_points(interval, telegraph, information_rate):
        measured = measured_error(record, occupation, telegraph, points)
        if measured is not None:
            error, standard_error = measured
            expected = float(assignment_error(telegraph, points * interval, information_rate))
            found.append(
                {
                    "integration_time": points * interval,
                    "assignment_error": error,
                    "assignment_error_standard_error": standard_error,
                    "expected_assignment_error": expected,
                }
            )
    return found


def _best(assignment: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the points as lists, and the time at which the charge is told best."""
    names = (
        "integration_time",
        "assignment_error",
        "assignment_error_standard_error",
        "expected_assignment_error",
    )
    lists = {name: [point[name] for point in assignment] for name in names}
    best = min(assignment, key=lambda point: point["assignment_error"], default=None)
    return {
        **lists,
        "fidelity": None if best is None else 1 - best["assignment_error"],
        "fidelity_standard_error": None if best is None else best["assignment_error_standard_error"],
        "best_integration_time": None if best is None else best["integration_time"],
    }
