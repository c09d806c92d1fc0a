"""How surely the sensor tells the charge of a dot in a given time: in theory, and measured on a filtered trace."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols.telegraph_fit import Telegraph

Array = NDArray[np.float64]

HIGHEST_FREQUENCY = 9.0
"""Where the integral over the characteristic function is cut: ``exp(-x^2/2)`` is below 1e-17 there."""

FREQUENCIES = 4000


def boxcar_error(time: ArrayLike, information_rate: float, rate_leave: float, rate_return: float) -> Array:
    """Return how probably the average of a record over a time is on the wrong side of the middle between the levels.

    Parameters
    ----------
    time : array_like
        Integration times, s.
    information_rate : float
        ``Gamma = dI^2/S`` for a step dI of the levels and a one-sided noise density S, 1/s; for a sampled record S is
        twice the variance of a value times the interval.
    rate_leave, rate_return : float
        Rates at which the state at the beginning is left and returned to, 1/s.

    Returns
    -------
    ndarray
        ``P(Y < 0) = 1/2 - (1/pi) int_0^inf Im phi(u)/u du`` for the record ``dY = sqrt(Gamma/2) n dt + dW`` that starts
        with n = +1, phi its characteristic function (Gil-Pelaez 1951). Without transitions it is
        ``erfc(sqrt(Gamma T)/2)/2``.
    """
    times = np.asarray(time, dtype=float)[..., np.newaxis]
    step = HIGHEST_FREQUENCY / FREQUENCIES
    x = (np.arange(FREQUENCIES) + 0.5) * step
    drift = 1j * np.sqrt(information_rate / 2) * x / np.sqrt(times)
    mean, half = -(rate_leave + rate_return) / 2, (rate_return - rate_leave) / 2 + drift
    root = np.sqrt(half**2 + rate_leave * rate_return + 0j)
    root = np.where(root == 0, 1e-12, root)
    grown, decayed = np.exp((mean + root) * times), np.exp((mean - root) * times)
    phi = ((grown + decayed) + (half + rate_leave) * (grown - decayed) / root) / 2 * np.exp(-(x**2) / 2)
    return 0.5 - np.sum(phi.imag / x, axis=-1) * step / np.pi


def assignment_error(telegraph: Telegraph, time: ArrayLike, information_rate: float) -> Array:
    """Return the mean error of telling empty from occupied by a boxcar, the average over both charges.

    Parameters
    ----------
    telegraph : Telegraph
        Rates of the dot.
    time : array_like
        Integration times, s.
    information_rate : float
        ``dI^2/S``, 1/s.
    """
    rates = telegraph.rate_in, telegraph.rate_out
    empty, occupied = (boxcar_error(time, information_rate, *pair) for pair in (rates, rates[::-1]))
    return (empty + occupied) / 2


def measured_error(record: Array, occupation: Array, telegraph: Telegraph, points: int) -> tuple[float, float] | None:
    """Measure the mean error of telling empty from occupied by a boxcar.

    Windows of the record follow each other. What is known of the charge at the beginning of each is the filter's
    probability p there, which rests on the record before; the chance that the window is taken for empty is
    ``e_1 p + (1 - e_0)(1 - p)`` with the errors e_0 and e_1 of either charge, so a straight line through the answers
    against p gives both, whether or not the filter is sure.

    Parameters
    ----------
    record : ndarray, shape (values,)
        Whitened values, A.
    occupation : ndarray, shape (values,) or longer
        Probability that the dot is occupied at the beginning of each value, from the record before it.
    telegraph : Telegraph
        The levels.
    points : int
        Values of a window.

    Returns
    -------
    (error, standard_error) or None
        None where the windows do not tell the errors of both charges.
    """
    windows = len(record) // points
    means = record[: windows * points].reshape(windows, points).mean(axis=1)
    p = occupation[: windows * points : points]
    middle = (telegraph.level_empty + telegraph.level_occupied) / 2
    low_is_occupied = telegraph.level_occupied < telegraph.level_empty
    told_empty = ((means > middle) == low_is_occupied).astype(float)
    design = np.stack([p, 1 - p], axis=1)
    normal = design.T @ design
    if windows < 3 or np.linalg.cond(normal) > 1e8:
        return None
    inverse = np.linalg.inv(normal)
    chances = inverse @ design.T @ told_empty
    residuals = told_empty - design @ chances
    covariance = inverse @ (design.T * residuals**2) @ design @ inverse
    contrast = np.array([0.5, -0.5])
    error = float(contrast @ chances) + 0.5
    least = _least_variance(error, design.sum(axis=0))
    return error, float(np.sqrt(max(contrast @ covariance @ contrast, least)))


def _least_variance(error: float, windows: Any) -> float:
    """Return the binomial variance of the mean of two errors, never that of no error seen at all."""
    smoothed = np.clip((error * windows + 1) / (windows + 2), 0.0, 1.0)
    return float(np.sum(smoothed * (1 - smoothed) / np.maximum(windows, 1.0)) / 4)


def integration_points(interval: float, telegraph: Telegraph, information_rate: float, count: int = 12) -> list[int]:
    """Return numbers of samples whose integration times go from little information to about one transition."""
    slow = 0.5 / (telegraph.rate_in + telegraph.rate_out)
    short = min(1.0 / information_rate, 0.1 * slow)
    points = np.geomspace(max(1.0, short / interval), max(2.0, slow / interval), count)
    return sorted({round(number) for number in points.tolist()})
