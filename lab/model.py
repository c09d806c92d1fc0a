"""The twin offered as a model of what was measured: the only module of the laboratory that uses its physics."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def filter_occupation(
    samples: Array,
    interval: float,
    *,
    levels: tuple[float, float],
    noise_density: float,
    rates: tuple[float, float],
    bandwidth: float = math.inf,
) -> Array:
    """Return the probability that a dot is occupied, given the current of its point contact up to each sample.

    The exact filter of a two-state switch in white noise (Milburn and Basiri-Esfahani, section 3).

    Parameters
    ----------
    samples : ndarray, shape (n,)
        Current, A.
    interval : float
        Time between samples, s.
    levels : (empty, occupied)
        Current of each state, A.
    noise_density : float
        One-sided white noise, A^2/Hz.
    rates : (in, out)
        Rates at which the dot is filled and emptied, 1/s.
    bandwidth : float
        Bandwidth (-3 dB) of the one pole that the samples have passed, Hz.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    ValueError
        If the levels are equal, or noise, bandwidth or rates are not positive.
    """
    from twin.models.charge_detection import ChargeDetector

    return ChargeDetector(*levels, noise_density, *rates, bandwidth=bandwidth).occupation(samples, interval)
