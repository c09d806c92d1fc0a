"""Learning rules of a single-photon kernel: pure functions of arrays.

A photon in the modes with amplitudes ``xi/|xi|`` is read through the mode ``w/|w|``; they overlap by
``F = (w . xi)^2/(|w|^2 |xi|^2)``, and an attempt clicks with a probability that rises linearly with F (Milburn and
Basiri-Esfahani, "The physics of learning machines", eqs. 118-126, with both pulses normalised). Weights are unit
vectors, and learning turns them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def unit_vector(weights: ArrayLike) -> Array:
    """Return a vector of length one in the direction of another, which is not zero."""
    weights = np.asarray(weights, dtype=float)
    return weights / np.sqrt(weights @ weights)


def overlap(weights: ArrayLike, inputs: ArrayLike) -> Array:
    """Return the overlap F, 0 to 1, of weights and inputs of shape (..., modes)."""
    weights, inputs = np.asarray(weights, dtype=float), np.asarray(inputs, dtype=float)
    product = np.sum(weights * inputs, axis=-1)
    return product**2 / (np.sum(weights**2, axis=-1) * np.sum(inputs**2, axis=-1))


def overlap_feedback(weights: ArrayLike, inputs: ArrayLike) -> Array:
    """Return the derivative of the overlap by the weights along the unit sphere.

    Parameters
    ----------
    weights : array_like, shape (modes,)
        A unit vector.
    inputs : array_like, shape (modes,)
        Amplitudes of the write pulse.

    Returns
    -------
    ndarray, shape (modes,)
        ``2 (w . xi)(xi - (w . xi) w)/|xi|^2``.
    """
    weights, inputs = np.asarray(weights, dtype=float), np.asarray(inputs, dtype=float)
    product = weights @ inputs
    return 2.0 * product * (inputs - product * weights) / (inputs @ inputs)


def tangents(weights: ArrayLike) -> Array:
    """Return orthonormal directions perpendicular to a unit vector, shape (modes - 1, modes)."""
    weights = np.asarray(weights, dtype=float)
    return np.linalg.svd(weights[np.newaxis])[2][1:]


def rotated(weights: ArrayLike, direction: ArrayLike, angle: float) -> Array:
    """Return a unit vector turned by an angle, in rad, towards a direction perpendicular to it."""
    return np.cos(angle) * np.asarray(weights, dtype=float) + np.sin(angle) * np.asarray(direction, dtype=float)


def shift_gradient(directions: ArrayLike, differences: ArrayLike) -> Array:
    """Return the derivative of a click probability by the weights from what was measured on both sides.

    In the plane of the weights and a direction the overlap is a sine of twice the angle, so its derivative is exactly
    the difference of its values at +45 and -45 degrees.

    Parameters
    ----------
    directions : array_like, shape (directions, modes)
        Orthonormal, perpendicular to the weights.
    differences : array_like, shape (directions,)
        Click probability at +45 degrees less that at -45 degrees.

    Returns
    -------
    ndarray, shape (modes,)
        Along the unit sphere.
    """
    return np.asarray(differences, dtype=float) @ np.asarray(directions, dtype=float)


def error_floor(wanted: ArrayLike, full: float, dark: float) -> float:
    """Return the mean error if the overlap were one for every wanted +1 and none for every wanted -1.

    Parameters
    ----------
    wanted : array_like, shape (rows,)
        Wanted outcomes, -1 and +1.
    full, dark : float
        Click probability with full overlap, and without light.

    Returns
    -------
    float
        ``(1 - eta)/2 + p_d/2`` to leading order for XOR and NOT.
    """
    return float(np.where(np.asarray(wanted) > 0, 1.0 - full, dark).mean())


def decision_threshold(probabilities: Sequence[float], wanted: ArrayLike) -> float | None:
    """Return the fraction of clicks halfway between rows that are to click and rows that are not.

    Parameters
    ----------
    probabilities : sequence of float, shape (rows,)
        Click probability of each row.
    wanted : array_like, shape (rows,)
        Wanted outcomes, -1 and +1.

    Returns
    -------
    float or None
        None where a row that is not to click does so as often as one that is.
    """
    clicks, positive = np.asarray(probabilities, dtype=float), np.asarray(wanted) > 0
    highest, lowest = float(clicks[~positive].max()), float(clicks[positive].min())
    return (highest + lowest) / 2.0 if highest < lowest else None
