"""Overdamped Langevin dynamics of a network of cells, 64 trajectories at a time.

Energy U = sum_i (J2 x_i^2 + J3 x_i^3 + J4 x_i^4 - f_i x_i) + sum_{i<j} J_ij x_i x_j, mobility 1:

    dx_i = [f_i - P_i(x_i) - sum_j J_ij x_j] dt + sqrt(2 kT_i) dB_i,   P(x) = 2 J2 x + 3 J3 x^2 + 4 J4 x^3.

Two schemes. ``ros2`` splits the network into classes of cells that are not coupled to each other and composes their
exact-field motions symmetrically (Strang): with classes 0 .. c one step is

    0(h/2) 1(h/2) .. c(h) .. 1(h/2) 0(h/2),

neighbouring half steps of class 0 being joined between two observations. Within its class a cell is a one-dimensional
equation with a constant field G, advanced by the linearly implicit step

    k = G - P(x) - (h kT / 2) P''(x),   x <- x + (h k + sqrt(2 kT h) xi) / (1 + (h/2) P'(x)),

which is of weak order 2 and keeps the variance of a harmonic cell exactly. Where P' < 0 (the top of a barrier) the
division turns into the multiplication by 1 + (h/2)|P'|: equal to the same order, and never singular. ``euler`` is the
Euler-Maruyama scheme, of weak order 1. Both clip at the rails after every sub-step.

Noise xi: ``matched`` symbols of four bits with the first five moments of a normal variate, or ``gaussian``.
Every draw is addressed by the counter (group, trajectory, row, 65536 slot + cell), where group counts what the cell
has drawn, 128 bits at a time; so a trajectory does not depend on the number of threads, on what else is run, or on how
a run is cut.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import float32

from twin.kernels.jit import LANES, inlined, kernel, leaf, stack_lanes
from twin.kernels.philox import SYMBOLS_PER_WORD, draw_normals, draw_symbols, draw_words
from twin.kernels.topology import PACK

SYMBOLS_PER_GROUP = 4 * SYMBOLS_PER_WORD
NORMALS_PER_GROUP = 4
DRAWS = SYMBOLS_PER_WORD
FULL, HALF = 0, 1
(FORCE_0, FORCE_1, FORCE_2, FORCE_3, SLOPE_0, SLOPE_1, SLOPE_2, STEP, NOISE, COEFFICIENTS) = range(10)


class Network(NamedTuple):
    """What P programs put on a board of n cells, for K rows of input each."""

    fields: np.ndarray  # (P, K, n) float32: bias minus what the inputs exert
    stiffness: np.ndarray  # (P, n, 3) float32: J2, J3, J4
    temperature: np.ndarray  # (n,) float64: kT
    starts: np.ndarray  # (P, n + 1), see list_neighbours
    neighbours: np.ndarray  # (P, couplings)
    weights: np.ndarray  # (P, couplings) float32
    order: np.ndarray  # (P, n), see colour_classes
    classes: np.ndarray  # (P, n + 1)
    colours: np.ndarray  # (P,)


class Plan(NamedTuple):
    """When trajectories start and are observed, and where their noise comes from."""

    start: np.ndarray  # (n,) float32: where a trajectory starts, unless a state is carried on
    read: np.ndarray  # (c,) cells observed
    slots: np.ndarray  # (P,) names of the programs in the address of the noise
    rows: np.ndarray  # (K,) names of the rows
    cells: np.ndarray  # (n,) names of the cells
    first_steps: np.ndarray  # (P,) steps to the first observation
    first_step: np.ndarray  # (P,) and their size
    next_steps: np.ndarray  # (P,) steps from one observation to the next
    next_step: np.ndarray  # (P,)
    stop: np.ndarray  # (1,) set to 1 from outside, it ends the run soon; what was computed is then of no use
    observed: np.ndarray  # (P * blocks,) observations each block has made, for whoever looks on
    first_trajectory: int
    trajectories: int  # per row
    done: int  # observations made before this call
    settling_time: float
    key_0: int
    key_1: int
    rail: float
    euler: bool
    gaussian: bool


class Block(NamedTuple):
    """LANES trajectories of one program and what they need at hand."""

    x: np.ndarray  # (n, LANES) float32
    field: np.ndarray  # (n, LANES)
    moves: np.ndarray  # (n, LANES), Euler only
    words: np.ndarray  # (n, 4, LANES) uint32: random words in use
    draws: np.ndarray  # (n, DRAWS, LANES) float32: noise variates in use
    trajectory: np.ndarray  # (LANES,) uint32
    row: np.ndarray  # (LANES,) uint32


@kernel
def _aligned(rows):  # type: ignore[no-untyped-def]
    """Return (rows, LANES) floats that start on a cache line."""
    memory = np.zeros(rows * LANES + 16, np.float32)
    skip = ((64 - memory.ctypes.data % 64) % 64) // 4
    return memory[skip : skip + rows * LANES].reshape((rows, LANES))


@leaf
def sub_steps(colour, colours, steps, euler):  # type: ignore[no-untyped-def]
    """Return how many sub-steps a class takes in an interval of so many steps."""
    if euler or colour == colours - 1:
        return steps
    return steps + 1 if colour == 0 else 2 * steps


@leaf
def _set_coefficients(coefficients, stiffness, temperature, step, euler):  # type: ignore[no-untyped-def]
    """Fill in the polynomials of force and slope for full and half steps; (2, n, COEFFICIENTS)."""
    for size in range(2):
        h = step / (1 + size)
        for i in range(stiffness.shape[0]):
            j2, j3, j4 = np.float64(stiffness[i, 0]), np.float64(stiffness[i, 1]), np.float64(stiffness[i, 2])
            curvature = 0.0 if euler else h * temperature[i]
            noise = math.sqrt(2 * temperature[i] * h)
            c = coefficients[size, i]
            c[FORCE_0] = 3 * j3 * curvature
            c[FORCE_1] = 2 * j2 + 12 * j4 * curvature
            c[FORCE_2] = 3 * j3
            c[FORCE_3] = 4 * j4
            c[SLOPE_0] = h * j2
            c[SLOPE_1] = 3 * h * j3
            c[SLOPE_2] = 6 * h * j4
            c[STEP] = h
            c[NOISE] = noise


@inlined
def _add_field(force, x, field, gain, cell, starts, neighbours, weights):  # type: ignore[no-untyped-def]
    """Set force[lane] to the field on a cell: what is applied and what its neighbours exert."""
    for lane in range(LANES):
        force[lane] = gain * field[cell, lane]
    k = starts[cell]
    while k < starts[cell + 1]:
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        i0, i1, i2, i3 = neighbours[k], neighbours[k + 1], neighbours[k + 2], neighbours[k + 3]
        for lane in range(LANES):
            force[lane] += w0 * x[i0, lane] + w1 * x[i1, lane] + w2 * x[i2, lane] + w3 * x[i3, lane]
        k += PACK


@inlined
def _implicit_step(x, force, draws, position, cell, c, rail):  # type: ignore[no-untyped-def]
    """Advance one cell in every lane by the linearly implicit step."""
    f0, f1, f2, f3 = c[cell, FORCE_0], c[cell, FORCE_1], c[cell, FORCE_2], c[cell, FORCE_3]
    s0, s1, s2 = c[cell, SLOPE_0], c[cell, SLOPE_1], c[cell, SLOPE_2]
    h, noise = c[cell, STEP], c[cell, NOISE]
    for lane in range(LANES):
        v = x[cell, lane]
        move = h * (force[lane] - f0 - v * (f1 + v * (f2 + v * f3))) + noise * draws[cell, position, lane]
        slope = s0 + v * (s1 + v * s2)
        scale = float32(1) + abs(slope)
        v += move / scale if slope >= float32(0) else move * scale
        x[cell, lane] = min(max(v, -rail), rail)


@inlined
def _explicit_move(moves, x, force, draws, position, cell, c):  # type: ignore[no-untyped-def]
    """Store the Euler-Maruyama displacement of one cell in every lane."""
    f1, f2, f3, h, noise = c[cell, FORCE_1], c[cell, FORCE_2], c[cell, FORCE_3], c[cell, STEP], c[cell, NOISE]
    for lane in range(LANES):
        v = x[cell, lane]
        moves[cell, lane] = h * (force[lane] - v * (f1 + v * (f2 + v * f3))) + noise * draws[cell, position, lane]


@inlined
def _apply_moves(x, moves, rail):  # type: ignore[no-untyped-def]
    for cell in range(x.shape[0]):
        for lane in range(LANES):
            x[cell, lane] = min(max(x[cell, lane] + moves[cell, lane], -rail), rail)


@leaf
def _phase(visit, last, closing):  # type: ignore[no-untyped-def]
    """Return where in its step, as a fraction, a visit to a class takes place."""
    if last > 0 and visit == 0:
        return 0.25
    if last > 0 and visit == 2 * last:
        return 0.75 if closing else 1.0
    return 0.5


@leaf
def _gain(time, settling_time):  # type: ignore[no-untyped-def]
    """Return the fraction of the applied fields that has settled at a time after the release of the cells."""
    return float32(1.0 - math.exp(-time / settling_time)) if settling_time > 0 else float32(1)


@leaf
def _refill(block, cells, drawn, resumed, slot, plan):  # type: ignore[no-untyped-def]
    """Draw the next DRAWS noise variates of the cells of a class, each of which has drawn ``drawn`` times before."""
    words, draws, trajectory, row = block.words, block.draws, block.trajectory, block.row
    key_0, key_1 = plan.key_0, plan.key_1
    for k in range(cells.shape[0]):
        cell = cells[k]
        owner = slot * 65536 + plan.cells[cell]
        if plan.gaussian:
            for part in range(DRAWS // NORMALS_PER_GROUP):
                group = drawn // NORMALS_PER_GROUP + part
                draw_words(words, cell, group, trajectory, row, owner, key_0, key_1)
                draw_normals(draws, words, cell, part * NORMALS_PER_GROUP)
        else:
            if resumed or drawn % SYMBOLS_PER_GROUP == 0:
                draw_words(words, cell, drawn // SYMBOLS_PER_GROUP, trajectory, row, owner, key_0, key_1)
            draw_symbols(draws, words, cell, drawn % SYMBOLS_PER_GROUP // SYMBOLS_PER_WORD)


@leaf
def _move_on(block, graph, order, classes, coefficients, steps, step, time, drawn, resumed, slot, plan):  # type: ignore[no-untyped-def]
    """Advance a block through one interval between observations, in symmetric visits to the classes of cells."""
    force: np.ndarray = stack_lanes()  # type: ignore[call-arg]
    starts, neighbours, weights = graph
    x, field, draws, moves = block.x, block.field, block.draws, block.moves
    euler, rail, last = plan.euler, float32(plan.rail), classes.shape[0] - 2
    for s in range(steps):
        if plan.stop[0]:
            return
        closing = s == steps - 1
        for visit in range(1 if last > 0 and s > 0 else 0, 2 * last + 1):
            c = min(visit, 2 * last - visit)
            joined = visit == 2 * last and not closing
            size = FULL if c == last or joined else HALF
            gain = _gain(time + (s + _phase(visit, last, closing)) * step, plan.settling_time)
            position = drawn[c] % DRAWS
            if position == 0 or resumed[c]:
                cells = order[classes[c] : classes[c + 1]]
                _refill(block, cells, drawn[c] - position, resumed[c], slot, plan)
                resumed[c] = False
            drawn[c] += 1
            sized = coefficients[size]
            for k in range(classes[c], classes[c + 1]):
                cell = order[k]
                _add_field(force, x, field, gain, cell, starts, neighbours, weights)
                if euler:
                    _explicit_move(moves, x, force, draws, position, cell, sized)
                else:
                    _implicit_step(x, force, draws, position, cell, sized, rail)
            if euler:
                _apply_moves(x, moves, rail)


@leaf
def _load(block, begin, network, program, plan, state):  # type: ignore[no-untyped-def]
    """Put trajectories ``begin`` onwards of a program into the lanes; lanes too many repeat the last."""
    n = block.x.shape[0]
    total = network.fields.shape[1] * plan.trajectories
    for lane in range(LANES):
        q = min(begin + lane, total - 1)
        row = q // plan.trajectories
        block.row[lane] = plan.rows[row]
        block.trajectory[lane] = plan.first_trajectory + q % plan.trajectories
        for i in range(n):
            block.field[i, lane] = network.fields[program, row, i]
            block.x[i, lane] = state[program, q, i] if state.shape[0] else plan.start[i]


@kernel
def sample_blocks(begin, end, network, plan, state, samples):  # type: ignore[no-untyped-def]
    """Simulate blocks ``begin`` to ``end`` of the P * ceil(K * trajectories / LANES) blocks of a run.

    Parameters
    ----------
    state
        (P, K * trajectories, n) float32: where the trajectories are, carried on and written back; or shape (0, 0, 0).
    samples
        (P, K * trajectories, observations, c) float32: filled in.
    """
    n = network.fields.shape[2]
    total, observations, read = samples.shape[1], samples.shape[2], samples.shape[3]
    blocks = (total + LANES - 1) // LANES
    block = Block(
        _aligned(n), _aligned(n), _aligned(n if plan.euler else 0), np.zeros((n, 4, LANES), np.uint32),
        _aligned(n * DRAWS).reshape((n, DRAWS, LANES)), np.zeros(LANES, np.uint32), np.zeros(LANES, np.uint32),
    )  # fmt: skip
    coefficients = np.zeros((2, 2, n, COEFFICIENTS), np.float32)
    drawn, resumed = np.zeros(n, np.int64), np.ones(n, np.bool_)
    for item in range(begin, end):
        p, first_lane = item // blocks, item % blocks * LANES
        graph = (network.starts[p], network.neighbours[p], network.weights[p])
        colours = 1 if plan.euler else network.colours[p]
        order, classes = network.order[p], network.classes[p, : colours + 1].copy()
        classes[colours] = n
        first_steps, first_step = plan.first_steps[p], plan.first_step[p]
        next_steps, next_step = plan.next_steps[p], plan.next_step[p]
        _set_coefficients(coefficients[0], network.stiffness[p], network.temperature, first_step, plan.euler)
        _set_coefficients(coefficients[1], network.stiffness[p], network.temperature, next_step, plan.euler)
        for c in range(colours):
            drawn[c] = 0
            if plan.done > 0:
                drawn[c] = sub_steps(c, colours, first_steps, plan.euler)
                drawn[c] += (plan.done - 1) * sub_steps(c, colours, next_steps, plan.euler)
        resumed[:] = True
        _load(block, first_lane, network, p, plan, state)
        lanes = min(LANES, total - first_lane)
        for o in range(observations):
            later = plan.done + o > 0
            steps, step = (next_steps, next_step) if later else (first_steps, first_step)
            time = first_steps * first_step + (plan.done + o - 1) * next_steps * next_step
            _move_on(
                block, graph, order, classes, coefficients[1 if later else 0], steps, step,
                time if later else 0.0, drawn, resumed, plan.slots[p], plan,
            )  # fmt: skip
            for lane in range(lanes):
                for r in range(read):
                    samples[p, first_lane + lane, o, r] = block.x[plan.read[r], lane]
            plan.observed[item] = o + 1
        if state.shape[0]:
            for lane in range(lanes):
                for i in range(n):
                    state[p, first_lane + lane, i] = block.x[i, lane]
