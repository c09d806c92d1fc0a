"""The activation switch that is one bistable cell of a thermodynamic board."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from drivers.thermodynamic_board_limits import FULL_SCALE
from lab.devices.activation_switch import ActivationSwitch, Answers
from lab.devices.thermodynamic_board import ThermodynamicBoard
from lab.signals import AcquisitionStatus, LimitError

BORROWED = (
    "slot",
    "slots",
    "read_cells",
    "shots",
    "input_mode",
    "function",
    "sampling",
    "temperature",
    "observation_time",
)
"""Registers of the board that a count changes and puts back."""


class BoardCellSwitch(ActivationSwitch):
    """One bistable cell of a thermodynamic board: the drive is its bias, the outcome the sign of its state.

    The cell has U = J2 x^2 + J4 x^4 - drive x with J2 < 0; the other cells rest uncoupled. Every shot starts from a
    reset. The board's own slots, rows and shots are put back after every trigger.

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
    temperature : float, optional
        kT of a count in model units; the board's own if not given.
    observation_time : float, optional
        Time from the reset to the sample in units of 1/mu; the board's own if not given.
    span : (low, high), optional
        Drives between which the switch turns; the full scale of a bias if not given.
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
        temperature: float | None = None,
        observation_time: float | None = None,
        span: tuple[float, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if not (quadratic < 0 < quartic):
            raise ValueError(
                f"a cell with J2 = {quadratic:g} and J4 = {quartic:g} is not bistable; J2 < 0 < J4 is needed"
            )
        board.slots.check_number(slot)
        full_scale = FULL_SCALE["bias"]
        super().__init__(
            board,
            name=name,
            span=span or full_scale,
            drive_limits=full_scale,
            units="model unit",
            memory=0.0,
            **kwargs,
        )
        self.cell = cell
        self.slot = slot
        self.stiffness = (quadratic, quartic)
        self._conditions = {"temperature": temperature, "observation_time": observation_time}
        self._lent: dict[str, Any] = {}

    def _parameters(self) -> dict[str, np.ndarray]:
        cells, here = self.body.cells.last, self.cell - 1
        bias, quadratic, quartic = np.zeros(cells), np.full(cells, 0.5), np.zeros(cells)
        bias[here] = self.drive.last
        quadratic[here], quartic[here] = self.stiffness
        couplings = np.zeros((cells, cells))
        return {"couplings": couplings, "bias": bias, "quadratic": quadratic, "cubic": 0 * bias, "quartic": quartic}

    def ask(self, status: AcquisitionStatus) -> Answers:
        """Sample the cell; it is on where its state is positive."""
        driver = self.driver
        self._give_back()
        before = {name: getattr(driver, name) for name in BORROWED}
        driver.load({self.slot: self._parameters()})
        conditions = {name: value for name, value in self._conditions.items() if value is not None}
        wanted = {
            "slot": self.slot,
            "slots": (self.slot,),
            "read_cells": (self.cell,),
            "shots": self.shots.last,
            "input_mode": "off",
            "function": "samples",
            "sampling": "reset",
            **conditions,
        }
        borrowed = {name: value for name, value in wanted.items() if value != before[name]}
        self._lent = {name: before[name] for name in borrowed}
        try:
            self._configure(borrowed)
            driver.run(progress=status.report, permit=self.go_on)
            self.go_on()
            return Answers(driver.samples().ravel() > 0, driver.timestamps().ravel(), driver.run_time)
        finally:
            self._give_back()

    def _configure(self, registers: Mapping[str, Any]) -> None:
        for name, value in registers.items():
            setattr(self.driver, name, value)

    def _give_back(self) -> None:
        """Put back what a count has changed, also one that broke off before it did so itself."""
        self._configure(self._lent)
        self._lent = {}

    def release(self) -> None:
        """Leave the board as it was lent, and unstage it, if it was staged from here."""
        try:
            if self._lent:
                self.body.do_now(self._give_back)
        finally:
            super().release()

    def stage(self) -> list[object]:
        """Make ready to count.

        Raises
        ------
        LimitError
            If the board has not as many cells in use.
        """
        if self.cell > self.body.cells.get():
            raise LimitError(f"{self.name}: cell {self.cell} is not among the {self.body.cells.last} cells in use")
        return super().stage()
