"""Symmetric positive definite matrices, and how a board of linear cells holds one.

Cells with the energy ``U = x^T A x / 2`` have the stiffness ``J2_i = A_ii/2`` and the couplings ``J_ij = A_ij``. In
equilibrium at the temperature kT their covariance is ``kT A^-1``, and a deviation decays as ``e^(-A t)`` (Aifer et al.,
"Thermodynamic linear algebra"). A board holds A times a factor, so that its entries use the full scale.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.arguments import ArgumentError
from protocols.ports import BoardProgram

Array = NDArray[np.float64]

STIFFEST = 7.5
"""Largest diagonal entry on the board, in model units: 2 J2 goes up to 8, and a time rounded to a clock needs room."""

WIDEST_SPREAD = 3.2
"""Largest standard deviation of a state on the board, in model units: five of them are at the rails."""

LARGEST_ENTRY = 1e150
"""Largest entry of a matrix, and the inverse of the smallest that it may be: beyond it products are no numbers."""

ASYMMETRY = 1e-9
"""Difference of two opposite entries that is taken for rounding, relative to the largest entry."""


class MatrixError(ArgumentError):
    """A matrix that no board of linear cells can hold."""


def positive_definite(name: str, values: Any) -> Array:
    """Return a symmetric positive definite matrix as a read-only array.

    Parameters
    ----------
    name : str
        Name of the argument, for messages.
    values : array_like, shape (n, n)
        The entries.

    Raises
    ------
    MatrixError
        The values are no square matrix of finite numbers, not symmetric, or not positive definite; the message says
        where.
    """
    try:
        matrix = np.array(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise MatrixError(f"{name}: not a matrix of numbers; a square one is allowed ({error})") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise MatrixError(f"{name}: shape {matrix.shape} is not allowed; a square matrix is")
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0]
        raise MatrixError(f"{name}: entry [{i}, {j}] is {matrix[i, j]}; finite numbers are allowed")
    size = np.abs(matrix).max()
    if size and not 1 / LARGEST_ENTRY <= size <= LARGEST_ENTRY:
        raise MatrixError(
            f"{name}: the largest entry is {size:.6g}; from {1 / LARGEST_ENTRY:g} to {LARGEST_ENTRY:g} is allowed"
        )
    difference = np.abs(matrix - matrix.T)
    if difference.max() > ASYMMETRY * size:
        i, j = np.unravel_index(np.argmax(difference), matrix.shape)
        raise MatrixError(
            f"{name}: not symmetric at [{i}, {j}], {matrix[i, j]:.9g} and {matrix[j, i]:.9g}; symmetric is allowed"
        )
    matrix = (matrix + matrix.T) / 2
    smallest, largest = np.linalg.eigvalsh(matrix)[[0, -1]]
    if not smallest > len(matrix) * np.finfo(float).eps * abs(largest):
        raise MatrixError(
            f"{name}: not positive definite, its smallest eigenvalue is {smallest:.6g}; ones above 0 are allowed"
        )
    matrix.setflags(write=False)
    return matrix


def random_positive_definite(size: int, condition: float, generator: np.random.Generator) -> Array:
    """Return a matrix in a random orientation whose eigenvalues go in equal steps from 1 to its condition number.

    Parameters
    ----------
    size : int
        Number of rows.
    condition : float
        Largest eigenvalue, at least 1.
    generator : numpy.random.Generator
        Draws the orientation, uniformly over all.
    """
    orthogonal, triangular = np.linalg.qr(generator.standard_normal((size, size)))
    orthogonal *= np.sign(np.diagonal(triangular))
    return positive_definite("matrix", orthogonal * np.linspace(1.0, condition, size) @ orthogonal.T)


def energy_program(matrix: Array) -> BoardProgram:
    """Return the program of linear cells with the energy ``x^T A x / 2``."""
    diagonal = np.diagonal(matrix)
    return BoardProgram(couplings=matrix - np.diag(diagonal), quadratic=diagonal / 2)


@dataclass(frozen=True, eq=False)
class HeldMatrix:
    """A matrix as a board holds it.

    Attributes
    ----------
    matrix : ndarray, shape (n, n)
        The matrix A.
    factor : float
        The board holds A times this, in model units.
    """

    matrix: Array
    factor: float

    @classmethod
    def stiffest(cls, matrix: Array) -> "HeldMatrix":
        """Hold a matrix with the largest factor the board takes: it relaxes as fast as the board can."""
        return cls(matrix, STIFFEST / float(np.diagonal(matrix).max()))

    @property
    def size(self) -> int:
        """Number of rows, and of cells."""
        return len(self.matrix)

    @property
    def entries(self) -> Array:
        """The matrix on the board, in model units."""
        return self.factor * self.matrix

    @cached_property
    def eigenvalues(self) -> Array:
        """Eigenvalues of A in ascending order."""
        return np.asarray(np.linalg.eigvalsh(self.matrix), dtype=np.float64)

    @property
    def relaxation_time(self) -> float:
        """Relaxation time of the softest direction on the board, in units of 1/mu."""
        return 1.0 / (self.factor * float(self.eigenvalues[0]))

    def exponential(self, time: float) -> Array:
        """Return ``e^(-A t)`` from the eigenvectors of A; the time is in units of 1/A."""
        values, vectors = np.linalg.eigh(self.matrix)
        return vectors * np.exp(-values * time) @ vectors.T

    def check_spread(self, temperature: float) -> None:
        """Refuse a temperature at which states would reach the rails.

        Raises
        ------
        ArgumentError
            The softest direction spreads by more than `WIDEST_SPREAD`.
        """
        spread = float(np.sqrt(temperature * self.relaxation_time))
        if spread > WIDEST_SPREAD:
            raise ArgumentError(
                f"temperature: at {temperature:g} the softest direction of the matrix spreads by {spread:.3g} model "
                f"units, to the rails; up to {WIDEST_SPREAD**2 / self.relaxation_time:.3g} is allowed"
            )
