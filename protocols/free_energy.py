"""Free energies from the work of sudden switches: Jarzynski's equality in both directions and Bennett's ratio.

An energy is switched in stages, ``U_0, U_1, ..., U_K``, with relaxation after each switch. Work and free energies are
in units of kT. The work of the switch from stage k is ``w = U_(k+1)(x) - U_k(x)`` of a state x in equilibrium with
``U_k``; on the way back it is ``-w`` of a state in equilibrium with ``U_(k+1)``. On average, ``<w>_k >= F_(k+1) - F_k``
and ``F_(k+1) - F_k >= <w>_(k+1)``; the difference is what is dissipated.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logsumexp

from protocols.statistics import mean_with_error

Array = NDArray[np.float64]


class Difference(NamedTuple):
    """A difference of free energies from the first stage to the last, in kT.

    Attributes
    ----------
    value, standard_error : float
        The sum over the switches, and its error.
    switches : ndarray, shape (stages - 1,)
        The difference over each switch.
    """

    value: float
    standard_error: float
    switches: Array


def mean_work(forward: Array, reverse: Array, *, correlated: bool) -> tuple[Difference, Difference]:
    """Return the mean work of the switches, and that of the way back with its sign changed: bounds of the difference.

    Parameters
    ----------
    forward : ndarray, shape (switches, shots)
        Work w of each switch in states in equilibrium before it.
    reverse : ndarray, shape (switches, shots)
        The same w in states in equilibrium after it.
    correlated : bool
        Whether shots follow each other along one trajectory.

    Returns
    -------
    upper, lower : Difference
    """
    upper, lower = (
        Difference(float(work.mean(axis=1).sum()), _error(work, correlated), work.mean(axis=1))
        for work in (forward, reverse)
    )
    return upper, lower


def jarzynski(forward: Array, reverse: Array, *, correlated: bool) -> tuple[Difference, Difference]:
    """Return the differences by ``<exp(-w)> = exp(-dF)`` forwards, and by ``<exp(w)> = exp(dF)`` backwards.

    Jarzynski, Phys. Rev. Lett. 78, 2690 (1997), eq. 2, switch by switch. The estimates are biased where few shots carry
    the average, and their errors finite only where ``<exp(-2 w)>`` is, or backwards ``<exp(2 w)>``.

    Parameters
    ----------
    forward, reverse : ndarray, shape (switches, shots)
        As of `mean_work`.
    correlated : bool
        Whether shots follow each other along one trajectory.

    Returns
    -------
    forwards, backwards : Difference
    """
    return _exponential_average(forward, -1.0, correlated), _exponential_average(reverse, 1.0, correlated)


def _exponential_average(work: Array, sign: float, correlated: bool) -> Difference:
    switches = sign * (logsumexp(sign * work, axis=1) - np.log(work.shape[1]))
    influence = np.exp(sign * (work - switches[:, np.newaxis]))
    return Difference(float(switches.sum()), _error(influence, correlated), switches)


def bennett(forward: Array, reverse: Array, *, correlated: bool) -> Difference:
    """Return the difference by Bennett's acceptance ratio, which uses both directions with the least variance.

    Bennett, J. Comput. Phys. 22, 245 (1976), eq. 12 for equal numbers of samples: dF solves ``<f(w - dF)>_k =
    <f(dF - w)>_(k+1)`` with the Fermi function f. The error follows from the slope of that condition; a stage between
    two switches is used by both, which the error accounts for.

    Parameters
    ----------
    forward, reverse : ndarray, shape (switches, shots)
        As of `mean_work`; row k of `reverse` and row k + 1 of `forward` are of the same states.
    correlated : bool
        Whether shots follow each other along one trajectory.
    """
    switches = np.array([_acceptance_ratio(*works) for works in zip(forward, reverse, strict=True)])
    accepted = expit(switches[:, np.newaxis] - forward)
    returned = expit(reverse - switches[:, np.newaxis])
    slopes = np.mean(accepted * (1 - accepted) + returned * (1 - returned), axis=1, keepdims=True)
    influence = np.zeros((len(forward) + 1, forward.shape[1]))
    influence[:-1] -= accepted / slopes
    influence[1:] += returned / slopes
    return Difference(float(switches.sum()), _error(influence, correlated), switches)


def _acceptance_ratio(forward: Array, reverse: Array) -> float:
    low = min(forward.min(), reverse.min())
    high = max(forward.max(), reverse.max())
    if low == high:
        return float(low)
    return float(brentq(lambda f: expit(f - forward).mean() - expit(reverse - f).mean(), low, high, xtol=1e-10))


def _error(rows: Array, correlated: bool) -> float:
    """Return the standard error of the sum of the means of independent rows."""
    return float(np.sqrt(sum(mean_with_error(row, correlated=correlated)[1] ** 2 for row in rows)))
