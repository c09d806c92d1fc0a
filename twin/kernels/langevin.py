"""Overdamped Langevin dynamics of a network of cells, LANES trajectories at a time (`twin.kernels.block`).

Two schemes. ``ros2`` composes the motions of the classes of the network symmetrically (Strang): with classes 0 .. c
one step is

    0(h/2) 1(h/2) .. c(h) .. 1(h/2) 0(h/2),

neighbouring half steps of class 0 being joined between two observations; it is of weak order 2. ``euler`` advances all
cells at once and is of weak order 1.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import float32

from twin.kernels.block import FULL, HALF, draw, load, new_block, set_coefficients, visit_class
from twin.kernels.jit import LANES, kernel, leaf
from twin.kernels.lanes import Addresses, aligned, settled, store
from twin.kernels.tile import COEFFICIENTS
from twin.kernels.topology import layout_of


class Plan(NamedTuple):
    """When trajectories start and are observed, and where their noise comes from."""

    scheme: Any  # Euler(), Implicit() or ConvexImplicit(): compiled into the kernel
    kind: Any  # Signs(), Symbols() or Variates(): the noise, likewise
    addresses: Addresses
    cells: np.ndarray  # (n,) names of the cells in the address of the noise
    start: np.ndarray  # (n,) float32: where a trajectory starts, unless a state is carried on
    read: np.ndarray  # (c,) cells observed
    first_steps: np.ndarray  # (P,) steps to the first observation
    first_step: np.ndarray  # (P,) and their size
    next_steps: np.ndarray  # (P,) steps from one observation to the next
    next_step: np.ndarray  # (P,)
    stop: np.ndarray  # (1,) set to 1 from outside, it ends the run soon; what was computed is then of no use
    observed: np.ndarray  # (P * blocks,) observations each block has made, for whoever looks on
    done: int  # observations made before this call
    settling_time: float
    rail: float


@leaf
def sub_steps(colour, colours, steps):  # type: ignore[no-untyped-def]
    """Return how many sub-steps a class takes in an interval of so many steps."""
    if colour == colours - 1:
        return steps
    return steps + 1 if colour == 0 else 2 * steps


@leaf
def _phase(visit, last, closing):  # type: ignore[no-untyped-def]
    """Return where in its step, as a fraction, a visit to a class takes place."""
    if last > 0 and visit == 0:
        return 0.25
    if last > 0 and visit == 2 * last:
        return 0.75 if closing else 1.0
    return 0.5


@leaf
def _move_on(block, other, layout, coefficients, steps, step, time, drawn, resumed, plan):  # type: ignore[no-untyped-def]
    """Advance a block through one interval between observations, in symmetric visits to the classes of its cells."""
    x, y, rail, last = block.x, other, float32(plan.rail), layout.colours - 1
    scheme, kind = plan.scheme, plan.kind
    for s in range(steps):
        if plan.stop[0]:
            return
        closing = s == steps - 1
        for visit in range(1 if last > 0 and s > 0 else 0, 2 * last + 1):
            c = min(visit, 2 * last - visit)
            joined = visit == 2 * last and not closing
            sized = coefficients[FULL if c == last or joined else HALF]
            gain = settled(time + (s + _phase(visit, last, closing)) * step, plan.settling_time)
            plane, position = draw(block, kind, layout.classes[c], layout.classes[c + 1], drawn[c], resumed[c])
            drawn[c] += 1
            resumed[c] = False
            noise = block.words[plane]
            visit_class(scheme, kind, x, y, block.field, gain, noise, position, sized, rail, layout, c)
        x, y = y, x
    if not scheme.in_place and steps % 2:
        for r in range(x.shape[0]):
            for lane in range(LANES):
                block.x[r, lane] = x[r, lane]


@kernel
def sample_blocks(begin, end, programs, plan, state, samples):  # type: ignore[no-untyped-def]
    """Simulate blocks ``begin`` to ``end`` of the P * ceil(K * trajectories / LANES) blocks of a run.

    Parameters
    ----------
    programs, plan
        `Programs` and `Plan`.
    state
        (P, K * trajectories, n) float32: where the trajectories are, carried on and written back; or shape (0, 0, 0).
    samples
        (P, K * trajectories, observations, c) float32: filled in.
    """
    n = programs.fields.shape[2]
    total, observations = samples.shape[1], samples.shape[2]
    blocks = (total + LANES - 1) // LANES
    block = new_block(n)
    other = block.x if plan.scheme.in_place else aligned(n)
    coefficients = np.zeros((2, 2, n, COEFFICIENTS), np.float32)
    drawn, resumed, rank = np.zeros(n, np.int64), np.ones(n, np.bool_), np.zeros(n, np.int64)
    for item in range(begin, end):
        p, first_lane = item // blocks, item % blocks * LANES
        layout = layout_of(programs.layout, p)
        first_steps, first_step = plan.first_steps[p], plan.first_step[p]
        next_steps, next_step = plan.next_steps[p], plan.next_step[p]
        stiffness, kT, order, implicit = programs.stiffness[p], programs.temperature, layout.order, plan.scheme.in_place
        set_coefficients(coefficients[0], stiffness, kT, order, first_step, implicit)
        set_coefficients(coefficients[1], stiffness, kT, order, next_step, implicit)
        for c in range(layout.colours):
            drawn[c] = 0
            if plan.done > 0:
                drawn[c] = sub_steps(c, layout.colours, first_steps)
                drawn[c] += (plan.done - 1) * sub_steps(c, layout.colours, next_steps)
            resumed[c] = True
        for r in range(n):
            rank[order[r]] = r
        lanes = load(
            block, first_lane, programs.fields[p], order, plan.start, state[p], plan.addresses.slots[p],
            plan.cells, plan.addresses,
        )  # fmt: skip
        for o in range(observations):
            later = plan.done + o > 0
            steps, step = (next_steps, next_step) if later else (first_steps, first_step)
            time = first_steps * first_step + (plan.done + o - 1) * next_steps * next_step if later else 0.0
            _move_on(
                block, other, layout, coefficients[1 if later else 0], steps, step, time, drawn, resumed,
                plan,
            )  # fmt: skip
            store(block.x, rank[plan.read], lanes, samples[p, first_lane : first_lane + lanes, o])
            plan.observed[item] = o + 1
        if state.shape[0]:
            store(block.x, rank, lanes, state[p, first_lane : first_lane + lanes])
