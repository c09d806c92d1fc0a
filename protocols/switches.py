"""Characterisation of an activation switch: its switching curve, and how long it remembers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, as_json, measure, recorded, save
from protocols.arguments import LARGEST_SEED, LARGEST_SHOTS, allowed_by, number, numbers, whole
from protocols.dwell_times import dwell_times, outcome_memory
from protocols.ports import ActivationSwitch
from protocols.record import Record
from protocols.switch_calibration import SUMMARY, CalibrationError, CurvePoint, SwitchCalibration
from protocols.transition import (
    SEARCH_SHOTS,
    calibration_record,
    measure_curve,
    middle_drive,
    save_calibration,
    transition_drives,
)

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "switch_curve": {"points": 9, "shots": 1000},
    "switching_times": {"shots": 2000},
}
"""Arguments of a short run of each plan."""

Drives = Sequence[float]


def switch_curve(
    switch: ActivationSwitch,
    *,
    drive: Sequence[float] | None = None,
    points: int = 17,
    shots: int = 2000,
    seed: int = 0,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Measure the probability of +1 against the drive, and calibrate the activation of a switch.

    The drives are taken in random order. The logit of the probability is fitted by a rising polynomial, between a floor
    and a ceiling where the counts ask for them; learning plans take the calibration from the run.

    Parameters
    ----------
    switch : ActivationSwitch
        The switch.
    drive : sequence of float, optional
        Drives in the unit of the switch. Default: over the transition, which is looked for first.
    points : int
        Number of drives over the transition, from 5 to 1000.
    shots : int
        Questions at each drive.
    seed : int
        Seed of the order of the drives, from 0 to 4294967295.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        Lists ``drive``, ``probability`` and ``probability_standard_error``; numbers ``beta`` (slope of the logit, in
        one over the unit of the drive) and ``offset`` (the drive at its middle) with their standard errors,
        ``degree``, ``floor``, ``loss`` and ``p_value`` of the fit, all None where given drives determine no curve;
        ``shots`` and ``seconds``.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    CalibrationError
        The transition has not been found.
    """
    arguments: dict[str, Any] = {
        "drive": None if drive is None else numbers("drive", drive, -1e6, 1e6),
        "points": whole("points", points, 5, 1000),
        "shots": whole("shots", shots, 2, LARGEST_SHOTS),
        "seed": whole("seed", seed, 0, LARGEST_SEED),
    }
    allowed_by(switch, shots=shots)
    if arguments["drive"] is None:
        allowed_by(switch, shots=SEARCH_SHOTS)
    for value in arguments["drive"] or ():
        allowed_by(switch, drive=value)
    body = _curve(switch, arguments["drive"], points, shots, seed)
    return (yield from recorded(switch, "switch_curve", as_json(arguments), body, md))


def _curve(switch: ActivationSwitch, drive: Drives | None, points: int, shots: int, seed: int) -> Plan[dict[str, Any]]:
    record = Record("primary", units={"drive": switch.drive.units})
    drives = (yield from transition_drives(switch, points)) if drive is None else drive
    measured, seconds = yield from measure_curve(switch, drives, shots=shots, seed=seed, record=record)
    calibration = _fitted(switch, measured, required=drive is None)
    if calibration is not None:
        yield from save_calibration(calibration, calibration_record())
    return {
        **{
            name: [getattr(point, name) for point in measured]
            for name in ("drive", "probability", "probability_standard_error")
        },
        **(calibration.summary() if calibration else dict.fromkeys(SUMMARY)),
        "shots": sum(point.shots for point in measured),
        "seconds": seconds,
    }


def _fitted(switch: ActivationSwitch, measured: Sequence[CurvePoint], *, required: bool) -> SwitchCalibration | None:
    """Fit a curve; drives an operator chose need not determine one."""
    try:
        return SwitchCalibration.fitted(switch, measured)
    except CalibrationError:
        if required:
            raise
        return None


def switching_times(
    switch: ActivationSwitch,
    *,
    drive: float | None = None,
    shots: int = 100000,
    lags: int = 20,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Measure how long a switch stays on and off, and how much of one shot is left in the next.

    Parameters
    ----------
    switch : ActivationSwitch
        The switch.
    drive : float, optional
        Drive in the unit of the switch. Default: where it is on half of the time, which is looked for first.
    shots : int
        Length of the series, at least 100.
    lags : int
        Distances between shots, in shots, up to which they are correlated: from 1 to a tenth of the shots, or 1000.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        ``drive``, ``probability`` and its standard error with the correlations counted in; ``autocorrelation`` at lags
        1, 2, ... and the ``autocorrelation_standard_error`` that independent shots would have; ``memory``: the
        correlation of neighbouring shots; ``independent``: whether it is none within five standard errors;
        ``datasheet_memory`` and ``within_datasheet``; ``interval`` between shots and ``correlation_time`` in s, None
        for independent shots; ``dwell_shots_on``, ``dwell_shots_off``, ``dwell_seconds_on``, ``dwell_seconds_off``,
        each with ``_standard_error``, None where the switch has not turned; ``shots`` and ``seconds``.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    CalibrationError
        The transition has not been found.
    """
    arguments = {
        "drive": None if drive is None else number("drive", drive, -1e6, 1e6),
        "shots": whole("shots", shots, 100, LARGEST_SHOTS),
        "lags": whole("lags", lags, 1, min(shots // 10, 1000)),
    }
    allowed_by(switch, shots=shots)
    allowed_by(switch, **({"shots": SEARCH_SHOTS} if drive is None else {"drive": drive}))
    return (yield from recorded(switch, "switching_times", arguments, _times(switch, drive, shots, lags), md))


def _times(switch: ActivationSwitch, drive: float | None, shots: int, lags: int) -> Plan[dict[str, Any]]:
    chosen = (yield from middle_drive(switch)) if drive is None else drive
    seconds = yield from measure(switch, drive=chosen, shots=shots)
    outcomes = np.asarray(switch.outcomes.get(), dtype=float)
    times = np.asarray(switch.shot_times.get(), dtype=float)
    result = {
        "drive": float(switch.drive.get()),
        **outcome_memory(outcomes, _interval(times), lags),
        "datasheet_memory": float(switch.memory),
        "interval": _interval(times),
        **dwell_times(outcomes, _interval(times)),
        "shots": len(outcomes),
        "seconds": seconds,
    }
    error = result["autocorrelation_standard_error"]
    result["within_datasheet"] = bool(result["memory"] <= switch.memory + 5.0 * error)
    units = {"drive": switch.drive.units, "interval": "s", "correlation_time": "s"}
    units |= {name: "s" for name in result if name.startswith("dwell_seconds")}
    values = {name: np.nan if value is None else value for name, value in result.items()}
    record = Record("primary", units=units, dims={"autocorrelation": ("lag",)})
    yield from save(record, **{name: np.asarray(v) if isinstance(v, list) else v for name, v in values.items()})
    return result


def _interval(times: NDArray[np.float64]) -> float:
    """Return the mean time between shots, s."""
    return float((times[-1] - times[0]) / (len(times) - 1))
