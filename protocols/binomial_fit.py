"""Fit of a switching curve to counts: a logit that is a polynomial, between a floor and a ceiling.

``p(z) = floor + (1 - floor - loss) sigma(f(z))`` with a polynomial f of odd degree that rises over the positions -1..1
(the psychometric function of Wichmann and Hill 2001, with a polynomial in place of the straight line). Floor and loss
are what a detector adds to the switch: outcomes +1 without it, and outcomes +1 that are missed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, xlogy
from scipy.stats import chi2

Array = NDArray[np.float64]

DEGREE = 5
"""Largest degree of the polynomial."""

LARGEST_LAPSE = 0.4
"""Largest floor and largest loss that a fit admits."""

SIGNIFICANCE = 0.01
"""A curve is refused where counts as far from it have this probability or less."""

CANDIDATES = (((1, False),), ((1, True), (3, False)), ((3, True),), ((5, True),))
"""Degrees, and whether floor and loss are free: those with as many parameters together, from few to many."""

SURE = 3.0
"""Standard errors by which a curve has to rise."""

ITERATIONS = 200
PRECISION = 1e-9


@dataclass(frozen=True, eq=False)
class BinomialFit:
    """A fitted switching curve.

    Attributes
    ----------
    degree : int
        Degree of the polynomial.
    coefficients : ndarray, shape (DEGREE + 1,)
        Of the powers 0, 1, ... of the position; zero above the degree.
    floor, loss : float
        Probability of +1 far below the transition, and of -1 far above it.
    covariance : ndarray, shape (DEGREE + 3, DEGREE + 3)
        Of the coefficients, the floor and the loss; zero where a parameter is fixed.
    deviance : float
        Twice the logarithm of how much likelier the counts would be at their own fractions.
    degrees_of_freedom : int
        Positions less parameters.
    """

    degree: int
    coefficients: Array
    floor: float
    loss: float
    covariance: Array
    deviance: float
    degrees_of_freedom: int

    @property
    def p_value(self) -> float:
        """Probability of counts at least as far from the curve."""
        return float(chi2.sf(self.deviance, self.degrees_of_freedom)) if self.degrees_of_freedom else 1.0


def fit_counts(position: ArrayLike, on: ArrayLike, shots: ArrayLike) -> BinomialFit | None:
    """Fit the simplest curve that the counts do not refuse.

    Parameters
    ----------
    position : array_like, shape (points,)
        From -1 to 1.
    on, shots : array_like, shape (points,)
        Outcomes +1 and all outcomes at each position; need not be whole, where shots depend on each other.

    Returns
    -------
    BinomialFit or None
        By maximum likelihood. Of the curves that pass the deviance test the one with the fewest parameters, else the
        likeliest one; None where the counts determine none.
    """
    z, on, shots = (np.asarray(values, dtype=float) for values in (position, on, shots))
    tried: list[BinomialFit] = []
    for candidates in CANDIDATES:
        fits = [fit for degree, lapses in candidates if (fit := _fitted(z, on, shots, degree, lapses=lapses))]
        adequate = [fit for fit in fits if fit.p_value > SIGNIFICANCE]
        if adequate:
            return min(adequate, key=lambda fit: fit.deviance)
        tried += fits
    return min(tried, key=lambda fit: fit.deviance, default=None)


def _fitted(z: Array, on: Array, shots: Array, degree: int, *, lapses: bool) -> BinomialFit | None:
    """Fit one candidate; None where the counts do not determine it, or it does not rise over -1..1."""
    free = np.zeros(DEGREE + 3, dtype=bool)
    free[: degree + 1] = True
    free[DEGREE + 1 :] = lapses
    if free.sum() > len(np.unique(z)):
        return None
    parameters, deviance = _likeliest(z, on, shots, free)
    covariance = _covariance(parameters, z, shots, free)
    coefficients = parameters[: DEGREE + 1]
    if covariance is None or not _rises(coefficients, covariance[: DEGREE + 1, : DEGREE + 1]):
        return None
    floor, loss = (float(value) for value in parameters[DEGREE + 1 :])
    return BinomialFit(degree, coefficients, floor, loss, covariance, deviance, len(z) - int(free.sum()))


def _likeliest(z: Array, on: Array, shots: Array, free: NDArray[np.bool_]) -> tuple[Array, float]:
    """Maximise the likelihood over the free parameters by Fisher scoring; return them, and the deviance."""
    parameters = _start(z, on / shots, lapses=bool(free[-1]))
    deviance = _deviance(parameters, z, on, shots)
    for _ in range(ITERATIONS):
        before, step = deviance, _step(parameters, z, on, shots, free)
        parameters, deviance = _descend(parameters, step, deviance, z, on, shots)
        if before - deviance < PRECISION * (1.0 + deviance):
            break
    return parameters, deviance


def _start(z: Array, fraction: Array, *, lapses: bool) -> Array:
    """Return a straight logit through the fractions, between a floor and a ceiling a little outside of them."""
    parameters = np.zeros(DEGREE + 3)
    floor, loss = (0.9 * fraction.min(), 0.9 * (1.0 - fraction.max())) if lapses else (0.0, 0.0)
    inner = np.clip((fraction - floor) / (1.0 - floor - loss), 0.01, 0.99)
    parameters[:2] = polynomial.polyfit(z, logit(inner), 1, w=np.sqrt(inner * (1.0 - inner)))
    parameters[DEGREE + 1 :] = np.clip((floor, loss), 0.0, LARGEST_LAPSE)
    return parameters


def _probability(parameters: Array, z: Array) -> tuple[Array, Array]:
    """Return the probability of +1 at each position, and that of the switch alone."""
    switch = expit(polynomial.polyval(z, parameters[: DEGREE + 1]))
    floor, loss = parameters[DEGREE + 1 :]
    return np.clip(floor + (1.0 - floor - loss) * switch, 1e-12, 1.0 - 1e-12), switch


def _deviance(parameters: Array, z: Array, on: Array, shots: Array) -> float:
    p, _ = _probability(parameters, z)
    own = on / shots
    return float(2.0 * np.sum(xlogy(on, own / p) + xlogy(shots - on, (1.0 - own) / (1.0 - p))))


def _linearised(parameters: Array, z: Array) -> tuple[Array, Array]:
    """Return the probability, and its derivative by the parameters, shape (points, parameters)."""
    p, switch = _probability(parameters, z)
    floor, loss = parameters[DEGREE + 1 :]
    by_logit = (1.0 - floor - loss) * switch * (1.0 - switch)
    by_coefficients = by_logit[:, np.newaxis] * polynomial.polyvander(z, DEGREE)
    return p, np.column_stack([by_coefficients, 1.0 - switch, -switch])


def _step(parameters: Array, z: Array, on: Array, shots: Array, free: NDArray[np.bool_]) -> Array:
    """Return the step of Fisher scoring; a floor or loss at its bound that would leave it stays there."""
    p, slopes = _linearised(parameters, z)
    weight = shots / (p * (1.0 - p))
    score = slopes.T @ (weight * (on / shots - p))
    lapses = np.arange(len(parameters)) > DEGREE
    stuck = lapses & (((parameters <= 0.0) & (score < 0.0)) | ((parameters >= LARGEST_LAPSE) & (score > 0.0)) | ~free)
    moving = free & ~stuck
    information = (slopes[:, moving] * weight[:, np.newaxis]).T @ slopes[:, moving]
    step = np.zeros(len(parameters))
    step[moving] = np.linalg.lstsq(information, score[moving], rcond=None)[0]
    return step


def _descend(parameters: Array, step: Array, deviance: float, z: Array, on: Array, shots: Array) -> tuple[Array, float]:
    """Go along a step, or half of it, or a quarter ..., until the deviance falls."""
    for halvings in range(30):
        trial = parameters + step * 0.5**halvings
        trial[DEGREE + 1 :] = np.clip(trial[DEGREE + 1 :], 0.0, LARGEST_LAPSE)
        improved = _deviance(trial, z, on, shots)
        if improved < deviance:
            return trial, improved
    return parameters, deviance


def _covariance(parameters: Array, z: Array, shots: Array, free: NDArray[np.bool_]) -> Array | None:
    """Return the inverse of the Fisher information of the free parameters, None where it has none."""
    p, slopes = _linearised(parameters, z)
    scaled = slopes[:, free] * np.sqrt(shots / (p * (1.0 - p)))[:, np.newaxis]
    norms = np.linalg.norm(scaled, axis=0)
    if not norms.all():
        return None
    _, singular, rotation = np.linalg.svd(scaled / norms, full_matrices=False)
    if singular[-1] < 1e-7 * singular[0]:
        return None
    inverse = (rotation.T / singular**2) @ rotation / np.outer(norms, norms)
    covariance = np.zeros((len(parameters), len(parameters)))
    covariance[np.ix_(free, free)] = inverse
    return covariance


def _rises(coefficients: Array, covariance: Array) -> bool:
    """Return whether a logit rises everywhere over -1..1, and surely from end to end."""
    slopes = polynomial.polyval(np.linspace(-1.0, 1.0, 401), polynomial.polyder(coefficients))
    ends = polynomial.polyvander(np.array([-1.0, 1.0]), DEGREE)
    contrast = ends[1] - ends[0]
    return bool(slopes.min() > 0.0 and contrast @ coefficients > SURE * np.sqrt(contrast @ covariance @ contrast))
