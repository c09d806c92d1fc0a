"""What a thermodynamic board is told: a program for its switches, and when to sample."""

import math
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RAIL = 16.0
"""Amplifiers clip every cell at +-RAIL."""
FULL_SCALE = {
    "coupling": (-8.0, 8.0),
    "weight": (-8.0, 8.0),
    "bias": (-16.0, 16.0),
    "quadratic": (-4.0, 4.0),
    "cubic": (-2.0, 2.0),
    "quartic": (0.0, 4.0),
    "temperature": (0.0, 4.0),
}
"""Ranges of the board's converters."""

MAXIMUM_SHOTS = 2**32
"""As many as the address of the noise can tell apart."""


@dataclass(frozen=True, eq=False)
class Program:
    """What is written to the switches of n cells with k inputs; keeps read-only copies.

    Parameters
    ----------
    couplings
        (n, n) J, symmetric with zero diagonal.
    bias
        (n,) b.
    weights
        (n, k) W.
    quadratic, cubic, quartic
        (n,) J2, J3, J4.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, or the couplings are not symmetric with zero diagonal.
    """

    couplings: Array
    bias: Array
    weights: Array
    quadratic: Array
    cubic: Array
    quartic: Array

    def __post_init__(self) -> None:
        for field in fields(self):
            value = np.array(getattr(self, field.name), np.float64)
            value.flags.writeable = False
            object.__setattr__(self, field.name, value)
        if self.bias.ndim != 1 or not self.bias.size:
            raise ValueError(f"program: bias has the shape {self.bias.shape}; it must be a list of one value a cell")
        n = len(self.bias)
        shapes = {"couplings": (n, n), "weights": (n, *self.weights.shape[-1:])}
        for field in fields(self):
            value, expected = getattr(self, field.name), shapes.get(field.name, (n,))
            if value.shape != expected:
                raise ValueError(f"program: {field.name} has the shape {value.shape}; {n} cells need {expected}")
            if not np.isfinite(value).all():
                raise ValueError(f"program: {field.name} holds a value that is not finite")
        if np.diagonal(self.couplings).any() or not np.array_equal(self.couplings, self.couplings.T):
            raise ValueError("program: couplings must be symmetric with zero diagonal")

    @property
    def unbounded(self) -> npt.NDArray[np.intp]:
        """Cells (counted from 0) whose own energy has no lower bound, whatever the couplings."""
        return np.flatnonzero((self.quartic < 0) | ((self.quartic == 0) & (self.cubic != 0)))


@dataclass(frozen=True)
class Schedule:
    """When cells are sampled, in model units of time.

    Parameters
    ----------
    sampling
        ``reset``: every shot starts anew and is sampled after the observation time. ``serial``: one trajectory is
        sampled every observation time after the burn-in.
    shots
        Samples per program and row.
    observation_time
        See above.
    burn_in
        Time before the first interval of serial sampling.
    start
        (n,) where the cells are held before they are released; 0 by default.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    sampling: Literal["reset", "serial"]
    shots: int
    observation_time: float
    burn_in: float = 0.0
    start: Array | None = None

    def __post_init__(self) -> None:
        if self.sampling not in ("reset", "serial"):
            raise ValueError(f"schedule: sampling is {self.sampling!r}; allowed are reset, serial")
        if not (1 <= self.shots <= MAXIMUM_SHOTS and self.shots == int(self.shots)):
            raise ValueError(f"schedule: shots is {self.shots}; allowed are whole numbers from 1 to {MAXIMUM_SHOTS}")
        if not 0 < self.observation_time < math.inf:
            raise ValueError(f"schedule: observation_time is {self.observation_time}; it must be positive and finite")
        if not 0 <= self.burn_in < math.inf:
            raise ValueError(f"schedule: burn_in is {self.burn_in}; it must be finite and not negative")

    @property
    def serial(self) -> bool:
        """Whether one trajectory is sampled over and over."""
        return self.sampling == "serial"

    @property
    def first(self) -> float:
        """Time from the start to the first sample."""
        return self.burn_in + self.observation_time if self.serial else self.observation_time
