"""A thermodynamic board: a programmable network of noisy nonlinear cells that is sampled.

The energy of n cells x with inputs u is

    U(x; u) = sum_i (J2_i x_i^2 + J3_i x_i^3 + J4_i x_i^4 - b_i x_i) + sum_{i<j} J_ij x_i x_j + sum_{a,i} W_ia u_a x_i,

and its motion the overdamped Langevin equation dx = -dU/dx dt + sqrt(2 kT) dB (Whitelam and Casert, "Thermodynamic
computing out of equilibrium", eq. 9, with mobility 1); or, where its loops have inductance, the underdamped one,
m x'' + x' = -dU/dx + sqrt(2 kT) eta. Everything here is in model units; `Circuit` says what they are in SI.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from twin import compute
from twin.compute import Cancelled
from twin.kernels.moments import convert
from twin.models.circuit import Circuit
from twin.models.imperfections import Deviations, Imperfections, quantise
from twin.models.integrator import Integrator, Motion, merge
from twin.models.program import FULL_SCALE, RAIL, Array, Program, Schedule
from twin.models.record import Moments, Record, SampleMemoryError
from twin.models.run import Lanes, Run, Tile, tiles
from twin.noise import stream_key

__all__ = [
    "FULL_SCALE", "RAIL", "Cancelled", "Circuit", "Imperfections", "Integrator", "Program", "Record",
    "SampleMemoryError", "Schedule", "ThermodynamicBoard",
]  # fmt: skip

NOISE = "board"
"""Whose noise it is in the key of a stream: any board's, so that equal boards with equal seeds give equal data."""


class ThermodynamicBoard:
    """One board: its size, its circuit, its deviations and how its motion is solved.

    Parameters
    ----------
    cells, inputs
        Size: the most cells and inputs a program may have.
    circuit
        What a model unit is in SI units.
    imperfections
        How it deviates from its equation of motion.
    integrator
        How the equation is solved.
    seed, name
        Which board it is: together they draw its static deviations and the seed its noise has until it is given one.

    Raises
    ------
    ValueError
        If the size is out of range.
    """

    def __init__(
        self,
        *,
        cells: int = 256,
        inputs: int = 1024,
        circuit: Circuit | None = None,
        imperfections: Imperfections | None = None,
        integrator: Integrator | None = None,
        seed: int = 0,
        name: str = "board",
    ) -> None:
        for what, value, least, most in (("cells", cells, 1, 65535), ("inputs", inputs, 0, 65535)):
            if not least <= value <= most:
                raise ValueError(f"board: {what} is {value}; allowed are {least} to {most}")
        self.cells = cells
        self.inputs = inputs
        self.circuit = circuit or Circuit()
        self.imperfections = imperfections or Imperfections()
        self.integrator = integrator or Integrator()
        self.seed = seed
        self.name = name
        self._deviations = Deviations(self.imperfections, cells, inputs, seed, name)

    @property
    def noise_seed(self) -> int:
        """The seed of the noise, below 2^32, until another is set; boards of different names have different ones."""
        return stream_key(self.seed, self.name, 0, "noise seed")[0]

    def realise(self, program: Program) -> Program:
        """Return a program as the converters of the board put it out; what deviates behind them stays hidden."""
        size = self.imperfections
        return replace(
            program,
            couplings=quantise(program.couplings, FULL_SCALE["coupling"][1], size.coupling_bits),
            bias=quantise(program.bias, FULL_SCALE["bias"][1], size.bias_bits),
            weights=quantise(program.weights, FULL_SCALE["weight"][1], size.weight_bits),
        )

    def step_for(self, program: Program, temperature: float | Array, schedule: Schedule) -> float:
        """Return the largest time step in units of time for a program at kT, see `Integrator`."""
        return self.integrator.step_for(program, temperature, schedule, self.circuit.mass)

    def warm_up(self) -> None:
        """Compile every kernel, or load it from disk, before the first run."""
        zero = np.zeros(1)
        for j2, j4 in ((1, 0), (1, 1), (-1, 1)):
            program = Program(np.zeros((1, 1)), zero, np.zeros((1, 0)), zero + j2, zero, zero + j4)
            for schedule in (Schedule("reset", 2, 0.1), Schedule("serial", 2, 0.1)):
                for covariances in (True, False):
                    self.simulate(
                        [program], np.zeros((1, 0)), schedule,
                        temperature=0.1, seed=0, acquisition=0, covariances=covariances, projections=np.ones((1, 1)),
                    )  # fmt: skip

    def simulate(
        self,
        programs: Sequence[Program],
        inputs: npt.ArrayLike,
        schedule: Schedule,
        *,
        temperature: float | Array,
        seed: int,
        acquisition: int,
        time: float = 0.0,
        keep_samples: bool = True,
        cells: npt.ArrayLike | None = None,
        projections: npt.ArrayLike | None = None,
        covariances: bool = True,
        slots: npt.ArrayLike | None = None,
        rows: npt.ArrayLike | None = None,
        cancelled: Callable[[], bool] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Record:
        """Run every program with every row of inputs.

        Memory stays bounded for any number of shots unless samples are kept. Equal arguments give equal data on every
        board of equal deviations, whatever the number of threads; and a program in a slot with a numbered row gives
        equal data whatever runs beside it.

        Parameters
        ----------
        programs
            P programs of equal size.
        inputs
            (K, k) rows of input.
        schedule
            When cells are sampled.
        temperature
            kT, one for all cells or (n,).
        seed, acquisition
            The key of the noise.
        time
            Board time in s, which the drift depends on.
        keep_samples
            Whether to return the raw samples.
        cells
            Cells to read, counted from 0; all by default. All are simulated: what is read changes no sample.
        projections
            (p, c) linear combinations of the cells read, or (K, p, c) for each row; their covariances with the cells
            are accumulated alone, which is cheaper than all covariances.
        covariances
            Whether to return covariances of all cells with each other.
        slots, rows
            Numbers of the programs (below 65536) and rows (below 2^32) in the address of the noise; by default their
            positions.
        cancelled
            Asked every 20 ms whether to give up.
        progress
            Told every 20 ms how many shots, over all programs and rows, are done.

        Returns
        -------
        Record
            Samples and moments, program by program and row by row.

        Raises
        ------
        ValueError
            If arguments do not fit each other or the board, or are not finite.
        SampleMemoryError
            If the result has more than 2^26 samples or covariances.
        Cancelled
            If ``cancelled`` said so.
        """
        self._check_size(programs)
        run = Run([self.realise(program) for program in programs], inputs, temperature, cells, slots, rows)
        linear = run.checked_projections(projections)
        run.check_memory(schedule, keep_samples, covariances, linear)
        force = self._deviations.force(run.size, time / self.circuit.time_constant)
        stuck = self._deviations.stuck[: run.size][run.read]
        key = stream_key(seed, NOISE, acquisition)
        read_out_key = stream_key(seed, NOISE, acquisition, "read-out")
        moments = Moments(run.groups, run.read.size, schedule, covariances, linear)
        kept = np.empty((*run.groups, schedule.shots, run.read.size), np.float32) if keep_samples else None
        for tile in tiles(*run.groups, schedule.shots, run.read.size):
            network = run.network(tile, force, self._deviations)
            first = tile.programs.start * run.groups[1] + tile.rows.start
            for done, states in self._chunks(run, tile, network, schedule, key, cancelled, progress):
                moments.count_clipped(first, states)
                states[..., stuck != 0] = stuck[stuck != 0]
                self._convert(run, tile, schedule, states, done, read_out_key)
                moments.add(first, done, states)
                if kept is not None:
                    part = kept[tile.programs, tile.rows, done : done + states.shape[1]]
                    part[:] = states.reshape(part.shape)
        return moments.record(kept)

    def _check_size(self, programs: Sequence[Program]) -> None:
        for program in programs:
            cells, inputs = program.weights.shape
            if cells > self.cells or inputs > self.inputs:
                raise ValueError(
                    f"run: {cells} cells with {inputs} inputs; the board has {self.cells} with {self.inputs}"
                )

    def _chunks(
        self,
        run: Run,
        tile: Tile,
        network: tuple[Lanes, Lanes, Lanes],
        schedule: Schedule,
        key: tuple[int, int],
        cancelled: Callable[[], bool] | None,
        progress: Callable[[int], None] | None,
    ) -> Iterator[tuple[int, Lanes]]:
        """Simulate a tile and yield (shots before, (groups, shots, cells read)) chunk by chunk."""
        motion = Motion(
            run.programs[tile.programs],
            network,
            run.temperature,
            schedule,
            mass=self.circuit.mass,
            settling_time=self.imperfections.settling_time,
        )
        parts = motion.solve(self.integrator)
        groups = int(np.prod(network[1].shape[:2]))
        before = (tile.programs.start * run.groups[1] + tile.rows.start) * schedule.shots
        for done in range(0, schedule.shots, tile.shots):
            shots = min(tile.shots, schedule.shots - done)
            told = before + groups * done
            samples = []
            for part in parts:
                count = part.programs.size * part.rows.size * shots
                drawn = part.sample(
                    key=key,
                    trajectories=1 if schedule.serial else shots,
                    first_trajectory=0 if schedule.serial else done,
                    observations=shots if schedule.serial else 1,
                    done=done if schedule.serial else 0,
                    rail=RAIL,
                    read=run.read,
                    state=part.state,
                    slots=run.slots[tile.programs][part.programs],
                    rows=run.rows[tile.rows][part.rows],
                    cancelled=cancelled,
                    progress=_in_shots(progress, told, count),
                )
                samples.append(drawn.reshape(part.programs.size, part.rows.size, shots, run.read.size))
                told += count
            yield done, merge(parts, samples).reshape(groups, shots, run.read.size)

    def _convert(
        self,
        run: Run,
        tile: Tile,
        schedule: Schedule,
        states: Lanes,
        done: int,
        key: tuple[int, int],
    ) -> None:
        """Do to (groups, shots, cells read) states what read noise and the converter do."""
        size = self.imperfections
        if not (size.read_noise or size.adc_bits):
            return
        codes = 2.0 ** (size.adc_bits - 1) if size.adc_bits else 0.0
        code = size.adc_range / codes if codes else 0.0
        samples = states[:, np.newaxis] if schedule.serial else states[:, :, np.newaxis]
        slots, rows = run.slots[tile.programs], run.rows[tile.rows]
        first, observation = (0, done) if schedule.serial else (done, 0)
        compute.run_sliced(
            lambda begin, end: convert(
                begin, end, samples, rows, slots, run.read, first, observation, size.read_noise, code, codes, *key
            ),
            len(samples),
        )


def _in_shots(progress: Callable[[int], None] | None, before: int, shots: int) -> Callable[[float], None] | None:
    """Return what tells ``progress`` the shots done, given the fraction of so many shots that follow those before."""
    if progress is None:
        return None
    return lambda fraction: progress(before + int(fraction * shots))
