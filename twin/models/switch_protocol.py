"""Protocols that change the rates of a two-state switch, the exact moments they lead to, and trajectories.

Milburn and Basiri-Esfahani, "The physics of learning machines", eqs. 9 to 20.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp

from twin import compute
from twin.kernels import markov_switch as kernels
from twin.models.markov_switch import Array, Key, States, as_states, check_rates, move_on_grid

__all__ = ["SwitchMoments", "SwitchPaths", "SwitchProtocol", "free_energy_difference"]

Method = Literal["reset", "thinning"]


@dataclass(frozen=True)
class SwitchMoments:
    """Exact means over all trajectories.

    Parameters
    ----------
    on
        (m,) probability of +1 at the times asked for.
    jumps, work
        (m,) mean number of jumps, and mean work done by the control, up to then.
    no_jump
        (m,) probability that there was no jump up to then.
    """

    on: Array
    jumps: Array
    work: Array
    no_jump: Array


@dataclass(frozen=True, eq=False)
class SwitchPaths:
    """What n simulated trajectories did up to the last time of observation.

    Parameters
    ----------
    states
        (n, m) int8: at the times of observation.
    jumps, candidates
        (n,) jumps, and candidates for jumps: with the method ``reset`` these are the resets.
    work, heat
        (n,) work done by the control, and heat given to the bath.
    """

    states: States
    jumps: npt.NDArray[np.int64]
    candidates: npt.NDArray[np.int64]
    work: Array
    heat: Array


@dataclass(frozen=True)
class SwitchProtocol:
    """Rates that follow a control z(t), linear between its nodes and held outside them.

    A rate is offset + scale z, or with ``logistic`` offset + scale / (1 + exp(-z)).

    Parameters
    ----------
    times, control
        Nodes of the control, ascending, and its values there; two at least.
    up, down
        Offset and scale of each rate.
    logistic
        Which of the two forms the rates have.
    splitting
        Energy of +1 above that of -1 per unit of the control; 0 where levels do not move.

    Raises
    ------
    ValueError
        If the nodes are not ascending and finite, or a rate becomes negative.
    """

    times: tuple[float, ...]
    control: tuple[float, ...]
    up: tuple[float, float]
    down: tuple[float, float]
    logistic: bool = False
    splitting: float = 0.0

    def __post_init__(self) -> None:
        nodes = np.array(self.times)
        if len(nodes) < 2 or len(nodes) != len(self.control) or not (np.diff(nodes) > 0).all():
            raise ValueError(f"protocol: {len(nodes)} ascending times and {len(self.control)} values; two or more each")
        if not np.isfinite([*self.times, *self.control]).all():
            raise ValueError("protocol: times and control must be finite")
        for up, down in zip(*(rate.tolist() for rate in self.rates(nodes)), strict=True):
            check_rates(up, down)

    @classmethod
    def linear_swap(cls, up: float, down: float, duration: float) -> Self:
        """Exchange the rates linearly in time; they stay exchanged afterwards."""
        return cls((0.0, duration), (0.0, 1.0), (up, down - up), (down, up - down))

    @classmethod
    def smooth_swap(cls, up: float, down: float, centre: float, width: float, duration: float) -> Self:
        """Exchange the rates as 1 / (1 + exp(-(t - centre) / width)) from time 0 to ``duration``."""
        control = -centre / width, (duration - centre) / width
        return cls((0.0, duration), control, (up, down - up), (down, up - down), logistic=True)

    @classmethod
    def thermal(cls, rate: float, beta: float, first: float, last: float, duration: float) -> Self:
        """Move levels at +-g/2 linearly from g = first to last in a bath: up = rate / (1 + exp(beta g)) = rate - down.

        The rates obey detailed balance at every moment, which exchanging rates at fixed levels does not.
        """
        control = -beta * first, -beta * last
        return cls((0.0, duration), control, (0.0, rate), (rate, -rate), logistic=True, splitting=-1 / beta)

    def rates(self, time: npt.ArrayLike) -> tuple[Array, Array]:
        """Return the rates (up, down) at times."""
        z = np.interp(np.asarray(time, np.float64), self.times, self.control)
        shape = 0.5 * (1 + np.tanh(z / 2)) if self.logistic else z
        return self.up[0] + self.up[1] * shape, self.down[0] + self.down[1] * shape

    @property
    def constant_sum(self) -> bool:
        """Whether up + down does not change, which the method ``reset`` needs."""
        return math.isclose(self.up[1], -self.down[1], rel_tol=1e-12, abs_tol=1e-300)

    def initial_equilibrium(self, rng: np.random.Generator, count: int) -> States:
        """Return (count,) states of the equilibrium at the first node."""
        up, down = self.rates(self.times[0])
        return np.where(rng.random(count) < up / (up + down), 1, -1).astype(np.int8)

    def moments(self, times: npt.ArrayLike, initial: float | None = None) -> SwitchMoments:
        """Return exact means, by an ODE solver.

        Parameters
        ----------
        times
            (m,) ascending, later than the first node.
        initial
            Probability of +1 at the first node; by default that of the equilibrium there.

        Raises
        ------
        ValueError
            If the times do not ascend from beyond the first node.
        """
        asked = np.asarray(times, np.float64)
        if not asked.size or not (np.diff(asked, prepend=self.times[0]) > 0).all():
            raise ValueError(f"protocol: times of moments must ascend from beyond {self.times[0]}")
        up, down = self.rates(self.times[0])
        on = float(up / (up + down)) if initial is None else initial
        edges = [t for t in self.times if t < asked[-1]] + [float(asked[-1])]
        state, parts = np.array([on, 0.0, 0.0, on, 1 - on]), [np.zeros((5, 0))]
        for begin, end in pairwise(edges):
            inside = asked[(asked >= begin) & ((asked < end) | (end == edges[-1]))]
            power = 0.5 * self.splitting * (self._control(end) - self._control(begin)) / (end - begin)
            solved = solve_ivp(
                self._flow,
                (begin, end),
                state,
                "DOP853",
                np.union1d(inside, end),
                args=(power,),
                rtol=1e-11,
                atol=1e-13,
            )
            parts.append(solved.y[:, : inside.size])
            state = solved.y[:, -1]
        on_probability, jumps, work, stayed_on, stayed_off = np.concatenate(parts, axis=1)
        return SwitchMoments(on_probability, jumps, work, stayed_on + stayed_off)

    def _control(self, time: float) -> float:
        return float(np.interp(time, self.times, self.control))

    def _flow(self, time: float, state: Array, power: float) -> list[float]:
        up, down = (float(rate) for rate in self.rates(time))
        on, _jumps, _work, stayed_on, stayed_off = state
        rising, falling = up * (1 - on), down * on
        return [rising - falling, rising + falling, power * (2 * on - 1), -down * stayed_on, -up * stayed_off]

    def simulate(
        self, initial: npt.ArrayLike, times: npt.ArrayLike, *, key: Key, method: Method = "reset"
    ) -> SwitchPaths:
        """Simulate trajectories without time steps.

        Parameters
        ----------
        initial
            (n,) states at the first node.
        times
            (m,) ascending times of observation, not before the first node.
        key
            Two 32-bit words, see `twin.noise.stream_key`.
        method
            ``reset``, where up + down is constant; or ``thinning``, for any rates.

        Raises
        ------
        ValueError
            If the states are not +1 and -1, the times not ascending or before the first node, or the method does not
            fit the rates.
        """
        first, observe = as_states(initial), np.asarray(times, np.float64)
        if not observe.size or observe[0] < self.times[0] or (np.diff(observe) < 0).any():
            raise ValueError(f"protocol: times of observation must ascend from {self.times[0]} on")
        if method == "reset" and not self.constant_sum:
            raise ValueError("protocol: the method reset needs a constant sum of the rates; thinning takes any")
        up, down = self.rates(self.times)
        candidates = float(up[0] + down[0]) if method == "reset" else float(max(up.max(), down.max()))
        drive = kernels.Drive(
            np.array(self.times), np.array(self.control), _pair(self.up), _pair(self.down),
            self.logistic, float(self.splitting), candidates, method == "reset",
        )  # fmt: skip
        n = first.size
        paths = kernels.Paths(
            np.empty((n, observe.size), np.int8), np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n), np.empty(n)
        )
        compute.run_sliced(
            lambda begin, end: kernels.driven_paths(begin, end, first, drive, observe, *key, paths), first.size
        )
        return SwitchPaths(*paths)

    def sample_grid(self, initial: npt.ArrayLike, step: float, steps: int, *, key: Key) -> States:
        """Return (n, steps) states along a grid, with the rates of the middle of each step: of order step^2."""
        up, down = self.rates(self.times[0] + step * (np.arange(steps) + 0.5))
        return move_on_grid(initial, up / (up + down), np.exp(-(up + down) * step), key)


def free_energy_difference(beta: float, first: float, last: float) -> float:
    """Return -(1/beta) ln[cosh(beta last / 2) / cosh(beta first / 2)] of levels at +-g/2."""
    return -(_log_cosh(beta * last / 2) - _log_cosh(beta * first / 2)) / beta


def _log_cosh(x: float) -> float:
    return abs(x) + math.log1p(math.exp(-2 * abs(x))) - math.log(2)


def _pair(values: tuple[float, float]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
