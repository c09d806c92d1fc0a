"""One run of a thermodynamic board: its arguments, checked, and how it is cut into parts that fit in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from twin.models.imperfections import Deviations
from twin.models.program import Array, Program, Schedule
from twin.models.record import MAXIMUM_BATCHES, MAXIMUM_SAMPLES, SampleMemoryError

Lanes = npt.NDArray[np.float32]

CHUNK = 2**22
"""Samples in memory at a time while only moments are kept."""


@dataclass(frozen=True)
class Tile:
    """A part of a run that is simulated at once: some programs with all rows, or one program with some rows."""

    programs: slice
    rows: slice
    shots: int  # at a time


def tiles(programs: int, rows: int, shots: int, cells: int) -> Iterator[Tile]:
    """Cut a run into tiles of which one chunk of shots fits into CHUNK samples."""
    together = max(1, min(programs, CHUNK // (rows * cells)))
    beside = rows if together > 1 else max(1, min(rows, CHUNK // cells))
    chunk = max(1, min(shots, CHUNK // (together * beside * cells)))
    for p in range(0, programs, together):
        for r in range(0, rows, beside):
            yield Tile(slice(p, min(p + together, programs)), slice(r, min(r + beside, rows)), chunk)


class Run:
    """The arguments of one run, checked, and its programs as arrays."""

    def __init__(
        self,
        programs: Sequence[Program],
        inputs: npt.ArrayLike,
        temperature: float | Array,
        cells: npt.ArrayLike | None,
        slots: npt.ArrayLike | None,
        rows: npt.ArrayLike | None,
    ) -> None:
        if not programs:
            raise ValueError("run: there is no program")
        shapes = {program.weights.shape for program in programs}
        if len(shapes) > 1:
            raise ValueError(f"run: programs differ in size: {sorted(shapes)} cells and inputs")
        self.size, columns = shapes.pop()
        self.inputs = np.asarray(inputs, np.float64)
        if self.inputs.ndim != 2 or self.inputs.shape[1] != columns or not len(self.inputs):
            raise ValueError(f"run: inputs have the shape {self.inputs.shape}; rows of {columns} values are needed")
        if not np.isfinite(self.inputs).all():
            raise ValueError("run: inputs hold a value that is not finite")
        self.groups = len(programs), len(self.inputs)
        self.programs = programs
        self.read = _indices("cells", cells, self.size, self.size - 1)
        self.slots = _indices("slots", slots, self.groups[0], 65535, exact=True)
        self.rows = _indices("rows", rows, self.groups[1], 2**32 - 1, exact=True)
        kT = np.asarray(temperature, np.float64)
        if kT.shape not in ((), (self.size,)) or not (np.isfinite(kT) & (kT >= 0)).all():
            raise ValueError(f"run: temperature is {temperature}; it must be finite, not negative, one or one a cell")
        self.temperature = kT

    def check_memory(
        self, schedule: Schedule, keep_samples: bool, covariances: bool, projections: Array | None
    ) -> None:
        """Refuse a run whose result is too large."""
        cells, groups = self.read.size, self.groups[0] * self.groups[1]
        moments = groups * cells * (cells if covariances else MAXIMUM_BATCHES if schedule.serial else 1)
        moments += 0 if projections is None else groups * cells * projections.shape[1]
        samples = groups * cells * schedule.shots if keep_samples else 0
        for what, count in (("samples", samples), ("moments", moments)):
            if count > MAXIMUM_SAMPLES:
                raise SampleMemoryError(f"run: {count} {what}; the sample memory holds {MAXIMUM_SAMPLES}")

    def checked_projections(self, projections: npt.ArrayLike | None) -> Array | None:
        """Return projections as an array (1 or K, p, c)."""
        if projections is None:
            return None
        linear = np.asarray(projections, np.float64)
        if linear.ndim not in (2, 3) or linear.shape[-1] != self.read.size or not np.isfinite(linear).all():
            raise ValueError(
                f"run: projections have the shape {linear.shape}; finite combinations of {self.read.size} are allowed"
            )
        if linear.ndim == 3 and len(linear) not in (1, self.groups[1]):
            raise ValueError(f"run: projections for {len(linear)} rows; {self.groups[1]} rows are run")
        return np.ascontiguousarray(linear.reshape(-1, *linear.shape[-2:]))

    def network(self, tile: Tile, force: Array, deviations: Deviations) -> tuple[Lanes, Lanes, Lanes]:
        """Return couplings, fields and stiffness of a tile as they are in force."""
        programs, inputs = self.programs[tile.programs], self.inputs[tile.rows]
        couplings = np.stack([deviations.couplings(program.couplings) for program in programs])
        fields = np.stack(
            [
                program.bias
                + force
                + deviations.stuck_force(program.couplings)
                - inputs @ deviations.weights(program.weights).T
                for program in programs
            ]
        )
        stiffness = np.stack(
            [
                deviations.stiffness(np.column_stack([program.quadratic, program.cubic, program.quartic]))
                for program in programs
            ]
        )
        return couplings.astype(np.float32), fields.astype(np.float32), stiffness.astype(np.float32)


def _indices(what: str, values: npt.ArrayLike | None, count: int, most: int, exact: bool = False) -> Any:
    """Return numbers from 0 to ``most``, by default 0 to count - 1."""
    if values is None:
        return np.arange(count)
    numbers = np.asarray(values)
    if numbers.ndim != 1 or not numbers.size or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(f"run: {what} must be a list of whole numbers")
    if exact and numbers.size != count:
        raise ValueError(f"run: {numbers.size} {what} are numbered; {count} are run")
    if numbers.min() < 0 or numbers.max() > most:
        raise ValueError(f"run: {what} reach from {numbers.min()} to {numbers.max()}; allowed are 0 to {most}")
    return numbers.astype(np.int64)
