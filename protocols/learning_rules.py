"""Learning rules of a thermodynamic computer: pure functions of arrays.

The energy of the machine, at temperature ``kT``, is (Whitelam and Casert, "Thermodynamic computing out of equilibrium")
``sum_i (J2 x_i^2 + J3 x_i^3 + J4 x_i^4 - b_i x_i) + sum_{i<j} J_ij x_i x_j + sum_{a,i} W_ai u_a x_i``.
Its output is a mean activity ``m = <x>``, a loss ``L(m)`` is a function of the means, and ``delta = dL/dm``. At
equilibrium every gradient of the loss is a covariance with the one observable ``y = sum_o delta_o x_o``: a machine that
merely fluctuates shows how it should change (Massar and Mognetti, arXiv:2405.08467, eq. 43).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def softmax(logits: ArrayLike) -> Array:
    """Return the class probabilities of logits.

    Parameters
    ----------
    logits : array_like, shape (..., classes)
        Logits of any size; infinite ones are not allowed.

    Returns
    -------
    ndarray, shape (..., classes)
        Probabilities, which add up to one along the last axis.
    """
    logits = np.asarray(logits, dtype=float)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def cross_entropy(logits: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    """Return the cross-entropy of every sample and its derivative by the logits.

    Parameters
    ----------
    logits : array_like, shape (..., rows, classes)
        Logits of each sample.
    labels : array_like of int, shape (rows,)
        Index of the right class of each sample.

    Returns
    -------
    loss : ndarray, shape (..., rows)
        ``-ln p[label]`` in nats, with ``p = softmax(logits)``.
    derivative : ndarray, shape (..., rows, classes)
        ``p_c - [c = label]``.
    """
    logits = np.asarray(logits, dtype=float)
    labels = np.asarray(labels)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    rows = np.arange(len(labels))
    loss = np.log(np.exp(shifted).sum(axis=-1)) - shifted[..., rows, labels]
    derivative = softmax(shifted)
    derivative[..., rows, labels] -= 1.0
    return loss, derivative


def mean_square(outputs: ArrayLike, targets: ArrayLike) -> tuple[Array, Array]:
    """Return half the squared distance of every sample to its target and the derivative by the outputs.

    Parameters
    ----------
    outputs, targets : array_like, shape (..., rows, outputs)
        What the machine gave and what it should have given, in model units.

    Returns
    -------
    loss : ndarray, shape (..., rows)
        ``1/2 sum_o (m_o - d_o)^2``.
    derivative : ndarray, shape (..., rows, outputs)
        ``m_o - d_o``.
    """
    difference = np.asarray(outputs, dtype=float) - np.asarray(targets, dtype=float)
    return 0.5 * np.sum(difference**2, axis=-1), difference


@dataclass(frozen=True)
class Gradient:
    """Derivatives of a loss by the parameters of the energy, averaged over a batch.

    Attributes
    ----------
    couplings : ndarray, shape (cells, cells)
        By each coupling ``J_ij``; symmetric, with a zero diagonal.
    bias : ndarray, shape (cells,)
        By each bias ``b_i``.
    weights : ndarray, shape (cells, inputs)
        By each input weight ``W_ai``.
    """

    couplings: Array
    bias: Array
    weights: Array


def thermal_gradient(samples: ArrayLike, delta: ArrayLike, temperature: float, inputs: ArrayLike) -> Gradient:
    """Return the gradient of the loss from raw samples of the free, unclamped machine.

    ``dL/dJ_ij = -Cov[x_i x_j, y]/kT``, ``dL/db_i = +Cov[x_i, y]/kT`` and ``dL/dW_ai = -u_a Cov[x_i, y]/kT``, with
    ``y = sum_o delta_o x_o``: exact at equilibrium, for any number of layers and cycles. It is eq. (43) of Massar and
    Mognetti (arXiv:2405.08467) for a loss of the means and for couplings that enter the energy with plus.

    Parameters
    ----------
    samples : array_like, shape (rows, shots, cells)
        Simultaneous samples of all cells for each row of inputs, in model units; at least two shots.
    delta : array_like, shape (rows, cells)
        Derivative of the loss by each mean activity, zero for the cells that are not read out.
    temperature : float
        ``kT`` in model units, above zero.
    inputs : array_like, shape (rows, inputs)
        The inputs the samples were taken with.

    Returns
    -------
    Gradient
        The mean over the rows.
    """
    samples = np.asarray(samples, dtype=float)
    delta = np.asarray(delta, dtype=float)
    rows, shots, cells = samples.shape
    observable = np.einsum("rsc,rc->rs", samples, delta)
    observable -= observable.mean(axis=1, keepdims=True)
    weighted = samples * (observable / (shots - 1))[..., np.newaxis]
    pairs = weighted.reshape(-1, cells).T @ samples.reshape(-1, cells) / rows
    return _gradient((pairs + pairs.T) / 2, weighted.sum(axis=1), temperature, inputs)


def factorised_gradient(mean: ArrayLike, covariance: ArrayLike, temperature: float, inputs: ArrayLike) -> Gradient:
    """Return the gradient of the loss from correlations that a board can form by itself.

    ``Cov[x_i x_j, y]`` is replaced by ``m_i Cov[x_j, y] + m_j Cov[x_i, y]``, which leaves out third cumulants: exact
    for the biases and the input weights, and for the couplings of a Gaussian machine or as ``kT -> 0``.

    Parameters
    ----------
    mean : array_like, shape (rows, cells)
        Mean activity of each cell for each row of inputs, in model units.
    covariance : array_like, shape (rows, cells)
        Covariance of each cell with the observable ``y = sum_o delta_o x_o`` of that row.
    temperature : float
        ``kT`` in model units, above zero.
    inputs : array_like, shape (rows, inputs)
        The inputs of each row.

    Returns
    -------
    Gradient
        The mean over the rows.
    """
    mean = np.asarray(mean, dtype=float)
    covariance = np.asarray(covariance, dtype=float)
    product = mean.T @ covariance / len(mean)
    return _gradient(product + product.T, covariance, temperature, inputs)


def _gradient(pairs: Array, covariance: Array, temperature: float, inputs: ArrayLike) -> Gradient:
    """Apply the signs of the energy: ``pairs`` is averaged over rows, ``covariance`` has shape (rows, cells)."""
    couplings = -pairs / temperature
    np.fill_diagonal(couplings, 0.0)
    return Gradient(
        couplings=couplings,
        bias=covariance.mean(axis=0) / temperature,
        weights=-covariance.T @ np.asarray(inputs, dtype=float) / (len(covariance) * temperature),
    )


def clip_norm(gradient: ArrayLike, largest: float) -> Array:
    """Return a gradient, shortened where its Euclidean norm is above the largest that is allowed."""
    gradient = np.asarray(gradient, dtype=float)
    norm = float(np.linalg.norm(gradient))
    return gradient * (largest / norm) if norm > largest else gradient


@dataclass(frozen=True)
class AdamState:
    """Running moments of the gradient.

    Attributes
    ----------
    step : int
        Number of gradients seen.
    first, second : ndarray, shape (parameters,)
        Decaying averages of the gradient and of its square.
    """

    step: int
    first: Array
    second: Array

    @classmethod
    def start(cls, parameters: int) -> "AdamState":
        """Return the state before the first gradient of so many parameters."""
        return cls(0, np.zeros(parameters), np.zeros(parameters))


def adam(
    state: AdamState,
    gradient: ArrayLike,
    rate: float,
    *,
    decay: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
) -> tuple[AdamState, Array]:
    """Return the next state of Adam and the change it asks for.

    Parameters
    ----------
    state : AdamState
        The state after the gradients so far.
    gradient : array_like, shape (parameters,)
        Derivative of the loss by each parameter.
    rate : float
        Learning rate: about the size of the change of each parameter in one step.
    decay : tuple of float
        Memory of the two moments, each from 0 up to 1 (Kingma and Ba 2015, algorithm 1).
    epsilon : float
        Keeps the change finite where the gradient vanishes.

    Returns
    -------
    state : AdamState
        The state after this gradient.
    change : ndarray, shape (parameters,)
        To be added to the parameters.
    """
    gradient = np.asarray(gradient, dtype=float)
    step = state.step + 1
    first = decay[0] * state.first + (1.0 - decay[0]) * gradient
    second = decay[1] * state.second + (1.0 - decay[1]) * gradient**2
    corrected = first / (1.0 - decay[0] ** step)
    scale = np.sqrt(second / (1.0 - decay[1] ** step)) + epsilon
    return AdamState(step, first, second), -rate * corrected / scale
