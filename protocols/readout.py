"""From mean activities to outputs, classes and losses: what the host computes after a read-out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols.learning_rules import cross_entropy, mean_square, softmax

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Readout:
    """Outputs ``y_c = sum_i f_ci m_i`` of the means of the last layer, and how they name a class.

    Attributes
    ----------
    weights : ndarray, shape (outputs, cells of the last layer)
        ``f``.
    targets : ndarray, shape (classes, outputs), or None
        Output each class is to give. None: there is one output a class, its probabilities are ``softmax(y)`` and the
        loss is their cross-entropy; otherwise the loss is half the squared distance to the target.
    """

    weights: Array
    targets: Array | None = None

    def outputs(self, means: ArrayLike) -> Array:
        """Return the outputs, shape (rows, outputs), of the means of the last layer, shape (rows, cells)."""
        return np.asarray(means, dtype=float) @ self.weights.T

    def probabilities(self, outputs: Array) -> Array:
        """Return the probability of each class, shape (rows, classes).

        With targets, those of normal distributions around each target with a spread of a quarter of the smallest
        distance between two targets.
        """
        if self.targets is None:
            return softmax(outputs)
        gaps = np.linalg.norm(self.targets[:, np.newaxis] - self.targets, axis=-1)
        spread = gaps[gaps > 0].min() / 4
        distances = np.sum((outputs[:, np.newaxis] - self.targets) ** 2, axis=-1)
        return softmax(-distances / (2 * spread**2))

    def loss(self, outputs: Array, labels: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return the loss of each row, shape (rows,), and its derivative by the outputs, shape (rows, outputs)."""
        if self.targets is None:
            return cross_entropy(outputs, labels)
        return mean_square(outputs, self.targets[labels])

    def accuracy(self, outputs: Array, labels: NDArray[np.int64]) -> float:
        """Return the fraction of rows whose most probable class is the right one."""
        return float(np.mean(self.probabilities(outputs).argmax(axis=1) == labels))
