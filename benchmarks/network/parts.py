"""Where the time of a step goes, and how much of the machine's multiply-adds it uses.

Parts are switched off one by one: a step of Euler with one random bit, the same on a board without couplings, the
fields of the couplings alone, and the drawing of random words alone. What is left of a step, once couplings and words
are taken off, is potential, noise and update.
"""

import ctypes
from typing import Any

import numba
import numpy as np
from measuring import ROUNDS, NotInstalledError, Row, least_time, least_times
from network.board import Board
from network.compiled import library
from numba import types
from numba.extending import intrinsic

from twin.kernels.block import Block, draw, new_block, set_coefficients, visit_class
from twin.kernels.jit import LANES
from twin.kernels.lanes import aligned
from twin.kernels.tile import COEFFICIENTS, FOUR_CELLS, FOUR_CELLS_LANES, Emitter, Euler, Links, Signs
from twin.kernels.topology import BEGIN, END, ROW, TILE, WEIGHT, Layout, lay_out, layout_of

STEPS = 20_000
STEP = 1e-3
RAIL = np.float32(16)
OTHER_MULTIPLY_ADDS = 4
"""Of a step of a cell, beside one for each neighbour: three of the force, one of the update."""


@intrinsic(prefer_literal=True)
def _couple(_typing_context, shape, links, lane, field, x, out):  # type: ignore[no-untyped-def]
    """Store the fields of a tile, applied and of its couplings, as the tile sums them before it steps."""

    def codegen(context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        _, links_value, lane, *arrays = arguments
        emit = Emitter(context, builder, shape, links, links_value, lane)
        applied, values, sums = (emit.data(kind, array) for kind, array in zip((field, x, out), arrays, strict=True))
        fields = {(q, v): emit.load(applied, q, v) for q, v in emit.places}
        for (q, v), total in emit.add_couplings(fields, values).items():
            emit.store(total, sums, q, v)
        return context.get_dummy_value()

    return types.void(shape, links, lane, field, x, out), codegen


_compiled = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})


@_compiled
def _steps(scheme, noise, block, other, coefficients, layout, steps):  # type: ignore[no-untyped-def]
    x, y = block.x, other
    for s in range(steps):
        plane, position = draw(block, noise, 0, x.shape[0], s, s == 0)
        visit_class(
            scheme, noise, x, y, block.field, np.float32(1), block.words[plane], position, coefficients, RAIL,
            layout, 0,
        )  # fmt: skip
        x, y = y, x


@_compiled
def _couplings(block, other, layout, steps):  # type: ignore[no-untyped-def]
    _, _, _, class_tiles, tiles, neighbours, weights = layout
    for _ in range(steps):
        for t in range(class_tiles[1]):
            links = Links(neighbours, weights, tiles[t, ROW], tiles[t, BEGIN], tiles[t, END], tiles[t, WEIGHT])
            for lane in range(0, LANES, FOUR_CELLS_LANES):
                _couple(FOUR_CELLS, links, lane, block.field, block.x, other)


@_compiled
def _words(noise, block, steps):  # type: ignore[no-untyped-def]
    for s in range(steps):
        draw(block, noise, 0, block.x.shape[0], s, s == 0)


def prepare(board: Board, coupled: bool) -> tuple[Block, Any, Any, Any]:
    """Return a block of trajectories at 0, a second copy of its states, coefficients of Euler, and a layout."""
    n = board.cells
    layout = Layout(
        np.zeros((1, n), np.int64), np.zeros(1, np.int64), np.zeros((1, n + 1), np.int64),
        np.zeros((1, n + 1), np.int64), np.zeros((1, n, TILE), np.int64), np.zeros((1, n * n), np.int64),
        np.zeros((1, n * n), np.float32),
    )  # fmt: skip
    lay_out(board.couplings[None], False, layout)
    if not coupled:
        layout.tiles[..., END] = layout.tiles[..., BEGIN]
    block = new_block(n)
    block.field[:] = board.bias[:, None]
    block.trajectory[:] = np.arange(LANES)
    block.owner[:] = np.arange(n)
    coefficients = np.zeros((2, n, COEFFICIENTS), np.float32)
    stiffness = np.tile(np.float32([1, 0, board.quartic]), (n, 1))
    set_coefficients(coefficients, stiffness, np.full(n, board.temperature), np.arange(n), STEP, False)
    return block, aligned(n), coefficients[0], layout_of(layout, 0)


def multiply_add_peak(rounds: int) -> float:
    """Return how many multiply-adds of numbers in registers a core does, 1/s."""
    program, sink = library(), ctypes.c_float(0)
    timing, operations = least_time(lambda: program.multiply_add(20_000_000, 0.999, ctypes.byref(sink)), rounds)
    return operations / 2 / timing.cpu


def measure(boards: dict[str, Board], rounds: int = ROUNDS) -> dict[str, Row]:
    """Return the ns of each part of a step of a cell, and the share of the peak that its multiply-adds reach."""
    try:
        peak = multiply_add_peak(rounds)
    except NotInstalledError:
        peak = None
    return {name: _parts(board, peak, rounds) for name, board in boards.items()}


def _parts(board: Board, peak: float | None, rounds: int) -> Row:
    steps = STEPS * 32 // board.cells // 4
    block, other, coefficients, layout = prepare(board, coupled=True)
    _, _, _, uncoupled = prepare(board, coupled=False)
    runs = {
        "step": lambda: _steps(Euler(), Signs(), block, other, coefficients, layout, steps),
        "without couplings": lambda: _steps(Euler(), Signs(), block, other, coefficients, uncoupled, steps),
        "couplings": lambda: _couplings(block, other, layout, steps),
        "words": lambda: _words(Signs(), block, steps),
    }
    size = steps * board.cells * LANES
    row: Row = {name: timing.cpu / size * 1e9 for name, (timing, _) in least_times(runs, rounds).items()}
    row["potential, noise, update"] = row["step"] - row["couplings"] - row["words"]
    if peak is not None:
        neighbours = np.count_nonzero(board.couplings) / board.cells
        row["peak"] = peak
        row["coupling_of_peak"] = neighbours / row["couplings"] * 1e9 / peak
        row["all_of_peak"] = (neighbours + OTHER_MULTIPLY_ADDS) / row["step"] * 1e9 / peak
    return row
