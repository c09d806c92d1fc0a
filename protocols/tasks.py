"""What a machine is trained on: real data sets and functions, with inputs within the board's full scale of -1..1."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from protocols.arguments import one_of

Array = NDArray[np.float64]

FINAL_POINTS = 250
"""Points of the cosine on which a machine is finally judged (Whitelam and Casert)."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs with their right classes.

    Attributes
    ----------
    inputs : ndarray, shape (rows, inputs)
        Each value from -1 to 1, the full scale of a board's inputs.
    labels : ndarray of int, shape (rows,)
        Index of the right class.
    """

    inputs: Array
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Classification:
    """A classification task.

    Attributes
    ----------
    name : str
        Name of the task.
    train, test : Examples
        What it is trained on and judged on.
    classes : int
        Number of classes.
    targets : ndarray, shape (classes, outputs), or None
        Output each class is to give, in model units; None where the largest output decides.
    """

    name: str
    train: Examples
    test: Examples
    classes: int
    targets: Array | None = None

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.train.inputs.shape[1]


def digits() -> Classification:
    """Return the 8 x 8 handwritten digits of scikit-learn: 1437 to train on, 360 to be judged on.

    A pixel is an ink level from 0 to 16; the inputs are ``pixel/16`` minus its mean over the training images.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    train, test = _split(images / 16.0, labels, 360)
    mean = train.inputs.mean(axis=0)
    return Classification(
        "digits", Examples(train.inputs - mean, train.labels), Examples(test.inputs - mean, test.labels), 10
    )


def iris() -> Classification:
    """Return the iris flowers of scikit-learn: 100 to train on, 50 to be judged on.

    Each of the four lengths is taken from its mean over the training flowers and divided by its largest distance from
    it.
    """
    from sklearn.datasets import load_iris

    lengths, labels = load_iris(return_X_y=True)
    train, test = _split(lengths, labels, 50)
    mean = train.inputs.mean(axis=0)
    scale = np.abs(train.inputs - mean).max(axis=0)

    def scaled(part: Examples) -> Examples:
        return Examples(np.clip((part.inputs - mean) / scale, -1.0, 1.0), part.labels)

    return Classification("iris", scaled(train), scaled(test), 3)


def xor() -> Classification:
    """Return exclusive or of two inputs of -1 or 1: the output is to be +0.4 where they differ, else -0.4."""
    inputs = np.array([(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)])
    table = Examples(inputs, np.array([0, 1, 1, 0]))
    return Classification("xor", table, table, 2, targets=np.array([(-0.4,), (0.4,)]))


def cosine(points: int) -> tuple[Array, Array]:
    """Return a grid of inputs and the function to be expressed there.

    Parameters
    ----------
    points : int
        Number of inputs ``z_j = j/(points - 1)``, at least 2.

    Returns
    -------
    inputs : ndarray, shape (points, 1)
        ``z``, from 0 to 1.
    target : ndarray, shape (points,)
        ``cos(2 pi z)`` (Whitelam and Casert, "Thermodynamic computing out of equilibrium", eq. 13).
    """
    z = np.linspace(0.0, 1.0, points)
    return z[:, np.newaxis], np.cos(2 * np.pi * z)


CLASSIFICATIONS: Mapping[str, Callable[[], Classification]] = MappingProxyType(
    {"digits": digits, "iris": iris, "xor": xor}
)
"""Classification tasks by name."""


def classification(name: str) -> Classification:
    """Return a classification task by name.

    Raises
    ------
    ArgumentError
        The name is not known.
    """
    return CLASSIFICATIONS[one_of("task", name, CLASSIFICATIONS)]()


def _split(inputs: Array, labels: NDArray[np.int64], test_size: int) -> tuple[Examples, Examples]:
    from sklearn.model_selection import train_test_split

    train_inputs, test_inputs, train_labels, test_labels = train_test_split(
        inputs, labels, test_size=test_size, stratify=labels, random_state=0
    )
    return Examples(train_inputs, train_labels), Examples(test_inputs, test_labels)
