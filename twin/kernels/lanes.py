"""Trajectories side by side in the lanes of a block: the address of their noise, where they are kept and observed."""

import math
from typing import NamedTuple

import numpy as np
from numba import float32

from twin.kernels.jit import LANES, inlined, kernel, leaf

PACK = 4
"""Columns of a matrix that `add_row` multiplies in one pass over the lanes."""


class Addresses(NamedTuple):
    """Names of the programs and trajectories of a run in the address of its noise."""

    slots: np.ndarray  # (P,) of the programs
    rows: np.ndarray  # (K,) of the rows of input
    first_trajectory: int
    trajectories: int  # per row
    key_0: int
    key_1: int


@kernel
def aligned(rows):  # type: ignore[no-untyped-def]
    """Return (rows, LANES) floats that start on a cache line."""
    memory = np.zeros(rows * LANES + 16, np.float32)
    skip = ((64 - memory.ctypes.data % 64) % 64) // 4
    return memory[skip : skip + rows * LANES].reshape((rows, LANES))


@leaf
def name_lanes(trajectory, row, begin, total, addresses):  # type: ignore[no-untyped-def]
    """Name the trajectories ``begin`` onwards of a program's ``total`` in the lanes; lanes too many repeat the last.

    Returns
    -------
    int
        How many lanes hold a trajectory of their own.
    """
    for lane in range(LANES):
        q = min(begin + lane, total - 1)
        row[lane] = addresses.rows[q // addresses.trajectories]
        trajectory[lane] = addresses.first_trajectory + q % addresses.trajectories
    return min(LANES, total - begin)


@inlined
def add_row(lanes, row, values, columns):  # type: ignore[no-untyped-def]
    """Add to the lanes the product of a row of a matrix with (columns, LANES) values; columns is a multiple of PACK."""
    for k in range(0, columns, PACK):
        w0, w1, w2, w3 = row[k], row[k + 1], row[k + 2], row[k + 3]
        if w0 == 0 and w1 == 0 and w2 == 0 and w3 == 0:
            continue
        for lane in range(LANES):
            lanes[lane] += (
                w0 * values[k, lane] + w1 * values[k + 1, lane] + w2 * values[k + 2, lane] + w3 * values[k + 3, lane]
            )


@leaf
def load_state(x, first, state, begin, total):  # type: ignore[no-untyped-def]
    """Put columns ``first`` onwards of the states (total, ..) of the trajectories ``begin`` onwards into the lanes."""
    for lane in range(LANES):
        q = min(begin + lane, total - 1)
        for i in range(x.shape[0]):
            x[i, lane] = state[q, first + i]


@leaf
def store(x, rows, lanes, samples):  # type: ignore[no-untyped-def]
    """Fill in (lanes, c) samples: some rows of the block, trajectory by trajectory."""
    for lane in range(lanes):
        for r in range(rows.shape[0]):
            samples[lane, r] = x[rows[r], lane]


@leaf
def settled(time, settling_time):  # type: ignore[no-untyped-def]
    """Return the fraction of the applied fields that has settled at a time after the release of the cells."""
    return float32(1.0 - math.exp(-time / settling_time)) if settling_time > 0 else float32(1)
