"""One acquisition of the thermodynamic board: what was asked of it, and the readings it left in memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim_devices.scpi import ScpiError
from twin.models.thermodynamic_board import Program, Record, Schedule, ThermodynamicBoard

MEAN, VARIANCE, COVARIANCE = 1, 2, 3
"""Moments that a run may keep; 0 is none."""
MEMORY = 2**26
"""Values that the sample memory holds."""
COST = 1e13
"""Cell steps of the integrator that one acquisition may take."""


@dataclass(frozen=True)
class Timing:
    """Durations of one acquisition, in seconds of board time.

    Each of `triggers` triggers comes `lead` after what was before it and takes `shots` shots at every slot and row.
    Reset sampling takes ``shots * (reset + observation + conversion)`` per slot and row, serial sampling
    ``burn_in + shots * observation``.
    """

    serial: bool
    shots: int
    blocks: int
    observation: float
    burn_in: float = 0.0
    reset: float = 0.0
    conversion: float = 0.0
    lead: float = 0.0
    triggers: int = 1

    @property
    def block(self) -> float:
        """Duration of one slot at one row of inputs after one trigger, s."""
        if self.serial:
            return self.burn_in + self.shots * self.observation
        return self.shots * (self.reset + self.observation + self.conversion)

    @property
    def total(self) -> float:
        """Duration from the first trigger to the last sample, s."""
        return self.triggers * self._period

    @property
    def _period(self) -> float:
        return self.lead + self.blocks * self.block

    def stamps(self, first: int, count: int) -> np.ndarray:
        """Return when shots `first`, `first` + 1, ... in memory were converted, s since the first trigger."""
        block, shot = np.divmod(np.arange(first, first + count), self.triggers * self.shots)
        trigger, shot = np.divmod(shot, self.shots)
        if self.serial:
            within_block = self.burn_in + (shot + 1) * self.observation
        else:
            within_block = (shot + 1) * (self.reset + self.observation + self.conversion)
        return trigger * self._period + self.lead + block * self.block + within_block


@dataclass(frozen=True)
class Order:
    """Everything that one INITiate needs, frozen when it was accepted.

    Parameters
    ----------
    programs : tuple of Program
        Live images, one per listed slot.
    slots : tuple of int
        Their slots, in the same order.
    inputs : ndarray, shape (rows, k)
        Rows of inputs, -1..1.
    first_row : int
        Number of the first row, counted from 0.
    schedule : Schedule
        Sampling, in model units of time.
    timing : Timing
        The same in seconds.
    temperature : float
        kT in model units; 0 with the noise source off.
    seed, acquisition : int
        Address of the noise.
    cells : ndarray of int
        Cells to read, counted from 0.
    projections : ndarray, shape (p, cells read) or (rows, p, cells read), or None
        Linear combinations of the cells that are read.
    keep_samples : bool
        Keep every sample, not moments only.
    threshold : float or None
        Level of 1-bit conversion, in model units.
    moments : int
        Highest moment that is kept: 0, MEAN, VARIANCE or COVARIANCE.
    """

    programs: tuple[Program, ...]
    slots: tuple[int, ...]
    inputs: np.ndarray
    first_row: int
    schedule: Schedule
    timing: Timing
    temperature: float
    seed: int
    acquisition: int
    cells: np.ndarray
    projections: np.ndarray | None
    keep_samples: bool
    threshold: float | None
    moments: int

    @property
    def covariances(self) -> bool:
        """Whether the run computes covariances."""
        return self.moments >= COVARIANCE

    def check(self, time_limit: float, model: ThermodynamicBoard) -> None:
        """Refuse what would not fit the memory or would not end in sensible time.

        Raises
        ------
        ScpiError
            232, with the quantity that is too large.
        """
        groups = len(self.programs) * len(self.inputs)
        shots = groups * self.schedule.shots
        if self.keep_samples and shots * self.cells.size > MEMORY:
            raise ScpiError(232, f"{shots * self.cells.size:.3g} samples, memory holds {MEMORY}")
        pairs = self.cells.size**2 if self.covariances else 0
        pairs += 0 if self.projections is None else self.projections[0].size
        if groups * pairs > MEMORY:
            raise ScpiError(232, f"{groups * pairs:.3g} covariances, memory holds {MEMORY}")
        if self.timing.total > time_limit:
            raise ScpiError(232, f"{self.timing.total:.3g} s of board time, limit {time_limit:.3g} s")
        steps = sum(self._steps(model.step_for(program, self.temperature, self.schedule)) for program in self.programs)
        steps *= len(self.inputs) * self.programs[0].bias.size
        if steps > COST:
            raise ScpiError(232, f"{steps:.3g} steps of a cell, limit {COST:.0e}")

    def _steps(self, step: float) -> float:
        """Return the steps of the integrator for one program and row."""
        schedule = self.schedule
        burn_in = schedule.burn_in / step if schedule.serial else 0.0
        return burn_in + schedule.shots * max(1.0, schedule.observation_time / step)

    def run(
        self,
        model: ThermodynamicBoard,
        begun: float,
        cancelled: Callable[[], bool],
        progress: Callable[[int], None] | None = None,
    ) -> "Acquisition":
        """Take the samples from the time `begun` (s) on, telling `progress` how many shots are done."""
        record = model.simulate(
            self.programs,
            self.inputs,
            self.schedule,
            temperature=self.temperature,
            seed=self.seed,
            acquisition=self.acquisition,
            time=begun,
            keep_samples=self.keep_samples,
            cells=self.cells,
            projections=self.projections,
            covariances=self.covariances,
            slots=np.array(self.slots),
            rows=self.first_row + np.arange(len(self.inputs)),
            cancelled=cancelled,
            progress=progress,
        )
        return Acquisition(self, record, self.moments)


@dataclass
class Acquisition:
    """Readings of one finished run.

    Parameters
    ----------
    order : Order
        What was asked.
    record : twin.models.thermodynamic_board.Record
        What the physics answered.
    moments : int
        Highest moment in memory, see :class:`Order`.
    taken : int
        Shots removed from the front of the memory.
    """

    order: Order
    record: Record
    moments: int
    taken: int = 0

    @property
    def shots(self) -> int:
        """Shots in memory, over all slots and rows; 0 when only moments were kept."""
        if self.record.samples is None:
            return 0
        return len(self.order.programs) * len(self.order.inputs) * self.order.schedule.shots

    def samples(self, first: int, count: int) -> np.ndarray:
        """Return shots `first` .. `first` + `count` - 1 (counted from 0) as (count, cells) in model units."""
        if self.record.samples is None:
            raise ScpiError(241, "only statistics were kept")
        if first < self.taken or count < 1 or first + count > self.shots:
            raise ScpiError(-222, f"shots {self.taken + 1}..{self.shots} are in memory")
        return self.record.samples.reshape(-1, self.order.cells.size)[first : first + count]

    def histogram(self, cell: int, edges: tuple[float, float], bins: int) -> np.ndarray:
        """Count the samples of a cell below, in equal bins of, and above `edges`, per slot and row.

        Returns
        -------
        ndarray of uint32, shape (slots, rows, bins + 2)
        """
        if self.record.samples is None:
            raise ScpiError(241, "only statistics were kept")
        samples = self.record.samples[..., self.column(cell)]
        boundaries = np.concatenate([[-np.inf], np.linspace(*edges, bins + 1), [np.inf]])
        counts = [np.histogram(row, boundaries)[0] for row in samples.reshape(-1, samples.shape[-1])]
        return np.array(counts, dtype=np.uint32).reshape(*samples.shape[:2], bins + 2)

    def column(self, cell: int) -> int:
        """Return at which place cell `cell` (counted from 0) is read; 241 when it is not."""
        (places,) = np.nonzero(self.order.cells == cell)
        if not places.size:
            raise ScpiError(241, f"cell {cell + 1} was not read")
        return int(places[0])
