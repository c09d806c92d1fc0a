"""Feedback by sampling: how the weights of activation switches change after a batch of outcomes.

A switch is driven with ``A = w . xi + b`` and gives n = +1 with probability ``p = sigma(beta A)``, so its mean outcome
is ``tanh(beta A/2)``. It learns by lowering the mean error ``(1 - n_T n)/2``, which it has to sample (Milburn and
Basiri-Esfahani, "The physics of learning machines", section 6). Pure functions of arrays.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

Array = NDArray[np.float64]


def bernoulli_shots(standard_error: float, probability: float = 0.5) -> int:
    """Return the shots from which a probability is known with a wanted standard error.

    Parameters
    ----------
    standard_error : float
        Wanted standard error of the probability, above 0.
    probability : float
        The probability itself, strictly between 0 and 1; at the default of 1/2 the most shots are needed.

    Returns
    -------
    int
        The smallest N with ``p (1 - p)/N`` not above the squared error: the Cramer-Rao bound of a Bernoulli trial,
        which the fraction of +1 attains (Milburn and Basiri-Esfahani, eq. 66).
    """
    return max(1, math.ceil(probability * (1.0 - probability) / standard_error**2 * (1.0 - 1e-12)))


def batch_error(mean: ArrayLike, wanted: ArrayLike) -> Array:
    """Return the error probability of a batch, ``(1 - n_T n)/2``, from its mean outcome n (eq. 65)."""
    return (1.0 - np.asarray(wanted, dtype=float) * np.asarray(mean, dtype=float)) / 2.0


def switch_feedback(mean: ArrayLike, wanted: ArrayLike, signals: ArrayLike, *, beta: float, rate: float) -> Array:
    """Return how the weights and the bias of one switch change after a batch.

    ``dw = eta n_T beta (1 - n^2)/4 xi``, and the bias as the weight of a constant input of one (Milburn and
    Basiri-Esfahani, eq. 63): steepest descent of the error probability.

    Parameters
    ----------
    mean : array_like, shape (...)
        Mean outcome n of the batch, -1 to 1.
    wanted : array_like, shape (...)
        Wanted outcome ``n_T``, -1 or +1.
    signals : array_like, shape (..., inputs)
        What the weights multiply, ``xi``.
    beta : float
        Slope of the logit by the activation.
    rate : float
        Learning rate ``eta``.

    Returns
    -------
    ndarray, shape (..., inputs + 1)
        To be added to the weights and, last, to the bias.
    """
    mean, wanted = np.asarray(mean, dtype=float), np.asarray(wanted, dtype=float)
    size = rate * wanted * beta * (1.0 - mean**2) / 4.0
    return size[..., np.newaxis] * _with_bias(np.asarray(signals, dtype=float))


@dataclass(frozen=True, eq=False)
class SwitchNetwork:
    """Weights of an output switch behind a layer of hidden switches, which may be empty.

    ``A_j = sum_i xi_i wh_ij + b_j`` drives hidden switch j, ``A_o = sum_j n_j wo_j + b_o`` the output, with the sampled
    outcomes n_j of the hidden switches, or with the inputs themselves where there are none (eqs. 69 and 70).

    Attributes
    ----------
    hidden : ndarray, shape (inputs, hidden)
        Weights of the hidden switches.
    hidden_bias : ndarray, shape (hidden,)
        Their biases.
    output : ndarray, shape (hidden,) or, without hidden switches, (inputs,)
        Weights of the output.
    output_bias : float
        Its bias.
    """

    hidden: Array
    hidden_bias: Array
    output: Array
    output_bias: float

    @classmethod
    def of(cls, parameters: ArrayLike, inputs: int, hidden: int) -> "SwitchNetwork":
        """Take a network from its parameters in the order of `parameters`."""
        parameters = np.asarray(parameters, dtype=float)
        first = inputs * hidden
        weights = first + (hidden or inputs)
        return cls(
            hidden=parameters[:first].reshape(inputs, hidden),
            hidden_bias=parameters[weights:-1],
            output=parameters[first:weights],
            output_bias=float(parameters[-1]),
        )

    @property
    def weights(self) -> Array:
        """Hidden weights row by row, one row an input, and then output weights."""
        return np.concatenate([self.hidden.ravel(), self.output])

    @property
    def bias(self) -> Array:
        """Hidden biases, and then the output bias."""
        return np.append(self.hidden_bias, self.output_bias)

    @property
    def parameters(self) -> Array:
        """Weights and then biases."""
        return np.concatenate([self.weights, self.bias])

    def hidden_activations(self, inputs: ArrayLike) -> Array:
        """Return the activation of each hidden switch, shape (hidden,), for inputs of shape (inputs,)."""
        return np.asarray(inputs, dtype=float) @ self.hidden + self.hidden_bias

    def output_activations(self, signals: ArrayLike) -> Array:
        """Return the activation of the output, shape (...), for signals of shape (..., hidden or inputs)."""
        return np.asarray(signals, dtype=float) @ self.output + self.output_bias

    def patterns(self, inputs: ArrayLike, beta: float) -> tuple[Array, Array]:
        """Return what can reach the output and how probably.

        Returns
        -------
        patterns : ndarray, shape (patterns, hidden or inputs)
            Outcomes of the hidden switches, or the inputs alone.
        probability : ndarray, shape (patterns,)
            Probability of each pattern.
        """
        if not self.hidden.shape[1]:
            return np.asarray(inputs, dtype=float)[np.newaxis], np.ones(1)
        patterns = np.array(list(product((-1.0, 1.0), repeat=self.hidden.shape[1])))
        return patterns, expit(beta * patterns * self.hidden_activations(inputs)).prod(axis=1)

    def output_probability(self, inputs: ArrayLike, beta: float) -> float:
        """Return the probability that the output is +1: the sum over all hidden patterns, without sampling."""
        patterns, probability = self.patterns(inputs, beta)
        return float(probability @ expit(beta * self.output_activations(patterns)))

    def mean_error(self, inputs: ArrayLike, wanted: ArrayLike, beta: float) -> float:
        """Return the error probability averaged over a truth table of inputs, shape (rows, inputs)."""
        means = [2.0 * self.output_probability(row, beta) - 1.0 for row in np.asarray(inputs, dtype=float)]
        return float(batch_error(means, wanted).mean())

    def gradient(self, inputs: ArrayLike, beta: float) -> Array:
        """Return the derivative of the output probability by each parameter, in the order of `parameters`.

        Output: ``E_h[beta p_o(h) (1 - p_o(h)) h_j]``. Hidden: ``(beta/2) Cov(p_o(h), h_j) xi_i``. The mean-field rule
        puts the product of the averages in place of both.
        """
        patterns, probability = self.patterns(inputs, beta)
        given = expit(beta * self.output_activations(patterns))
        output = probability * beta * given * (1.0 - given) @ _with_bias(patterns)
        spread = patterns - probability @ patterns
        hidden = beta / 2.0 * (probability * given @ spread)
        return _assembled(hidden, output, inputs, self.hidden.shape[1])


@dataclass(frozen=True, eq=False)
class Batch:
    """Joint outcomes of one batch, by the pattern that drove the output.

    Attributes
    ----------
    patterns : ndarray, shape (patterns, hidden or inputs)
        Different outcomes of the hidden switches that occurred, or the inputs alone where there are none.
    shots : ndarray of int, shape (patterns,)
        How often each occurred: so often the output has been asked.
    means : ndarray, shape (patterns,)
        Mean outcome of the output at each pattern.
    standard_errors : ndarray, shape (patterns,)
        Standard error of the fraction of +1 at each pattern.
    """

    patterns: Array
    shots: NDArray[np.int64]
    means: Array
    standard_errors: Array

    @property
    def fractions(self) -> Array:
        """How often each pattern occurred, as a fraction of the batch."""
        return self.shots / self.shots.sum()

    @property
    def output_mean(self) -> float:
        """Mean outcome of the output over the whole batch."""
        return float(self.fractions @ self.means)

    @property
    def probability(self) -> float:
        """Fraction of +1 over the whole batch."""
        return (1.0 + self.output_mean) / 2.0

    @property
    def probability_standard_error(self) -> float:
        """Standard error of that fraction: of the output at each pattern, and of how often each pattern occurs."""
        fractions = self.fractions
        within = np.sum((fractions * self.standard_errors) ** 2)
        between = fractions @ (self.means - self.output_mean) ** 2 / 4.0 / self.shots.sum()
        return float(np.sqrt(within + between))


def mean_field_feedback(
    batch: Batch, network: SwitchNetwork, inputs: ArrayLike, wanted: float, *, beta: float, rate: float
) -> Array:
    """Return how the parameters of a network change after a batch, by averages alone.

    ``dwo_j = eta n_T (beta/4)(1 - no^2) n_j`` and ``dwh_ij = eta n_T (beta^2/8)(1 - no^2) wo_j (1 - n_j^2) xi_i`` with
    mean outcomes of hidden and output switches (Milburn and Basiri-Esfahani, eqs. 72 and 75, the latter with its second
    factor beta). Right where the hidden switches hardly fluctuate; eq. (63) itself where there are none.

    Parameters
    ----------
    batch : Batch
        What the switches gave.
    network : SwitchNetwork
        The parameters they were driven with.
    inputs : array_like, shape (inputs,)
        The inputs they were driven with.
    wanted : float
        Wanted outcome, -1 or +1.
    beta : float
        Slope of the logit by the activation.
    rate : float
        Learning rate ``eta``.

    Returns
    -------
    ndarray, shape (parameters,)
        To be added to the parameters, in their order.
    """
    signals = batch.fractions @ batch.patterns
    output = switch_feedback(batch.output_mean, wanted, signals, beta=beta, rate=rate)
    hidden = output[-1] * beta / 2.0 * network.output * (1.0 - signals**2)
    return _assembled(hidden, output, inputs, network.hidden.shape[1])


def exact_feedback(
    batch: Batch, network: SwitchNetwork, inputs: ArrayLike, wanted: float, *, beta: float, rate: float
) -> Array:
    """Return how the parameters of a network change after a batch, by an unbiased estimate of the gradient.

    The same as `mean_field_feedback`, but with the averages of products: the variance of the output is taken at each
    hidden pattern, with the factor ``c/(c - 1)`` of its c shots, and the hidden switches follow their covariance with
    the output (`SwitchNetwork.gradient`). A pattern that occurred once says nothing about a variance, and is left out.
    """
    total = batch.shots.sum()
    fluctuation = np.where(batch.shots > 1, batch.shots / np.maximum(batch.shots - 1, 1), 0.0) * (1 - batch.means**2)
    output = beta / 4.0 * (batch.fractions * fluctuation) @ _with_bias(batch.patterns)
    spread = batch.patterns - batch.fractions @ batch.patterns
    covariance = (batch.fractions * batch.means / 2.0) @ spread * total / max(total - 1, 1)
    step = _assembled(beta / 2.0 * covariance, output, inputs, network.hidden.shape[1])
    return rate * wanted * step


Rule = Callable[..., Array]

RULES: Mapping[str, Rule] = MappingProxyType(
    {"sampled": mean_field_feedback, "mean_field": mean_field_feedback, "exact": exact_feedback}
)
"""Rules by name; of a switch without hidden ones, the mean-field rule is eq. (63) of the sampled mean."""


def _with_bias(signals: Array) -> Array:
    """Append the constant input of one that the bias is the weight of."""
    return np.concatenate([signals, np.ones((*signals.shape[:-1], 1))], axis=-1)


def _assembled(hidden: Array, output: Array, inputs: ArrayLike, units: int) -> Array:
    """Return a vector over all parameters from one by the hidden activations and one by the output's weights and bias.

    Without hidden switches the former has no meaning, and is dropped.
    """
    hidden = hidden[:units]
    weights = np.outer(np.asarray(inputs, dtype=float), hidden).ravel()
    return np.concatenate([weights, output[:-1], hidden, output[-1:]])
