"""The thermodynamic board as plans see it; all quantities in model units."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ophyd import Kind

from drivers.thermodynamic_board import ThermodynamicBoard as Driver
from drivers.thermodynamic_board_limits import FULL_SCALE
from drivers.thermodynamic_board_registers import SATURATED, SLOTS
from lab.devices.driver_device import DriverDevice
from lab.signals import (
    AcquisitionStatus,
    DriverSignal,
    LimitError,
    ReadOnlyError,
    ResultSignal,
    ValueTypeError,
    driver_signal,
    result_signal,
)
from protocols.ports import BoardProgram


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
    """What the board says of itself; it cannot be set."""

    def check_value(self, value: Any) -> None:
        """Raise: nothing can be set."""
        raise ReadOnlyError(f"{self.name}: {value!r} cannot be set, only read")


class UnsaturatedSignal(WatchedSignal):
    """Whether no more samples of the last run were clipped than `saturation_limit` allows."""

    def fetch(self) -> bool:
        """Ask the condition register."""
        return not super().fetch() & SATURATED


class CaseSignal(WatchedSignal):
    """The temperature of the board itself."""

    def fetch(self) -> float:
        """Ask the sensor."""
        (celsius,) = super().fetch()
        return celsius


ZERO = (0.0,)
"""Where shots start unless told otherwise: one value for all cells."""

PER_CELL = ("slot", "row", "cell")


class ThermodynamicBoard(DriverDevice):
    """A thermodynamic board: cells whose state is sampled from the energy of a program.

    One `trigger` runs every slot of `slots` over every input row of `rows` for `shots` shots; what is not committed is
    committed before. Staging sets model units, switches outputs and noise on and commits; unstaging leaves noise and
    outputs off. `read` gives the results of the last trigger; `samples` is read by `get` only.

    Parameters
    ----------
    driver : drivers.thermodynamic_board.ThermodynamicBoard
        The driver; it is only read here.
    name : str
        Name in the record.
    limits : mapping of str to (low, high), optional
        Limits in place of the default ones: of a signal by its name, or of a program parameter (`couplings`, `bias`,
        `weights`, `quadratic`, `cubic`, `quartic`).
    """

    cells = driver_signal("cells", cls=SizeSignal, dtype="integer", limits=(1, 256))
    inputs = driver_signal("inputs", cls=SizeSignal, dtype="integer", limits=(0, 1024))
    temperature = driver_signal("temperature", units="model unit", limits=(0, 4))
    noise_seed = driver_signal("noise_seed", cls=NoiseSeedSignal, dtype="integer", limits=(0, 4294967295))
    sampling = driver_signal("sampling", dtype="string", choices=("reset", "serial"))
    shots = driver_signal("shots", cls=ShapeSignal, dtype="integer", limits=(1, 16777216))
    observation_time = driver_signal("observation_time", units="tau", limits=(1 / 120, 1e6))
    burn_in = driver_signal("burn_in", units="tau", limits=(0, 1e6))
    saturation_limit = driver_signal("saturation_limit", limits=(0, 1))
    start = driver_signal(
        "reset_values", cls=StartSignal, units="model unit", limits=(-16, 16), dims=("cell",), kind=Kind.omitted
    )
    readout = driver_signal("function", cls=ShapeSignal, dtype="string", choices=("samples", "statistics"))
    slots = driver_signal("slots", cls=SlotsSignal, dtype="integer", limits=(0, SLOTS - 1), dims=("slot",))
    rows = driver_signal("rows", cls=RowsSignal, dtype="integer", limits=(1, 65536), dims=("bound",))
    input_table = driver_signal(
        "set_input_table", cls=ArraySignal, limits=(-1, 1), ndims=(2,), dims=("row", "input"), kind=Kind.omitted
    )
    projections = driver_signal(
        "set_projections",
        cls=ArraySignal,
        ndims=(2, 3),
        optional=True,
        dims=("row", "projection", "cell"),
        kind=Kind.omitted,
    )
    programs = driver_signal("program", cls=ProgramsSignal, dims=("slot",), kind=Kind.omitted)
    drive = driver_signal(
        "bias_element", cls=DriveSignal, kind=Kind.normal, units="model unit", limits=FULL_SCALE["bias"]
    )
    drive_cell = driver_signal("drive_cell", cls=DriveCellSignal, dtype="integer", limits=(1, 256))
    case_temperature = driver_signal("board_temperature", cls=CaseSignal, units="degC", kind=Kind.omitted)
    interlock_closed = driver_signal("interlock_closed", cls=WatchedSignal, dtype="boolean", kind=Kind.omitted)
    unsaturated = driver_signal("questionable_condition", cls=UnsaturatedSignal, dtype="boolean", kind=Kind.omitted)

    mean = result_signal(dims=PER_CELL, units="model unit")
    variance = result_signal(dims=PER_CELL, units="model unit^2")
    standard_error = result_signal(dims=PER_CELL, units="model unit")
    samples = result_signal(
        dims=("slot", "row", "shot", "cell"),
        units="model unit",
        numpy_type=np.float32,
        kind=Kind.omitted,
    )
    projection_mean = result_signal(dims=("slot", "row", "projection"), units="model unit", kind=Kind.omitted)
    projection_covariance = result_signal(
        dims=("slot", "row", "projection", "cell"), units="model unit^2", kind=Kind.omitted
    )
    run_time = result_signal(units="s")

    def __init__(
        self, driver: Driver, *, name: str, limits: Mapping[str, tuple[float, float]] | None = None, **kwargs: Any
    ) -> None:
        given = dict(limits or {})
        self.full_scale = {key: given.pop(key, scale) for key, scale in FULL_SCALE.items()}
        self.uncommitted = True
        self.runs_with_seed: int | None = None
        self._attempted: AcquisitionStatus | None = None
        super().__init__(driver, name=name, limits=given, **kwargs)
        driver.protect(**self.full_scale, temperature=self.temperature.limits)
        self.drive.limits = self.drive.limits if "drive" in given else self.full_scale["bias"]
        self.input_table.store(None)
        self.projections.store(None)
        self.programs.store(())
        self.drive_cell.store(1)
        self.drive.store(math.nan)
        for signal in (self.cells, self.shots, self.slots, self.rows, self.start):
            signal.get()

    def length(self, dim: str) -> int:
        """Return the length of an axis of the next results."""
        if dim == "projection":
            projections = self.projections.last
            return 0 if projections is None else projections.shape[-2]
        rows = self.rows.last
        return {
            "slot": len(self.slots.last),
            "row": 1 if rows is None else rows[1],
            "shot": self.shots.last if self.readout.last == "samples" else 0,
            "cell": self.cells.last,
        }[dim]

    def forget_results(self) -> None:
        """Forget the results; what is read next has the shape of the next run."""
        projected = Kind.omitted if self.projections.last is None else Kind.normal
        for signal in (self.projection_mean, self.projection_covariance):
            signal.kind = projected
        for name in self.component_names:
            signal = getattr(self, name)
            if isinstance(signal, ResultSignal):
                signal.clear()

    def load_programs(self, programs: Mapping[int, BoardProgram]) -> None:
        """Put programs into slots, and select them for runs, on the device's thread.

        They are committed at once where the outputs are on, otherwise when the board is staged.
        """
        first, program = next(iter(programs.items()))
        for signal, size in ((self.cells, program.cells), (self.inputs, program.inputs)):
            signal.apply(size)
        commit = self.driver.outputs_enabled
        self.uncommitted = True
        loads = {slot: {name: getattr(program, name) for name in FULL_SCALE} for slot, program in programs.items()}
        if commit:
            self.driver.load(loads)
        else:
            for slot, parameters in loads.items():
                self.driver.program(slot, **parameters)
        self.driver.select(first)
        self.slots.apply(list(programs))
        self.drive.store(float(program.bias[self.drive_cell.last - 1]))
        self.uncommitted = not commit

    def prepare_acquisition(self) -> None:
        """Set units, encoding and what is read, let shots start from zero, switch outputs and noise on, and commit."""
        self._agree_on_units()
        if np.any(self.start.last):
            self.start.apply(ZERO)
        self._energise()

    def put_back(self, _: Sequence[Any]) -> None:
        """Set everything again that was set, the latest last, unless outputs that are still on tell that it is there.

        A board that was switched off and on has its outputs off; that nobody else sets anything, its lock sees to.
        """
        if self.staged and self.driver.outputs_enabled:
            self.driver.use_encoding("REAL,32", "little")
            return
        if self.staged:
            self._agree_on_units()
        for name, value in list(self.wanted.items()):
            getattr(self, name).apply(value)
        if self.staged:
            self._energise()

    def _agree_on_units(self) -> None:
        self.driver.unit = "model"
        self.driver.highest_moment = "variance"
        self.driver.use_encoding("REAL,32", "little")

    def _energise(self) -> None:
        self.driver.switch_outputs(True)
        self.driver.noise_enabled = True
        self.readout.get()
        self.drive.get()
        self._commit()

    def _commit(self) -> None:
        self.driver.commit_slots(self.slots.last)
        self.uncommitted = False

    def acquire(self, status: AcquisitionStatus) -> None:
        """Commit what is not, run, and fetch the results.

        The first run after its seed was set has that noise also when it is repeated.
        """
        if self.uncommitted:
            self._commit()
        if status is self._attempted and self.runs_with_seed == 0:
            self.noise_seed.apply(self.wanted["noise_seed"])
        self._attempted = status
        self.driver.run(progress=status.report, permit=self.go_on)
        self.go_on()
        self.fetch_results()
        if self.runs_with_seed is not None:
            self.runs_with_seed += 1

    def fetch_results(self) -> None:
        """Fetch the results of the run that has ended."""
        moments = self.driver.moments()
        for signal, values in zip((self.mean, self.variance, self.standard_error), moments, strict=True):
            signal.store(values)
        if self.projections.last is not None:
            mean, covariance = self.driver.projections()
            self.projection_mean.store(mean)
            self.projection_covariance.store(covariance)
        if self.readout.last == "samples":
            self.samples.store(self.driver.samples())
        self.run_time.store(self.driver.run_time)

    @property
    def at_rest(self) -> bool:
        """Whether noise and outputs are off."""
        return not (self.driver.outputs_enabled or self.driver.noise_enabled)

    def safety_steps(self) -> list[tuple[str, Callable[[], Any]]]:
        """Abort, noise off, outputs off."""
        return [
            ("run aborted", self.driver.abort),
            ("noise off", lambda: setattr(self.driver, "noise_enabled", False)),
            ("outputs off", lambda: self.driver.switch_outputs(False)),
        ]
