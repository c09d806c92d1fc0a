"""Activation switches: things that are driven and then asked, on (+1) or off (-1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from ophyd import Kind

from lab.devices.driver_device import DriverDevice
from lab.devices.thermodynamic_board import FULL_SCALE, ThermodynamicBoard
from lab.signals import AcquisitionStatus, DriverSignal, LimitError, driver_signal, result_signal


class HeldSignal(DriverSignal):
    """A quantity the device itself holds and uses at the next trigger."""

    def fetch(self) -> Any:
        """Return what was set last."""
        return self.last

    def apply(self, value: Any) -> None:
        """Keep `value`."""
        self.store(value)


class ActivationSwitch(DriverDevice):
    """The base of all activation switches: set `drive` and `shots`, trigger, read how often it was on.

    A body implements `count`, which asks it `shots` times, and the hooks of `DriverDevice`.
    """

    drive = driver_signal("drive", cls=HeldSignal, kind=Kind.normal, units="model unit", limits=(-1, 1))
    shots = driver_signal("shots", cls=HeldSignal, dtype="integer", limits=(1, 16777216))
    on_count = result_signal(numpy_type=np.int64)
    off_count = result_signal(numpy_type=np.int64)
    probability = result_signal(kind=Kind.hinted)
    probability_standard_error = result_signal()

    def __init__(self, driver: Any, *, name: str, drive: float = 0.0, shots: int = 1000, **kwargs: Any) -> None:
        super().__init__(driver, name=name, **kwargs)
        self.drive.store(drive)
        self.shots.store(shots)

    def length(self, dim: str) -> int:
        """Raise: all results are scalars."""
        raise ValueError(f"{self.name} has no results along {dim!r}")

    def count(self, status: AcquisitionStatus) -> tuple[int, int]:
        """Ask the body `shots` times at `drive`; return how often it was on and how often off."""
        raise NotImplementedError

    def acquire(self, status: AcquisitionStatus) -> None:
        """Count, and fill the results."""
        on, off = self.count(status)
        self.go_on()
        probability, error = fraction(on, off)
        self.on_count.store(on)
        self.off_count.store(off)
        self.probability.store(probability)
        self.probability_standard_error.store(error)


def fraction(on: int, off: int) -> tuple[float, float]:
    """Return the fraction of `on` and its standard error.

    The variance p(1 - p)/N is taken at p = (on + 1)/(N + 2), so that the error of a fraction of 0 or 1 is not zero.

    Raises
    ------
    ValueError
        If nothing was counted.
    """
    shots = on + off
    if shots < 1 or min(on, off) < 0:
        raise ValueError(f"{on} on and {off} off are no counts")
    smoothed = (on + 1) / (shots + 2)
    return on / shots, math.sqrt(smoothed * (1 - smoothed) / shots)


class BoardCellSwitch(ActivationSwitch):
    """One bistable cell of a thermodynamic board: the drive is its bias, the outcome the sign of its state.

    The cell has U = J2 x^2 + J4 x^4 - drive x with J2 < 0; the other cells rest uncoupled. The board's own slots, rows
    and shots are put back after every trigger.

    Parameters
    ----------
    board : ThermodynamicBoard
        The board device.
    name : str
        Name in the record.
    cell : int
        Cell used, from 1.
    slot : int
        Program slot used; no other program may live there.
    quadratic, quartic : float
        J2 (below 0) and J4 (above 0).
    **kwargs
        `drive`, `shots` and `limits` to begin with.

    Raises
    ------
    ValueError
        If the cell is not bistable.
    """

    def __init__(
        self,
        board: ThermodynamicBoard,
        *,
        name: str,
        cell: int = 1,
        slot: int = 63,
        quadratic: float = -1.0,
        quartic: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if not (quadratic < 0 < quartic):
            raise ValueError(
                f"a cell with J2 = {quadratic:g} and J4 = {quartic:g} is not bistable; J2 < 0 < J4 is needed"
            )
        board.slots.check_number(slot)
        super().__init__(board.driver, name=name, **kwargs)
        if "drive" not in (kwargs.get("limits") or {}):
            self.drive.limits = FULL_SCALE["bias"]
        self.board = board
        self.cell = cell
        self.slot = slot
        self.stiffness = (quadratic, quartic)
        self._staged_board = False

    def _parameters(self) -> dict[str, np.ndarray]:
        cells, here = self.board.cells.last, self.cell - 1
        bias, quadratic, quartic = np.zeros(cells), np.full(cells, 0.5), np.zeros(cells)
        bias[here] = self.drive.last
        quadratic[here], quartic[here] = self.stiffness
        couplings = np.zeros((cells, cells))
        return {"couplings": couplings, "bias": bias, "quadratic": quadratic, "cubic": 0 * bias, "quartic": quartic}

    def acquire(self, status: AcquisitionStatus) -> None:
        """Count on the board's thread, so that the board does nothing else meanwhile."""
        self.board.do(lambda: super(BoardCellSwitch, self).acquire(status))

    def count(self, status: AcquisitionStatus) -> tuple[int, int]:
        """Sample the cell; count the signs of its states."""
        driver = self.board.driver
        before = (driver.slot, driver.slots, driver.read_cells, driver.shots, driver.input_mode, driver.function)
        driver.load({self.slot: self._parameters()})
        self._configure(self.slot, (self.slot,), (self.cell,), self.shots.last, "off", "samples")
        try:
            driver.run(progress=status.report, permit=self.go_on)
            self.go_on()
            on = int(np.count_nonzero(driver.samples() > 0))
        finally:
            self._configure(*before)
        return on, self.shots.last - on

    def _configure(self, *settings: Any) -> None:
        names = ("slot", "slots", "read_cells", "shots", "input_mode", "function")
        for name, value in zip(names, settings, strict=True):
            setattr(self.board.driver, name, value)

    def stage(self) -> list[object]:
        """Make ready to count.

        Raises
        ------
        LimitError
            If the board has not as many cells in use.
        """
        if self.cell > self.board.cells.get():
            raise LimitError(f"{self.name}: cell {self.cell} is not among the {self.board.cells.last} cells in use")
        return super().stage()

    def prepare_acquisition(self) -> None:
        """Stage the board, unless it is already."""
        if not self.board.staged:
            self.board.stage()
            self._staged_board = True

    def release(self) -> None:
        """Unstage the board, if it was staged from here."""
        if self._staged_board:
            self._staged_board = False
            self.board.unstage()

    def safety_steps(self) -> list[tuple[str, Callable[[], Any]]]:
        """Those of the board."""
        return self.board.safety_steps()
