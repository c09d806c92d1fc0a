"""A block of trajectories of a network, side by side: its memory, its noise, and one step of one class of its cells.

Energy U = sum_i (J2_i x_i^2 + J3_i x_i^3 + J4_i x_i^4 - f_i x_i) + sum_{i<j} J_ij x_i x_j, mobility 1:

    dx_i = [f_i - P_i(x_i) - sum_j J_ij x_j] dt + sqrt(2 kT_i) dB_i,   P(x) = 2 J2 x + 3 J3 x^2 + 4 J4 x^3.

Cells stand in rows, class by class (`twin.kernels.topology`). Within a class a cell is a one-dimensional equation with
a constant field G. It is advanced by the linearly implicit step

    k = G - P(x) - (h kT / 2) P''(x),   x <- x + (h k + sqrt(2 kT h) xi) / (1 + (h/2) P'(x)),

of weak order 2, which keeps the variance of a harmonic cell exactly. Where P' < 0 (the top of a barrier) the division
turns into the multiplication by 1 + (h/2)|P'|: equal to the same order, and never singular. The Euler-Maruyama step,
of weak order 1, takes all cells as one class. Both clip at the rails.

The noise xi is addressed by the counter (group, trajectory, row of input, 65536 slot + cell), where group counts what
the cell has drawn, 128 bits at a time; so a trajectory does not depend on the number of threads, on what else is run,
or on how a run is cut. The 128 bits are 128 signs, 32 symbols, or 4 variates.
"""

import math
from typing import NamedTuple

import numpy as np

from twin.kernels.jit import LANES, inlined, kernel, leaf
from twin.kernels.lanes import aligned, name_lanes
from twin.kernels.philox import fill_words, words_to_counts, words_to_normals
from twin.kernels.tile import (
    DRIFT,
    FORCE_1,
    FORCE_2,
    FORCE_3,
    FOUR_CELLS,
    FOUR_CELLS_LANES,
    NOISE,
    ONE_CELL,
    ONE_CELL_LANES,
    SLOPE_0,
    SLOPE_1,
    SLOPE_2,
    STEP,
    Links,
    advance,
)  # fmt: skip
from twin.kernels.topology import BEGIN, CELLS, END, ROW, WEIGHT, WIDE, Layout

WORDS_PER_GROUP = 4
FULL, HALF = 0, 1


class Programs(NamedTuple):
    """What P programs put on a board of n cells, for K rows of input each."""

    fields: np.ndarray  # (P, K, n) float32: bias minus what the inputs exert
    stiffness: np.ndarray  # (P, n, 3) float32: J2, J3, J4
    temperature: np.ndarray  # (n,) float64: kT
    layout: Layout


class Block(NamedTuple):
    """LANES trajectories of one program; cells in the order of rows."""

    x: np.ndarray  # (n, LANES) float32
    field: np.ndarray  # (n, LANES): what is applied
    words: np.ndarray  # (WORDS_PER_GROUP, n, LANES) uint32: the noise in use
    trajectory: np.ndarray  # (LANES,) uint32
    line: np.ndarray  # (LANES,) uint32: rows of input
    owner: np.ndarray  # (n,) int64
    key: np.ndarray  # (2,) int64: LLVM makes half as much of words of 32 bits


@kernel
def new_block(n):  # type: ignore[no-untyped-def]
    """Return room for a block of n cells."""
    words = aligned(WORDS_PER_GROUP * n).view(np.uint32).reshape((WORDS_PER_GROUP, n, LANES))
    return Block(
        aligned(n),
        aligned(n),
        words,
        np.zeros(LANES, np.uint32),
        np.zeros(LANES, np.uint32),
        np.zeros(n, np.int64),
        np.zeros(2, np.int64),
    )


@leaf
def set_coefficients(coefficients, stiffness, temperature, order, step, implicit):  # type: ignore[no-untyped-def]
    """Fill in (2, n, COEFFICIENTS) for full and half steps, see `twin.kernels.tile`."""
    for size in range(2):
        h = step / (1 + size)
        for row in range(order.shape[0]):
            cell = order[row]
            j2, j3, j4 = np.float64(stiffness[cell, 0]), np.float64(stiffness[cell, 1]), np.float64(stiffness[cell, 2])
            curvature = h * temperature[cell] if implicit else 0.0
            c = coefficients[size, row]
            c[DRIFT] = -3 * j3 * curvature
            c[FORCE_1] = 2 * j2 + 12 * j4 * curvature
            c[FORCE_2] = 3 * j3
            c[FORCE_3] = 4 * j4
            c[SLOPE_0] = 1 + h * j2
            c[SLOPE_1] = 3 * h * j3
            c[SLOPE_2] = 6 * h * j4
            c[STEP] = h
            c[NOISE] = math.sqrt(2 * temperature[cell] * h)


@leaf
def _refill(block, kind, begin, end, group):  # type: ignore[no-untyped-def]
    """Fill in the words of rows ``begin`` to ``end`` that the address of a group holds."""
    key_0, key_1 = block.key[0], block.key[1]
    fill_words(block.words, begin, end, group, block.trajectory, block.line, block.owner, key_0, key_1)
    if kind.normal:
        words_to_normals(block.words, begin, end)
    elif kind.per_word == 1:
        words_to_counts(block.words, begin, end)


@inlined
def draw(block, kind, begin, end, drawn, resumed):  # type: ignore[no-untyped-def]
    """Provide the noise of rows ``begin`` to ``end``, which have drawn ``drawn`` times, for their next step.

    Parameters
    ----------
    kind
        Signs(), Symbols() or Variates().
    resumed
        Whether the words in use are not in memory yet.

    Returns
    -------
    plane, position
        ``block.words[plane]`` holds the noise, and of each word it is draw number ``position``.
    """
    per_word = kind.per_word
    within = drawn & (WORDS_PER_GROUP * per_word - 1)
    if within == 0 or resumed:
        _refill(block, kind, begin, end, drawn // (WORDS_PER_GROUP * per_word))
    plane = (within >= per_word) + (within >= 2 * per_word) + (within >= 3 * per_word)
    return plane, within & (per_word - 1)


@inlined
def visit_class(scheme, kind, x, y, field, gain, noise, position, coefficients, rail, layout, c):  # type: ignore[no-untyped-def]
    """Advance the cells of class c by one step from x to y, which may be the same unless the scheme is Euler's."""
    _, _, _, class_tiles, tiles, neighbours, weights = layout
    for t in range(class_tiles[c], class_tiles[c + 1]):
        links = Links(neighbours, weights, tiles[t, ROW], tiles[t, BEGIN], tiles[t, END], tiles[t, WEIGHT])
        if tiles[t, CELLS] == WIDE:
            for lane in range(0, LANES, FOUR_CELLS_LANES):
                advance(  # type: ignore[call-arg]
                    FOUR_CELLS, scheme, kind, links, lane, gain, field, coefficients, noise, position, rail, x, y
                )  # fmt: skip
        else:
            for lane in range(0, LANES, ONE_CELL_LANES):
                advance(  # type: ignore[call-arg]
                    ONE_CELL, scheme, kind, links, lane, gain, field, coefficients, noise, position, rail, x, y
                )  # fmt: skip


@leaf
def load(block, first, fields, order, start, state, slot, cells, addresses):  # type: ignore[no-untyped-def]
    """Put trajectories ``first`` onwards of a program into the lanes; lanes too many repeat the last.

    Parameters
    ----------
    fields
        (K, n) float32 of the program.
    start, state
        (n,) where trajectories start; unless they are carried on, (K * trajectories, n) float32, else (0, 0).
    slot, cells, addresses
        Names of the program and (n,) of the cells, and an `Addresses`.

    Returns
    -------
    int
        How many lanes hold a trajectory of their own.
    """
    n, total = order.shape[0], fields.shape[0] * addresses.trajectories
    lanes = name_lanes(block.trajectory, block.line, first, total, addresses)
    block.key[0], block.key[1] = addresses.key_0, addresses.key_1
    lane = 0
    while lane < LANES:
        k = min(first + lane, total - 1) // addresses.trajectories
        end = LANES if k == fields.shape[0] - 1 else min(LANES, (k + 1) * addresses.trajectories - first)
        for r in range(n):
            block.field[r, lane:end] = fields[k, order[r]]
        lane = end
    for r in range(n):
        block.owner[r] = slot * 65536 + cells[order[r]]
        block.x[r, :] = start[order[r]]
        if state.shape[0]:
            for lane in range(LANES):
                block.x[r, lane] = state[min(first + lane, total - 1), order[r]]
    return lanes
