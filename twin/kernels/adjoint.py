"""Derivatives of observed states by the parameters of a network: the adjoint of the splitting scheme ``ros2``.

Trajectories are those of `twin.kernels.langevin`, noise included, but every state on the way is kept; then the
derivatives lambda of a loss by the state are carried backwards (reverse-mode differentiation, noise held fixed). With
the polynomials of a sub-step of length h,

    x1 = x0 + (h [G - F(x0)] + noise) q,   s = (h/2) P'(x0),   q = 1 / (1 + s) where s >= 0, else 1 + |s|,

the derivative by the field G of that sub-step and that by the state before it are

    g = h q lambda,   lambda - g F'(x0) - lambda (x1 - x0) s'(x0) / (1 + |s|),

and -J_ij g_i goes to lambda_j. So lambda_j is a part of its own minus the sum of J_ij S_i, where S_i sums the g_i of
all sub-steps so far: the field in a network whose cells stand at S, found as in the forward motion (J is symmetric). In
the end S_i is the derivative by an applied field f_i, and that by a coupling is the sum of -g_i x_j. A cell that was
clipped at a rail passes nothing on.
"""

from typing import NamedTuple

import numpy as np
from numba import float32

from twin.kernels.adjoint_tile import PARTIAL_SUMS, correlate, retreat
from twin.kernels.block import FULL, HALF, draw, load, new_block, set_coefficients, visit_class
from twin.kernels.jit import LANES, inlined, kernel, leaf
from twin.kernels.lanes import aligned, store
from twin.kernels.langevin import sub_steps
from twin.kernels.tile import COEFFICIENTS, FOUR_CELLS, FOUR_CELLS_LANES, ONE_CELL, ONE_CELL_LANES, Links
from twin.kernels.topology import BEGIN, CELLS, END, ROW, WEIGHT, WIDE, layout_of


class Adjoint(NamedTuple):
    """What is carried backwards along LANES trajectories; cells in the order of rows."""

    x: np.ndarray  # (n, LANES): states
    own: np.ndarray  # (n, LANES): derivatives by the states without what the couplings add
    field: np.ndarray  # (n, LANES): derivatives by the applied fields so far, S
    pull: np.ndarray  # (n, LANES): derivatives by the fields of the last sub-step, g
    sums: np.ndarray  # (weights, PARTIAL_SUMS): of g x so far, for each weight of the layout


@kernel
def first_states(layout, first_steps, next_steps, observations):  # type: ignore[no-untyped-def]
    """Return where in the history of a trajectory each class begins, and in the end how many states it holds.

    The history holds class by class the states of its cells at the start and after each of its sub-steps.
    """
    first = np.zeros(layout.colours + 1, np.int64)
    for c in range(layout.colours):
        size = layout.classes[c + 1] - layout.classes[c]
        taken = sub_steps(c, layout.colours, first_steps) + (observations - 1) * sub_steps(
            c, layout.colours, next_steps
        )
        first[c + 1] = first[c] + size * (taken + 1)
    return first


@inlined
def _keep(history, row, x, begin, end):  # type: ignore[no-untyped-def]
    """Keep the cells of a class in the rows of a history from ``row`` onwards."""
    for r in range(end - begin):
        for lane in range(LANES):
            history[row + r, lane] = x[begin + r, lane]


@leaf
def _move_on(block, history, first, layout, coefficients, steps, drawn, plan):  # type: ignore[no-untyped-def]
    """Advance a block through one interval between observations as `langevin` does, and keep every state."""
    rail, last = float32(plan.rail), layout.colours - 1
    for s in range(steps):
        closing = s == steps - 1
        for visit in range(1 if last > 0 and s > 0 else 0, 2 * last + 1):
            c = min(visit, 2 * last - visit)
            begin, end = layout.classes[c], layout.classes[c + 1]
            joined = visit == 2 * last and not closing
            sized = coefficients[FULL if c == last or joined else HALF]
            plane, position = draw(block, plan.kind, begin, end, drawn[c], False)
            drawn[c] += 1
            visit_class(
                plan.scheme, plan.kind, block.x, block.x, block.field, float32(1), block.words[plane], position,
                sized, rail, layout, c,
            )  # fmt: skip
            _keep(history, first[c] + drawn[c] * (end - begin), block.x, begin, end)


@leaf
def _set_steps(coefficients, programs, order, plan):  # type: ignore[no-untyped-def]
    """Fill in (2, 2, n, COEFFICIENTS), for the first and the later intervals."""
    for interval in range(2):
        step = plan.next_step[0] if interval else plan.first_step[0]
        set_coefficients(
            coefficients[interval], programs.stiffness[0], programs.temperature, order, step, plan.scheme.in_place
        )


@kernel
def record_blocks(begin, end, programs, plan, history, samples):  # type: ignore[no-untyped-def]
    """Simulate blocks ``begin`` to ``end`` of the first program as `langevin` does, and keep every state.

    Parameters
    ----------
    programs, plan
        See `twin.kernels.langevin`; the scheme must be one that moves cells in place.
    history
        (blocks, states, LANES) float32 on cache lines: filled in, see `first_states`.
    samples
        (K * trajectories, observations, c) float32: filled in.
    """
    n, observations = programs.fields.shape[2], samples.shape[1]
    block, layout = new_block(n), layout_of(programs.layout, 0)
    first = first_states(layout, plan.first_steps[0], plan.next_steps[0], observations)
    coefficients = np.zeros((2, 2, n, COEFFICIENTS), np.float32)
    _set_steps(coefficients, programs, layout.order, plan)
    drawn, rank, no_state = np.zeros(n, np.int64), np.argsort(layout.order), np.empty((0, 0), np.float32)
    for b in range(begin, end):
        lanes = load(
            block, b * LANES, programs.fields[0], layout.order, plan.start, no_state, plan.addresses.slots[0],
            plan.cells, plan.addresses,
        )  # fmt: skip
        drawn[:] = 0
        for c in range(layout.colours):
            _keep(history[b], first[c], block.x, layout.classes[c], layout.classes[c + 1])
        for o in range(observations):
            steps = plan.next_steps[0] if o > 0 else plan.first_steps[0]
            _move_on(block, history[b], first, layout, coefficients[min(o, 1)], steps, drawn, plan)
            store(block.x, rank[plan.read], lanes, samples[b * LANES : b * LANES + lanes, o])


@inlined
def _retreat_class(adjoint, history, after, before, coefficients, rail, layout, c):  # type: ignore[no-untyped-def]
    """Carry the derivatives of class c back through one sub-step, between two rows of the history."""
    _, _, _, class_tiles, tiles, neighbours, weights = layout
    x, own, field, pull, sums = adjoint
    for t in range(class_tiles[c], class_tiles[c + 1]):
        row = tiles[t, ROW]
        skip = row - tiles[class_tiles[c], ROW]
        links = Links(neighbours, weights, row, tiles[t, BEGIN], tiles[t, END], tiles[t, WEIGHT])
        if tiles[t, CELLS] == WIDE:
            for lane in range(0, LANES, FOUR_CELLS_LANES):
                retreat(  # type: ignore[call-arg]
                    FOUR_CELLS, links, lane, coefficients, rail, history, after + skip, before + skip, own, field,
                    pull, x,
                )  # fmt: skip
            correlate(FOUR_CELLS, links, pull, x, sums)  # type: ignore[call-arg]
        else:
            for lane in range(0, LANES, ONE_CELL_LANES):
                retreat(  # type: ignore[call-arg]
                    ONE_CELL, links, lane, coefficients, rail, history, after + skip, before + skip, own, field,
                    pull, x,
                )  # fmt: skip
            correlate(ONE_CELL, links, pull, x, sums)  # type: ignore[call-arg]


@leaf
def _move_back(adjoint, history, first, layout, coefficients, steps, drawn, plan):  # type: ignore[no-untyped-def]
    """Carry the derivatives of a block back through one interval between observations."""
    rail, last = float32(plan.rail), layout.colours - 1
    for s in range(steps - 1, -1, -1):
        closing = s == steps - 1
        for visit in range(2 * last, 0 if last > 0 and s > 0 else -1, -1):
            c = min(visit, 2 * last - visit)
            size = layout.classes[c + 1] - layout.classes[c]
            joined = visit == 2 * last and not closing
            sized = coefficients[FULL if c == last or joined else HALF]
            after = first[c] + drawn[c] * size
            _retreat_class(adjoint, history, after, after - size, sized, rail, layout, c)
            drawn[c] -= 1


@leaf
def _observe(own, rows, weights):  # type: ignore[no-untyped-def]
    """Add the derivatives of the loss by the samples (lanes, c) of one observation."""
    for lane in range(weights.shape[0]):
        for r in range(weights.shape[1]):
            own[rows[r], lane] += weights[lane, r]


@kernel
def differentiate_blocks(begin, end, batch, programs, plan, history, weights, by_field, by_coupling):  # type: ignore[no-untyped-def]
    """Differentiate ``sum(weights * samples)`` in the batches ``begin`` to ``end`` of so many blocks each.

    Parameters
    ----------
    programs, plan, history
        As of `record_blocks`.
    weights
        (K * trajectories, observations, c) float32: derivative of the loss by each sample.
    by_field
        (K * trajectories, n) float32: filled in, derivative by the applied fields of each trajectory.
    by_coupling
        (batches, weights) float64: filled in, derivative by the couplings in the order of the weights of the layout,
        summed over the trajectories of a batch.
    """
    n, blocks = programs.fields.shape[2], history.shape[0]
    total, observations = weights.shape[0], weights.shape[1]
    layout, linked = layout_of(programs.layout, 0), by_coupling.shape[1]
    first = first_states(layout, plan.first_steps[0], plan.next_steps[0], observations)
    coefficients = np.zeros((2, 2, n, COEFFICIENTS), np.float32)
    _set_steps(coefficients, programs, layout.order, plan)
    sums = np.zeros((linked, PARTIAL_SUMS), np.float32)
    adjoint = Adjoint(aligned(n), aligned(n), aligned(n), aligned(n), sums)
    drawn, rank = np.zeros(n, np.int64), np.argsort(layout.order)
    read = rank[plan.read]
    for item in range(begin, end):
        sums[:] = 0
        for b in range(item * batch, min((item + 1) * batch, blocks)):
            here = weights[b * LANES : min((b + 1) * LANES, total)]
            adjoint.own[:], adjoint.field[:] = 0, 0
            for c in range(layout.colours):
                size = layout.classes[c + 1] - layout.classes[c]
                drawn[c] = (first[c + 1] - first[c]) // size - 1
                for r in range(size):
                    adjoint.x[layout.classes[c] + r] = history[b, first[c + 1] - size + r]
            for o in range(observations - 1, -1, -1):
                steps = plan.next_steps[0] if o > 0 else plan.first_steps[0]
                _observe(adjoint.own, read, here[:, o])
                _move_back(adjoint, history[b], first, layout, coefficients[min(o, 1)], steps, drawn, plan)
            store(adjoint.field, rank, here.shape[0], by_field[b * LANES : b * LANES + here.shape[0]])
        for weight in range(linked):
            by_coupling[item, weight] = -np.sum(sums[weight])


@kernel
def pair_derivatives(by_coupling, layout, matrix):  # type: ignore[no-untyped-def]
    """Add derivatives in the order of the weights of a layout to a symmetric matrix, both directions of a coupling."""
    alone = layout_of(layout, 0)
    for t in range(alone.class_tiles[alone.colours]):
        tile = alone.tiles[t]
        for k in range(tile[BEGIN], tile[END]):
            for q in range(tile[CELLS]):
                weight = tile[WEIGHT] + (k - tile[BEGIN]) * tile[CELLS] + q
                i, j = alone.order[tile[ROW] + q], alone.order[alone.neighbours[k]]
                if alone.weights[weight] != 0:
                    matrix[i, j] += by_coupling[weight]
                    matrix[j, i] += by_coupling[weight]
