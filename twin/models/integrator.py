"""How the equation of motion of a board is solved: exactly where a program allows it, else in steps of time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from twin.kernels.ornstein_uhlenbeck import Process
from twin.models.linear_network import prepare_process, sample_process, take
from twin.models.loop_network import sample_loops
from twin.models.network import Noise, Scheme, sample_network
from twin.models.program import RAIL, Array, Program, Schedule
from twin.models.run import Lanes

LEAST_STEPS = 20
"""Steps that a shot after a reset takes at least."""
EULER_STEP = 1e-3
"""Longest step of the scheme of Euler, that of the paper: its variances are off by h U'' / 2."""
STEPS_PER_RADIAN = 2.0
"""Steps for the phase of the stiffest loop to advance by 1; explicit steps become unstable at 1/2."""
LONGEST_DAMPED_STEP = 5.0
"""Longest step of an underdamped loop in units of the time m in which friction stops it."""


@dataclass(frozen=True)
class Integrator:
    """How the equation of motion is solved.

    Loops without inductance move overdamped, by ``scheme``. Loops with inductance move underdamped, by the BAOAB scheme
    of `twin.kernels.underdamped` with normal noise, whatever ``scheme`` and ``noise`` are.

    Parameters
    ----------
    step
        Largest time step; every interval between observations is cut into equal steps. The bias falls as its square.
        Where J4 kT exceeds 1 in the stiffest and hottest cell of a program, its steps are shorter by the square root
        of that, so that the bias of cells which quartic energy confines stays what it is at 1; and a shot after a reset
        takes at least LEAST_STEPS, so that its transient is resolved. With the default the bias in equilibrium is,
        for cells with J2 from -1 to 1, J4 = 1 and |bias| <= 5, below 3e-4 in the mean and 0.2 % in the variance at
        kT = 0.1, and below 0.5 % of either at kT = 1. In four layers of eight cells with couplings of standard
        deviation 1 the means are off by 5e-4 (rms) at kT = 0.1. Underdamped loops take shorter steps where they
        oscillate or are stopped fast, see `step_for`.
    scheme
        ``automatic``: programs of which every J3 and J4 in force is 0 are sampled exactly, without steps, as
        Ornstein-Uhlenbeck processes (`twin.kernels.ornstein_uhlenbeck`), with the inputs for which they keep clear of
        the rails (`twin.models.linear_network`) and unless their fields settle; all else by ``ros2``.
        ``ros2``: a splitting scheme of weak order 2. ``euler``: the Euler-Maruyama scheme, in steps of EULER_STEP or
        shorter.
    noise
        ``matched``: four-bit symbols with the first five moments of a normal variate; ``gaussian``; ``popcount``: the
        bits set in a word; or ``rademacher``: signs, cheapest, and good enough where kT is 0.1 or less. Exact sampling
        always is from normal variates.

    Raises
    ------
    ValueError
        If the step is not between 1e-6 and 0.25, or scheme or noise are unknown.
    """

    step: float = 0.02
    scheme: Scheme | Literal["automatic"] = "automatic"
    noise: Noise = "matched"

    def __post_init__(self) -> None:
        if not 1e-6 <= self.step <= 0.25:
            raise ValueError(f"integrator: step is {self.step}; allowed are 1e-6 to 0.25 units of time")
        for name, value, allowed in (
            ("scheme", self.scheme, ("automatic", *get_args(Scheme))),
            ("noise", self.noise, get_args(Noise)),
        ):
            if value not in allowed:
                raise ValueError(f"integrator: {name} is {value!r}; allowed are {', '.join(allowed)}")

    def step_for(self, program: Program, temperature: float | Array, schedule: Schedule, mass: float = 0.0) -> float:
        """Return the largest time step in units of time for a program at kT, one for all cells or (n,).

        Loops of a mass m > 0 take STEPS_PER_RADIAN steps or more while the phase of the stiffest advances by 1, where
        it is stiffest within what its fields, its temperature and inputs up to 1 allow, and steps no longer than
        LONGEST_DAMPED_STEP m.
        """
        longest = min(self.step, EULER_STEP) if self.scheme == "euler" and not mass else self.step
        step = longest / max(1.0, math.sqrt(np.max(program.quartic * temperature)))
        if mass:
            step = min(
                step, LONGEST_DAMPED_STEP * mass, math.sqrt(mass / _stiffest(program, temperature)) / STEPS_PER_RADIAN
            )
        return step if schedule.serial else min(step, schedule.observation_time / LEAST_STEPS)


def _stiffest(program: Program, temperature: float | Array) -> float:
    """Return the largest curvature of the energy of a loop where its fields and its temperature drive it.

    A loop released at 0 in a field F turns where J4 x^4 + J2 x^2 = F x; a thermal energy of 4 kT takes it further. What
    its neighbours exert is taken at |x| = 1.
    """
    neighbours = np.abs(program.couplings).sum(axis=1)
    field = np.abs(program.bias) + np.abs(program.weights).sum(axis=1) + neighbours
    quartic = np.where(program.quartic > 0, program.quartic, np.inf)
    reach = np.cbrt(field / quartic) + np.sqrt(np.maximum(-program.quadratic, 0) / quartic)
    reach += (4 * temperature / quartic) ** 0.25
    curvature = 2 * np.abs(program.quadratic) + 6 * np.abs(program.cubic) * reach + 12 * program.quartic * reach**2
    return float(np.max(curvature + neighbours, initial=1e-12))


@dataclass
class Part:
    """Some programs of a tile with some of its rows, which are solved in one way.

    Parameters
    ----------
    programs, rows
        Which ones, counted from 0.
    sample
        Samples them, see `twin.models.network.sample_network`.
    state
        Where serial trajectories are and, if they have inertia, how fast they move; None for reset sampling.
    """

    programs: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]
    sample: Callable[..., Lanes]
    state: Lanes | None


def merge(parts: Sequence[Part], samples: Sequence[Lanes]) -> Lanes:
    """Return the samples of all parts, (programs, rows, shots, cells), as those of the tile."""
    if len(parts) == 1:
        return samples[0]
    programs = 1 + max(part.programs.max() for part in parts)
    rows = 1 + max(part.rows.max() for part in parts)
    merged = np.empty((programs, rows, *samples[0].shape[2:]), np.float32)
    for part, of_part in zip(parts, samples, strict=True):
        merged[np.ix_(part.programs, part.rows)] = of_part
    return merged


@dataclass(frozen=True)
class Motion:
    """The motion of P programs with K rows of input.

    Parameters
    ----------
    programs
        As the board's converters put them out.
    network
        Their couplings (P, n, n), fields (P, K, n) and stiffness (P, n, 3) as they are in force.
    temperature
        kT, one for all cells or (n,).
    schedule
        When cells are sampled.
    mass, settling_time
        Reduced mass of a loop, and the time in which the fields settle.
    """

    programs: Sequence[Program]
    network: tuple[Lanes, Lanes, Lanes]
    temperature: Array
    schedule: Schedule
    mass: float
    settling_time: float

    @property
    def start(self) -> Array:
        """Where the cells are held before they are released; (n,)."""
        start = 0.0 if self.schedule.start is None else self.schedule.start
        return np.broadcast_to(np.asarray(start, np.float64), self.network[1].shape[2:])

    def solve(self, integrator: Integrator) -> list[Part]:
        """Return the parts into which the ways of solving divide the programs and rows.

        How a program with a row is solved depends on nothing beside them.
        """
        exact, process = self._exactly(integrator)
        parts = []
        for pattern in np.unique(exact, axis=0):
            programs = np.flatnonzero((exact == pattern).all(axis=1))
            clear, others = np.flatnonzero(pattern), np.flatnonzero(~pattern)
            if process is not None and clear.size:
                parts.append(self._part(programs, clear, partial(sample_process, take(process, programs, clear))))
            if others.size:
                parts.append(self._part(programs, others, self._in_steps(integrator, programs, others)))
        return parts

    def _exactly(self, integrator: Integrator) -> tuple[npt.NDArray[np.bool_], Process | None]:
        """Return which programs and rows are sampled exactly, (P, K), and their transitions."""
        couplings, fields, stiffness = self.network
        linear = ~stiffness[:, :, 1:].any(axis=(1, 2))
        if integrator.scheme != "automatic" or self.mass or self.settling_time or not linear.any():
            return np.zeros(fields.shape[:2], np.bool_), None
        return prepare_process(
            couplings, fields, stiffness, self.temperature, first=self.schedule.first,
            interval=self.schedule.observation_time, observations=self.schedule.shots if self.schedule.serial else 1,
            start=self.start, rail=RAIL,
        )  # fmt: skip

    def _in_steps(
        self, integrator: Integrator, programs: npt.NDArray[np.intp], rows: npt.NDArray[np.intp]
    ) -> Callable[..., Lanes]:
        couplings, fields, stiffness = self.network
        arrays = couplings[programs], fields[np.ix_(programs, rows)], stiffness[programs], self.temperature
        step = [integrator.step_for(self.programs[p], self.temperature, self.schedule, self.mass) for p in programs]
        options: dict[str, Any] = {
            "first": self.schedule.first,
            "interval": self.schedule.observation_time,
            "start": self.start,
            "step": np.array(step),
            "settling_time": self.settling_time,
        }
        if self.mass:
            return partial(sample_loops, *arrays, mass=self.mass, **options)
        scheme = "ros2" if integrator.scheme == "automatic" else integrator.scheme
        return partial(sample_network, *arrays, scheme=scheme, noise=integrator.noise, **options)

    def _part(self, programs: npt.NDArray[np.intp], rows: npt.NDArray[np.intp], sample: Callable[..., Lanes]) -> Part:
        state = None
        if self.schedule.serial:
            n = self.start.size
            state = np.zeros((len(programs), len(rows), 2 * n if self.mass else n), np.float32)
            state[..., :n] = self.start
        return Part(programs, rows, sample, state)
