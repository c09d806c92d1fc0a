"""What plans need of devices, named structurally: any object with these members will do.

A plan is written against a port, never against a device class, so the same plan runs on a board behind any wire, on
another body of the same role, and on a test double of twenty lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols.learning_rules import Gradient

__all__ = [
    "ActivationSwitch",
    "Board",
    "BoardModel",
    "BoardProgram",
    "Device",
    "ModelRun",
    "Movable",
    "PhotonKernel",
    "ProgramError",
    "Quantity",
    "QuantumDot",
    "Settable",
]


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


class Settable(Quantity, Protocol):
    """A quantity with limits, and the unit its values are in."""

    @property
    def limits(self) -> tuple[float, float] | None:
        """Lowest and highest value allowed; None where there are none."""

    @property
    def units(self) -> str:
        """Unit of a value."""


class Device(Protocol):
    """A thing that is staged, triggered and read."""

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
class Board(Device, Protocol):
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
    def start(self) -> Quantity:
        """Where a reset puts the cells, from which every shot or trajectory starts: one value for all, or one for each.

        Staging the board and changing the number of cells puts it back to zero.
        """

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
        """Sequence of BoardProgram for slots 0, 1, ..., or mapping of slots to them; committed, selected as `slots`."""

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


class ModelRun(Protocol):
    """Trajectories of a model of a board, which can be asked what they would have done under another program."""

    @property
    def samples(self) -> NDArray[np.float32]:
        """Samples, shape (rows, trajectories, observations, cells read)."""

    def gradient(self, weights: ArrayLike) -> Gradient:
        """Return the derivatives of ``sum(weights * samples)`` by the parameters of the program, noise held fixed.

        A coupling of zero is none, and its derivative is zero; so are those by the weights of a cell whose weights are
        all zero.

        Parameters
        ----------
        weights : array_like, shape (rows, trajectories, observations, cells read)
            Derivative of a loss by each sample.
        """


@runtime_checkable
class BoardModel(Protocol):
    """A model of a thermodynamic board that can be differentiated; all quantities are in model units."""

    @property
    def name(self) -> str:
        """Name in the record."""

    def run(
        self,
        program: BoardProgram,
        inputs: ArrayLike,
        *,
        temperature: float,
        trajectories: int,
        observation_time: float,
        observations: int = 1,
        burn_in: float = 0.0,
        step: float = 0.02,
        cells: Sequence[int] | None = None,
        seed: int = 0,
        acquisition: int = 0,
    ) -> ModelRun:
        """Simulate trajectories from x = 0 under one program, and remember them.

        Parameters
        ----------
        program : BoardProgram
            The program.
        inputs : array_like, shape (rows, inputs)
            Rows of input.
        temperature : float
            Noise temperature kT.
        trajectories : int
            Trajectories of each row.
        observation_time : float
            Time from the start, or from the end of the burn-in, to the first observation, and from each to the next.
        observations : int
            Observations along each trajectory: 1 for reset sampling, more for serial sampling.
        burn_in : float
            Time before the first interval of observation.
        step : float
            Largest time step.
        cells : sequence of int, optional
            Cells observed, from 0; all by default.
        seed, acquisition : int
            Address of the noise: equal numbers give equal noise.
        """


@runtime_checkable
class ActivationSwitch(Device, Protocol):
    """A thing that is driven and then asked: on (+1) or off (-1).

    The probability of +1 rises with the drive; over the drives of `span` it goes from nearly 0 to nearly 1.
    """

    @property
    def drive(self) -> Settable:
        """The drive, in the unit of the body: a bias, a gate voltage, a nominal activation."""

    @property
    def span(self) -> tuple[float, float]:
        """Drives between which the switch turns, from its datasheet: where to look for the transition."""

    @property
    def shots(self) -> Settable:
        """Questions per trigger."""

    @property
    def memory(self) -> float:
        """Largest correlation between one shot and the next that the datasheet admits, 0 to 1."""

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

    @property
    def outcomes(self) -> Result:
        """Outcomes of the last trigger in the order of the shots, +1 or -1, shape (shots,)."""

    @property
    def shot_times(self) -> Result:
        """When each shot was taken, s from the first one's beginning, shape (shots,)."""

    @property
    def run_time(self) -> Result:
        """Time on the instruments that the last trigger took, s."""

    def safe(self) -> Sequence[str]:
        """Leave the body behind the switch with its outputs off."""


@runtime_checkable
class QuantumDot(Device, Protocol):
    """Gate-defined dots with a bias, a current through them, and a quantum point contact that senses their charge.

    One `trigger` does what `measurement` says: "sweep" steps `sweep_gate` through `sweep_values` in one buffered line
    and reads the current through the dot and that of the contact at each; "trace" records the current of the contact
    at `trace_points` times `trace_interval` apart and filters it.
    """

    @property
    def gate_names(self) -> Sequence[str]:
        """Names of the gates, physical ones and then virtual ones."""

    @property
    def safe_voltages(self) -> Mapping[str, float]:
        """Where each physical gate is left, V, by its name."""

    def gate(self, name: str) -> Settable:
        """Return a gate by name, V; its limits are those of the station.

        Raises
        ------
        KeyError
            There is no such gate; the message names those there are.
        """

    @property
    def bias(self) -> Settable:
        """Voltage between source and drain of the dot, V."""

    @property
    def measurement(self) -> Quantity:
        """What a trigger does: "sweep" or "trace"."""

    @property
    def sweep_gate(self) -> Quantity:
        """Name of the gate that a sweep steps; "bias" steps the bias."""

    @property
    def sweep_values(self) -> Quantity:
        """Voltages of a sweep, V, shape (points,)."""

    @property
    def settling_time(self) -> Settable:
        """Time from a step of a sweep to its reading, s."""

    @property
    def integration_time(self) -> Settable:
        """Time over which each reading of a sweep is averaged, s; set to the nearest that the meters have."""

    @property
    def current(self) -> Result:
        """Current through the dot from source to drain in a sweep, A, shape (points,)."""

    @property
    def sensor_current(self) -> Result:
        """Current through the point contact in a sweep, A, shape (points,)."""

    @property
    def trace_interval(self) -> Settable:
        """Time between samples of a trace, s; set to the nearest shorter one that the digitizer has."""

    @property
    def trace_points(self) -> Settable:
        """Samples of a trace."""

    @property
    def trace(self) -> Result:
        """Current through the point contact, A, shape (samples,)."""

    @property
    def occupation(self) -> Result:
        """Probability that the dot is occupied given the trace up to each sample, shape (samples,)."""

    @property
    def level_empty(self) -> Settable:
        """Current of the point contact with the dot empty, A; used by the filter."""

    @property
    def level_occupied(self) -> Settable:
        """Current of the point contact with the dot occupied, A; used by the filter."""

    @property
    def noise_density(self) -> Settable:
        """One-sided white noise of the trace, A^2/Hz; used by the filter."""

    @property
    def rate_in(self) -> Settable:
        """Rate at which the dot is filled, 1/s; used by the filter."""

    @property
    def rate_out(self) -> Settable:
        """Rate at which the dot is emptied, 1/s; used by the filter."""

    @property
    def bandwidth(self) -> Settable:
        """Bandwidth (-3 dB) of the read-out of the point contact, Hz, from the wiring of the station."""

    @property
    def run_time(self) -> Result:
        """Time on the instruments that the last trigger took, s."""

    def safe(self) -> Sequence[str]:
        """Ramp bias and gates to their safe values."""


@runtime_checkable
class PhotonKernel(Device, Protocol):
    """Single photons in a superposition of modes, read through another one: a click says how much they overlap.

    The write pulse carries `inputs`, the read pulse `weights`; both are vectors over the modes and are normalised.
    One `trigger` makes `shots` attempts, each with one photon, and counts those that clicked.
    """

    @property
    def modes(self) -> int:
        """Largest number of modes: entries of a vector."""

    @property
    def inputs(self) -> Quantity:
        """Amplitudes of the write pulse, one per mode, shape (n,); not all zero."""

    @property
    def weights(self) -> Quantity:
        """Amplitudes of the read pulse, one per mode, shape (n,); not all zero."""

    @property
    def light(self) -> Quantity:
        """Whether the pulses are on; off for dark counts."""

    @property
    def shots(self) -> Settable:
        """Attempts per trigger."""

    @property
    def gate_time(self) -> Settable:
        """Time per attempt during which clicks are counted, s."""

    @property
    def threshold(self) -> Settable:
        """Level of the discriminator, V."""

    @property
    def clicks(self) -> Result:
        """Attempts of the last trigger that clicked."""

    @property
    def click_probability(self) -> Result:
        """Fraction of the attempts that clicked."""

    @property
    def click_probability_standard_error(self) -> Result:
        """Standard error of the fraction."""

    @property
    def counts(self) -> Result:
        """Pulses counted in each attempt, shape (shots,)."""

    @property
    def run_time(self) -> Result:
        """Time on the instruments that the last trigger took, s."""

    def safe(self) -> Sequence[str]:
        """Pulses off."""
