"""The tiles of `twin.kernels.tile` on their way back: derivatives instead of cells, sub-steps in reverse.

`retreat` mirrors `advance`. What its cells are coupled to is found in the same way, with the derivatives by the fields
in place of the states. `correlate` sums the products of two quantities over the trajectories for all couplings of a
tile, one row of partial sums for each.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from twin.kernels.jit import LANES
from twin.kernels.tile import (
    COEFFICIENTS,
    FORCE_1,
    FORCE_2,
    FORCE_3,
    FOUR_CELLS,
    SLOPE_0,
    SLOPE_1,
    SLOPE_2,
    STEP,
    Emitter,
    Vector,
)

PARTIAL_SUMS = FOUR_CELLS[2]
"""Partial sums in a row: the lanes of a vector."""


def _within(x: Vector, rail: Vector, value: Vector) -> Vector:
    """Return a value where -rail < x < rail, else 0."""
    builder = x.builder
    above, below = (builder.fcmp_ordered(sign, x.value, edge.value) for sign, edge in ((">", -rail), ("<", rail)))
    return Vector(builder, builder.select(builder.and_(above, below), value.value, value.constant(0.0).value))


def _step_back(x: Vector, after: Vector, passed: Vector, c: list[Vector]) -> tuple[Vector, Vector]:
    """Return the derivative by the field of a sub-step, and what of that by the state is lost on the way back.

    Parameters
    ----------
    x, after
        The states before and after the sub-step.
    passed
        The derivative by the state after it, 0 for cells at a rail.
    """
    one, two, three = (x.constant(number) for number in (1.0, 2.0, 3.0))
    divisor = x.times_plus(x.times_plus(c[SLOPE_2], c[SLOPE_1]), c[SLOPE_0])
    factor = two - divisor  # in place of 1 / divisor where that exceeds 1
    inverse = one / divisor.at_least(factor)
    pull = c[STEP] * passed * inverse.at_least(factor)
    stiffness = x.times_plus(x.times_plus(three * c[FORCE_3], two * c[FORCE_2]), c[FORCE_1])
    curved = (after - x) * x.times_plus(two * c[SLOPE_2], c[SLOPE_1]) * inverse
    return pull, pull.times_plus(stiffness, passed * curved)


@intrinsic(prefer_literal=True)
def retreat(_typing_context, shape, links, lane, coefficients, rail, history, after, before, own, field, pull, x):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Carry the derivatives of a tile, whose first trajectory is ``lane``, back through one sub-step.

    Parameters
    ----------
    shape
        FOUR_CELLS or ONE_CELL.
    links
        A `Links`.
    coefficients
        (n, COEFFICIENTS) float32.
    rail
        Cells are clipped at +-rail.
    history, after, before
        (states, LANES) float32, and the rows where the tile is after and before the sub-step.
    own, field
        (n, LANES): derivatives by the states without what neighbours have passed on, and by the fields: both updated.
    pull, x
        (n, LANES): derivatives by the fields of this sub-step and states before it: both filled in.
    """

    def codegen(context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        _, links_value, lane, c, rail, kept, after, before, *arrays = arguments
        emit = Emitter(context, builder, shape, links, links_value, lane)
        kinds = own, field, pull, x
        alone, total, now, state = (emit.data(kind, array) for kind, array in zip(kinds, arrays, strict=True))
        c, kept, rail = emit.data(coefficients, c), emit.data(history, kept), emit.spread(rail)
        slopes = emit.add_couplings({(q, v): emit.load(alone, q, v) for q, v in emit.places}, total)
        for q in range(emit.cells):
            of_cell = [emit.coefficient(c, q, k) for k in range(COEFFICIENTS)]
            for v in range(emit.vectors):
                there, here, slope = emit.load(kept, q, v, after), emit.load(kept, q, v, before), slopes[q, v]
                passed = _within(there, rail, slope)
                by_field, lost = _step_back(here, there, passed, of_cell)
                emit.store(emit.load(alone, q, v) - lost - (slope - passed), alone, q, v)
                emit.store(emit.load(total, q, v) + by_field, total, q, v)
                emit.store(by_field, now, q, v)
                emit.store(here, state, q, v)
        return context.get_dummy_value()

    rows = types.intp, types.intp
    return types.void(shape, links, lane, coefficients, types.float32, history, *rows, own, field, pull, x), codegen


@intrinsic(prefer_literal=True)
def correlate(_typing_context, shape, links, pull, x, sums):  # type: ignore[no-untyped-def]
    """Add the sums over all trajectories of ``pull`` of the cells of a tile times ``x`` of its neighbours.

    Parameters
    ----------
    shape
        FOUR_CELLS or ONE_CELL.
    links
        A `Links`.
    pull, x
        (n, LANES) float32.
    sums
        (weights, PARTIAL_SUMS) float32: of each weight, where its sum is kept in parts.
    """

    def codegen(context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        _, links_value, *arrays = arguments
        emit = Emitter(context, builder, shape, links, links_value, context.get_constant(types.intp, 0))
        ours, theirs, kept = (emit.data(kind, array) for kind, array in zip((pull, x, sums), arrays, strict=True))
        cells, width = emit.cells, emit.lanes
        vector = ir.VectorType(ir.FloatType(), width)

        def constant(number: int) -> Any:
            return context.get_constant(types.intp, number)

        with cgutils.for_range(builder, builder.sub(emit.end, emit.begin)) as loop:
            neighbour = builder.load(builder.gep(emit.neighbours, [builder.add(emit.begin, loop.index)]))
            first = builder.add(emit.weight, builder.mul(loop.index, constant(cells)))
            places = [
                builder.gep(kept, [builder.mul(builder.add(first, constant(q)), constant(width))]) for q in range(cells)
            ]
            pointers = [builder.bitcast(place, vector.as_pointer()) for place in places]
            totals = [Vector(builder, builder.load(pointer, align=4)) for pointer in pointers]
            for v in range(LANES // width):
                value = emit.load(theirs, 0, v, neighbour)
                totals = [emit.load(ours, q, v).times_plus(value, total) for q, total in enumerate(totals)]
            for pointer, total in zip(pointers, totals, strict=True):
                builder.store(total.value, pointer, align=4)
        return context.get_dummy_value()

    return types.void(shape, links, pull, x, sums), codegen
