"""What the plans of linear algebra share: their arguments, a matrix on a board, and how a result is judged.

Linear cells with the energy ``U = x^T A x / 2`` have the covariance ``kT A^-1`` in equilibrium, the lagged covariance
``kT e^(-A t) A^-1``, and the free energy ``(kT/2) ln det A`` up to a constant (Aifer et al., "Thermodynamic linear
algebra"). The board holds A times a factor; the host scales, adds and multiplies, and compares with NumPy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, board_settings, configure
from protocols.arguments import LARGEST_SEED, LARGEST_SHOTS, allowed_by, number, one_of, whole
from protocols.block_means import Batches
from protocols.matrices import HeldMatrix, positive_definite, random_positive_definite
from protocols.ports import Board
from protocols.randomness import stream

Array = NDArray[np.float64]

SETTLED = 7.0
"""Relaxation times of the softest direction after which a covariance is that of equilibrium, to ``e^-14``."""

APART = 2.0
"""Relaxation times of the softest direction between two shots of serial sampling, where none is given."""

CLIPPED = 1e-5
"""Fraction of samples at the rails above which a run fails."""

LARGEST_SIZE = 256
LARGEST_BATCHES = 4096

MATRIX_DRAW = (0, 0)
"""Address of the random matrix among the choices of a plan."""

DIMS: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("matrix", "estimate", "estimate_standard_error", "reference"), ("row", "column")
)
"""Names of the axes of the arrays that the plans record."""


def checked_arguments(
    *,
    matrix: Any,
    size: int,
    condition: float,
    sampling: str,
    shots: int,
    batches: int,
    temperature: float,
    observation_time: float | None,
    seed: int,
) -> dict[str, Any]:
    """Return the arguments that all plans of linear algebra have, as values that JSON knows.

    Raises
    ------
    MatrixError
        No board of linear cells can hold the matrix.
    ArgumentError
        Another argument is not allowed.
    """
    wait = observation_time
    return {
        "matrix": None if matrix is None else positive_definite("matrix", matrix).tolist(),
        "size": whole("size", size, 1, LARGEST_SIZE),
        "condition": number("condition", condition, 1.0, 1e6),
        "sampling": one_of("sampling", sampling, ("serial", "reset")),
        "shots": whole("shots", shots, 2, LARGEST_SHOTS),
        "batches": whole("batches", batches, 2, LARGEST_BATCHES),
        "temperature": number("temperature", temperature, 0.0, 4.0, above=True),
        "observation_time": None if wait is None else number("observation_time", wait, 0.0, 1e6, above=True),
        "seed": whole("seed", seed, 0, LARGEST_SEED),
    }


def chosen_matrix(arguments: Mapping[str, Any]) -> Array:
    """Return the matrix that was given, or the random one of the seed."""
    if arguments["matrix"] is not None:
        return np.array(arguments["matrix"])
    generator = stream(arguments["seed"], *MATRIX_DRAW)
    return random_positive_definite(arguments["size"], arguments["condition"], generator)


@dataclass(frozen=True, eq=False)
class LinearBoard:
    """A matrix as a board holds it, and how its fluctuations are sampled.

    Attributes
    ----------
    held : HeldMatrix
        The matrix.
    temperature : float
        Noise temperature kT in model units.
    serial : bool
        Whether shots follow each other along one trajectory; otherwise every shot starts anew.
    observation_time : float
        Time between two shots, or from the start to the sample, in units of 1/mu.
    batches : Batches
        How the shots are divided.
    """

    held: HeldMatrix
    temperature: float
    serial: bool
    observation_time: float
    batches: Batches

    @classmethod
    def of(cls, held: HeldMatrix, arguments: Mapping[str, Any], programs: int = 1) -> "LinearBoard":
        """Choose what the arguments leave open, for a run of so many programs."""
        serial = arguments["sampling"] == "serial"
        wait = arguments["observation_time"] or (APART if serial else SETTLED) * held.relaxation_time
        batches = Batches.of(
            arguments["shots"],
            arguments["batches"],
            values=programs * held.size,
            relaxation=held.relaxation_time / wait if serial else 0.0,
        )
        return cls(held, arguments["temperature"], serial, wait, batches)

    def settings(self, shots: int) -> dict[str, Any]:
        """Return the settings of the board for so many shots a run, by signal name."""
        return board_settings(
            temperature=self.temperature,
            sampling="serial" if self.serial else "reset",
            shots=shots,
            observation_time=self.observation_time,
            burn_in=SETTLED * self.held.relaxation_time,
            saturation_limit=CLIPPED,
        )

    def check(self, board: Board) -> None:
        """Refuse what the board does not take; nothing is sent.

        Raises
        ------
        ArgumentError
            States would reach the rails, or the board refuses a setting.
        """
        self.held.check_spread(self.temperature)
        allowed_by(board, cells=self.held.size, **self.settings(self.batches.shots))

    def prepare(self, board: Board, *, shots: int, readout: str = "samples") -> Plan[None]:
        """Bring all settings to the board; the programs are left."""
        yield from configure(
            board,
            cells=self.held.size,
            inputs=0,
            **self.settings(shots),
            rows=None,
            projections=None,
            readout=readout,
        )


def condition_number(matrix: Array) -> float:
    """Return the condition number of a symmetric positive definite matrix."""
    return float(np.linalg.cond(matrix))


def compared(estimate: Array, standard_error: Array, reference: Array) -> dict[str, float]:
    """Return how an estimate compares with a reference.

    Parameters
    ----------
    estimate, standard_error, reference : ndarray
        Of equal shape.

    Returns
    -------
    dict
        ``relative_error`` in the Frobenius norm, the ``expected_error`` by the standard errors, and the
        ``largest_deviation`` of an entry in standard errors.
    """
    difference, norm = estimate - reference, np.linalg.norm(reference)
    deviations = np.divide(difference, standard_error, out=np.zeros_like(difference), where=standard_error > 0)
    return {
        "relative_error": float(np.linalg.norm(difference) / norm),
        "expected_error": float(np.linalg.norm(standard_error) / norm),
        "largest_deviation": float(np.abs(deviations).max()),
    }
