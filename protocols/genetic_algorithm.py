"""The genetic algorithm that programs a thermodynamic computer out of equilibrium: pure functions of arrays.

A population of machines is judged by a loss; the best few are cloned, and every clone is mutated. There is no
crossover and no elite: each child differs from its parent. The algorithm, and the equations quoted, are those of
Whitelam and Casert, "Thermodynamic computing out of equilibrium".
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols.learning_rules import cross_entropy

Array = NDArray[np.float64]

WINDOW = 50
"""Generations over which a loss is averaged before anything is concluded from it."""
LEARNT = 0.8
"""A loss below this fraction of the first one is more than drift."""


def initial_population(generator: np.random.Generator, size: int, parameters: int, spread: float) -> Array:
    """Draw the first population.

    Parameters
    ----------
    generator : numpy.random.Generator
        Source of randomness.
    size, parameters : int
        Number of individuals, and of parameters of each.
    spread : float
        Standard deviation of every parameter around zero, in model units.

    Returns
    -------
    ndarray, shape (size, parameters)
    """
    return generator.normal(0.0, spread, (size, parameters))


def mutation_scale(fan_in: ArrayLike, spread: float) -> Array:
    """Return the standard deviation of the mutation of each parameter, ``spread / sqrt(C)``.

    Parameters
    ----------
    fan_in : array_like, shape (parameters,)
        ``C``: 1 for a bias or a read-out weight, the number ``N_j`` of connections into cell j for an input weight, and
        ``(N_i + N_j)/2`` for a coupling.
    spread : float
        Standard deviation at fan-in one, in model units.

    Returns
    -------
    ndarray, shape (parameters,)
    """
    return spread / np.sqrt(np.asarray(fan_in, dtype=float))


def select(losses: ArrayLike, parents: int) -> NDArray[np.intp]:
    """Return the indices of the individuals with the smallest losses, best first.

    Parameters
    ----------
    losses : array_like, shape (population,)
        Loss of each individual. One that is not a number counts as infinite; ties go to the earlier individual.
    parents : int
        How many to select.

    Returns
    -------
    ndarray of int, shape (parents,)
    """
    losses = np.asarray(losses, dtype=float)
    return np.argsort(np.where(np.isnan(losses), np.inf, losses), kind="stable")[:parents]


def mutate(generator: np.random.Generator, parents: ArrayLike, size: int, scale: ArrayLike) -> Array:
    """Clone the parents in turn until there are enough children, and mutate every child.

    Parameters
    ----------
    generator : numpy.random.Generator
        Source of randomness.
    parents : array_like, shape (parents, parameters)
        The selected individuals.
    size : int
        Number of children.
    scale : array_like, shape (parameters,)
        Standard deviation of the mutation of each parameter.

    Returns
    -------
    ndarray, shape (size, parameters)
        Child ``k`` descends from parent ``k mod parents``.
    """
    parents = np.asarray(parents, dtype=float)
    children = parents[np.arange(size) % len(parents)]
    return children + generator.normal(size=children.shape) * np.asarray(scale, dtype=float)


def shrinkage(loss: float, first_loss: float) -> float:
    """Return the factor by which mutations shrink: the root of the loss relative to the first one, at most one.

    Parameters
    ----------
    loss, first_loss : float
        Mean loss of the parents of this generation and of the first.

    Returns
    -------
    float
        From 0 to 1.
    """
    return float(np.sqrt(loss / first_loss)) if loss < first_loss < np.inf else 1.0


def is_stagnant(losses: Sequence[float], patience: int) -> bool:
    """Say whether a population has drifted for long without learning.

    Parameters
    ----------
    losses : sequence of float
        Mean loss of the parents of each generation so far.
    patience : int
        Generations it is given.

    Returns
    -------
    bool
        Whether the mean over the last `WINDOW` generations is still above `LEARNT` times the first loss.
    """
    return len(losses) >= patience and not np.mean(losses[-WINDOW:]) <= LEARNT * losses[0]


def function_loss(outputs: ArrayLike, target: ArrayLike) -> Array:
    """Return the mean squared distance of an output from the target function, eq. (14).

    Parameters
    ----------
    outputs : array_like, shape (..., rows)
        ``y(z_j)`` of each individual.
    target : array_like, shape (rows,)
        ``y_0(z_j)``.

    Returns
    -------
    ndarray, shape (...)
        Infinite where an output is not finite.
    """
    outputs = np.asarray(outputs, dtype=float)
    with np.errstate(over="ignore", invalid="ignore"):
        losses = np.mean((outputs - np.asarray(target, dtype=float)) ** 2, axis=-1)
    return np.where(np.isfinite(losses), losses, np.inf)


def classification_loss(logits: ArrayLike, labels: ArrayLike) -> Array:
    """Return the mean cross-entropy of class probabilities ``softmax(y)``, eqs. (17) and (18).

    Parameters
    ----------
    logits : array_like, shape (..., rows, classes)
        ``y^(C)(I_j)`` of each individual.
    labels : array_like of int, shape (rows,)
        The right class of each row.

    Returns
    -------
    ndarray, shape (...)
        In nats; infinite where a logit is not finite.
    """
    logits = np.asarray(logits, dtype=float)
    with np.errstate(over="ignore", invalid="ignore"):
        losses = cross_entropy(logits, labels)[0].mean(axis=-1)
    return np.where(np.isfinite(logits).all(axis=(-2, -1)), losses, np.inf)
