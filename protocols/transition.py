"""The transition of an activation switch: found by bisection, measured, and fitted."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from scipy.special import logit

from protocols.acquisition import Plan, measure, save
from protocols.ports import ActivationSwitch
from protocols.randomness import stream
from protocols.record import Record
from protocols.statistics import autocorrelation_time
from protocols.switch_calibration import CalibrationError, CurvePoint, SwitchCalibration, allowed_drives

SEARCH_SHOTS = 300
"""Shots of each question while the transition is looked for."""

BISECTIONS = 60
TOLERANCE = 0.12
"""Distance from the wanted probability at which a search ends, as a fraction of the rise of the curve."""

LARGEST_LOGIT = 6.0
"""A calibration goes over the drives where the logit is about minus to plus this."""

GRID = 17
"""Drives of a calibration."""


def calibrate(
    switch: ActivationSwitch, record: Record, *, shots: int, points: int = GRID, seed: int = 0
) -> Plan[SwitchCalibration]:
    """Find the transition of a switch, measure it, fit it, and save the fit.

    Parameters
    ----------
    switch : ActivationSwitch
        The switch.
    record : Record
        The record of the stream "calibration".
    shots : int
        Questions at each drive.
    points : int
        Number of drives.
    seed : int
        Seed of the order in which the drives are taken.

    Yields
    ------
    Msg

    Returns
    -------
    SwitchCalibration

    Raises
    ------
    CalibrationError
        The switch does not turn within its span, or turns too sharply for its drive.
    """
    drives = yield from transition_drives(switch, points)
    measured, _ = yield from measure_curve(switch, drives, shots=shots, seed=seed)
    calibration = SwitchCalibration.fitted(switch, measured)
    yield from save_calibration(calibration, record)
    return calibration


def calibration_record() -> Record:
    """Return the record of the stream "calibration": one for all switches of a run; `unit` says what drives are in."""
    dims = {"coefficients": ("power",), "covariance": ("parameter", "parameter_"), "drive_limits": ("limit",)}
    return Record("calibration", dims=dims)


def save_calibration(calibration: SwitchCalibration, record: Record) -> Plan[None]:
    """Save a calibration as an event."""
    yield from save(record, **{**calibration.as_dict(), **calibration.summary()})


def transition_drives(switch: ActivationSwitch, points: int) -> Plan[list[float]]:
    """Find the transition of a switch by bisection, and return drives over it, from low to high.

    Yields
    ------
    Msg

    Returns
    -------
    list of float
        At logits from about -6 to 6, within the drives that are allowed.

    Raises
    ------
    CalibrationError
        The switch does not turn within its span, or turns too sharply for its drive.
    """
    low, high = _searched(switch)
    floor, ceiling = yield from _ends(switch, low, high)
    middle, _ = yield from _bisect(switch, low, high, floor, ceiling, 0.5)
    below, p_below = yield from _bisect(switch, low, middle, floor, ceiling, 0.2)
    above, p_above = yield from _bisect(switch, middle, high, floor, ceiling, 0.8)
    inner = (np.array([p_below, p_above]) - floor) / (ceiling - floor)
    slope = np.ptp(logit(inner)) / (above - below)
    grid = (above + below) / 2.0 + np.linspace(-LARGEST_LOGIT, LARGEST_LOGIT, points) / slope
    return np.unique(np.clip(grid, *allowed_drives(switch))).tolist()


def middle_drive(switch: ActivationSwitch) -> Plan[float]:
    """Find a drive at which a switch is on about half of the time, by bisection.

    Yields
    ------
    Msg

    Returns
    -------
    float
        In the unit of the drive.

    Raises
    ------
    CalibrationError
        The switch does not turn within its span, or turns too sharply for its drive.
    """
    low, high = _searched(switch)
    floor, ceiling = yield from _ends(switch, low, high)
    drive, _ = yield from _bisect(switch, low, high, floor, ceiling, 0.5)
    return drive


def measure_curve(
    switch: ActivationSwitch, drives: Sequence[float], *, shots: int, seed: int = 0, record: Record | None = None
) -> Plan[tuple[list[CurvePoint], float]]:
    """Ask a switch at each drive, in random order, and save each answer if a record is given.

    Random order keeps a slow drift of the switch from looking like a wider or narrower transition.

    Yields
    ------
    Msg

    Returns
    -------
    points : list of CurvePoint
        In the order of the drives.
    seconds : float
        Time on the instruments.
    """
    measured: dict[int, CurvePoint] = {}
    seconds = 0.0
    for index in stream(seed, len(drives)).permutation(len(drives)).tolist():
        seconds += yield from measure(switch, drive=float(drives[index]), shots=shots)
        measured[index] = _point(switch)
        if record is not None:
            yield from save(record, **asdict(measured[index]), seconds=seconds)
    return [measured[index] for index in sorted(measured)], seconds


def _point(switch: ActivationSwitch) -> CurvePoint:
    on, off = int(switch.on_count.get()), int(switch.off_count.get())
    correlation = autocorrelation_time(switch.outcomes.get()) if switch.memory > 0.0 else 1.0
    error = float(switch.probability_standard_error.get()) * np.sqrt(correlation)
    return CurvePoint(
        drive=float(switch.drive.get()),
        probability=float(switch.probability.get()),
        probability_standard_error=float(error),
        on_count=on,
        shots=on + off,
        correlation=correlation,
    )


def _probability(switch: ActivationSwitch, drive: float) -> Plan[tuple[float, float]]:
    """Ask a switch; return the drive in force and the fraction of +1."""
    yield from measure(switch, drive=drive, shots=SEARCH_SHOTS)
    return float(switch.drive.get()), float(switch.probability.get())


def _ends(switch: ActivationSwitch, low: float, high: float) -> Plan[tuple[float, float]]:
    """Return the probability of +1 at both ends of the search."""
    _, floor = yield from _probability(switch, low)
    _, ceiling = yield from _probability(switch, high)
    if ceiling - floor < 0.5:
        raise CalibrationError(
            f"{switch.name}: the probability of +1 goes from {floor:.3g} at {low:g} to {ceiling:.3g} at {high:g} "
            f"{switch.drive.units}; it must rise by a half at least within the span of the switch"
        )
    return floor, ceiling


def _bisect(
    switch: ActivationSwitch, low: float, high: float, floor: float, ceiling: float, level: float
) -> Plan[tuple[float, float]]:
    """Return a drive where the probability is about so far on its way from floor to ceiling, and the probability."""
    wanted, rise = floor + level * (ceiling - floor), ceiling - floor
    for _ in range(BISECTIONS):
        drive, probability = yield from _probability(switch, (low + high) / 2.0)
        if abs(probability - wanted) <= TOLERANCE * rise:
            return drive, probability
        low, high = (drive, high) if probability < wanted else (low, drive)
        if not low < high:
            break
    raise CalibrationError(
        f"{switch.name}: no drive gives +1 with a probability of about {wanted:.2f}; near {low:.9g} "
        f"{switch.drive.units} the switch turns more sharply than its drive can be set"
    )


def _searched(switch: ActivationSwitch) -> tuple[float, float]:
    """Return the part of the span of a switch that is allowed."""
    (first, last), (low, high) = switch.span, allowed_drives(switch)
    start, end = max(float(first), low), min(float(last), high)
    if not start < end:
        raise CalibrationError(
            f"{switch.name}: it turns between {first:g} and {last:g}, but drives from {low:g} to {high:g} "
            f"{switch.drive.units} are allowed"
        )
    return start, end
