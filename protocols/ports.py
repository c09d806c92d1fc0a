"""What plans need of devices, named structurally: any object with these members will do.

A plan is written against a port, never against a device class, so the same plan runs on a board behind any wire, on
another body of the same role, and on a test double of twenty lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ActivationSwitch", "Board", "BoardProgram", "Movable", "ProgramError", "Quantity"]


class ProgramError(ValueError):
    """A board program whose arrays do not fit together."""


def _parameter(name: str, values: ArrayLike | None, shape: tuple[int, ...], default: float) -> NDArray[np.float64]:
    """Return `values` as a read-only float64 array of `shape`, a scalar or None being spread over it."""
    array = np.array(default if values is None else values, dtype=np.float64)
    if array.ndim == 0 or array.shape == (1,) * len(shape):
        array = np.full(shape, array.reshape(()))
    if array.shape != shape:
        raise ProgramError(f"{name} has shape {array.shape}; {shape} is needed")
    if not np.isfinite(array).all():
        raise ProgramError(f"{name} holds values that are not finite numbers")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class BoardProgram:
    """Everything one program slot of a thermodynamic board holds, in model units.

    The energy of a state x under inputs u is U = sum(J2 x^2 + J3 x^3 + J4 x^4 - b x) + sum_{i<j} J_ij x_i x_j
    + sum_{a,i} W_ia u_a x_i.

    Attributes
    ----------
    couplings : ndarray, shape (n, n)
        Couplings J, symmetric with zero diagonal; n is the number of cells.
    bias : ndarray, shape (n,)
        Biases b; a scalar is spread over the cells. Default 0.
    weights : ndarray, shape (n, k)
        Input weights W, one column per input. Default: no inputs, shape (n, 0).
    quadratic, cubic, quartic : ndarray, shape (n,)
        Stiffnesses J2 (default 0.5), J3 (default 0) and J4 (default 0); a scalar is spread over the cells.

    Raises
    ------
    ProgramError
        If a shape does not fit, a value is not finite, or the couplings are not symmetric with zero diagonal.
    """

    couplings: NDArray[np.float64]
    bias: NDArray[np.float64] = None  # type: ignore[assignment]
    weights: NDArray[np.float64] = None  # type: ignore[assignment]
    quadratic: NDArray[np.float64] = None  # type: ignore[assignment]
    cubic: NDArray[np.float64] = None  # type: ignore[assignment]
    quartic: NDArray[np.float64] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        shape = np.shape(self.couplings)
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
            raise ProgramError(f"couplings has shape {shape}; a square matrix, one row per cell, is needed")
        cells = shape[0]
        width = 0 if self.weights is None or np.ndim(self.weights) != 2 else np.shape(self.weights)[1]
        self._put("couplings", (cells, cells), 0.0)
        self._put("weights", (cells, width), 0.0)
        for name, default in (("bias", 0.0), ("quadratic", 0.5), ("cubic", 0.0), ("quartic", 0.0)):
            self._put(name, (cells,), default)
        if not np.array_equal(self.couplings, self.couplings.T):
            raise ProgramError("couplings is not symmetric")
        if np.any(np.diagonal(self.couplings)):
            raise ProgramError("couplings has entries on its diagonal; a cell's own stiffness belongs in quadratic")

    def _put(self, name: str, shape: tuple[int, ...], default: float) -> None:
        object.__setattr__(self, name, _parameter(name, getattr(self, name), shape, default))

    @property
    def cells(self) -> int:
        """Number of cells n."""
        return self.couplings.shape[0]

    @property
    def inputs(self) -> int:
        """Number of inputs k."""
        return self.weights.shape[1]


class Movable(Protocol):
    """Something a plan may set: `set` returns a status that is done when the instrument says so."""

    @property
    def name(self) -> str:
        """Name in the record."""

    def set(self, value: Any) -> Any:
        """Begin to set `value`; the returned status finishes when the instrument has taken it."""

    def check_value(self, value: Any) -> Any:
        """Raise a ValueError or TypeError if `value` is not allowed; nothing is sent."""


class Quantity(Movable, Protocol):
    """A settable quantity that can be asked for its value."""

    def get(self) -> Any:
        """Return the value in force."""


class _Reads(Protocol):
    @property
    def name(self) -> str:
        """Name in the record."""

    def trigger(self) -> Any:
        """Acquire; the status finishes when the readings are there."""

    def read(self) -> Any:
        """Return the readings of the last acquisition."""

    def describe(self) -> Any:
        """Return the schema of the readings."""

    def stage(self) -> Any:
        """Make ready to acquire."""

    def unstage(self) -> Any:
        """Leave the outputs off."""


class Result(Protocol):
    """One reading of the last acquisition."""

    @property
    def name(self) -> str:
        """Name in the record."""

    def get(self) -> Any:
        """Return the value measured last."""


@runtime_checkable
class Board(_Reads, Protocol):
    """A thermodynamic board: N cells whose state is drawn from the energy of a program.

    All quantities are in model units. One `trigger` runs every slot of `slots` over every input row of `rows` for
    `shots` shots; results are ordered slot, row, shot, cell.
    """

    @property
    def cells(self) -> Quantity:
        """Number of cells in use; a change clears the program slots."""

    @property
    def inputs(self) -> Quantity:
        """Number of input columns in use; a change clears the program slots."""

    @property
    def temperature(self) -> Quantity:
        """Noise temperature kT."""

    @property
    def noise_seed(self) -> Quantity:
        """Seed of the noise; setting it restarts the count of acquisitions."""

    @property
    def sampling(self) -> Quantity:
        """How shots are drawn: "reset" or "serial"."""

    @property
    def shots(self) -> Quantity:
        """Shots per slot and row."""

    @property
    def observation_time(self) -> Quantity:
        """Time from release (reset sampling) or from the shot before (serial sampling) to the sample."""

    @property
    def burn_in(self) -> Quantity:
        """Time before the first shot of serial sampling."""

    @property
    def saturation_limit(self) -> Quantity:
        """Fraction of clipped samples above which a run fails."""

    @property
    def readout(self) -> Quantity:
        """What a run keeps: "samples" or "statistics"."""

    @property
    def slots(self) -> Quantity:
        """Program slots of a run, in order."""

    @property
    def rows(self) -> Quantity:
        """Rows of the input table a run goes through, (first, count) with first from 1, or None: no inputs."""

    @property
    def input_table(self) -> Quantity:
        """Input vectors, shape (rows, inputs), each value in -1..1."""

    @property
    def projections(self) -> Quantity:
        """Linear combinations of cells, shape (k, cells) or (rows, k, cells); None for none."""

    @property
    def programs(self) -> Quantity:
        """Sequence of BoardProgram: put into slots 0, 1, ..., committed, and selected as `slots`."""

    @property
    def drive(self) -> Quantity:
        """Bias of the cell `drive_cell`."""

    @property
    def drive_cell(self) -> Quantity:
        """Which cell `drive` acts on, from 1."""

    @property
    def mean(self) -> Result:
        """Mean of each cell, shape (slots, rows, cells)."""

    @property
    def variance(self) -> Result:
        """Variance of each cell, shape (slots, rows, cells)."""

    @property
    def standard_error(self) -> Result:
        """Standard error of each mean, correlations of serial sampling included, shape (slots, rows, cells)."""

    @property
    def samples(self) -> Result:
        """Raw samples, shape (slots, rows, shots, cells), where `readout` is "samples"."""

    @property
    def projection_mean(self) -> Result:
        """Mean of each projection, shape (slots, rows, k)."""

    @property
    def projection_covariance(self) -> Result:
        """Covariance of each projection with each cell, shape (slots, rows, k, cells)."""

    @property
    def run_time(self) -> Result:
        """Board time of the last run in seconds."""

    def safe(self) -> Sequence[str]:
        """Abort, noise off, outputs off."""


@runtime_checkable
class ActivationSwitch(_Reads, Protocol):
    """A thing that is driven and then asked: on (+1) or off (-1)."""

    @property
    def drive(self) -> Quantity:
        """The drive A."""

    @property
    def shots(self) -> Quantity:
        """Questions per trigger."""

    @property
    def on_count(self) -> Result:
        """Outcomes +1 of the last trigger."""

    @property
    def off_count(self) -> Result:
        """Outcomes -1 of the last trigger."""

    @property
    def probability(self) -> Result:
        """Fraction of +1."""

    @property
    def probability_standard_error(self) -> Result:
        """Standard error of the fraction."""

    def safe(self) -> Sequence[str]:
        """Leave the body behind the switch with its outputs off."""
