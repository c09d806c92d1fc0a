"""Underdamped Langevin dynamics of a network of loops with inductance, 64 trajectories at a time.

With the energy U of `twin.kernels.langevin` and the reduced mass m of every loop, in units in which its friction is 1,

    m x_i'' + x_i' = -dU/dx_i + sqrt(2 kT_i) eta_i(t).

The scheme is BAOAB (Leimkuhler and Matthews, "Rational construction of stochastic numerical methods for molecular
sampling", 2013): a kick by the force, a drift, friction and noise, a drift and a kick,

    v <- v + (h / 2 m) F(x),   x <- x + (h / 2) v,   v <- c v + sqrt((1 - c^2) kT / m) xi,   x <- .., v <- ..,

neighbouring kicks being joined between two observations. The friction c = (1 - h / 2 m) / (1 + h / 2 m) is that of
Gronbech-Jensen and Farago ("A simple and effective Verlet-type algorithm for simulating Langevin dynamics", 2013),
which agrees with exp(-h / m) to second order and makes drift in a constant field and diffusion exact at any step, as
well as the variance of a harmonic loop. The scheme is of weak order 2. Noise xi is normal. At a rail a loop stops.

Every draw is addressed by the counter (group, trajectory, row, 65536 slot + cell), where group counts the steps by
fours; so a trajectory does not depend on the number of threads, on what else is run, or on how a run is cut.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import float32

from twin.kernels.jit import LANES, kernel, leaf, stack_lanes
from twin.kernels.lanes import Addresses, add_row, aligned, load_state, name_lanes, settled, store
from twin.kernels.philox import fill_words, words_to_normals

NORMALS_PER_GROUP = 4


class Loops(NamedTuple):
    """What P programs put on a board of n loops, for K rows of input each."""

    fields: np.ndarray  # (P, K, n) float32: bias minus what the inputs exert
    stiffness: np.ndarray  # (P, n, 3) float32: J2, J3, J4
    temperature: np.ndarray  # (n,) float64: kT
    weights: np.ndarray  # (P, n, m) float32: -J, zero on the diagonal; m is n rounded up to a multiple of PACK
    mass: float


class Plan(NamedTuple):
    """When trajectories start and are observed, and where their noise comes from."""

    start: np.ndarray  # (n,) float32: where a trajectory starts, at rest, unless a state is carried on
    read: np.ndarray  # (c,) loops observed
    addresses: Addresses
    first_steps: np.ndarray  # (P,) steps to the first observation
    first_step: np.ndarray  # (P,) and their size
    next_steps: np.ndarray  # (P,) steps from one observation to the next
    next_step: np.ndarray  # (P,)
    stop: np.ndarray  # (1,) set to 1 from outside, it ends the run soon; what was computed is then of no use
    observed: np.ndarray  # (P * blocks,) observations each block has made, for whoever looks on
    done: int  # observations made before this call
    settling_time: float
    rail: float


class Block(NamedTuple):
    """LANES trajectories of one program and what they need at hand."""

    x: np.ndarray  # (m, LANES) float32; what exceeds n stays 0
    v: np.ndarray  # (n, LANES) float32
    field: np.ndarray  # (n, LANES)
    words: np.ndarray  # (NORMALS_PER_GROUP, n, LANES) uint32: normal variates in use
    trajectory: np.ndarray  # (LANES,) uint32
    row: np.ndarray  # (LANES,) uint32


@leaf
def _kick(block, stiffness, weights, gain, size):  # type: ignore[no-untyped-def]
    """Change the velocities by ``size`` times the force."""
    force: np.ndarray = stack_lanes()  # type: ignore[call-arg]
    x, v, field = block.x, block.v, block.field
    for cell in range(v.shape[0]):
        for lane in range(LANES):
            force[lane] = gain * field[cell, lane]
        add_row(force, weights[cell], x, x.shape[0])
        j1, j2, j3 = float32(2) * stiffness[cell, 0], float32(3) * stiffness[cell, 1], float32(4) * stiffness[cell, 2]
        for lane in range(LANES):
            u = x[cell, lane]
            v[cell, lane] += size * (force[lane] - u * (j1 + u * (j2 + u * j3)))


@leaf
def _drift(block, position, half, friction, noise, rail):  # type: ignore[no-untyped-def]
    """Drift for half a step, let friction and noise act, and drift for the other half."""
    x, v, draws = block.x, block.v, block.words.view(np.float32)
    for cell in range(v.shape[0]):
        size = noise[cell]
        for lane in range(LANES):
            w = friction * v[cell, lane] + size * draws[position, cell, lane]
            u = x[cell, lane] + half * (v[cell, lane] + w)
            inside = min(max(u, -rail), rail)
            x[cell, lane] = inside
            v[cell, lane] = w if inside == u else float32(0)


@leaf
def _refill(block, group, owner, addresses):  # type: ignore[no-untyped-def]
    """Draw the next normal variates of every loop."""
    n = block.v.shape[0]
    fill_words(block.words, 0, n, group, block.trajectory, block.row, owner, addresses.key_0, addresses.key_1)
    words_to_normals(block.words, 0, n)


@leaf
def _move_on(block, stiffness, weights, noise, mass, steps, step, time, drawn, resumed, owner, plan):  # type: ignore[no-untyped-def]
    """Advance a block through one interval between observations, of which ``drawn`` steps were made before."""
    ratio = step / (2 * mass)
    friction, kick, half = float32((1 - ratio) / (1 + ratio)), float32(step / mass), float32(step / 2)
    rail = float32(plan.rail)
    for s in range(steps):
        if plan.stop[0]:
            return
        gain = settled(time + s * step, plan.settling_time)
        _kick(block, stiffness, weights, gain, kick if s > 0 else float32(0.5) * kick)
        position = (drawn + s) % NORMALS_PER_GROUP
        if position == 0 or (resumed and s == 0):
            _refill(block, (drawn + s) // NORMALS_PER_GROUP, owner, plan.addresses)
        _drift(block, position, half, friction, noise, rail)
    _kick(block, stiffness, weights, settled(time + steps * step, plan.settling_time), float32(0.5) * kick)


@leaf
def _set_noise(noise, temperature, mass, step):  # type: ignore[no-untyped-def]
    """Fill in the size of the random change of velocity in one step; (n,)."""
    ratio = step / (2 * mass)
    for i in range(noise.shape[0]):
        noise[i] = math.sqrt(4 * ratio * temperature[i] / mass) / (1 + ratio)


@leaf
def _release(block, begin, fields, plan):  # type: ignore[no-untyped-def]
    """Put the trajectories ``begin`` onwards, of programs with fields (K, n), at rest where they start."""
    total = fields.shape[0] * plan.addresses.trajectories
    for lane in range(LANES):
        row = min(begin + lane, total - 1) // plan.addresses.trajectories
        for i in range(fields.shape[1]):
            block.field[i, lane] = fields[row, i]
            block.x[i, lane] = plan.start[i]
            block.v[i, lane] = 0


@kernel
def sample_blocks(begin, end, loops, plan, state, samples):  # type: ignore[no-untyped-def]
    """Simulate blocks ``begin`` to ``end`` of the P * ceil(K * trajectories / LANES) blocks of a run.

    Parameters
    ----------
    state
        (P, K * trajectories, 2 n) float32: where the trajectories are and how fast they move, carried on and written
        back; or shape (0, 0, 0).
    samples
        (P, K * trajectories, observations, c) float32: filled in.
    """
    n = loops.fields.shape[2]
    total, observations = samples.shape[1], samples.shape[2]
    blocks = (total + LANES - 1) // LANES
    block = Block(
        aligned(loops.weights.shape[2]), aligned(n), aligned(n),
        aligned(NORMALS_PER_GROUP * n).view(np.uint32).reshape((NORMALS_PER_GROUP, n, LANES)),
        np.zeros(LANES, np.uint32), np.zeros(LANES, np.uint32),
    )  # fmt: skip
    noise, every = np.zeros(n, np.float32), np.arange(n)
    for item in range(begin, end):
        p, first_lane = item // blocks, item % blocks * LANES
        first_steps, first_step = plan.first_steps[p], plan.first_step[p]
        next_steps, next_step = plan.next_steps[p], plan.next_step[p]
        lanes = name_lanes(block.trajectory, block.row, first_lane, total, plan.addresses)
        owner = plan.addresses.slots[p] * 65536 + every
        _release(block, first_lane, loops.fields[p], plan)
        if state.shape[0]:
            load_state(block.x[:n], 0, state[p], first_lane, total)
            load_state(block.v, n, state[p], first_lane, total)
        for o in range(plan.done, plan.done + observations):
            if o == 0:
                steps, step, time, drawn = first_steps, first_step, 0.0, 0
            else:
                steps, step = next_steps, next_step
                time = first_steps * first_step + (o - 1) * next_steps * next_step
                drawn = first_steps + (o - 1) * next_steps
            _set_noise(noise, loops.temperature, loops.mass, step)
            _move_on(
                block, loops.stiffness[p], loops.weights[p], noise, loops.mass, steps, step, time, drawn,
                o == plan.done, owner, plan,
            )  # fmt: skip
            store(block.x, plan.read, lanes, samples[p, first_lane : first_lane + lanes, o - plan.done])
            plan.observed[item] = o - plan.done + 1
        if state.shape[0]:
            store(block.x, every, lanes, state[p, first_lane : first_lane + lanes, :n])
            store(block.v, every, lanes, state[p, first_lane : first_lane + lanes, n:])
