"""Trajectories of a two-state switch n = +-1 with rates up (-1 -> +1) and down (+1 -> -1): exact, without time steps.

Rates that change in time follow a control z(t), linear between its nodes and held outside them:

    rate = offset + scale z(t)            or            rate = offset + scale / (1 + exp(-z(t))).

Candidates for a jump come at a constant rate. Where up + down is that constant, each candidate is a reset, after which
the switch is on with probability up / (up + down) whatever it was before; otherwise the constant bounds both rates and
a candidate becomes a jump with probability rate / bound (thinning). Every draw is addressed by the counter (number,
trajectory, purpose, 0).
"""

import math
from typing import NamedTuple

import numpy as np

from twin.kernels.jit import inlined, kernel, leaf
from twin.kernels.philox import philox4x32
from twin.kernels.variates import logarithm, unit_interval

CANDIDATE, DWELL, STEP = 0, 1, 2


class Drive(NamedTuple):
    """How the rates of a switch change in time."""

    times: np.ndarray  # (k,) nodes of the control, ascending, s
    control: np.ndarray  # (k,) its values there
    up: tuple[float, float]  # offset and scale of the rate up, 1/s
    down: tuple[float, float]  # of the rate down, 1/s
    logistic: bool
    splitting: float  # energy of +1 above that of -1, per unit of the control
    candidates: float  # rate of the candidates, 1/s
    resets: bool  # candidates are resets


class Paths(NamedTuple):
    """What n trajectories leave behind."""

    states: np.ndarray  # (n, m) int8: at the times of observation
    jumps: np.ndarray  # (n,) int64
    candidates: np.ndarray  # (n,) int64
    work: np.ndarray  # (n,) done by the control
    heat: np.ndarray  # (n,) given to the bath


@inlined
def _control(time, segment, drive):  # type: ignore[no-untyped-def]
    """Return the control at a time, and its segment, which is not before ``segment``."""
    times, control = drive.times, drive.control
    while segment < times.shape[0] - 2 and times[segment + 1] <= time:
        segment += 1
    fraction = (time - times[segment]) / (times[segment + 1] - times[segment])
    fraction = min(max(fraction, 0.0), 1.0)
    return control[segment] + fraction * (control[segment + 1] - control[segment]), segment


@leaf
def _rate(state, control, drive):  # type: ignore[no-untyped-def]
    """Return the rate at which a state is left."""
    offset, scale = drive.down if state > 0 else drive.up
    return offset + scale * (1.0 / (1.0 + math.exp(-control)) if drive.logistic else control)


@inlined
def _after(state, control, luck, drive):  # type: ignore[no-untyped-def]
    """Return the state after a candidate."""
    if drive.resets:
        return 1 if luck * drive.candidates < _rate(-1, control, drive) else -1
    return -state if luck * drive.candidates < _rate(state, control, drive) else state


@kernel
def driven_paths(begin, end, initial, drive, observe, key_0, key_1, paths):  # type: ignore[no-untyped-def]
    """Follow trajectories ``begin`` to ``end`` from the first node of the control to the last observation.

    The energy of a state n is n g / 2 with g the splitting times the control: work is done while g changes, heat given
    off at jumps.

    Parameters
    ----------
    initial
        (n,) states at the first node.
    observe
        (m,) ascending times of observation, none before the first node, s.
    paths
        Filled in.
    """
    last = observe[-1]
    for n in range(begin, end):
        time, state, number, seen, segment = drive.times[0], initial[n], 0, 0, 0
        level, jumps, work, heat = drive.splitting * drive.control[0], 0, 0.0, 0.0
        while seen < observe.shape[0]:
            a, b, c, d = philox4x32(number, n, CANDIDATE, 0, key_0, key_1)
            time -= logarithm(unit_interval(a, b)) / drive.candidates
            while seen < observe.shape[0] and observe[seen] <= time:
                paths.states[n, seen] = state
                seen += 1
            control, segment = _control(min(time, last), segment, drive)
            work += 0.5 * state * (drive.splitting * control - level)
            level = drive.splitting * control
            if time < last:
                number += 1
                after = _after(state, control, unit_interval(c, d), drive)
                if after != state:
                    jumps += 1
                    heat -= 0.5 * (after - state) * level
                    state = after
        paths.jumps[n], paths.candidates[n], paths.work[n], paths.heat[n] = jumps, number, work, heat


@kernel
def dwell_ends(begin, end, initial, up, down, stop, key_0, key_1, times, counts):  # type: ignore[no-untyped-def]
    """Write when trajectories ``begin`` to ``end`` jump before ``stop``, at constant rates, as far as it fits.

    Parameters
    ----------
    initial
        (n,) states at time 0.
    times
        (n, m) float64: filled in from the front.
    counts
        (n,) int64: the jumps of each trajectory, also those for which there was no room.
    """
    for n in range(begin, end):
        state, time, number = initial[n], 0.0, 0
        while True:
            a, b, _c, _d = philox4x32(number, n, DWELL, 0, key_0, key_1)
            time -= logarithm(unit_interval(a, b)) / (down if state > 0 else up)
            if not time < stop:
                break
            if number < times.shape[1]:
                times[n, number] = time
            number += 1
            state = -state
        counts[n] = number


@kernel
def stepped_paths(begin, end, initial, on, memory, key_0, key_1, states):  # type: ignore[no-untyped-def]
    """Move trajectories ``begin`` to ``end`` along a grid, with constant rates within each of its steps.

    Parameters
    ----------
    initial
        (n,) states at the beginning of the grid.
    on, memory
        (m,) for each step the stationary probability up / (up + down) and exp(-(up + down) dt).
    states
        (n, m) int8: filled in with the states at the ends of the steps.
    """
    for n in range(begin, end):
        state = initial[n]
        for k in range(on.shape[0]):
            a, b, _c, _d = philox4x32(k, n, STEP, 0, key_0, key_1)
            here = 1.0 if state > 0 else 0.0
            state = 1 if unit_interval(a, b) < on[k] + (here - on[k]) * memory[k] else -1
            states[n, k] = state
