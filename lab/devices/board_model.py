"""The model of a thermodynamic board: simulated here, differentiable, and nowhere near the wire."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ophyd import Device, Kind

from lab.devices.thermodynamic_board import ThermodynamicBoard
from lab.model import SimulatedRun, simulate_board
from lab.signals import LimitError, result_signal
from protocols.learning_rules import Gradient
from protocols.ports import BoardProgram

Result = TypeVar("Result")


class ModelledRun:
    """Trajectories of the model; the device counts what their derivatives cost."""

    def __init__(self, device: BoardModel, run: SimulatedRun) -> None:
        self._device = device
        self._run = run

    @property
    def samples(self) -> NDArray[np.float32]:
        """Samples, shape (rows, trajectories, observations, cells read)."""
        return self._run.samples

    def gradient(self, weights: ArrayLike) -> Gradient:
        """Return the derivatives of ``sum(weights * samples)``; see `lab.model.SimulatedRun.gradient`."""
        return self._device.count(lambda: self._run.gradient(weights))


class BoardModel(Device):
    """An ideal model of a board: no mismatch, no quantisation, no offsets.

    It has the size of the board it stands on and does not ask or touch it. Its readings tell what it has computed.

    Parameters
    ----------
    board : ThermodynamicBoard
        The board it is a model of.
    name : str
        Name in the record and in the address of the noise.
    """

    core_seconds = result_signal(units="s", kind=Kind.normal)
    runs = result_signal(numpy_type=np.int64, kind=Kind.normal)

    def __init__(self, board: ThermodynamicBoard, *, name: str) -> None:
        super().__init__(name=name)
        self.body = board
        self.core_seconds.store(0.0)
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
    ) -> ModelledRun:
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
        simulated = self.count(
            lambda: simulate_board(
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
        )
        self.runs.store(self.runs.get() + 1)
        return ModelledRun(self, simulated)

    def count(self, work: Callable[[], Result]) -> Result:
        """Do `work` and add the core time that it took to `core_seconds`."""
        begun = time.process_time()
        try:
            return work()
        finally:
            self.core_seconds.store(self.core_seconds.get() + time.process_time() - begun)

    def safe(self) -> list[str]:
        """Nothing: a model drives no output."""
        return ["no output to switch off"]

    def close(self) -> None:
        """Nothing: a model holds no connection."""
