"""What clicks of a single-photon kernel say: overlaps of vectors, and how efficient and how dark the detector is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincc

Array = NDArray[np.float64]

LEAST_CLICKS = 5.0
"""Expected clicks (and attempts without one) below which pairs are taken together in chi^2."""


def overlaps(inputs: ArrayLike, weights: ArrayLike) -> Array:
    """Return ``F = |w.x|^2/(|w|^2 |x|^2)``, the overlap of pulses in superpositions of orthogonal modes.

    Milburn and Basiri-Esfahani, eq. 125, for a photon detected with certainty.

    Parameters
    ----------
    inputs : array_like, shape (m, modes)
        One vector a row.
    weights : array_like, shape (n, modes)

    Returns
    -------
    ndarray, shape (m, n)
    """
    x, w = np.atleast_2d(np.asarray(inputs, dtype=float)), np.atleast_2d(np.asarray(weights, dtype=float))
    return (x @ w.T) ** 2 / np.outer(np.sum(x**2, axis=1), np.sum(w**2, axis=1))


def click_probability(overlap: ArrayLike, efficiency: float, dark_probability: float) -> Array:
    """Return ``p = 1 - (1 - eta F)(1 - p_d)`` for one photon an attempt, eta the efficiency times the visibility."""
    return 1 - (1 - efficiency * np.asarray(overlap, dtype=float)) * (1 - dark_probability)


@dataclass(frozen=True, eq=False)
class KernelFit:
    """Efficiency times visibility and dark probability of a detector, from pairs of known overlap.

    Attributes
    ----------
    efficiency, dark_probability : float
        The most probable ones.
    covariance : ndarray, shape (2, 2)
        Of both.
    """

    efficiency: float
    dark_probability: float
    covariance: Array

    def gram(self, clicks: ArrayLike, shots: int) -> tuple[Array, Array]:
        """Return the overlap that each count of clicks stands for, and its binomial standard error.

        The variance of a count is taken at ``(k + 1)/(N + 2)``, so that no clicks at all still leave an error.
        """
        counts = np.asarray(clicks, dtype=float)
        smoothed = (counts + 1) / (shots + 2)
        scale = self.efficiency * (1 - self.dark_probability)
        return (counts / shots - self.dark_probability) / scale, np.sqrt(smoothed * (1 - smoothed) / shots) / scale


def fit_kernel(clicks: ArrayLike, overlap: ArrayLike, shots: int) -> KernelFit | None:
    """Fit ``p = p_d + eta (1 - p_d) F`` to counts of clicks by maximum likelihood (Fisher scoring).

    Parameters
    ----------
    clicks : array_like of int, shape (pairs,)
        Attempts that clicked.
    overlap : array_like, shape (pairs,)
        Overlap F of each pair; 0 for attempts without light.
    shots : int
        Attempts of each pair.

    Returns
    -------
    KernelFit or None
        None where all pairs have one overlap, or more overlap gave fewer clicks.
    """
    counts, f = np.asarray(clicks, dtype=float).ravel(), np.asarray(overlap, dtype=float).ravel()
    if np.ptp(f) < 1e-9:
        return None
    design = np.stack([np.ones_like(f), f], axis=1)
    fraction, least = counts / shots, 0.5 / (shots * len(f))
    expected = (counts + 1) / (shots + 2)
    for _ in range(100):
        weights = shots / (expected * (1 - expected))
        normal = design.T @ (design * weights[:, np.newaxis])
        intercept, slope = np.linalg.solve(normal, design.T @ (weights * fraction))
        before, expected = expected, np.clip(design @ (intercept, slope), least, 1 - least)
        if np.abs(expected - before).max() < 1e-12:
            break
    if slope <= 0:
        return None
    efficiency = slope / (1 - intercept)
    jacobian = np.array([[slope / (1 - intercept) ** 2, 1 / (1 - intercept)], [1.0, 0.0]])
    return KernelFit(float(efficiency), float(intercept), jacobian @ np.linalg.inv(normal) @ jacobian.T)


def chi_square(clicks: ArrayLike, expected: ArrayLike, shots: int) -> tuple[float, int]:
    """Return chi^2 of counts of clicks against their probabilities, and how many terms it has.

    Pairs that are expected to click, or not to, less than `LEAST_CLICKS` times are taken together: each group of them
    is one term.

    Parameters
    ----------
    clicks : array_like of int, shape (pairs,)
        Attempts that clicked.
    expected : array_like, shape (pairs,)
        Probability of a click.
    shots : int
        Attempts of each pair.
    """
    counts, p = np.asarray(clicks, dtype=float).ravel(), np.asarray(expected, dtype=float).ravel()
    rare, certain = p * shots < LEAST_CLICKS, (1 - p) * shots < LEAST_CLICKS
    single = ~(rare | certain)
    deviations, variances = (counts - shots * p), shots * p * (1 - p)
    groups = [group for group in (rare, certain) if variances[group].sum() > 0]
    together = [deviations[group].sum() ** 2 / variances[group].sum() for group in groups]
    terms = [*(deviations[single] ** 2 / variances[single]), *together]
    return float(np.sum(terms)), len(terms)


def chi_square_probability(value: float, degrees: int) -> float | None:
    """Return the probability of a larger chi^2; None without degrees of freedom."""
    return float(gammaincc(degrees / 2, value / 2)) if degrees > 0 else None


def dispersion(counts: ArrayLike) -> tuple[float, float] | None:
    """Return the variance of counts over their mean, 1 for a Poisson process, and its standard error for one.

    Parameters
    ----------
    counts : array_like of int, shape (gates,)
        Pulses of gates of equal length.

    Returns
    -------
    (dispersion, standard_error) or None
        The error is ``sqrt(2/(n - 1))`` for n gates; None where nothing was counted, or in one gate only.
    """
    values = np.asarray(counts, dtype=float)
    mean = values.mean()
    if len(values) < 2 or mean == 0:
        return None
    return float(values.var(ddof=1) / mean), float(np.sqrt(2 / (len(values) - 1)))
