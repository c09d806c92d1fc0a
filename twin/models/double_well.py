"""A particle in a double well as an activation switch: V(x) = x^4 - x^2 - b x, output sign(x).

Overdamped motion dx = -V'(x) dt + sqrt(2 D) dW with mobility 1 and k_B = 1, so the temperature is D (Milburn and
Basiri-Esfahani, "The physics of learning machines", eqs. 1 to 8). Everything is dimensionless.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.integrate import cumulative_simpson, simpson
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import minimize_scalar

from twin import compute
from twin.kernels import double_well as kernels
from twin.models.network import steps_in

__all__ = ["LARGEST_BIAS", "DoubleWell", "Equilibrium", "UnstableStepError", "fastest_temperature"]

Array = npt.NDArray[np.float64]
Key = tuple[int, int]

LARGEST_BIAS = 4 / (3 * math.sqrt(6))
"""Between plus and minus this bias, 0.544, there are two wells."""
WELL = 1 / math.sqrt(2)
"""The wells of an unbiased particle are at plus and minus this."""
NODES = 20001
DEPTH = 45.0
"""Quadrature reaches to where the density has fallen to exp(-DEPTH) of its peak."""


class UnstableStepError(ArithmeticError):
    """A trajectory went where the time step is unstable."""


@dataclass(frozen=True)
class Equilibrium:
    """The stationary law of a particle.

    Parameters
    ----------
    mean, variance
        Of the position.
    right
        Probability of x > 0.
    free_energy
        -D ln of the integral of exp(-V/D).
    """

    mean: float
    variance: float
    right: float
    free_energy: float

    @property
    def mean_sign(self) -> float:
        """Mean of the output."""
        return 2 * self.right - 1


@dataclass(frozen=True)
class DoubleWell:
    """One particle.

    Parameters
    ----------
    bias
        b, the drive.
    temperature
        D, in units in which the barrier of an unbiased particle is 1/4.

    Raises
    ------
    ValueError
        If the bias is not finite or the temperature not positive and finite.
    """

    bias: float = 0.0
    temperature: float = 0.1

    def __post_init__(self) -> None:
        if not math.isfinite(self.bias):
            raise ValueError(f"double well: bias is {self.bias}; it must be finite")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"double well: temperature is {self.temperature}; it must be positive and finite")

    def energy(self, x: npt.ArrayLike) -> Array:
        """Return V(x)."""
        x = np.asarray(x, np.float64)
        return x**4 - x**2 - self.bias * x

    def curvature(self, x: npt.ArrayLike) -> Array:
        """Return V''(x)."""
        return 12 * np.asarray(x, np.float64) ** 2 - 2

    @cached_property
    def extrema(self) -> tuple[float, float, float]:
        """Positions of the left minimum, the top of the barrier and the right minimum.

        Raises
        ------
        ValueError
            If the bias leaves a single well.
        """
        if abs(self.bias) >= LARGEST_BIAS:
            raise ValueError(f"double well: bias is {self.bias}; two wells need less than {LARGEST_BIAS:.6f}")
        third = math.acos(self.bias / LARGEST_BIAS) / 3
        left, barrier, right = sorted(math.sqrt(2 / 3) * math.cos(third - k * 2 * math.pi / 3) for k in range(3))
        return left, barrier, right

    @property
    def level_splitting(self) -> float:
        """E0 = V(left minimum) - V(right minimum): sqrt(2) b - (sqrt(2) / 16) b^3 for a small bias."""
        left, _barrier, right = self.extrema
        return float(self.energy(left) - self.energy(right))

    @property
    def two_state_mean(self) -> float:
        """Mean output tanh(E0 / 2D) of two levels: the limit of a low temperature."""
        return math.tanh(self.level_splitting / (2 * self.temperature))

    @property
    def kramers_rates(self) -> tuple[float, float]:
        """Rates (up, down) between the wells: sqrt(V''(well) |V''(top)|) / (2 pi) exp(-barrier / D)."""
        left, barrier, right = self.extrema
        up, down = (
            math.sqrt(self.curvature(well) * abs(self.curvature(barrier)))
            / (2 * math.pi)
            * math.exp(-(self.energy(barrier) - self.energy(well)) / self.temperature)
            for well in (left, right)
        )
        return up, down

    @property
    def kramers_mean(self) -> float:
        """Mean output of a two-state switch with Kramers' rates."""
        up, down = self.kramers_rates
        return (up - down) / (up + down)

    @cached_property
    def _density(self) -> tuple[Array, Array, float]:
        """Nodes, the stationary density at them, and ln of the integral of exp(-V/D)."""
        reach = 1.0 + abs(self.bias) + (DEPTH * self.temperature) ** 0.25
        x = np.linspace(-reach, reach, NODES)
        exponent = -self.energy(x) / self.temperature
        peak = exponent.max()
        weight = np.exp(exponent - peak)
        total = simpson(weight, x=x)
        return x, weight / total, float(peak + math.log(total))

    @cached_property
    def equilibrium(self) -> Equilibrium:
        """The stationary law, by quadrature."""
        x, density, logarithm = self._density
        mean = simpson(x * density, x=x)
        half = x.size // 2
        return Equilibrium(
            mean=float(mean),
            variance=float(simpson((x - mean) ** 2 * density, x=x)),
            right=float(simpson(density[half:], x=x[half:])),
            free_energy=-self.temperature * logarithm,
        )

    def sample_equilibrium(self, rng: np.random.Generator, count: int, left_only: bool = False) -> Array:
        """Return (count,) positions of the stationary law, or of its part x < 0."""
        x, density, _logarithm = self._density
        below = cumulative_simpson(density, x=x, initial=0)
        most = float(np.interp(0.0, x, below)) if left_only else below[-1]
        return np.interp(rng.uniform(0, most, count), below, x)

    def mean_first_passage_time(self, start: float, target: float) -> float:
        """Return the mean time to reach a target from a start, by quadrature.

        T = (1/D) int_start^target dy exp(V(y)/D) int_-inf^y dz exp(-V(z)/D) for a target above the start.
        """
        if target < start:
            return DoubleWell(-self.bias, self.temperature).mean_first_passage_time(-start, -target)
        below = np.linspace(min(self._density[0][0], start - 1.0), start, NODES)
        path = np.linspace(start, target, NODES)
        lowest = min(float(self.energy(grid).min()) for grid in (below, path))
        before, weight = (np.exp(-(self.energy(grid) - lowest) / self.temperature) for grid in (below, path))
        inner = simpson(before, x=below) + cumulative_simpson(weight, x=path, initial=0)
        return float(simpson(inner / weight, x=path)) / self.temperature

    def left_probability(
        self, times: npt.ArrayLike, start: float = -WELL, points: int = 1201, half_width: float = 2.2
    ) -> Array:
        """Return the probability of x < 0 at (t,) times after a start, from the diffusion on a grid.

        Parameters
        ----------
        points, half_width
            Hops between neighbouring nodes of spacing h, at rates D / h^2 exp(-+(V_{i+1} - V_i) / 2D) that obey
            detailed balance, are diagonalised; ``points`` nodes reach from -half_width to half_width.
        """
        x = np.linspace(-half_width, half_width, points)
        spacing, slope = x[1] - x[0], np.diff(self.energy(x)) / (2 * self.temperature)
        attempt = self.temperature / spacing**2
        leave = np.zeros(points)
        leave[:-1] += attempt * np.exp(-slope)
        leave[1:] += attempt * np.exp(slope)
        rates, modes = eigh_tridiagonal(-leave, np.full(points - 1, attempt))
        potential = self.energy(x)
        root = np.exp(-(potential - potential.min()) / (2 * self.temperature))
        left = np.heaviside(-np.round(x / spacing, 6), 0.5)
        node = np.clip((start + half_width) / spacing, 0, points - 1.000001)
        first, fraction = int(node), node % 1
        placed = (1 - fraction) * modes[first] / root[first] + fraction * modes[first + 1] / root[first + 1]
        return ((left * root) @ modes * placed) @ np.exp(
            np.outer(np.minimum(rates, 0.0), np.asarray(times, np.float64))
        )

    def trajectories(
        self, starts: npt.ArrayLike, interval: float, observations: int = 1, *, key: Key, step: float = 0.01
    ) -> Array:
        """Return positions along trajectories, by the scheme of Leimkuhler and Matthews.

        Parameters
        ----------
        starts
            (n,) positions at time 0.
        interval, observations
            Time between observations and their number.
        key
            Two 32-bit words, see `twin.noise.stream_key`.
        step
            Largest time step, at most 0.02: of weak order 2 in equilibrium.

        Returns
        -------
        ndarray
            (n, observations).

        Raises
        ------
        ValueError
            If the step is not positive or above 0.02.
        UnstableStepError
            If a trajectory left |x| < 1 / sqrt(2 step).
        """
        if not 0 < step <= 0.02:
            raise ValueError(f"double well: step is {step}; allowed are up to 0.02")
        count, size = steps_in(interval, step)
        first = np.ascontiguousarray(starts, np.float64)
        observed = np.empty((first.size, observations))
        compute.run_sliced(
            lambda begin, end: kernels.trajectories(
                begin, end, first, self.bias, self.temperature, float(size), int(count), *key, observed
            ),
            first.size,
        )
        if np.isnan(observed).any():
            raise UnstableStepError(f"double well: a trajectory left |x| < {math.sqrt(0.5 / size):.3g}, unstable there")
        return observed

    def first_passage_times(
        self, start: float, target: float, count: int, *, key: Key, step: float = 0.002, longest: float = 1e4
    ) -> Array:
        """Return (count,) simulated times to reach a target; infinite where it took longer than ``longest``.

        Parameters
        ----------
        start, target
            Positions.
        key
            Two 32-bit words, see `twin.noise.stream_key`.
        step
            Time step; crossings between two steps are drawn too, which leaves a bias of order ``step``.
        """
        if target < start:
            mirrored = DoubleWell(-self.bias, self.temperature)
            return mirrored.first_passage_times(-start, -target, count, key=key, step=step, longest=longest)
        times = np.empty(count)
        compute.run_sliced(
            lambda begin, end: kernels.first_passages(
                begin, end, start, target, self.bias, self.temperature, step, math.ceil(longest / step), *key, times
            ),
            count,
        )
        return times

    def ramp_work(
        self, last_bias: float, duration: float, starts: npt.ArrayLike, *, key: Key, step: float = 0.01
    ) -> Array:
        """Return the work -int x db of a linear ramp of the bias to ``last_bias`` on particles at (n,) starts; (n,).

        Parameters
        ----------
        starts
            Positions at the beginning, of the equilibrium if Jarzynski's equality is to hold, at any ``step``.
        key
            Two 32-bit words, see `twin.noise.stream_key`.
        """
        count, size = steps_in(duration, step)
        first = np.ascontiguousarray(starts, np.float64)
        work = np.empty(first.size)
        compute.run_sliced(
            lambda begin, end: kernels.ramp_work(
                begin, end, first, self.bias, last_bias, self.temperature, float(size), int(count), *key, work
            ),
            first.size,
        )
        return work


def fastest_temperature(bias: float, time: float) -> tuple[float, float]:
    """Return the temperature at which the fewest particles that started left are still there, and their fraction.

    Parameters
    ----------
    bias
        Applied at time 0 to a particle at -1/sqrt(2).
    time
        When it is asked where the particle is.
    """

    def error(logarithm: float) -> float:
        return float(DoubleWell(bias, math.exp(logarithm)).left_probability([time], points=401)[0])

    found = minimize_scalar(error, bounds=(math.log(0.02), math.log(1.0)), method="bounded", options={"xatol": 1e-3})
    return math.exp(found.x), float(found.fun)
