"""Trajectories side by side in the lanes of a block: the address of their noise, where they are kept and observed."""

from typing import NamedTuple

import numpy as np

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
def store_state(state, begin, lanes, x, first):  # type: ignore[no-untyped-def]
    """Write the lanes that hold a trajectory of their own back to where `load_state` found them."""
    for lane in range(lanes):
        for i in range(x.shape[0]):
            state[begin + lane, first + i] = x[i, lane]


@leaf
def store_samples(samples, begin, lanes, observation, x, read):  # type: ignore[no-untyped-def]
    """Write one observation of the cells read to the samples (total, observations, c)."""
    for lane in range(lanes):
        for r in range(read.shape[0]):
            samples[begin + lane, observation, r] = x[read[r], lane]
