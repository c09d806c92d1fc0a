"""The boards that contenders simulate, and what they are compared by."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

TEMPERATURE = 0.1


@dataclass(frozen=True, eq=False)
class Board:
    """A layered network of cells of energy x^2 + J4 x^4 - b x, coupled between neighbouring layers, kT = 0.1.

    Attributes
    ----------
    layers : int
        Number of layers.
    width : int
        Cells of a layer.
    quartic : float
        J4.
    temperature : float
        kT; 0 switches the noise off.
    spread : float
        Standard deviation of a coupling in a layer of eight cells.
    """

    layers: int
    width: int
    quartic: float = 1.0
    temperature: float = TEMPERATURE
    spread: float = 1.0

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.layers * self.width

    @property
    def last(self) -> slice:
        """The cells of the last layer."""
        return slice(self.cells - self.width, self.cells)

    @cached_property
    def couplings(self) -> Array:
        """Symmetric couplings (n, n), of the size that training leaves."""
        layer = np.arange(self.cells) // self.width
        drawn = np.random.default_rng(1).normal(0, self.spread / np.sqrt(self.width / 8), (self.cells, self.cells))
        upper = drawn * (layer[None, :] - layer[:, None] == 1)
        return (upper + upper.T).astype(np.float32)

    @cached_property
    def bias(self) -> Array:
        """Bias of the cells (n,)."""
        return np.random.default_rng(2).normal(size=self.cells).astype(np.float32)

    def at(self, temperature: float) -> "Board":
        """Return the same board at another temperature."""
        return replace(self, temperature=temperature)


@dataclass(frozen=True)
class Work:
    """So many trajectories from 0, of so many equal steps."""

    trajectories: int
    steps: int
    step: float

    def noise(self, board: Board) -> float:
        """Return the standard deviation of the noise of a step."""
        return float(np.sqrt(2 * board.temperature * self.step))


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and variances of cells from independent samples.

    Attributes
    ----------
    values : ndarray
        Means, then variances.
    spread : ndarray
        Standard deviation of what a single sample adds to each of them.
    count : int
        Number of samples.
    """

    values: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    count: int

    @classmethod
    def of(cls, samples: npt.NDArray[np.floating]) -> "Moments":
        """Return the moments of samples (M, cells)."""
        mean = samples.mean(axis=0, dtype=np.float64)
        squares = (samples - mean) ** 2
        values = np.concatenate((mean, squares.mean(axis=0)))
        return cls(values, np.concatenate((np.sqrt(squares.mean(axis=0)), squares.std(axis=0))), len(samples))

    def distance(self, reference: "Moments") -> float:
        """Return the largest difference from a reference, in the standard errors that follow from its spread."""
        errors = reference.spread * np.sqrt(1 / self.count + 1 / reference.count)
        return float(np.max(np.abs(self.values - reference.values) / errors))
