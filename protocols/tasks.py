"""What a machine is trained on: real data sets and functions, with inputs within the board's full scale of -1..1."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.arguments import ArgumentError, one_of
from protocols.mnist import CLASSES, mnist5000, read_digits

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

    inputs: NDArray[Any]
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
    image : (height, width) or None
        Pixels of an image, where the inputs are images that stay what they are when they are moved.
    """

    name: str
    train: Examples
    test: Examples
    classes: int
    targets: Array | None = None
    image: tuple[int, int] | None = None

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
"""Classification tasks that need nothing but their name."""

TASKS = ("cosine", *CLASSIFICATIONS, "mnist5000", "mnist")
"""All tasks by name."""


def classification(name: str) -> Classification:
    """Return a classification task by name.

    Raises
    ------
    ArgumentError
        The name is not known.
    """
    return CLASSIFICATIONS[one_of("task", name, CLASSIFICATIONS)]()


def task_data(arguments: Mapping[str, Any]) -> Classification | None:
    """Return the examples that a plan was asked to learn.

    Parameters
    ----------
    arguments : mapping
        Of the plan: ``task``, for "mnist5000" the number ``split``, for "mnist" the files ``images`` and ``labels``,
        two each: those to train on and those to be judged on.

    Returns
    -------
    Classification or None
        None for the cosine, whose inputs are points of a grid.

    Raises
    ------
    ArgumentError
        The task is not known, its data are not there, or a file is wrong.
    """
    name = one_of("task", str(arguments["task"]), TASKS)
    for kind in ("images", "labels"):
        if arguments.get(kind) and name != "mnist":
            raise ArgumentError(f"{kind}: files given; task {name} has its own data, those of files are task mnist")
    if name == "cosine":
        return None
    if name == "mnist5000":
        train, test = mnist5000(int(arguments.get("split") or 0))
        return Classification(name, Examples(*train), Examples(*test), CLASSES, image=(28, 28))
    if name == "mnist":
        return _digits_from_files(*(_two_files(kind, arguments.get(kind)) for kind in ("images", "labels")))
    return classification(name)


def _two_files(kind: str, names: Any) -> list[Path]:
    paths = [Path(name) for name in names or ()]
    if len(paths) != 2:
        raise ArgumentError(
            f"{kind}: {len(paths)} files given; task mnist needs two, that to train on and that to be judged on"
        )
    return paths


def _digits_from_files(images: list[Path], labels: list[Path]) -> Classification:
    train, train_labels, size = read_digits(images[0], labels[0])
    test, test_labels, test_size = read_digits(images[1], labels[1])
    if size != test_size:
        raise ArgumentError(f"images: those to train on are {size} pixels, those to be judged on {test_size}")
    if np.ptp(train_labels) == 0:
        count, label = len(train_labels), train_labels[0]
        raise ArgumentError(f"labels: all {count} to train on are {label}; two classes are needed")
    return Classification("mnist", Examples(train, train_labels), Examples(test, test_labels), CLASSES, image=size)


def _split(inputs: Array, labels: NDArray[np.int64], test_size: int) -> tuple[Examples, Examples]:
    from sklearn.model_selection import train_test_split

    train_inputs, test_inputs, train_labels, test_labels = train_test_split(
        inputs, labels, test_size=test_size, stratify=labels, random_state=0
    )
    return Examples(train_inputs, train_labels), Examples(test_inputs, test_labels)
