"""Means with honest standard errors, and the fit of a switching curve."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import expit

WINDOW = 5.0
"""The autocorrelation is summed over so many integrated autocorrelation times (Sokal 1997)."""


def autocorrelation_time(series: ArrayLike) -> float:
    """Return the integrated autocorrelation time of a stationary series.

    Parameters
    ----------
    series : array_like, shape (samples,)
        Values at equal intervals, in any unit.

    Returns
    -------
    float
        ``1 + 2 sum_k rho_k`` in intervals: 1 for independent values. The sum is cut at the first lag that exceeds
        `WINDOW` times half of it, and corrected for the mean being that of the series itself (Wolff 2004, eq. 49).
    """
    series = np.asarray(series, dtype=float)
    size = len(series)
    spectrum = fft.rfft(series - series.mean(), fft.next_fast_len(2 * size, real=True))
    covariance = fft.irfft(np.abs(spectrum) ** 2)[:size]
    if covariance[0] <= 0:
        return 1.0
    times = 2 * np.cumsum(covariance / covariance[0]) - 1
    enough = np.arange(size) >= WINDOW * times / 2
    window = int(np.argmax(enough)) if enough.any() else size - 1
    return max(1.0, float(times[window]) * (1 + (2 * window + 1) / size))


def mean_with_error(series: ArrayLike, *, correlated: bool) -> tuple[float, float]:
    """Return the mean of a series and its standard error.

    Parameters
    ----------
    series : array_like, shape (samples,)
        At least two values.
    correlated : bool
        Whether values follow each other along one trajectory; their autocorrelation time widens the error then.

    Returns
    -------
    mean, standard_error : float
        In the unit of the series.
    """
    series = np.asarray(series, dtype=float)
    effective = len(series) / (autocorrelation_time(series) if correlated else 1.0)
    return float(series.mean()), float(series.std(ddof=1) / np.sqrt(effective))


def noise(series: ArrayLike) -> float:
    """Return the standard deviation of the white noise of a mostly smooth series, from the median of its curvature.

    Parameters
    ----------
    series : array_like, shape (values,)
        Values at equal intervals; few steps among many values do no harm.

    Returns
    -------
    float
        In the unit of the series; 0 for fewer than three values.
    """
    steps = np.abs(np.diff(np.asarray(series, dtype=float), n=2))
    return float(np.median(steps)) / (0.6745 * np.sqrt(6)) if len(steps) else 0.0


def propagated(
    function: Callable[[NDArray[np.float64]], ArrayLike], values: ArrayLike, covariance: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a function of estimated values and its standard errors, by linear propagation.

    Parameters
    ----------
    function : callable
        Takes the values, shape (n,), and returns results, shape (m,).
    values : array_like, shape (n,)
        The estimates.
    covariance : array_like, shape (n, n)
        Their covariance.

    Returns
    -------
    results, standard_errors : ndarray, shape (m,)
    """
    values, covariance = np.asarray(values, dtype=float), np.asarray(covariance, dtype=float)
    spread = np.sqrt(np.diag(covariance))
    steps = 1e-3 * np.where(spread > 0, spread, 1e-6 * np.maximum(np.abs(values), 1e-12))
    columns = [
        (np.asarray(function(values + step)) - np.asarray(function(values - step))) / (2 * step.sum())
        for step in np.diag(steps)
    ]
    jacobian = np.stack(columns, axis=-1)
    return np.asarray(function(values), dtype=float), np.sqrt(np.einsum("mi,ij,mj->m", jacobian, covariance, jacobian))


def fit_switching(
    drive: Sequence[float], probability: Sequence[float], standard_error: Sequence[float]
) -> dict[str, float] | None:
    """Fit ``P(+1) = 1/(1 + exp(-(A - offset)/width))`` to the switching probability against the drive A.

    Parameters
    ----------
    drive, probability, standard_error : sequence of float, shape (points,)
        Drive, probability of the outcome +1, and its standard error.

    Returns
    -------
    dict or None
        ``offset``, ``width`` and their ``offset_standard_error`` and ``width_standard_error`` in units of the drive;
        None where the points do not determine both.
    """
    x, p, error = (np.asarray(values, dtype=float) for values in (drive, probability, standard_error))
    partial = (p > 0) & (p < 1)
    if len(np.unique(x[partial])) < 2:
        return None
    error = np.where(partial, error, error[partial].min())
    centre, slope = x[partial][np.argmin(np.abs(p[partial] - 0.5))], np.polyfit(x[partial], _logit(p[partial]), 1)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error", OptimizeWarning)
        try:
            values, covariance = curve_fit(
                lambda a, offset, rate: expit(rate * (a - offset)), x, p, (centre, slope), error, absolute_sigma=True
            )
        except (RuntimeError, OptimizeWarning):
            return None
    (offset, rate), errors = values, np.sqrt(np.diag(covariance))
    if not np.isfinite([offset, rate, *errors]).all() or rate == 0:
        return None
    return {
        "offset": float(offset),
        "offset_standard_error": float(errors[0]),
        "width": float(1 / rate),
        "width_standard_error": float(errors[1] / rate**2),
    }


def _logit(probability: np.ndarray) -> np.ndarray:
    return np.log(probability / (1 - probability))
