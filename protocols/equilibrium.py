"""What one cell does in thermal equilibrium, by quadrature of the Boltzmann distribution."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

RANGE, STEP = 16.0, 0.0025
"""How far the activity is integrated, and in which steps, in model units; the rails are where the range ends."""


def potential(activity: ArrayLike, stiffness: ArrayLike, drive: ArrayLike = 0.0) -> Array:
    """Return the energy ``J2 x^2 + J3 x^3 + J4 x^4 - I x`` (Whitelam and Casert, eq. 1), in model units."""
    x = np.asarray(activity, dtype=float)
    quadratic, cubic, quartic = np.asarray(stiffness, dtype=float)
    return x * (-np.asarray(drive, dtype=float) + x * (quadratic + x * (cubic + x * quartic)))


def equilibrium_moments(drive: ArrayLike, stiffness: ArrayLike, temperature: float) -> tuple[Array, Array]:
    """Return mean and variance of the activity in equilibrium (Whitelam and Casert, eqs. 2 to 4).

    The trapezoidal rule is exact to rounding here as long as the distribution is wider than a few steps, kT above 1e-4.

    Parameters
    ----------
    drive : array_like, shape (n,)
        Drives ``I``, in model units.
    stiffness : array_like, shape (3,)
        ``J2, J3, J4``, of an energy that is bounded below.
    temperature : float
        kT, in model units, above 0.

    Returns
    -------
    mean, variance : ndarray, shape (n,)
    """
    x = np.arange(-RANGE, RANGE + STEP / 2, STEP)
    energy = potential(x, stiffness, np.asarray(drive, dtype=float)[:, np.newaxis])
    weight = np.exp(-(energy - energy.min(axis=1, keepdims=True)) / temperature)
    weight /= weight.sum(axis=1, keepdims=True)
    mean = weight @ x
    return mean, weight @ x**2 - mean**2
