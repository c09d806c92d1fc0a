"""The signals of a thermodynamic board: settings others depend on, programs, and what the board says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ophyd import Kind

from drivers.thermodynamic_board import ThermodynamicBoard as Driver
from drivers.thermodynamic_board_registers import SATURATED, SLOTS
from lab.signals import DriverSignal, LimitError, ReadOnlyError, ValueTypeError, driver_signal
from protocols.ports import BoardProgram

ZERO = (0.0,)
"""Where shots start unless told otherwise: one value for all cells."""


class ShapeSignal(DriverSignal):
    """A quantity on which the shape of the results depends."""

    def apply(self, value: Any) -> None:
        """Write `value`; results in the shape before are forgotten."""
        super().apply(value)
        self.parent.forget_results()


class SizeSignal(ShapeSignal):
    """The number of cells or inputs in use, a change of which clears the program slots and what counts cells."""

    def apply(self, value: Any) -> None:
        """Write `value`; the slots want committing anew, projections setting anew."""
        changed = value != self.fetch()
        try:
            super().apply(value)
        finally:
            if changed:  # also where the reply was lost: nothing is changed when this is repeated
                self.parent.uncommitted = True
                self.parent.projections.store(None)
                self.parent.drive_cell.store(1)
                self.parent.start.store(ZERO)
                self.parent.forget_results()


class NoiseSeedSignal(DriverSignal):
    """The seed of the noise, with which the board begins to count its runs anew."""

    def apply(self, value: Any) -> None:
        """Write `value`; the next run is the first."""
        super().apply(value)
        self.parent.runs_with_seed = 0


class SlotsSignal(ShapeSignal):
    """The program slots of a run."""

    def check_value(self, value: Any) -> None:
        """Raise if `value` is no sequence of 1 to 64 slot numbers."""
        if not isinstance(value, (Sequence, np.ndarray)) or isinstance(value, str) or not 1 <= len(value) <= SLOTS:
            raise ValueTypeError(f"{self.name}: {value!r} is no sequence of 1 to {SLOTS} slot numbers")
        for slot in value:
            self.check_number(slot)

    def apply(self, value: Any) -> None:
        """Write `value`; the slots may want committing."""
        super().apply(value)
        self.parent.uncommitted = True


class RowsSignal(ShapeSignal):
    """The rows of the input table a run goes through: (first, count), or None for no inputs."""

    def check_value(self, value: Any) -> None:
        """Raise if `value` is neither None nor a pair (first, count) of whole numbers from 1."""
        if value is None:
            return
        if not isinstance(value, (Sequence, np.ndarray)) or isinstance(value, str) or len(value) != 2:
            raise ValueTypeError(f"{self.name}: {value!r} is neither None nor (first, count)")
        for number in value:
            self.check_number(number)

    def fetch(self) -> tuple[int, int] | None:
        """Ask which rows are swept."""
        return self.parent.driver.rows if self.parent.driver.input_mode == "sweep" else None

    def write(self, value: Any) -> None:
        """Sweep rows, or apply no inputs."""
        if value is None:
            self.parent.driver.input_mode = "off"
        else:
            self.parent.driver.input_mode = "sweep"
            self.parent.driver.rows = value

    def record(self, value: Any) -> list[int]:
        """Return (first, count) as a list, (0, 0) where no inputs are applied."""
        return [int(number) for number in value or (0, 0)]


class ArraySignal(ShapeSignal):
    """An array that is only written; `get` returns what was set last."""

    def __init__(self, *, ndims: tuple[int, ...], optional: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._ndims = ndims
        self._optional = optional

    def check_value(self, value: Any) -> None:
        """Raise if `value` is no finite array of the right number of axes, or outside the limits."""
        if value is None and self._optional:
            return
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError) as error:
            raise ValueTypeError(f"{self.name}: {type(value).__name__} is no array of numbers: {error}") from None
        if array.ndim not in self._ndims or not array.size:
            raise ValueTypeError(f"{self.name}: an array of shape {array.shape} has not {self.dims} as axes")
        low, high = self.limits or (-np.inf, np.inf)
        if not np.isfinite(array).all() or array.min() < low or array.max() > high:
            raise LimitError(
                f"{self.name}: values from {array.min():g} to {array.max():g}; {low:g} to {high:g} allowed"
            )

    def fetch(self) -> Any:
        """Return what was set last."""
        return self.last

    def apply(self, value: Any) -> None:
        """Write `value` and keep it."""
        self.write(value)
        self.store(value if value is None else np.array(value, dtype=float))
        self.parent.forget_results()

    def write(self, value: Any) -> None:
        """Hand the array to the driver's method."""
        getattr(self.parent.driver, self.attribute)(value)

    def record(self, value: Any) -> Any:
        """Return the array."""
        return np.zeros((0,) * len(self.dims)) if value is None else value


def by_slot(programs: Any) -> dict[int, Any]:
    """Return programs by slot: a mapping as it is, a sequence in slots 0, 1, ..."""
    return dict(programs if isinstance(programs, Mapping) else enumerate(programs))


class StartSignal(DriverSignal):
    """Where a reset puts the cells: one value for all, or one for each."""

    def check_value(self, value: Any) -> None:
        """Raise if `value` is no sequence of one number, or of one for each cell, within the limits."""
        cells = self.parent.cells.last
        if not isinstance(value, (Sequence, np.ndarray)) or isinstance(value, str) or len(value) not in (1, cells):
            raise ValueTypeError(f"{self.name}: {value!r} is no sequence of 1 or {cells} numbers")
        for number in value:
            self.check_number(number)

    def fetch(self) -> tuple[float, ...]:
        """Ask where a reset puts the cells."""
        return tuple(self.parent.driver.reset_values().tolist())

    def write(self, value: Any) -> None:
        """Tell where a reset is to put the cells."""
        self.parent.driver.set_reset_values(value)


class ProgramsSignal(DriverSignal):
    """The programs of a run, in slots 0, 1, ... or in those of a mapping: committed, and selected."""

    def check_value(self, value: Any) -> None:
        """Raise if `value` is no sequence or mapping of 1 to 64 programs of one size within the full scale."""
        programs: dict[int, Any] = by_slot(value) if isinstance(value, (Sequence, Mapping)) else {0: None}
        if not all(isinstance(program, BoardProgram) for program in programs.values()):
            raise ValueTypeError(f"{self.name}: a sequence of BoardProgram, or a mapping of slots to them, is needed")
        if not 1 <= len(programs) <= SLOTS:
            raise LimitError(f"{self.name}: {len(programs)} programs; 1 to {SLOTS} are allowed")
        for slot in programs:
            self.parent.slots.check_number(slot)
        sizes = {(program.cells, program.inputs) for program in programs.values()}
        if len(sizes) > 1:
            raise LimitError(f"{self.name}: programs of different size (cells, inputs): {sorted(sizes)}")
        cells, inputs = sizes.pop()
        self.parent.cells.check_value(cells)
        self.parent.inputs.check_value(inputs)
        for slot, program in programs.items():
            for parameter, limits in self.parent.full_scale.items():
                self._check_parameter(f"{parameter} of program {slot}", getattr(program, parameter), limits)

    def _check_parameter(self, what: str, values: Any, limits: tuple[float, float]) -> None:
        if values.size and not (limits[0] <= values.min() and values.max() <= limits[1]):
            raise LimitError(
                f"{self.name}: {what} goes from {values.min():g} to {values.max():g}; "
                f"{limits[0]:g} to {limits[1]:g} is the full scale"
            )

    def fetch(self) -> Any:
        """Return what was set last."""
        return self.last

    def apply(self, value: Any) -> None:
        """Load the programs, and keep them."""
        self.parent.load_programs(by_slot(value))
        self.store(dict(value) if isinstance(value, Mapping) else tuple(value))


class DriveSignal(DriverSignal):
    """The bias of the cell `drive_cell`, in every slot of a run; a reading is the value seen last."""

    def read(self) -> dict[str, Any]:
        """Return the value seen last as a reading; the instrument is not asked."""
        return {self.name: {"value": self.last, "timestamp": self.timestamp}}

    def fetch(self) -> float:
        """Ask for the bias in the first slot."""
        driver: Driver = self.parent.driver
        with driver.lock:
            driver.select(self.parent.slots.last[0])
            return driver.bias_element(self.parent.drive_cell.last)

    def write(self, value: float) -> None:
        """Write the bias to the shadow of every slot, the first one last; the next run commits it."""
        driver: Driver = self.parent.driver
        self.parent.uncommitted = True
        with driver.lock:
            for slot in reversed(self.parent.slots.last):
                driver.select(slot)
                driver.set_bias_element(self.parent.drive_cell.last, value)


class DriveCellSignal(DriverSignal):
    """Which cell `drive` acts on; known to the device only."""

    def check_value(self, value: Any) -> None:
        """Raise if `value` is no cell in use."""
        self.check_number(value)
        cells = self.parent.cells.last
        if value > cells:
            raise LimitError(f"{self.name}: {value} is outside 1 to {cells}, the cells in use")

    def fetch(self) -> int:
        """Return the cell chosen last."""
        return self.last

    def apply(self, value: int) -> None:
        """Choose the cell."""
        self.store(int(value))
        self.parent.drive.get()


class WatchedSignal(DriverSignal):
    """What the board says of itself; it cannot be set.

    Parameters
    ----------
    errors : sequence of int
        Errors by which the board reports that it is not so.
    clearing : str
        The driver's method that clears what has latched, once it may be cleared; empty where nothing latches.
    **kwargs
        As of `DriverSignal`.
    """

    def __init__(self, *, errors: Sequence[int] = (), clearing: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.errors = tuple(errors)
        self.clearing = clearing

    def check_value(self, value: Any) -> None:
        """Raise: nothing can be set."""
        raise ReadOnlyError(f"{self.name}: {value!r} cannot be set, only read")


class UnsaturatedSignal(WatchedSignal):
    """Whether no more samples of the last run were clipped than `saturation_limit` allows."""

    of_last_run = True

    def fetch(self) -> bool:
        """Ask the condition register."""
        return not super().fetch() & SATURATED


class UntrippedSignal(WatchedSignal):
    """Whether no protection has switched the outputs off."""

    def fetch(self) -> bool:
        """Ask the protection."""
        return not super().fetch()


class CaseSignal(WatchedSignal):
    """The temperature of the board itself."""

    def fetch(self) -> float:
        """Ask the sensor."""
        (celsius,) = super().fetch()
        return celsius


def watched_signal(attribute: str, *, cls: type[WatchedSignal] = WatchedSignal, **kwargs: Any) -> Any:
    """Declare a signal that says whether the board is as it must be."""
    return driver_signal(attribute, cls=cls, dtype="boolean", kind=Kind.omitted, **kwargs)
