"""Stationary noise from one normal variate a sample: the innovations form of a sum of exponential covariances.

Samples whose covariance k samples apart is the sum of w_i exp(-a_i k) have the spectrum

    S(z) = sum of w_i sinh(a_i) / (cosh(a_i) - (z + 1/z) / 2).

It is |H(z)|^2 of a filter H with the poles exp(-a_i) and those zeros of S that lie within the unit circle (spectral
factorisation; Anderson and Moore, Optimal Filtering, section 9.3). White noise that has passed H has the law of the
samples, whatever number of independent processes they are made of.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

__all__ = ["Innovations", "factorise"]

FORGOTTEN = 40.0
"""Relaxation times after which nothing is left of a process in double precision."""
HALVINGS = 60
"""Bisections of a bracket, until it holds one number."""


class Innovations(NamedTuple):
    """Noise as a sum of modes that the same normal variate z drives: a mode <- decay * mode + gain * z at each sample.

    A sample is the sum of the modes plus ``direct`` times z.
    """

    decay: Array
    """(m,) what is left of each mode after an interval."""
    gain: Array
    """(m,) what z adds to each."""
    direct: float
    """What z adds to the sample itself."""
    start: Array
    """(m, m) matrix that turns normal variates into the modes before the first sample."""


def factorise(weights: Array, relaxations: Array) -> Innovations:
    """Return the innovations form of samples with the covariance sum of w_i exp(-a_i k).

    Parameters
    ----------
    weights
        (n,) the w_i: positive up to some process, in the order of the relaxations, and negative beyond.
    relaxations
        (n,) the a_i, different and positive: rates times the interval between samples.

    Raises
    ------
    ValueError
        If the signs of the weights change more than once.
    """
    order = np.argsort(relaxations)
    w, a = np.asarray(weights, float)[order], np.asarray(relaxations, float)[order]
    white = float(np.sum(w[a >= FORGOTTEN]))
    kept = (a < FORGOTTEN) & (w != 0)
    w, a = w[kept], a[kept]
    positive, negative = _zeros(w, a, white)
    at_nyquist = math.sqrt(white + float(np.sum(w * np.tanh(a / 2))))
    zeros = np.concatenate((1 + np.exp(-positive), 1 - np.exp(-negative)))
    scale = at_nyquist * float(np.prod(1 + np.exp(-a)) / np.prod(zeros))
    gain = np.array([scale * _residue(i, a, positive, negative) for i in range(len(a))])
    values, vectors = np.linalg.eigh(np.outer(gain, gain) / -np.expm1(-(a[:, None] + a)))
    start = vectors * np.sqrt(np.maximum(values, 0))
    return Innovations(np.exp(-a), gain, scale - float(np.sum(gain)), np.ascontiguousarray(start))


def _zeros(w: Array, a: Array, white: float) -> tuple[Array, Array]:
    """Return b of all zeros at exp(-b) and at -exp(-b).

    There is one between two poles whose weights have the same sign, and one more beyond them all, where they change
    sign or where processes forgotten within an interval add white noise.
    """

    def spectrum(b: Array) -> Array:
        steep = np.sinh((a + b[:, None]) / 2) * np.sinh((a - b[:, None]) / 2)
        return white + np.sum(w * np.sinh(a) / (2 * steep), axis=1)

    def mirrored(b: Array) -> Array:
        steep = np.cosh((a + b[:, None]) / 2) * np.cosh((a - b[:, None]) / 2)
        return white + np.sum(w * np.sinh(a) / (2 * steep), axis=1)

    same = w[1:] * w[:-1] > 0
    if np.count_nonzero(~same) > 1:
        raise ValueError("noise: the weights change sign more than once; they may be positive, then negative")
    none, farthest = np.zeros(0), np.array([2 * FORGOTTEN])
    positive = _crossing(spectrum, a[:-1][same], a[1:][same], -w[:-1][same])
    if len(positive) == len(a) - (white == 0) or len(a) == 0:
        return positive, none
    if (white or float(np.sum(w * np.sinh(a)))) < 0:
        return positive, _crossing(mirrored, 1 / (1e9 * farthest), farthest, np.ones(1))
    return np.concatenate((positive, _crossing(spectrum, a[-1:], farthest, -w[-1:]))), none


def _crossing(function: Callable[[Array], Array], low: Array, high: Array, sign_at_low: Array) -> Array:
    """Return where a function (n,) -> (n,) changes sign between positive bounds, by bisection of the logarithm."""
    for _ in range(HALVINGS):
        middle = np.sqrt(low * high)
        before = function(middle) * sign_at_low > 0
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return low


def _residue(i: int, a: Array, positive: Array, negative: Array) -> float:
    """Return the weight of mode i in the partial fractions of H with H(infinity) = 1."""
    zeros = np.concatenate((-np.expm1(a[i] - positive), 1 + np.exp(a[i] - negative)))
    poles = -np.expm1(a[i] - np.delete(a, i))
    paired = min(len(zeros), len(poles))
    return float(np.prod(zeros[:paired] / poles[:paired]) * np.prod(zeros[paired:]) / np.prod(poles[paired:]))
