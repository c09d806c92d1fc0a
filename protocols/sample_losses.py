"""Losses of single samples with their derivatives, for gradients through the noise: pure functions of arrays.

A gradient that is taken through simulated trajectories may know what each of them gave. Its expectation is the gradient
of a loss of the expectations only if the loss is estimated without bias from as few samples as there are.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols.learning_rules import cross_entropy

Array = NDArray[np.float64]


def ensemble_loss(outputs: ArrayLike, target: ArrayLike, variance_weight: float = 0.0) -> tuple[float, Array]:
    """Return an unbiased estimate of the squared error of the mean output, and its derivative by every sample.

    The trajectories are two halves A and B, and the loss is ``mean_rows (m_A - y0) (m_B - y0)``: its expectation is
    ``(<y> - y0)^2``, eq. (14) of Whitelam and Casert, "Thermodynamic computing out of equilibrium", without the
    ``Var(y)/M`` that the square of one mean would have; each half is weighted by what the other one left. To it a
    multiple of the variance of a sample may be added, which is what the output of M shots will fluctuate by.

    Parameters
    ----------
    outputs : array_like, shape (rows, trajectories)
        Output ``y`` of each trajectory; an even number of them, at least two.
    target : array_like, shape (rows,)
        ``y0``.
    variance_weight : float
        What the variance of a sample is multiplied by.

    Returns
    -------
    loss : float
        May be negative, being an estimate.
    derivative : ndarray, shape (rows, trajectories)
    """
    outputs = np.asarray(outputs, dtype=float)
    rows, trajectories = outputs.shape
    halves = outputs.reshape(rows, 2, trajectories // 2).mean(axis=2) - np.asarray(target, dtype=float)[:, np.newaxis]
    deviation = outputs - outputs.mean(axis=1, keepdims=True)
    variance = np.sum(deviation**2) / (trajectories - 1) / rows
    derivative = np.repeat(halves[:, ::-1], trajectories // 2, axis=1) / (trajectories // 2)
    derivative += 2 * variance_weight * deviation / (trajectories - 1)
    return float(halves.prod(axis=1).mean() + variance_weight * variance), derivative / rows


def time_average_loss(outputs: ArrayLike, target: ArrayLike) -> tuple[float, Array]:
    """Return the squared error of the time average along each trajectory, and its derivative by every sample.

    A machine that is sampled serially answers with the average along one trajectory, eq. (12) of Whitelam and Casert,
    so each trajectory has to be right by itself: the mean over many of a multistable machine may be right where none
    of them is.

    Parameters
    ----------
    outputs : array_like, shape (rows, trajectories, observations)
        Output ``y`` at each observation.
    target : array_like, shape (rows,)
        ``y0``.

    Returns
    -------
    loss : float
        Mean over rows and trajectories.
    derivative : ndarray, shape (rows, trajectories, observations)
    """
    outputs = np.asarray(outputs, dtype=float)
    error = outputs.mean(axis=2) - np.asarray(target, dtype=float)[:, np.newaxis]
    derivative = np.broadcast_to((2 * error / outputs.size)[..., np.newaxis], outputs.shape)
    return float(np.mean(error**2)), derivative


def shot_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> tuple[float, Array]:
    """Return the cross-entropy of the classes that single samples name, and its derivative by every sample.

    The loss of what one shot says, eq. (18) of Whitelam and Casert with M = 1, not of the mean of many shots: a
    machine that is trained on it is right with a single shot, and more shots only help.

    Parameters
    ----------
    logits : array_like, shape (rows, trajectories, classes)
        Logits ``y^(C)`` of each sample.
    labels : array_like of int, shape (rows,)
        The right class of each row.

    Returns
    -------
    loss : float
        In nats, mean over rows and trajectories.
    derivative : ndarray, shape (rows, trajectories, classes)
    """
    logits = np.asarray(logits, dtype=float)
    loss, derivative = cross_entropy(logits.swapaxes(0, 1), labels)
    return float(loss.mean()), derivative.swapaxes(0, 1) / loss.size
