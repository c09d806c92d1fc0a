"""Rates, levels and noise of a charge sensor's trace by maximum likelihood, the bandwidth of its amplifier included.

A trace that went through a single-pole amplifier is taken back to one value per interval that holds the signal of that
interval alone, with noise independent from interval to interval. Two levels with noise of that kind are a hidden Markov
model; an interval that holds a jump has a value in between, and its likelihood is exact while few hold two. So the fit
needs no threshold, and misses no short dwell that a threshold behind the amplifier would miss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import ndtr

Array = NDArray[np.float64]

RESCALED = 8
"""After so many steps the products of a block are brought back to the size of one."""

STEP = 0.5
"""Step of the second derivatives of the likelihood, in expected standard errors."""


@dataclass(frozen=True)
class Telegraph:
    """A dot that is filled and emptied at constant rates, seen with noise.

    Attributes
    ----------
    rate_in, rate_out : float
        At which it is filled and emptied, 1/s.
    level_empty, level_occupied : float
        Sensor current, A.
    deviation : float
        Standard deviation of the noise of one value of the whitened record, A.
    """

    rate_in: float
    rate_out: float
    level_empty: float
    level_occupied: float
    deviation: float

    def transitions(self, interval: float) -> Array:
        """Return the probabilities, shape (2, 2), of [to, from] after an interval in s; 0 is empty, 1 occupied.

        They are exact for any interval: ``p_1 = Gamma_in/s + (p_1(0) - Gamma_in/s) exp(-s t)``, s the sum of rates.
        """
        total = self.rate_in + self.rate_out
        moved = -np.expm1(-total * interval) / total
        filled, emptied = self.rate_in * moved, self.rate_out * moved
        return np.array([[1 - filled, emptied], [filled, 1 - emptied]])

    @property
    def stationary(self) -> Array:
        """Probabilities of empty and occupied, shape (2,)."""
        return np.array([self.rate_out, self.rate_in]) / (self.rate_in + self.rate_out)


@dataclass(frozen=True, eq=False)
class TelegraphFit:
    """The most probable telegraph of traces.

    Attributes
    ----------
    telegraph : Telegraph
        The estimates.
    covariance : ndarray, shape (5, 5)
        Of the logarithms of the rates, the levels, and the logarithm of the deviation, from the curvature of the
        likelihood.
    """

    telegraph: Telegraph
    covariance: Array


def whitened(trace: ArrayLike, interval: float, bandwidth: float) -> Array:
    """Undo a single-pole amplifier: one value an interval, of the signal of that interval, with independent noise.

    Parameters
    ----------
    trace : array_like, shape (samples,)
        The trace, A.
    interval : float
        Between samples, s.
    bandwidth : float
        Of the amplifier (-3 dB), Hz.

    Returns
    -------
    ndarray, shape (samples - 1,)
        ``(I_{k+1} - d I_k)/(1 - d)`` with ``d = exp(-2 pi f dt)``: the mean of the signal between two samples, weighted
        with the memory of the amplifier.
    """
    values = np.asarray(trace, dtype=float)
    decay = np.exp(-2 * np.pi * bandwidth * interval)
    return (values[1:] - decay * values[:-1]) / (1 - decay)


def noise_density(deviation: float, interval: float, bandwidth: float) -> float:
    """Return the one-sided density, A^2/Hz, of white noise that gives whitened values a standard deviation, A.

    The whitened noise has the variance ``(S r/4) coth(r dt/2)`` with ``r = 2 pi f``.
    """
    rate = 2 * np.pi * bandwidth
    return float(4 * deviation**2 * np.tanh(rate * interval / 2) / rate)


def log_likelihood(telegraph: Telegraph, record: Array, interval: float, memory: float) -> float:
    """Return the logarithm of the probability density of a whitened record.

    Parameters
    ----------
    telegraph : Telegraph
        The model.
    record : ndarray, shape (values,)
        Whitened values, A.
    interval : float
        Between values, s.
    memory : float
        Time constant 1/(2 pi f) of the amplifier, s.

    Returns
    -------
    float
        By the forward recursion, run through blocks of the record side by side.
    """
    factors, total = _factors(telegraph, record, interval, memory)
    products, logarithms = _block_products(factors)
    _, norms = _chained(products, telegraph.stationary)
    return total + float(logarithms.sum() + np.log(norms).sum())


def filtered_occupation(telegraph: Telegraph, record: Array, interval: float, memory: float) -> Array:
    """Return the probability that the dot is occupied after each value, given the record up to it.

    Returns
    -------
    ndarray, shape (values + 1,)
        The first is the stationary one, before any value; otherwise as for `log_likelihood`.
    """
    factors, _ = _factors(telegraph, record, interval, memory)
    states, _ = _chained(_block_products(factors)[0], telegraph.stationary)
    occupied = np.empty((factors.shape[-1], len(factors)))
    for number, factor in enumerate(factors):
        states = factor[:, 0] * states[0] + factor[:, 1] * states[1]
        states = states / states.sum(axis=0)
        occupied[:, number] = states[1]
    return np.concatenate([telegraph.stationary[1:], occupied.ravel()[: len(record)]])


def _factors(telegraph: Telegraph, record: Array, interval: float, memory: float) -> tuple[Array, float]:
    """Return the probability of each value with [after, before], scaled, in blocks, and the logarithm of the scale.

    Returns
    -------
    factors : ndarray, shape (steps, 2, 2, blocks)
        The record runs along the steps of each block; behind its end only transitions are left.
    logarithm : float
    """
    densities = _log_densities(telegraph, record, interval / memory)
    largest = densities.max(axis=(0, 1))
    steps = max(1, int(np.sqrt(len(record))))
    blocks = -(-len(record) // steps)
    weights = np.ones((2, 2, blocks * steps))
    weights[:, :, : len(record)] = np.exp(densities - largest)
    factors = telegraph.transitions(interval)[:, :, np.newaxis] * weights
    factors = np.ascontiguousarray(factors.reshape(2, 2, blocks, steps).transpose(3, 0, 1, 2))
    return factors, float(largest.sum())


def _log_densities(telegraph: Telegraph, record: Array, width: float) -> Array:
    """Return the logarithm of the density of each value, shape (2, 2, values), for the charge [after, before] it.

    A jump at an even chance anywhere in the interval, which is `width` times as long as the memory of the amplifier,
    puts the value between the levels.
    """
    levels = np.array([telegraph.level_empty, telegraph.level_occupied])
    sigma, step = telegraph.deviation, levels[1] - levels[0]
    z = (record - levels[:, np.newaxis]) / sigma
    between = np.abs(ndtr(z[0]) - ndtr(z[1])) / abs(step)
    share = np.clip((record - levels[0]) / step, 0.0, 1.0)
    lost = -np.expm1(-width)
    densities = np.empty((2, 2, len(record)))
    densities[[0, 1], [0, 1]] = -0.5 * z**2 - np.log(sigma * np.sqrt(2 * np.pi))
    for after, new in ((0, 1 - share), (1, share)):
        densities[after, 1 - after] = np.log(np.maximum(between * lost / (width * (1 - lost * new)), 1e-300))
    return densities


def _block_products(factors: Array) -> tuple[Array, Array]:
    """Multiply the matrices along each block: products, shape (2, 2, blocks), and the logarithms of their scales."""
    products = factors[0].copy()
    logarithms = np.zeros(factors.shape[-1])
    for number, factor in enumerate(factors[1:], start=1):
        products = factor[:, :1] * products[0] + factor[:, 1:] * products[1]
        if number % RESCALED == 0:
            scale = products.max(axis=(0, 1))
            products /= scale
            logarithms += np.log(scale)
    return products, logarithms


def _chained(products: Array, state: Array) -> tuple[Array, Array]:
    """Go from block to block: the normalised state each begins with, shape (2, blocks), and what each norm becomes."""
    blocks = products.shape[-1]
    states, norms = np.empty((2, blocks)), np.empty(blocks)
    for number in range(blocks):
        states[:, number] = state
        state = products[:, :, number] @ state
        norms[number] = state.sum()
        state = state / norms[number]
    return states, norms


def fit_telegraph(
    records: Sequence[Array], interval: float, memory: float, guess: Telegraph, *, transitions: int
) -> TelegraphFit | None:
    """Maximise the likelihood of whitened records over rates, levels and noise.

    Parameters
    ----------
    records : sequence of ndarray, shape (values,)
        Whitened values, A.
    interval : float
        Between values, s.
    memory : float
        Time constant 1/(2 pi f) of the amplifier, s.
    guess : Telegraph
        Where to begin.
    transitions : int
        Roughly how often the dot was filled and emptied, which says how wide the maximum is.

    Returns
    -------
    TelegraphFit or None
        None where the likelihood has no maximum with a curvature in all five directions.
    """
    values = sum(len(record) for record in records)
    centre = _coordinates(guess)
    empty, occupied = np.maximum(guess.stationary * values, 1.0)
    spread = guess.deviation / np.sqrt(np.array([empty, occupied]))
    rate = 1 / np.sqrt(max(transitions / 2, 1.0))
    scale = np.array([rate, rate, *spread, 1 / np.sqrt(2 * values)])

    def cost(place: Array) -> float:
        telegraph = _telegraph(centre + scale * place)
        return -sum(log_likelihood(telegraph, record, interval, memory) for record in records)

    start = cost(np.zeros(5))
    found = minimize(
        lambda place: cost(place) - start,
        np.zeros(5),
        method="BFGS",
        options={"gtol": 0.02, "eps": 0.02, "maxiter": 40},
    )
    curvature = _curvature(cost, found.x)
    if not np.isfinite(curvature).all() or np.linalg.eigvalsh(curvature).min() <= 0:
        return None
    covariance = np.asarray(np.linalg.inv(curvature) * np.outer(scale, scale), dtype=np.float64)
    return TelegraphFit(_telegraph(centre + scale * found.x), covariance)


def _coordinates(telegraph: Telegraph) -> Array:
    rates = np.log([telegraph.rate_in, telegraph.rate_out])
    return np.array([*rates, telegraph.level_empty, telegraph.level_occupied, np.log(telegraph.deviation)])


def _telegraph(coordinates: Array) -> Telegraph:
    log_in, log_out, empty, occupied, log_deviation = map(float, coordinates)
    return Telegraph(float(np.exp(log_in)), float(np.exp(log_out)), empty, occupied, float(np.exp(log_deviation)))


def _curvature(cost: Callable[[Array], float], place: Array) -> Array:
    """Return the second derivatives of a function by symmetric differences."""
    size = len(place)
    steps = STEP * np.eye(size)
    middle = cost(place)
    one = np.array([[cost(place + step), cost(place - step)] for step in steps]).sum(axis=1)
    curvature = np.diag((one - 2 * middle) / STEP**2)
    for i in range(size):
        for j in range(i):
            both = cost(place + steps[i] + steps[j]) + cost(place - steps[i] - steps[j])
            curvature[i, j] = curvature[j, i] = (both - one[i] - one[j] + 2 * middle) / (2 * STEP**2)
    return curvature
