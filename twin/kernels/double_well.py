"""Overdamped motion in the double well V(x) = x^4 - x^2 - b x: dx = -V'(x) dt + sqrt(2 D) dW, mobility 1.

Every draw is addressed by the counter (step or four of them, trajectory, purpose, 0).
"""

import math

import numpy as np
from numba import float64

from twin.kernels.jit import inlined, kernel, leaf
from twin.kernels.philox import normal_pair, philox4x32
from twin.kernels.variates import unit_interval

MOTION, PASSAGE, BRIDGE, WORK = 0, 1, 2, 3
FAR = 40.0
"""A crossing between two steps of a probability below exp(-FAR) is not drawn."""


@inlined
def _energy(x, bias):  # type: ignore[no-untyped-def]
    return x * (x * (x * x - 1.0) - bias)


@inlined
def _force(x, bias):  # type: ignore[no-untyped-def]
    return x * (2.0 - 4.0 * x * x) + bias


@leaf
def _normal(step, trajectory, purpose, key_0, key_1, normals):  # type: ignore[no-untyped-def]
    """Return the normal variate of a step; four of them are kept in ``normals`` (4,) and drawn at every fourth step."""
    if step % 4 == 0:
        a, b, c, d = philox4x32(step // 4, trajectory, purpose, 0, key_0, key_1)
        normals[0], normals[1] = normal_pair(a, b)
        normals[2], normals[3] = normal_pair(c, d)
    return float64(normals[step % 4])


@kernel
def trajectories(begin, end, starts, bias, temperature, step, steps, key_0, key_1, observed):  # type: ignore[no-untyped-def]
    """Follow trajectories ``begin`` to ``end`` by the scheme of Leimkuhler and Matthews (2013).

    x <- x - V'(x) h + sqrt(2 D h) (R_k + R_{k+1}) / 2, where R_{k+1} serves again in the next step: of weak order 2 in
    equilibrium at the cost of one variate a step.

    Parameters
    ----------
    starts
        (n,) positions at time 0.
    step, steps
        Time step and how many of them lie between two observations.
    observed
        (n, m) float64: filled in; NaN from where a trajectory left |x| < 1 / sqrt(2 h), beyond which the scheme is
        unstable.
    """
    normals = np.zeros(4, np.float32)
    size, limit = math.sqrt(0.5 * temperature * step), math.sqrt(0.5 / step)
    for n in range(begin, end):
        x, taken = starts[n], 0
        before = _normal(0, n, MOTION, key_0, key_1, normals)
        for o in range(observed.shape[1]):
            for _ in range(steps):
                taken += 1
                after = _normal(taken, n, MOTION, key_0, key_1, normals)
                x += step * _force(x, bias) + size * (before + after)
                before = after
                if not abs(x) < limit:
                    x = math.nan
            observed[n, o] = x


@kernel
def first_passages(begin, end, start, target, bias, temperature, step, longest, key_0, key_1, times):  # type: ignore[no-untyped-def]
    """Write when trajectories ``begin`` to ``end`` first reach a target above their start.

    Euler steps, between which a Brownian bridge may touch the target: with both ends below it the probability is
    exp(-(b - x) (b - x') / (D h)). Without that the times would be too long by O(sqrt h).

    Parameters
    ----------
    longest
        Steps after which a trajectory is given up.
    times
        (n,) float64: filled in, to half a step; infinite where the target was not reached.
    """
    normals = np.zeros(4, np.float32)
    size = math.sqrt(2.0 * temperature * step)
    for n in range(begin, end):
        x, times[n] = start, math.inf
        for k in range(longest):
            new = x + step * _force(x, bias) + size * _normal(k, n, PASSAGE, key_0, key_1, normals)
            missed = (target - x) * (target - new) / (temperature * step)
            reached = new >= target
            if not reached and missed < FAR:
                a, b, _c, _d = philox4x32(k, n, BRIDGE, 0, key_0, key_1)
                reached = unit_interval(a, b) < math.exp(-missed)
            if reached:
                times[n] = (k + 0.5) * step
                break
            x = new


@kernel
def ramp_work(begin, end, starts, first, last, temperature, step, steps, key_0, key_1, work):  # type: ignore[no-untyped-def]
    """Write the work -int x db that a linear ramp of the bias does on trajectories ``begin`` to ``end``.

    Jumps of the bias alternate with Langevin steps that are accepted or rejected (Metropolis-adjusted): these keep the
    equilibrium of their bias exactly, so Jarzynski's equality holds at any step.

    Parameters
    ----------
    starts
        (n,) positions at time 0.
    first, last
        Bias at the beginning and the end.
    step, steps
        Time step and how many of them the ramp takes.
    work
        (n,) float64: filled in.
    """
    size, change = math.sqrt(2.0 * temperature * step), (last - first) / steps
    for n in range(begin, end):
        x, total = starts[n], 0.0
        for k in range(steps):
            total -= x * change
            bias = first + change * (k + 1)
            a, b, c, d = philox4x32(k, n, WORK, 0, key_0, key_1)
            normal, _second = normal_pair(a, b)
            there = step * _force(x, bias) + size * normal
            y = x + there
            back = -there - step * _force(y, bias)
            forth = there - step * _force(x, bias)
            exponent = (_energy(x, bias) - _energy(y, bias)) / temperature
            exponent += (forth * forth - back * back) / (4.0 * temperature * step)
            if exponent >= 0 or unit_interval(c, d) < math.exp(exponent):
                x = y
        work[n] = total
