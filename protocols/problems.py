"""What machines are to learn and are judged by, and the sizes and times of Whitelam and Casert for it."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from protocols.genetic_algorithm import classification_loss, function_loss
from protocols.networks import Network
from protocols.tasks import FINAL_POINTS, Classification, cosine

Array = NDArray[np.float64]

OBSERVATION_TIME = {"reset": 1.0, "serial": 0.2}
LAYERS = {"cosine": (8, 8, 8, 8)}
CLASSIFIER_LAYERS = (32, 32, 32)


@dataclass(frozen=True, eq=False)
class Problem:
    """What the machines are judged by.

    Attributes
    ----------
    name : str
        Name of the task.
    data : Classification or None
        The examples of a classification task; None for the cosine.
    """

    name: str
    data: Classification | None

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.data.inputs if self.data else 1

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.data.classes if self.data else 1

    def batch(self, generator: np.random.Generator, rows: int) -> tuple[Array, NDArray[Any]]:
        """Return inputs and what they should give: points of a grid, or training examples that a generator draws."""
        if self.data is None:
            return cosine(rows)
        train = self.data.train
        chosen = generator.choice(len(train), min(rows, len(train)), replace=False)
        return train.inputs[chosen], train.labels[chosen]

    def final(self) -> tuple[Array, NDArray[Any]]:
        """Return the inputs of the final judgement and what they should give: points, or the test examples."""
        return (self.data.test.inputs, self.data.test.labels) if self.data else cosine(FINAL_POINTS)

    def losses(self, outputs: Array, target: NDArray[Any]) -> Array:
        """Return the loss of each individual from outputs of shape (individuals, rows, outputs)."""
        return classification_loss(outputs, target) if self.data else function_loss(outputs[..., 0], target)


class Learning(Protocol):
    """What is to be learnt, and by which machine."""

    @property
    def problem(self) -> Problem:
        """What is to be learnt."""

    @property
    def network(self) -> Network:
        """The machine."""
