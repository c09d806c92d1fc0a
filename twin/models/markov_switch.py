"""A two-state Markov switch n = +-1: dp_+/dt = up p_- - down p_+.

As a stochastic equation dn = (1 - n) dN_+ - (1 + n) dN_-, a jump being +-2 (Milburn and Basiri-Esfahani, "The physics
of learning machines", eqs. 9 to 21, with the factor 1/2 of eq. 14 left out: it would halve the rates). Times may be in
any unit, rates in its inverse.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twin import compute
from twin.kernels import markov_switch as kernels

__all__ = ["MarkovSwitch", "StepWaiting", "SwapStatistics", "linear_swap_statistics"]

Array = npt.NDArray[np.float64]
States = npt.NDArray[np.int8]
Key = tuple[int, int]


@dataclass(frozen=True)
class MarkovSwitch:
    """A switch with constant rates.

    Parameters
    ----------
    up, down
        Rates of the jumps -1 -> +1 and +1 -> -1.

    Raises
    ------
    ValueError
        If a rate is negative or not finite, or both are 0.
    """

    up: float
    down: float

    def __post_init__(self) -> None:
        check_rates(self.up, self.down)

    @property
    def relaxation_rate(self) -> float:
        """Sum s of the rates."""
        return self.up + self.down

    @property
    def on(self) -> float:
        """Stationary probability of +1."""
        return self.up / self.relaxation_rate

    @property
    def jump_rate(self) -> float:
        """Mean rate of jumps in the stationary state, 2 up down / s."""
        return 2 * self.up * self.down / self.relaxation_rate

    def mean_energy(self, splitting: float) -> float:
        """Return the stationary mean energy of levels at -+splitting / 2 of the states -1 and +1 (eq. 13)."""
        return splitting * (self.on - 0.5)

    def on_probability(self, time: npt.ArrayLike, initial: float) -> Array:
        """Return the probability of +1 at times after it was ``initial``."""
        decay = np.exp(-self.relaxation_rate * np.asarray(time, np.float64))
        return self.on + (initial - self.on) * decay

    def covariance(self, lag: npt.ArrayLike) -> Array:
        """Return the stationary covariance 4 p_+ p_- exp(-s |t|) of the output."""
        decay = np.exp(-self.relaxation_rate * np.abs(np.asarray(lag, np.float64)))
        return 4 * self.on * (1 - self.on) * decay

    def spectrum(self, angular_frequency: npt.ArrayLike) -> Array:
        """Return the two-sided spectral density 8 p_+ p_- s / (s^2 + w^2) of the output."""
        s = self.relaxation_rate
        return 8 * self.on * (1 - self.on) * s / (s**2 + np.asarray(angular_frequency, np.float64) ** 2)

    def sample_stationary(self, rng: np.random.Generator, count: int) -> States:
        """Return (count,) states of the stationary law."""
        return np.where(rng.random(count) < self.on, 1, -1).astype(np.int8)

    def sample_grid(self, initial: npt.ArrayLike, step: float, steps: int, *, key: Key) -> States:
        """Return (n, steps) states at multiples of any step, from (n,) initial states; exact."""
        on, memory = np.full(steps, self.on), np.full(steps, math.exp(-self.relaxation_rate * step))
        return move_on_grid(initial, on, memory, key)

    def jump_times(self, initial: npt.ArrayLike, stop: float, *, key: Key) -> list[Array]:
        """Return when each of n trajectories jumps between 0 and ``stop``; exact."""
        first = as_states(initial)
        times, counts = self._jump_times(first, stop, 8, key)
        if counts.max(initial=0) > times.shape[1]:
            times, counts = self._jump_times(first, stop, int(counts.max()), key)
        return [row[:count] for row, count in zip(times, counts, strict=True)]

    def _jump_times(self, initial: States, stop: float, room: int, key: Key) -> tuple[Array, npt.NDArray[np.int64]]:
        """Return (n, room) times, as far as there is room, and the numbers of jumps (n,)."""
        times, counts = np.empty((initial.size, room)), np.zeros(initial.size, np.int64)
        compute.run_sliced(
            lambda begin, end: kernels.dwell_ends(begin, end, initial, self.up, self.down, stop, *key, times, counts),
            initial.size,
        )
        return times, counts


@dataclass(frozen=True)
class SwapStatistics:
    """What a linear exchange of the rates does to a switch in equilibrium.

    Parameters
    ----------
    on
        Probability of +1 at the end.
    no_reset, reset_on, reset_off
        Probabilities that there was no reset, and that there was one and the state at the end is +1 or -1. Eqs. 17 to
        19 of Milburn and Basiri-Esfahani are these; they are not the law of the change of n.
    no_jump
        Probability that n never changed.
    turned_on, turned_off
        Probabilities that n was -1 at the beginning and +1 at the end, and the reverse.
    """

    on: float
    no_reset: float
    reset_on: float
    reset_off: float
    no_jump: float
    turned_on: float
    turned_off: float

    @property
    def mean_change(self) -> float:
        """Half the mean change of n."""
        return self.turned_on - self.turned_off


def linear_swap_statistics(up: float, down: float, duration: float) -> SwapStatistics:
    """Return what happens while up(t) = up + f (down - up), down(t) = down - f (down - up), f = t / duration.

    Raises
    ------
    ValueError
        If a rate is negative or not finite, both are 0, or the duration is not positive.
    """
    check_rates(up, down)
    if not duration > 0:
        raise ValueError(f"swap: duration is {duration}; it must be positive")
    s = up + down
    forgotten = -math.expm1(-s * duration)
    reset_on = up / s * forgotten + (down - up) / s * (1 - forgotten / (s * duration))
    reset_off = forgotten - reset_on
    return SwapStatistics(
        on=down / s - (down - up) / (duration * s**2) * forgotten,
        no_reset=1 - forgotten,
        reset_on=reset_on,
        reset_off=reset_off,
        no_jump=math.exp(-s * duration / 2),
        turned_on=down / s * reset_on,
        turned_off=up / s * reset_off,
    )


@dataclass(frozen=True)
class StepWaiting:
    """The time to leave a state whose rate steps from ``rate`` to ``rate`` (1 + ``gain``) at ``step_time``.

    Raises
    ------
    ValueError
        If a value is not finite, the rate or the rate after the step is not positive, or the step lies before 0.
    """

    rate: float
    gain: float
    step_time: float

    def __post_init__(self) -> None:
        if not (0 < self.rate < math.inf and -1 < self.gain < math.inf and 0 <= self.step_time < math.inf):
            raise ValueError(
                f"waiting: rate {self.rate}, gain {self.gain}, step at {self.step_time}; rates must be positive"
            )

    def _exposure(self, time: npt.ArrayLike) -> Array:
        t = np.asarray(time, np.float64)
        return self.rate * (t + self.gain * np.maximum(t - self.step_time, 0))

    def survival(self, time: npt.ArrayLike) -> Array:
        """Return the probability exp(-int rate dt) of being still there (eq. 21 as printed)."""
        return np.exp(-self._exposure(time))

    def density(self, time: npt.ArrayLike) -> Array:
        """Return the density rate(t) exp(-int rate dt) of the waiting time."""
        late = np.asarray(time, np.float64) >= self.step_time
        return self.rate * np.where(late, 1 + self.gain, 1) * self.survival(time)

    @property
    def mean(self) -> float:
        """Mean waiting time."""
        survived = math.exp(-self.rate * self.step_time)
        return (1 - survived) / self.rate + survived / (self.rate * (1 + self.gain))

    def sample(self, rng: np.random.Generator, count: int) -> Array:
        """Return (count,) waiting times, by inversion of the survival."""
        exposure = rng.exponential(size=count)
        early = self.rate * self.step_time
        late = self.step_time + (exposure - early) / (self.rate * (1 + self.gain))
        return np.where(exposure < early, exposure / self.rate, late)


def check_rates(up: float, down: float) -> None:
    """Refuse rates that are negative, not finite or both 0.

    Raises
    ------
    ValueError
        If they are.
    """
    for name, value in (("up", up), ("down", down)):
        if not 0 <= value < math.inf:
            raise ValueError(f"switch: rate {name} is {value}; it must be finite and not negative")
    if up + down == 0:
        raise ValueError("switch: both rates are 0; one must be positive")


def as_states(values: npt.ArrayLike) -> States:
    """Return (n,) states.

    Raises
    ------
    ValueError
        If they are no list of +1 and -1.
    """
    states = np.asarray(values)
    if states.ndim != 1 or not np.isin(states, (-1, 1)).all():
        raise ValueError(f"switch: states have the shape {states.shape}; a list of +1 and -1 is needed")
    return states.astype(np.int8)


def move_on_grid(initial: npt.ArrayLike, on: Array, memory: Array, key: Key) -> States:
    """Return (n, m) states after each of m steps, see `twin.kernels.markov_switch.stepped_paths`."""
    first = as_states(initial)
    states = np.empty((first.size, on.size), np.int8)
    compute.run_sliced(
        lambda begin, end: kernels.stepped_paths(begin, end, first, on, memory, *key, states), first.size
    )
    return states
