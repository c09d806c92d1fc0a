"""What currents through a dot say: the pinch-off of a gate, Coulomb peaks, and the edges of Coulomb diamonds."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import Boltzmann, elementary_charge
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.signal import find_peaks
from scipy.special import fdtrc

from protocols.statistics import noise, propagated

Array = NDArray[np.float64]

OPEN_FRACTION = 0.01
"""Fraction of the saturation current at which a gate counts as pinched off."""

NOISE_FACTOR = 6.0
"""A current stands out when it is so many times the noise."""

SHARP_WINDOW = (0.1, 0.8)
"""Biases, as fractions of the charging energy, at which the edges of neighbouring diamonds do not blur each other."""


def pinch_off_current(voltage: Array, a: float, b: float, c: float) -> Array:
    """Return ``a [1 + tanh(b V + c)]`` (Milburn and Basiri-Esfahani, eq. 42)."""
    return a * (1 + np.tanh(b * voltage + c))


def fit_pinch_off(voltage: ArrayLike, currents: ArrayLike) -> dict[str, float | None] | None:
    """Fit ``I = a [1 + tanh(b V + c)]`` (Milburn and Basiri-Esfahani, eq. 42) to repeated sweeps of a gate.

    Parameters
    ----------
    voltage : array_like, shape (points,)
        Gate voltages, V; more than three.
    currents : array_like, shape (repeats, points)
        Currents, A.

    Returns
    -------
    dict or None
        ``a`` in A, ``b`` in 1/V, ``c``; ``threshold`` -c/b and ``pinch_off_voltage``, where 1 % of the saturation
        current 2a is left, in V; each with its ``*_standard_error``. ``residual``, root mean square in A, and
        ``determination`` R^2; for several sweeps ``fit_probability``: how probable a deviation from the tanh of
        this size is, given how the sweeps differ among themselves (F test for lack of fit), else None. None for all
        where the sweep does not determine the fit.
    """
    x, repeats = np.asarray(voltage, dtype=float), np.atleast_2d(np.asarray(currents, dtype=float))
    mean = repeats.mean(axis=0)
    fit = _curve(pinch_off_current, x, mean, _pinch_off_guess(x, mean)) if np.ptp(mean) > 0 else None
    if fit is None or not (np.sqrt(np.diag(fit[1])) < np.abs(fit[0]))[:2].all():
        return None
    parameters, covariance = fit
    residuals = mean - pinch_off_current(x, *parameters)
    closed = np.arctanh(2 * OPEN_FRACTION - 1)
    values, errors = propagated(lambda p: [*p, -p[2] / p[1], (closed - p[2]) / p[1]], parameters, covariance)
    names = ("a", "b", "c", "threshold", "pinch_off_voltage")
    spread = float(np.sum((mean - mean.mean()) ** 2))
    return {
        **_with_errors(names, values, errors),
        "residual": float(np.sqrt(np.mean(residuals**2))),
        "determination": 1 - float(np.sum(residuals**2)) / spread,
        "fit_probability": _lack_of_fit(repeats, residuals, parameters=3),
    }


def _pinch_off_guess(x: Array, current: Array) -> tuple[float, float, float]:
    """Return the best a, b and c on a grid of thresholds and slopes, where the best a has a closed form."""
    span = float(np.ptp(x))
    thresholds = np.linspace(x.min(), x.max(), 41)[:, np.newaxis]
    slopes = np.geomspace(1.0, 0.5 * len(x), 16) / span
    slopes = np.concatenate([slopes, -slopes])[:, np.newaxis, np.newaxis]
    shapes = 1 + np.tanh(slopes * (x - thresholds))
    power = np.sum(shapes**2, axis=-1)
    overlap = shapes @ current
    slope, threshold = np.unravel_index(np.argmax(overlap**2 / power), power.shape)
    b, v = float(slopes[slope, 0, 0]), float(thresholds[threshold, 0])
    return float(overlap[slope, threshold] / power[slope, threshold]), b, -b * v


def _lack_of_fit(repeats: Array, residuals: Array, parameters: int) -> float | None:
    """Return the probability of larger residuals of the mean, given how repeats scatter around it (F test)."""
    count, points = repeats.shape
    degrees, pure_degrees = points - parameters, points * (count - 1)
    if not pure_degrees or degrees < 1:
        return None
    pure = float(np.sum((repeats - repeats.mean(axis=0)) ** 2)) / pure_degrees
    lack = count * float(np.sum(residuals**2)) / degrees
    return float(fdtrc(degrees, pure_degrees, lack / pure)) if pure > 0 else None


@dataclass(frozen=True)
class CoulombPeak:
    """A peak of the conductance of a dot against its gate, ``G cosh^-2((V - position)/width)``.

    Attributes
    ----------
    position, width : float
        In V; the width is 2 kT over the lever arm of the gate.
    conductance : float
        At the top, in S.
    position_standard_error, width_standard_error, conductance_standard_error : float
        In the same units.
    """

    position: float
    width: float
    conductance: float
    position_standard_error: float
    width_standard_error: float
    conductance_standard_error: float


def coulomb_peaks(voltage: ArrayLike, conductance: ArrayLike) -> list[CoulombPeak]:
    """Find the Coulomb peaks of a conductance at zero bias, and fit ``cosh^-2`` to each (Beenakker 1991, eq. 3.13).

    Parameters
    ----------
    voltage : array_like, shape (points,)
        Equidistant gate voltages, V.
    conductance : array_like, shape (points,)
        Conductance, S.

    Returns
    -------
    list of CoulombPeak
        In the order of their positions; those that stand out of the noise and whose fit is determined.
    """
    x, g = np.asarray(voltage, dtype=float), np.asarray(conductance, dtype=float)
    order = np.argsort(x)
    x, g = x[order], g[order]
    least = max(NOISE_FACTOR * noise(g), 0.25 * float(g.max(initial=0.0)))
    tops = find_peaks(g, height=least, prominence=least)[0] if least > 0 else []
    fits = (_fit_peak(x, g, int(top)) for top in tops)
    return [peak for peak in fits if peak is not None]


def _fit_peak(x: Array, g: Array, top: int) -> CoulombPeak | None:
    low = g < g[top] / 2
    left = top - int(np.argmax(low[top::-1])) if low[: top + 1].any() else 0
    right = top + int(np.argmax(low[top:])) if low[top:].any() else len(g) - 1
    reach = 2 * max(right - left, 2)
    near = slice(max(top - reach, 0), top + reach + 1)
    guess = (x[top], (x[right] - x[left]) / (2 * np.arccosh(np.sqrt(2))), g[top])
    fit = _curve(lambda v, v0, w, g0: g0 / np.cosh(np.clip((v - v0) / w, -300, 300)) ** 2, x[near], g[near], guess)
    if fit is None:
        return None
    (position, width, height), errors = fit[0], np.sqrt(np.diag(fit[1]))
    return CoulombPeak(*map(float, (position, abs(width), height, *errors)))


@dataclass(frozen=True)
class DiamondEdges:
    """Where the current of a dot is half of what it is at the degeneracy beside it.

    Attributes
    ----------
    degeneracy : ndarray of int, shape (edges,)
        To which degeneracy point each belongs.
    rising : ndarray of bool, shape (edges,)
        Whether it lies on the line whose gate voltage rises with the bias.
    bias, gate : ndarray, shape (edges,)
        Where it is, V.
    """

    degeneracy: NDArray[np.int64]
    rising: NDArray[np.bool_]
    bias: Array
    gate: Array

    def among(self, chosen: NDArray[np.bool_]) -> "DiamondEdges":
        """Return the chosen ones."""
        return DiamondEdges(self.degeneracy[chosen], self.rising[chosen], self.bias[chosen], self.gate[chosen])


def diamond_edges(gate: ArrayLike, bias: ArrayLike, current: ArrayLike, degeneracies: Sequence[float]) -> DiamondEdges:
    """Find the edges of the conducting windows around degeneracy points.

    One tunnelling transition carries half of its full current where the potential of the dot meets that of a lead, so
    an edge is where the current falls to half of that at the degeneracy point of the same bias.

    Parameters
    ----------
    gate : array_like, shape (points,)
        Gate voltages, V.
    bias : array_like, shape (lines,)
        Biases, V.
    current : array_like, shape (lines, points)
        Current from source to drain, A.
    degeneracies : sequence of float
        Gate voltages of the degeneracy points at zero bias, V, ascending.

    Returns
    -------
    DiamondEdges
    """
    x, volts, lines = (np.asarray(values, dtype=float) for values in (gate, bias, current))
    order = np.argsort(x)
    x, lines = x[order], lines[:, order] * np.sign(volts)[:, np.newaxis]
    bounds = [x[0], *degeneracies, x[-1]]
    found: list[tuple[int, bool, float, float]] = []
    for v, line in zip(volts, lines, strict=True):
        least = NOISE_FACTOR * noise(line)
        for number, centre in enumerate(degeneracies):
            level = float(np.interp(centre, x, line)) / 2
            if v == 0 or level <= least:
                continue
            for side, bound in ((-1, bounds[number]), (1, bounds[number + 2])):
                edge = _crossing(x, line, level, centre, bound)
                if edge is not None:
                    found.append((number, side * v > 0, v, edge))
    return DiamondEdges(
        np.array([number for number, _, _, _ in found], dtype=np.int64),
        np.array([rising for _, rising, _, _ in found], dtype=bool),
        np.array([volts for _, _, volts, _ in found], dtype=float),
        np.array([edge for _, _, _, edge in found], dtype=float),
    )


def _crossing(x: Array, line: Array, level: float, centre: float, bound: float) -> float | None:
    """Return where a line first falls to a level on the way from a centre to a bound, by linear interpolation."""
    inside = (x - centre) * (x - bound) <= 0
    order = slice(None, None, 1 if bound > centre else -1)
    way, values = np.array([centre, *x[inside][order]]), np.array([2 * level, *line[inside][order]])
    below = np.flatnonzero(values < level)
    if not len(below):
        return None
    near = slice(below[0] - 1, below[0] + 1)
    return float(np.interp(-level, -values[near], way[near]))


def fit_diamonds(edges: DiamondEdges, count: int) -> dict[str, float] | None:
    """Fit the two lines through each degeneracy point, and return what they say of the dot.

    With the drain grounded the lines are ``dV/dV_G = a_G/(1 - a_S)`` and ``-a_G/a_S`` for lever arms a_G of the gate
    and a_S of the source; their inverse slopes differ by 1/a_G however the bias is applied.

    Parameters
    ----------
    edges : DiamondEdges
        Of all degeneracy points.
    count : int
        Number of degeneracy points.

    Returns
    -------
    dict or None
        ``rising_slope`` and ``falling_slope`` in V of bias per V of gate, ``lever_arm`` of the gate in eV per V,
        ``source_lever_arm`` (for a grounded drain); with two or more degeneracy points also ``period`` in V and
        ``charging_energy`` in eV, the height of the diamonds; each with its ``*_standard_error``; ``edge_residual``:
        root mean square distance of the edges from the lines along the gate, V. None where there are too few edges.
    """
    fit = _lines(edges, count)
    if fit is None:
        return None
    if count > 1:
        sharp = np.abs(edges.bias) / _diamond_values(fit[0])[-1]
        chosen = edges.among((sharp >= SHARP_WINDOW[0]) & (sharp <= SHARP_WINDOW[1]))
        again = _lines(chosen, count)
        edges, fit = (edges, fit) if again is None else (chosen, again)
    values, errors = propagated(_diamond_values, *fit)
    names = ("rising_slope", "falling_slope", "lever_arm", "source_lever_arm", "period", "charging_energy")
    residuals = edges.gate - _design(edges, count) @ fit[0]
    return {
        **_with_errors(names[: len(values)], values, errors),
        "edge_residual": float(np.sqrt(np.mean(residuals**2))),
    }


def _design(edges: DiamondEdges, count: int) -> Array:
    design = np.zeros((len(edges.bias), count + 2))
    design[np.arange(len(edges.bias)), edges.degeneracy] = 1
    design[:, count] = np.where(edges.rising, edges.bias, 0)
    design[:, count + 1] = np.where(edges.rising, 0, edges.bias)
    return design


def _lines(edges: DiamondEdges, count: int) -> tuple[Array, Array] | None:
    """Fit V_G = V_N + k V with one k for rising and one for falling lines: (V_1..V_N, k+, k-) and their covariance."""
    design = _design(edges, count)
    if len(design) <= count + 2 or np.linalg.matrix_rank(design / np.abs(design).max(axis=0).clip(1e-300)) < count + 2:
        return None
    normal = np.asarray(np.linalg.inv(design.T @ design), dtype=np.float64)
    parameters = normal @ design.T @ edges.gate
    spread = float(np.sum((edges.gate - design @ parameters) ** 2)) / (len(design) - count - 2)
    rising, falling = parameters[count:]
    return (parameters, spread * normal) if rising > 0 > falling else None


def _diamond_values(parameters: Array) -> Array:
    *positions, rising, falling = parameters
    lever_arm = 1 / (rising - falling)
    values = [1 / rising, 1 / falling, lever_arm, -lever_arm * falling]
    if len(positions) > 1:
        period = np.polyfit(np.arange(len(positions)), positions, 1)[0]
        values += [period, lever_arm * period]
    return np.array(values)


def electron_temperature(peaks: Sequence[CoulombPeak], lever_arm: float, lever_arm_error: float) -> dict[str, float]:
    """Return the temperature that the widths of Coulomb peaks, 2 kT over the lever arm, stand for.

    Parameters
    ----------
    peaks : sequence of CoulombPeak
        At least one.
    lever_arm, lever_arm_error : float
        Lever arm of the gate and its standard error, eV per V.

    Returns
    -------
    dict
        ``electron_temperature`` in K and its standard error.
    """
    weights = np.array([peak.width_standard_error**-2 for peak in peaks])
    width = float(np.average([peak.width for peak in peaks], weights=weights))
    relative = np.hypot(weights.sum() ** -0.5 / width, lever_arm_error / lever_arm)
    temperature = elementary_charge * lever_arm * width / (2 * Boltzmann)
    return {"electron_temperature": temperature, "electron_temperature_standard_error": float(temperature * relative)}


def _curve(function: Any, x: Array, y: Array, guess: Sequence[float]) -> tuple[Array, Array] | None:
    """Fit a function; None where the points do not determine it."""
    scale = np.full(len(y), np.abs(y).max(initial=0.0) or 1.0)
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("error", OptimizeWarning)
        try:
            values, covariance = curve_fit(function, x, y, guess, scale, x_scale=np.abs(guess) + 1e-30, method="trf")
        except (RuntimeError, ValueError, TypeError, OptimizeWarning):
            return None
    return (values, covariance) if np.isfinite(covariance).all() else None


def _with_errors(names: Sequence[str], values: ArrayLike, errors: ArrayLike) -> dict[str, float]:
    pairs = zip(names, np.asarray(values), np.asarray(errors), strict=True)
    return {
        key: float(x) for name, value, error in pairs for key, x in ((name, value), (f"{name}_standard_error", error))
    }
