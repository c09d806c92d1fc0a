"""Means of arrays and their standard errors from blocks of samples, gathered batch by batch."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BLOCKS = 16
"""Blocks of one batch, where they are long enough."""

LONG = 20.0
"""Length of a block in relaxation times from which on its mean is taken to be independent of the next one's."""

HOST_VALUES = 2**24
"""Raw values of one batch that the host takes at a time."""


@dataclass(frozen=True)
class Batches:
    """How the shots of a run are divided: batches that begin anew, and blocks of equal length within each.

    Attributes
    ----------
    count : int
        Number of batches.
    blocks : int
        Blocks of each batch.
    length : int
        Shots of each block.
    """

    count: int
    blocks: int
    length: int

    @property
    def shots(self) -> int:
        """Shots of one batch."""
        return self.blocks * self.length

    @property
    def total(self) -> int:
        """Shots of all batches."""
        return self.count * self.shots

    @classmethod
    def of(cls, shots: int, count: int, *, values: int, relaxation: float) -> "Batches":
        """Divide shots, rounded up to whole blocks.

        Parameters
        ----------
        shots : int
            Shots of all batches together.
        count : int
            Number of batches, more where one would have more values than `HOST_VALUES`.
        values : int
            Raw values of one shot.
        relaxation : float
            Slowest relaxation time in shots, 0 for independent shots.
        """
        count = max(count, math.ceil(shots * values / HOST_VALUES))
        batch = max(2, math.ceil(shots / count))
        blocks = max(1, min(BLOCKS, int(batch / max(1.0, LONG * relaxation))))
        return cls(count, blocks, math.ceil(batch / blocks))


STEPS = 4
"""Steps of a regression from the known covariance towards the measured one; each takes its difference once more."""


class BlockMean:
    """The mean of an array, and its standard error from the scatter of independent block means.

    Attributes
    ----------
    count : int
        Blocks so far.
    mean : ndarray
        Their mean.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Array = np.zeros(())
        self._squares: Array = np.zeros(())

    def add(self, blocks: Array) -> None:
        """Add the means of blocks, shape (blocks, ...)."""
        count, mean = len(blocks), blocks.mean(axis=0)
        total, change = self.count + count, mean - self.mean
        within = np.square(blocks - mean).sum(axis=0)
        self._squares = self._squares + within + change**2 * (self.count * count / total)
        self.mean = self.mean + change * (count / total)
        self.count = total

    @property
    def standard_error(self) -> Array:
        """Standard error of the mean; NaN for fewer than two blocks."""
        if self.count < 2:
            return np.full(np.shape(self.mean), np.nan)
        return np.sqrt(self._squares / (self.count * (self.count - 1)))


class BlockCovariance:
    """Running estimate of the covariance of all cells, with errors.

    Parameters
    ----------
    blocks : int
        Blocks of every batch; they are to divide its shots.
    """

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._products = BlockMean()
        self._states = BlockMean()

    def add(self, samples: Array) -> None:
        """Add a batch of samples, shape (shots, n)."""
        states = _in_blocks(samples, self._blocks)
        self._products.add(_products(states, states))
        self._states.add(states.mean(axis=1))

    @property
    def estimate(self) -> tuple[Array, Array]:
        """The covariance about the mean of all samples, and its standard errors, shape (n, n)."""
        offset = np.outer(self._states.mean, self._states.mean)
        return self._products.mean - offset, self._products.standard_error


class BlockPropagator:
    """Running estimate of the symmetric matrix P with which the mean of the next shot follows from a shot, with errors.

    P is the regression of every shot on the one before it, ``C(t) C(0)^-1`` with the measured covariances. The inverse
    is near the known one, ``A/kT``, from which a few steps lead there: fluctuations that C(t) shares with C(0) cancel.

    Parameters
    ----------
    blocks : int
        Blocks of every batch; they are to divide its shots less one.
    precision : ndarray, shape (n, n)
        Inverse of the covariance in equilibrium, ``A/kT``.
    """

    def __init__(self, blocks: int, precision: Array) -> None:
        self._blocks = blocks
        self._precision = precision
        self._later: list[Array] = []
        self._equal: list[Array] = []
        self._states = BlockMean()

    def add(self, samples: Array) -> None:
        """Add a batch of samples, shape (shots, n)."""
        earlier, later = _in_blocks(samples[:-1], self._blocks), _in_blocks(samples[1:], self._blocks)
        self._later.append(_products(later, earlier))
        self._equal.append(_products(earlier, earlier))
        self._states.add(earlier.mean(axis=1))

    @property
    def estimate(self) -> tuple[Array, Array]:
        """The matrix and its standard errors, shape (n, n)."""
        later, equal = np.concatenate(self._later), np.concatenate(self._equal)
        offset = np.outer(self._states.mean, self._states.mean)
        lagged, covariance = later.mean(axis=0) - offset, equal.mean(axis=0) - offset
        propagator = lagged @ self._precision
        for _ in range(STEPS):
            propagator = propagator + (lagged - propagator @ covariance) @ self._precision
        residuals = BlockMean()
        residuals.add(symmetric((later - propagator @ equal) @ self._precision))
        return symmetric(propagator), residuals.standard_error


def symmetric(matrices: Array) -> Array:
    """Return the symmetric part of matrices, shape (..., n, n)."""
    return (matrices + np.swapaxes(matrices, -1, -2)) / 2


def _in_blocks(samples: Array, blocks: int) -> Array:
    return samples.reshape(blocks, -1, samples.shape[-1])


def _products(later: Array, earlier: Array) -> Array:
    """Return the mean of ``x y^T`` of each block, shape (blocks, n, n)."""
    return np.matmul(later.transpose(0, 2, 1), earlier) / later.shape[1]
