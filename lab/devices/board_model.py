"""The model of a thermodynamic board: simulated here, differentiable, and nowhere near the wire."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from ophyd import Device, Kind

from lab.devices.thermodynamic_board import ThermodynamicBoard
from lab.model import SimulatedRun, simulate_board
from lab.signals import LimitError, result_signal
from protocols.ports import BoardProgram


class BoardModel(Device):
    """An ideal model of a board: no mismatch, no quantisation, no offsets.

    It has the size of the board it stands on and does not ask or touch it. Its reading tells how many runs it has
    computed.

    Parameters
    ----------
    board : ThermodynamicBoard
        The board it is a model of.
    name : str
        Name in the record and in the address of the noise.
    """

    runs = result_signal(numpy_type=np.int64, kind=Kind.normal)

    def __init__(self, board: ThermodynamicBoard, *, name: str) -> None:
        super().__init__(name=name)
        self.body = board
        self.runs.store(0)

    @property
    def most_cells(self) -> int:
        """Number of cells of the board."""
        return int(self.body.cells.limits[1])

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
    ) -> SimulatedRun:
        """Simulate trajectories from x = 0 under one program; see `protocols.ports.BoardModel.run`.

        Raises
        ------
        LimitError
            If the program has more cells than the board.
        ValueError
            If an argument is out of range, or the inputs do not fit the program.
        MemoryError
            If the states of all trajectories on the way take more than 1 GiB.
        """
        if program.cells > self.most_cells:
            raise LimitError(f"{self.name}: a program of {program.cells} cells; the board has {self.most_cells}")
        simulated = simulate_board(
            program,
            inputs,
            temperature=temperature,
            trajectories=trajectories,
            observation_time=observation_time,
            observations=observations,
            burn_in=burn_in,
            step=step,
            cells=cells,
            seed=seed,
            acquisition=acquisition,
            name=self.name,
        )
        self.runs.store(self.runs.get() + 1)
        return simulated

    @property
    def at_rest(self) -> bool:
        """Always."""
        return True

    def safe(self) -> list[str]:
        """Nothing: a model drives no output."""
        return ["no output to switch off"]

    def close(self) -> None:
        """Nothing: a model holds no connection."""
