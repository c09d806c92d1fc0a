"""Transport through dots: the pinch-off of a gate, Coulomb diamonds, and the charge stability of two dots."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, as_json, recorded, save
from protocols.arguments import ArgumentError, allowed_by, number, whole
from protocols.dot_analysis import (
    CoulombPeak,
    coulomb_peaks,
    diamond_edges,
    electron_temperature,
    fit_diamonds,
    fit_pinch_off,
)
from protocols.gate_settings import (
    HIGHEST_VOLTAGE,
    LARGEST_SWEEP,
    check_gates,
    gate_voltages,
    prepare_sweep,
    sweep_line,
    sweep_voltages,
)
from protocols.ports import QuantumDot
from protocols.record import Record
from protocols.statistics import noise

Array = NDArray[np.float64]

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "pinch_off": {"points": 41, "repeats": 2},
    "coulomb_diamonds": {"gate_points": 61, "bias_points": 11, "peak_points": 301},
    "charge_stability": {"points": (31, 11)},
}
"""Arguments of a short run of each plan."""

UNITS = {
    **dict.fromkeys(("bias_voltage", "gate_voltage", "step_voltage"), "V"),
    **dict.fromkeys(("threshold", "pinch_off_voltage", "period", "edge_residual"), "V"),
    **dict.fromkeys(("current", "sensor_current", "a", "residual"), "A"),
    **dict.fromkeys(("lever_arm", "source_lever_arm"), "eV/V"),
    "b": "1/V",
    "charging_energy": "eV",
    "electron_temperature": "K",
}
"""Units of what these plans record; the others are pure numbers."""

DIMS = dict.fromkeys(("gate_voltage", "current", "sensor_current"), ("point",))
"""Names of the axes of the arrays that these plans record."""


def pinch_off(
    dot: QuantumDot,
    *,
    gate: str = "barrier_left",
    start: float = 0.0,
    stop: float = 1.0,
    points: int = 101,
    repeats: int = 3,
    bias: float = 0.008,
    fixed_gates: Sequence[str] = ("barrier_right=1.0",),
    settling_time: float = 0.001,
    integration_time: float = 0.02,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Close a gate, and fit I = a [1 + tanh(b V + c)] to the current through the dot.

    A bias beyond the charging energy keeps the Coulomb blockade out of the curve.

    Parameters
    ----------
    dot : QuantumDot
        The dot.
    gate : str
        Gate to sweep.
    start, stop : float
        First and last voltage of the gate, V.
    points : int
        Voltages of a sweep, from 4 to 10000.
    repeats : int
        Sweeps, from 1 to 1000; several say how good the fit is.
    bias : float
        Voltage between source and drain, V.
    fixed_gates : sequence of str
        Other gates, as "name=volts"; those not named stay at their safe voltage.
    settling_time : float
        Time from a step to its reading, s.
    integration_time : float
        Time of each reading, s.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        Lists ``gate_voltage`` in V, ``current`` and, for several sweeps, ``current_standard_error`` in A; ``fit``: a,
        b, c, ``threshold`` -c/b, ``pinch_off_voltage`` where 1 % of the saturation current is left, with standard
        errors, and the goodness of the fit, or None where the sweep does not determine it; ``seconds``.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    """
    whole("points", points, 4, LARGEST_SWEEP)
    values = sweep_voltages("start, stop", (start, stop), points)
    whole("repeats", repeats, 1, 1000)
    fixed = _fixed(fixed_gates, (gate,), bias)
    times = _times(settling_time, integration_time)
    check_gates(dot, {**{name: (volts,) for name, volts in fixed.items()}, gate: values})
    allowed_by(dot, **times)
    arguments: dict[str, Any] = {
        "gate": gate,
        "start": start,
        "stop": stop,
        "points": points,
        "repeats": repeats,
        "bias": bias,
    }
    arguments |= {"fixed_gates": fixed_gates, **times}
    body = _pinch_off(dot, gate, values, fixed, times, repeats)
    return (yield from recorded(dot, "pinch_off", as_json(arguments), body, md))


def _pinch_off(
    dot: QuantumDot,
    gate: str,
    values: Sequence[float],
    fixed: Mapping[str, float],
    times: Mapping[str, float],
    repeats: int,
) -> Plan[dict[str, Any]]:
    record = Record("primary", units=UNITS, dims=DIMS)
    yield from prepare_sweep(dot, gate, values, fixed, **times)
    lines: list[Array] = []
    seconds = 0.0
    for _ in range(repeats):
        seconds += yield from sweep_line(dot, {})
        lines.append(_array(dot.current.get()))
        yield from save(record, gate_voltage=np.asarray(values), current=lines[-1])
    currents = np.stack(lines)
    fit = fit_pinch_off(values, currents)
    if fit is not None:
        yield from save(Record("fit", units=UNITS, dims=DIMS), **_known(fit))
    result = {"gate_voltage": list(values), "current": currents.mean(axis=0).tolist()}
    if repeats > 1:
        result["current_standard_error"] = (currents.std(axis=0, ddof=1) / np.sqrt(repeats)).tolist()
    return {**result, "fit": fit, "seconds": seconds}


def coulomb_diamonds(
    dot: QuantumDot,
    *,
    gate: str = "virtual_plunger",
    gate_range: tuple[float, float] = (0.0, 0.06),
    gate_points: int = 201,
    bias_range: tuple[float, float] = (-0.004, 0.004),
    bias_points: int = 101,
    peak_points: int = 1001,
    probe_bias: float = 5e-6,
    fixed_gates: Sequence[str] = ("barrier_left=0.9", "barrier_right=0.9"),
    settling_time: float = 0.0002,
    integration_time: float = 0.0002,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Map the current through a dot over gate and bias, one buffered line of the gate a bias.

    First the gate is swept finely at plus and minus a bias of little more than nothing, for the Coulomb peaks of the
    conductance; their positions are the corners from which the edges of the diamonds start.

    Parameters
    ----------
    dot : QuantumDot
        The dot.
    gate : str
        Gate to sweep.
    gate_range : tuple of float
        First and last voltage of the gate, V.
    gate_points : int
        Voltages of a line, from 2 to 10000.
    bias_range : tuple of float
        First and last voltage between source and drain, V.
    bias_points : int
        Lines of the map, from 2 to 10000.
    peak_points : int
        Voltages of the fine sweeps; 0 leaves them, and all analysis, out.
    probe_bias : float
        Bias of the fine sweeps, V; little against kT/e, which is 8.6 microvolts at 0.1 K.
    fixed_gates : sequence of str
        Other gates, as "name=volts"; those not named stay at their safe voltage.
    settling_time : float
        Time from a step to its reading, s.
    integration_time : float
        Time of each reading, s.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        Lists ``peak_position`` in V and ``peak_conductance`` in S; ``lever_arm`` of the gate in eV per V,
        ``source_lever_arm`` (for a grounded drain), ``rising_slope`` and ``falling_slope`` of the edges, ``period`` in
        V, ``charging_energy`` in eV and ``electron_temperature`` in K, each None where the map does not tell it; all
        with standard errors; ``edge_residual``, how far the edges lie from straight lines, in V of the gate; ``points``
        of the map and ``seconds``.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    """
    gates = sweep_voltages("gate_range", gate_range, gate_points)
    biases = sweep_voltages("bias_range", bias_range, bias_points)
    fine = sweep_voltages("gate_range", gate_range, peak_points) if peak_points else ()
    number("probe_bias", probe_bias, 0.0, HIGHEST_VOLTAGE, unit="V", above=True)
    fixed = _fixed(fixed_gates, (gate,), biases[0])
    times = _times(settling_time, integration_time)
    probes = (probe_bias, -probe_bias) if fine else ()
    check_gates(dot, {**{name: (v,) for name, v in fixed.items()}, gate: gates, "bias": (*biases, *probes)})
    allowed_by(dot, **times)
    arguments: dict[str, Any] = {
        "gate": gate,
        "gate_range": gate_range,
        "gate_points": gate_points,
        "bias_range": bias_range,
    }
    arguments |= {"bias_points": bias_points, "peak_points": peak_points, "probe_bias": probe_bias}
    arguments |= {"fixed_gates": fixed_gates, **times}
    body = _diamonds(dot, gate, (gates, biases, fine, probes), fixed, times)
    return (yield from recorded(dot, "coulomb_diamonds", as_json(arguments), body, md))


def _diamonds(
    dot: QuantumDot,
    gate: str,
    axes: tuple[Sequence[float], Sequence[float], Sequence[float], Sequence[float]],
    fixed: Mapping[str, float],
    times: Mapping[str, float],
) -> Plan[dict[str, Any]]:
    gates, biases, fine, probes = axes
    peaks: list[CoulombPeak] = []
    seconds = 0.0
    if fine:
        yield from prepare_sweep(dot, gate, fine, {**fixed, "bias": probes[0]}, **times)
        (forward, backward), spent = yield from _lines(dot, "conductance", "bias", probes, fine)
        peaks = coulomb_peaks(fine, (forward - backward) / (probes[0] - probes[1]))
        seconds += spent
    yield from prepare_sweep(dot, gate, gates, {**fixed, "bias": biases[0]}, **times)
    currents, spent = yield from _lines(dot, "primary", "bias", biases, gates)
    analysis = _dot_parameters(peaks, gates, biases, np.stack(currents))
    if analysis:
        yield from save(Record("fit", units=UNITS, dims=DIMS), **analysis)
    unknown = [f"{name}{end}" for name in DOT_PARAMETERS for end in ("", "_standard_error")]
    result = {**dict.fromkeys((*unknown, "edge_residual")), **analysis}
    return {**_peak_lists(peaks), **result, "points": len(gates) * len(biases), "seconds": seconds + spent}


DOT_PARAMETERS = (
    "rising_slope",
    "falling_slope",
    "lever_arm",
    "source_lever_arm",
    "period",
    "charging_energy",
    "electron_temperature",
)
"""What Coulomb diamonds and peaks tell of a dot."""


def _dot_parameters(
    peaks: Sequence[CoulombPeak], gates: Sequence[float], biases: Sequence[float], currents: Array
) -> dict[str, float]:
    if not peaks:
        return {}
    edges = diamond_edges(gates, biases, currents, [peak.position for peak in peaks])
    fit = fit_diamonds(edges, len(peaks))
    if fit is None:
        return {}
    return {**fit, **electron_temperature(peaks, fit["lever_arm"], fit["lever_arm_standard_error"])}


def _peak_lists(peaks: Sequence[CoulombPeak]) -> dict[str, list[float]]:
    names = ("position", "conductance")
    return {
        f"peak_{name}{end}": [float(getattr(peak, name + end)) for peak in peaks]
        for name in names
        for end in ("", "_standard_error")
    }


def charge_stability(
    dot: QuantumDot,
    *,
    gates: tuple[str, str] = ("virtual_plunger", "virtual_plunger_2"),
    first_range: tuple[float, float] = (0.0, 0.06),
    second_range: tuple[float, float] = (0.0, 0.06),
    points: tuple[int, int] = (121, 121),
    bias: float = 0.0,
    fixed_gates: Sequence[str] = ("barrier_left=0.4", "barrier_right=0.4", "barrier_2=0.4", "virtual_sensor=0.3"),
    settling_time: float = 0.0002,
    integration_time: float = 0.001,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Map the current of the charge sensor over two gates: it steps where the charge of a dot changes.

    Parameters
    ----------
    dot : QuantumDot
        The dots.
    gates : tuple of str
        The gate swept in buffered lines and the gate stepped from line to line.
    first_range, second_range : tuple of float
        First and last voltage of either gate, V.
    points : tuple of int
        Voltages of either gate, from 2 to 10000.
    bias : float
        Voltage between source and drain, V.
    fixed_gates : sequence of str
        Other gates, as "name=volts"; those not named stay at their safe voltage.
    settling_time : float
        Time from a step to its reading, s.
    integration_time : float
        Time of each reading, s.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        ``sensor_noise`` of a reading and ``largest_step`` of the sensor between two readings in A; ``steps``: how many
        readings differ from those before by more than six times the noise; ``points`` of the map and ``seconds``.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    """
    swept, stepped = _two("gates", gates)
    if swept == stepped:
        raise ArgumentError(f"gates: {swept} twice; allowed: two different gates")
    counts = _two("points", points)
    values = sweep_voltages("first_range", first_range, counts[0])
    steps = sweep_voltages("second_range", second_range, counts[1])
    fixed = _fixed(fixed_gates, (swept, stepped), bias)
    times = _times(settling_time, integration_time)
    check_gates(dot, {**{name: (v,) for name, v in fixed.items()}, swept: values, stepped: steps})
    if (swept in dot.safe_voltages) != (stepped in dot.safe_voltages):
        raise ArgumentError(f"gates: of {swept} and {stepped} one is virtual; allowed: two alike")
    allowed_by(dot, **times)
    arguments: dict[str, Any] = {
        "gates": gates,
        "first_range": first_range,
        "second_range": second_range,
        "points": points,
    }
    arguments |= {"bias": bias, "fixed_gates": fixed_gates, **times}
    body = _stability(dot, (swept, stepped), (values, steps), fixed, times)
    return (yield from recorded(dot, "charge_stability", as_json(arguments), body, md))


def _stability(
    dot: QuantumDot,
    gates: tuple[str, str],
    axes: tuple[Sequence[float], Sequence[float]],
    fixed: Mapping[str, float],
    times: Mapping[str, float],
) -> Plan[dict[str, Any]]:
    (swept, stepped), (values, steps) = gates, axes
    yield from prepare_sweep(dot, swept, values, {**fixed, stepped: steps[0]}, **times)
    lines, seconds = yield from _lines(dot, "primary", stepped, steps, values, sensor=True)
    differences = np.diff(np.stack(lines), axis=1)
    deviation = float(np.median([noise(line) for line in lines]))
    jumps = np.abs(differences - np.median(differences))
    return {
        "sensor_noise": deviation,
        "largest_step": float(jumps.max()),
        "steps": int(np.sum(jumps > 6 * np.sqrt(2) * deviation)),
        "points": len(values) * len(steps),
        "seconds": seconds,
    }


def _lines(
    dot: QuantumDot, stream: str, stepped: str, steps: Sequence[float], values: Sequence[float], *, sensor: bool = False
) -> Plan[tuple[list[Array], float]]:
    """Sweep one line for each value of what is stepped; return the currents and the instrument time."""
    record = Record(stream, units=UNITS, dims=DIMS)
    lines: list[Array] = []
    seconds = 0.0
    name = "bias_voltage" if stepped == "bias" else "step_voltage"
    for volts in steps:
        seconds += yield from sweep_line(dot, {stepped: volts})
        current, sensed = _array(dot.current.get()), _array(dot.sensor_current.get())
        lines.append(sensed if sensor else current)
        readings = {"gate_voltage": np.asarray(values), "current": current, "sensor_current": sensed}
        yield from save(record, **{name: volts, **readings})
    return lines, seconds


def _fixed(settings: Sequence[str], swept: Sequence[str], bias: float) -> dict[str, float]:
    """Return gates that stay where they are during a sweep, and the bias."""
    fixed = gate_voltages("fixed_gates", settings)
    for name in swept:
        if name in fixed:
            raise ArgumentError(f"fixed_gates: {name} is swept; allowed: the other gates")
    return {**fixed, "bias": number("bias", bias, -HIGHEST_VOLTAGE, HIGHEST_VOLTAGE, unit="V")}


def _times(settling_time: float, integration_time: float) -> dict[str, float]:
    return {
        "settling_time": number("settling_time", settling_time, 0.0, 100.0, unit="s"),
        "integration_time": number("integration_time", integration_time, 0.0, 100.0, unit="s", above=True),
    }


def _two(name: str, values: Sequence[Any]) -> tuple[Any, Any]:
    if isinstance(values, str) or len(values) != 2:
        raise ArgumentError(f"{name}: {values!r} is not allowed; two values")
    return values[0], values[1]


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _array(values: Any) -> Array:
    return np.asarray(values, dtype=float)
