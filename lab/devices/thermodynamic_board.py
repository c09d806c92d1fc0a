"""The thermodynamic board as plans see it; all quantities in model units."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ophyd import Kind

from drivers.thermodynamic_board import ThermodynamicBoard as Driver
from drivers.thermodynamic_board_limits import FULL_SCALE
from drivers.thermodynamic_board_registers import SLOTS
from lab.devices.board_signals import (
    ZERO,
    ArraySignal,
    CaseSignal,
    DriveCellSignal,
    DriveSignal,
    NoiseSeedSignal,
    ProgramsSignal,
    RowsSignal,
    ShapeSignal,
    SizeSignal,
    SlotsSignal,
    StartSignal,
    UnsaturatedSignal,
    UntrippedSignal,
    watched_signal,
)
from lab.devices.driver_device import DriverDevice
from lab.signals import AcquisitionStatus, ResultSignal, driver_signal, result_signal
from protocols.ports import BoardProgram

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
    interlock_closed = watched_signal("interlock_closed", errors=[101], clearing="clear_interlock")
    untripped = watched_signal(
        "protection_tripped", cls=UntrippedSignal, errors=[103, 104], clearing="clear_protection"
    )
    unsaturated = watched_signal("questionable_condition", cls=UnsaturatedSignal, errors=[233])

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
