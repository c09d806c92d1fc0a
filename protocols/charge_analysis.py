"""What the trace of a charge sensor says: levels, dwell times, rates, and how surely one shot tells the charge."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols.statistics import noise, propagated
from protocols.telegraph_fit import Telegraph, TelegraphFit, fit_telegraph, noise_density, whitened

Array = NDArray[np.float64]
States = NDArray[np.bool_]

HYSTERESIS = 0.25
"""How far beyond the middle a record must go, in steps of the levels, for a change of the charge to be counted."""

CLEAR = 8.0
"""Distance of the levels, in standard deviations of what is compared with a threshold."""

LEAST_SEPARATION = 3.0
"""Distance of two levels, in standard deviations of the noise, below which a trace has one level only."""

LEAST_TRANSITIONS = 4
"""Changes of the charge without which there are no rates."""

BINS = 512


class TraceError(ValueError):
    """A trace does not show what is asked of it."""


@dataclass(frozen=True)
class Levels:
    """The two levels of a sensor current, from a mixture of two Gaussians of one width.

    Attributes
    ----------
    low, high : float
        Levels, A.
    deviation : float
        Standard deviation of the noise, A.
    high_fraction : float
        Fraction of the samples that belong to the high level.
    """

    low: float
    high: float
    deviation: float
    high_fraction: float

    @property
    def step(self) -> float:
        """Distance of the levels, A."""
        return self.high - self.low

    @property
    def threshold(self) -> float:
        """Middle between the levels, A."""
        return (self.low + self.high) / 2


def find_levels(trace: ArrayLike) -> Levels:
    """Fit two Gaussians of one width to the histogram of a trace.

    Parameters
    ----------
    trace : array_like, shape (samples,)
        Sensor current, A.

    Returns
    -------
    Levels

    Raises
    ------
    TraceError
        There are no two levels: they are closer than three standard deviations, or one is hardly ever taken.
    """
    values = np.asarray(trace, dtype=float)
    counts, edges = np.histogram(values, bins=BINS)
    centres, shares = (edges[:-1] + edges[1:]) / 2, counts / counts.sum()
    high = np.where(centres > _otsu(centres, shares), 1.0, 0.0)
    for _ in range(500):
        before, levels = high, _mixture(centres, shares, high)
        if levels is None:
            break
        odds = ((centres - levels.threshold) * levels.step) / levels.deviation**2
        prior = np.log(levels.high_fraction / (1 - levels.high_fraction))
        high = 1 / (1 + np.exp(-np.clip(odds + prior, -700, 700)))
        if np.abs(high - before).max() < 1e-9:
            break
    if levels is None or levels.step < LEAST_SEPARATION * levels.deviation:
        spread = "" if levels is None else f" {levels.step:.3g} A apart with noise of {levels.deviation:.3g} A"
        raise TraceError(
            f"trace: no two levels{spread}; allowed: levels at least {LEAST_SEPARATION:g} standard deviations apart, "
            "so tune the gates to a charge degeneracy and the sensor to its slope"
        )
    return levels


def _otsu(centres: Array, shares: Array) -> float:
    """Return the threshold that splits a histogram into the two parts of largest difference (Otsu 1979)."""
    below, moment = np.cumsum(shares)[:-1], np.cumsum(shares * centres)[:-1]
    mean = float(shares @ centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean * below - moment) ** 2 / (below * (1 - below))
    return float(centres[:-1][np.argmax(np.nan_to_num(between))])


def _mixture(centres: Array, shares: Array, high: Array) -> Levels | None:
    fraction = float(shares @ high)
    if not 1e-6 < fraction < 1 - 1e-6:
        return None
    upper = float(shares @ (high * centres)) / fraction
    lower = float(shares @ ((1 - high) * centres)) / (1 - fraction)
    variance = float(shares @ (high * (centres - upper) ** 2 + (1 - high) * (centres - lower) ** 2))
    return Levels(lower, upper, float(np.sqrt(variance)), fraction) if variance > 0 else None


def occupied(record: ArrayLike, levels: Levels) -> States:
    """Tell from each value whether the dot is occupied: a charge lowers the sensor's current.

    The state changes when the record goes beyond the middle by `HYSTERESIS` times the step of the levels.

    Returns
    -------
    ndarray of bool, shape (values,)
    """
    values = np.asarray(record, dtype=float)
    margin = HYSTERESIS * levels.step
    beyond = np.where(values > levels.threshold + margin, 1, np.where(values < levels.threshold - margin, -1, 0))
    if not beyond.any():
        return values < levels.threshold
    places = np.where(beyond != 0, np.arange(len(values)), 0)
    last = np.maximum.accumulate(places)
    signs = beyond[last]
    signs[signs == 0] = beyond[np.argmax(beyond != 0)]
    return signs < 0


def averaging(deviation: float, levels: Levels) -> int:
    """Return over how many values a record is averaged so that noise alone hardly ever passes a threshold."""
    return max(1, int(np.ceil((CLEAR * deviation / levels.step) ** 2)))


def averaged(record: Array, points: int) -> Array:
    """Return the means of so many values after each other, shape (values // points,)."""
    count = len(record) // points
    return record[: count * points].reshape(count, points).mean(axis=1)


def dead_time(interval: float) -> float:
    """Return how long a dwell must be, on the average over its beginning, to be seen in means over an interval, in s.

    A mean must hold a share ``c = 1/2 + h`` of the dwell, h the hysteresis. From c intervals on that may happen, from
    2c on it must, and the chance in between rises evenly from 1 - c to 1, so the average is ``c + c^2/2`` intervals.
    """
    share = 0.5 + HYSTERESIS
    return (share + share**2 / 2) * interval


@dataclass(frozen=True, eq=False)
class Dwells:
    """How long the dot stayed empty and occupied, as far as a threshold sees it.

    Attributes
    ----------
    interval : float
        Between the values that were compared with the threshold, s.
    empty, occupied : ndarray
        Whole dwells, s: those with a beginning and an end in a trace.
    time_empty, time_occupied : float
        All of the time in each state, cut dwells included, s.
    """

    interval: float
    empty: Array
    occupied: Array
    time_empty: float
    time_occupied: float

    @property
    def transitions(self) -> int:
        """Whole dwells of both kinds."""
        return len(self.empty) + len(self.occupied)

    @property
    def rate_in(self) -> float:
        """Ends of empty dwells per time in them, 1/s: the apparent rate at which the dot is filled."""
        return len(self.empty) / self.time_empty

    @property
    def rate_out(self) -> float:
        """Ends of occupied dwells per time in them, 1/s: the apparent rate at which it is emptied."""
        return len(self.occupied) / self.time_occupied


def find_dwells(states: Sequence[States], interval: float) -> Dwells:
    """Cut states at equal intervals into dwells.

    Parameters
    ----------
    states : sequence of ndarray of bool, shape (samples,)
        Whether the dot is occupied, one array a trace.
    interval : float
        Between samples, s.

    Returns
    -------
    Dwells

    Raises
    ------
    TraceError
        There are too few dwells of either kind to speak of rates.
    """
    whole: dict[bool, list[Array]] = {False: [], True: []}
    for series in states:
        changes = np.flatnonzero(np.diff(series.astype(np.int8))) + 1
        lengths = np.diff(changes) * interval
        kinds = series[changes[:-1]]
        for kind in (False, True):
            whole[kind].append(lengths[kinds == kind])
    samples, filled = sum(len(series) for series in states), sum(int(series.sum()) for series in states)
    dwells = Dwells(
        interval,
        np.concatenate(whole[False]),
        np.concatenate(whole[True]),
        (samples - filled) * interval,
        filled * interval,
    )
    if min(len(dwells.empty), len(dwells.occupied)) < LEAST_TRANSITIONS / 2:
        raise TraceError(
            f"trace: the charge changed {dwells.transitions} times; allowed: at least {LEAST_TRANSITIONS} times, so "
            "record longer or open a barrier"
        )
    return dwells


def bandwidth_corrected(rate_in: float, rate_out: float, detector_rate: float) -> tuple[float, float]:
    """Return the rates of a dot from the apparent ones that a detector of finite speed counts.

    ``Gamma = Gamma* Gamma_det/(Gamma_det - Gamma*_in - Gamma*_out)`` (Naaman and Aumentado, PRL 96, 100201, 2006),
    which holds to first order for a dead time 1/Gamma_det.

    Raises
    ------
    TraceError
        The apparent rates are as large as a detector of this speed can show.
    """
    left = detector_rate - rate_in - rate_out
    if left <= 0:
        raise TraceError(
            f"trace: apparent rates of {rate_in:.3g} and {rate_out:.3g} 1/s; allowed: together less than the "
            f"{detector_rate:.3g} 1/s of the detector"
        )
    return rate_in * detector_rate / left, rate_out * detector_rate / left


def dwell_time(dwells: Array, shortest: float) -> tuple[float, float]:
    """Return the time constant of an exponential through the dwells beyond the shortest, and its standard error.

    The most probable one is the mean of ``t - t_min`` over ``t > t_min``.

    Parameters
    ----------
    dwells : ndarray
        Dwell times, s.
    shortest : float
        ``t_min``, s.

    Returns
    -------
    time, standard_error : float
        In s.

    Raises
    ------
    TraceError
        No dwell is longer.
    """
    longer = dwells[dwells > shortest] - shortest
    if not len(longer):
        raise TraceError(f"trace: no dwell is longer than {shortest:.3g} s; allowed: some, so take shorter intervals")
    return float(longer.mean()), float(longer.mean() / np.sqrt(len(longer)))


def dwell_histogram(dwells: Dwells, bins: int) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Count dwells in equal bins from 0 to the longest.

    Returns
    -------
    edges : ndarray, shape (bins + 1,)
        In s.
    empty, occupied : ndarray of int, shape (bins,)
    """
    edges = np.linspace(0.0, max(dwells.empty.max(), dwells.occupied.max()), bins + 1)
    return edges, np.histogram(dwells.empty, edges)[0], np.histogram(dwells.occupied, edges)[0]


def analyse(traces: Sequence[Array], interval: float, bandwidth: float) -> tuple[Levels, Dwells, TelegraphFit]:
    """Find levels, dwells and the most probable rates of traces.

    Parameters
    ----------
    traces : sequence of ndarray, shape (samples,)
        Sensor currents, A.
    interval : float
        Between samples, s.
    bandwidth : float
        Of the read-out, Hz.

    Returns
    -------
    Levels, Dwells, TelegraphFit

    Raises
    ------
    TraceError
        The traces show no two levels, hardly any change of the charge, or do not determine the rates.
    """
    levels = find_levels(np.concatenate(list(traces)))
    records = [whitened(trace, interval, bandwidth) for trace in traces]
    deviation = float(np.mean([noise(record) for record in records]))
    points = averaging(deviation, levels)
    means = [averaged(record, points) for record in records]
    dwells = find_dwells([occupied(series, levels) for series in means], points * interval)
    guess = Telegraph(dwells.rate_in, dwells.rate_out, levels.high, levels.low, deviation)
    fit = fit_telegraph(records, interval, 1 / (2 * np.pi * bandwidth), guess, transitions=dwells.transitions)
    if fit is None:
        raise TraceError("trace: it does not determine rates, levels and noise; allowed: longer traces")
    return levels, dwells, fit


def telegraph_values(fit: TelegraphFit, interval: float, bandwidth: float) -> dict[str, float]:
    """Return what a fit says, with standard errors.

    Returns
    -------
    dict
        ``rate_in``, ``rate_out`` in 1/s, ``level_empty``, ``level_occupied``, ``current_step`` in A, ``noise_density``
        in A^2/Hz, ``information_rate`` dI^2/S in 1/s, ``occupied_fraction``; each with its ``*_standard_error``.
    """
    t = fit.telegraph
    centre = [np.log(t.rate_in), np.log(t.rate_out), t.level_empty, t.level_occupied, np.log(t.deviation)]

    def values(p: Array) -> Array:
        step, density = p[2] - p[3], noise_density(float(np.exp(p[4])), interval, bandwidth)
        share = 1 / (1 + np.exp(p[1] - p[0]))
        return np.array([np.exp(p[0]), np.exp(p[1]), p[2], p[3], step, density, step**2 / density, share])

    names = ("rate_in", "rate_out", "level_empty", "level_occupied", "current_step", "noise_density")
    estimates, errors = propagated(values, centre, fit.covariance)
    pairs = zip((*names, "information_rate", "occupied_fraction"), estimates, errors, strict=True)
    return {
        key: float(x) for name, value, error in pairs for key, x in ((name, value), (f"{name}_standard_error", error))
    }
