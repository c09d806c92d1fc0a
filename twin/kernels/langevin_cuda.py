"""Overdamped Langevin dynamics of networks on a GPU: the schemes and the noise of `twin.kernels.langevin`, by CUDA.

    thread                  SIDE_BY_SIDE trajectories of one program: cells and noise in use in local memory
    block of threads        one program: its couplings in shared memory, if there is room
    launch                  some steps of all programs towards one observation; cells rest in global memory between

A weight, read once from shared memory, acts on all trajectories of a thread, and a cell, read once, on the four cells
of a tile (`twin.kernels.topology`). A draw of noise has the address it has on the other machine and trajectories are
the same but for rounding; they differ once rounding has grown, as in all that is chaotic or switches.
"""

import functools
import math
from typing import Any

import numba.cuda
from numba import float32, int32, uint32

from twin.kernels.philox import COMMON_SYMBOL, RARE_SYMBOL, normal_pair, philox4x32
from twin.kernels.tile import (
    DRIFT,
    FORCE_1,
    FORCE_2,
    FORCE_3,
    NOISE,
    SLOPE_0,
    SLOPE_1,
    SLOPE_2,
    STEP,
)  # fmt: skip
from twin.kernels.topology import BEGIN, CELLS, END, ROW, WEIGHT, WIDE

cuda: Any = numba.cuda
"""Its annotations are those of other objects than it gives to a kernel."""

SIDE_BY_SIDE = 4
"""Trajectories of one thread, in runs that fill the GPU all the same."""
THREADS = 128
"""Threads of a block."""
SHARED_MEMORY = 48 * 1024
"""Bytes that every block of every GPU may have."""
PLANES = 4
"""Words of one draw."""
FULL, HALF = 0, 1


@cuda.jit(device=True)
def _keep_words(drawn, row, q, a, b, c, d):  # type: ignore[no-untyped-def]
    drawn[0, row, q], drawn[1, row, q], drawn[2, row, q], drawn[3, row, q] = a, b, c, d


@cuda.jit(device=True)
def _make_normals(drawn, row, q, a, b, c, d):  # type: ignore[no-untyped-def]
    drawn[0, row, q], drawn[1, row, q] = normal_pair(a, b)
    drawn[2, row, q], drawn[3, row, q] = normal_pair(c, d)


@cuda.jit(device=True)
def _count(word):  # type: ignore[no-untyped-def]
    return (float32(cuda.popc(word)) - float32(16)) * float32(1 / math.sqrt(8))


@cuda.jit(device=True)
def _count_bits(drawn, row, q, a, b, c, d):  # type: ignore[no-untyped-def]
    drawn[0, row, q], drawn[1, row, q], drawn[2, row, q], drawn[3, row, q] = _count(a), _count(b), _count(c), _count(d)


@cuda.jit(device=True)
def _sign(word, position):  # type: ignore[no-untyped-def]
    return float32(-1) if (word >> uint32(31 - position)) & uint32(1) else float32(1)


@cuda.jit(device=True)
def _symbol(word, position):  # type: ignore[no-untyped-def]
    bits = word >> uint32(4 * position)
    size = float32(COMMON_SYMBOL) if bits & uint32(7) else float32(RARE_SYMBOL)
    return -size if bits & uint32(8) else size


@cuda.jit(device=True)
def _variate(drawn, _position):  # type: ignore[no-untyped-def]
    return drawn


NOISES: dict[str, tuple[Any, int, Any, Any]] = {
    "rademacher": (uint32, 32, _keep_words, _sign),
    "matched": (uint32, 8, _keep_words, _symbol),
    "popcount": (float32, 1, _count_bits, _variate),
    "gaussian": (float32, 1, _make_normals, _variate),
}
"""By name: what a thread keeps of a draw of four words, for how many steps a word lasts, and how to keep and use it."""


def draws_per_group(noise: str) -> int:
    """Return for how many steps the four words of one draw last."""
    return PLANES * NOISES[noise][1]


@cuda.jit(device=True)
def _explicit_step(x, field, noise, c):  # type: ignore[no-untyped-def]
    pull = c[FORCE_1] + x * (c[FORCE_2] + x * c[FORCE_3])
    return x + (c[STEP] * (field - x * pull) + c[NOISE] * noise)


@cuda.jit(device=True)
def _implicit_step(x, field, noise, c):  # type: ignore[no-untyped-def]
    pull = c[FORCE_1] + x * (c[FORCE_2] + x * c[FORCE_3])
    move = c[STEP] * (field - x * pull) + c[NOISE] * noise
    divisor = c[SLOPE_0] + x * (c[SLOPE_1] + x * c[SLOPE_2])
    one, two = float32(1), float32(2)
    return x + move * max(two - divisor, one) / max(divisor, one)


@cuda.jit(device=True)
def _drawn_in_interval(visit, last, step):  # type: ignore[no-untyped-def]
    """Return how often a class has drawn in an interval before a visit to it in a step."""
    if visit == last:
        return step
    if visit == 0:
        return 0
    return step + 1 if visit == 2 * last else 2 * step + (visit > last)


@cuda.jit(device=True)
def _is_first(visit, last, step, begin):  # type: ignore[no-untyped-def]
    """Return whether a visit to a class is its first in a launch that begins with some step."""
    return step == begin and (visit <= last or (visit == 2 * last and step > 0))


@cuda.jit(device=True)
def _gain(time, step, visit, last, closing, settling_time):  # type: ignore[no-untyped-def]
    """Return the fraction of the fields that has settled when a class is visited in the step that begins at a time."""
    if settling_time <= 0:
        return float32(1)
    phase = 0.5
    if last > 0 and visit == 0:
        phase = 0.25
    elif last > 0 and visit == 2 * last:
        phase = 0.75 if closing else 1.0
    return float32(1.0 - math.exp(-(time + phase * step) / settling_time))


@cuda.jit(device=True)
def _copy(there, here):  # type: ignore[no-untyped-def]
    """Let the threads of a block copy numbers together."""
    for k in range(cuda.threadIdx.x, here.shape[0], cuda.blockDim.x):
        there[k] = here[k]


@cuda.jit(device=True)
def _load(x, applied, trajectory, line, begin, fields, order, state, addresses):  # type: ignore[no-untyped-def]
    """Put trajectories ``begin`` onwards of a program into a thread; those too many repeat the last."""
    _, lines, _, first_trajectory, trajectories, _, _ = addresses
    for q in range(trajectory.shape[0]):
        one = min(begin + q, state.shape[0] - 1)
        trajectory[q] = first_trajectory + one % trajectories
        line[q] = lines[one // trajectories]
        for row in range(order.shape[0]):
            x[0, row, q] = state[one, order[row]]
            applied[row, q] = fields[one // trajectories, order[row]]


@cuda.jit(device=True)
def _store(x, begin, order, state, read, samples):  # type: ignore[no-untyped-def]
    """Put trajectories of a thread back into global memory, and cells that are read into (total, c) samples, if any."""
    for q in range(min(x.shape[1], state.shape[0] - begin)):
        for row in range(order.shape[0]):
            state[begin + q, order[row]] = x[row, q]
        for r in range(read.shape[0]):
            samples[begin + q, r] = state[begin + q, read[r]]


def _draw_function(keep: Any) -> Any:
    """Return the function that draws the next words of some rows."""

    @cuda.jit(device=True)
    def draw(drawn, begin, end, group, order, trajectory, line, slot, addresses):  # type: ignore[no-untyped-def]
        _, _, names, _, _, key_0, key_1 = addresses
        for row in range(begin, end):
            owner = slot * 65536 + names[order[row]]
            for q in range(trajectory.shape[0]):
                a, b, c, d = philox4x32(group, trajectory[q], line[q], owner, key_0, key_1)
                keep(drawn, row, q, a, b, c, d)

    return draw


def _tile_function(count: int, side_by_side: int, step_cell: Any, use: Any) -> Any:
    """Return the function that takes one step with the cells of a tile of so many, whose sums are in registers."""

    @cuda.jit(device=True)
    def advance(tile, links, x, now, after, applied, gain, drawn, plane, position, sized, rail):  # type: ignore[no-untyped-def]
        neighbours, weights = links
        first, weight = tile[ROW], tile[WEIGHT]
        sums = cuda.local.array((count, side_by_side), float32)
        for r in range(count):
            for q in range(side_by_side):
                sums[r, q] = gain * applied[first + r, q] + sized[first + r, DRIFT]
        for k in range(tile[BEGIN], tile[END]):
            for r in range(count):
                for q in range(side_by_side):
                    sums[r, q] += weights[weight + r] * x[now, neighbours[k], q]
            weight += count
        for r in range(count):
            for q in range(side_by_side):
                before, noise = x[now, first + r, q], use(drawn[plane, first + r, q], position)
                there = step_cell(before, sums[r, q], noise, sized[first + r])
                x[after, first + r, q] = min(max(there, -rail), rail)

    return advance


def _class_function(side_by_side: int, step_cell: Any, use: Any) -> Any:
    """Return the function that takes one step with the cells of a class."""
    advance_four = _tile_function(WIDE, side_by_side, step_cell, use)
    advance_one = _tile_function(1, side_by_side, step_cell, use)

    @cuda.jit(device=True)
    def advance(tiles, begin, end, links, x, now, after, applied, gain, drawn, plane, position, sized, rail):  # type: ignore[no-untyped-def]
        for t in range(begin, end):
            if tiles[t, CELLS] == WIDE:
                advance_four(tiles[t], links, x, now, after, applied, gain, drawn, plane, position, sized, rail)
            else:
                advance_one(tiles[t], links, x, now, after, applied, gain, drawn, plane, position, sized, rail)

    return advance


def _links_function(shared: bool) -> Any:
    """Return the function that tells a thread where the couplings of its program are."""
    if not shared:
        return cuda.jit(device=True)(lambda neighbours, weights: (neighbours, weights))

    @cuda.jit(device=True)
    def links_of(neighbours, weights):  # type: ignore[no-untyped-def]
        own_weights = cuda.shared.array(0, float32)
        own_neighbours = cuda.shared.array(0, int32)[weights.shape[0] :]
        _copy(own_weights, weights)
        _copy(own_neighbours, neighbours)
        cuda.syncthreads()
        return own_neighbours, own_weights

    return links_of


@functools.cache
def step_kernel(cells: int, scheme: str, noise: str, side_by_side: int, shared: bool) -> Any:
    """Return the kernel that takes steps, for boards of so many cells.

    Parameters
    ----------
    cells
        n.
    scheme
        ``ros2`` or ``euler``.
    noise
        One of NOISES.
    side_by_side
        Trajectories of one thread.
    shared
        Whether couplings fit in shared memory.
    """
    kept, per_word, keep, use = NOISES[noise]
    euler = scheme == "euler"
    versions = 2 if euler else 1  # Euler's cells all move from where all were
    per_group = draws_per_group(noise)
    draw, links_of = _draw_function(keep), _links_function(shared)
    advance = _class_function(side_by_side, _explicit_step if euler else _implicit_step, use)

    @cuda.jit
    def take_steps(fields, layout, coefficients, addresses, plan, span, state, read, samples):  # type: ignore[no-untyped-def]
        p = cuda.blockIdx.y
        order, colours, classes, class_tiles, tiles, neighbours, weights = layout
        rail, settling_time = plan
        drawn_before, steps, begins, ends, times, sizes, interval, observation = span
        links = links_of(neighbours[p], weights[p])
        begin = (cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x) * side_by_side
        if begin >= state.shape[1]:
            return
        trajectory, line = cuda.local.array(side_by_side, int32), cuda.local.array(side_by_side, int32)
        x = cuda.local.array((versions, cells, side_by_side), float32)
        applied = cuda.local.array((cells, side_by_side), float32)
        drawn = cuda.local.array((PLANES, cells, side_by_side), kept)
        _load(x, applied, trajectory, line, begin, fields[p], order[p], state[p], addresses)
        last, now = colours[p] - 1, 0
        for s in range(begins[p], ends[p]):
            after, closing = (now + 1) % versions, s == steps[p] - 1
            for visit in range(1 if last > 0 and s > 0 else 0, 2 * last + 1):
                c = min(visit, 2 * last - visit)
                count = drawn_before[p, c] + _drawn_in_interval(visit, last, s)
                within = count % per_group
                if within == 0 or _is_first(visit, last, s, begins[p]):
                    draw(
                        drawn, classes[p, c], classes[p, c + 1], count // per_group, order[p], trajectory, line,
                        addresses[0][p], addresses,
                    )  # fmt: skip
                size = FULL if c == last or (visit == 2 * last and not closing) else HALF
                gain = _gain(times[p] + s * sizes[p], sizes[p], visit, last, closing, settling_time)
                advance(
                    tiles[p], class_tiles[p, c], class_tiles[p, c + 1], links, x, now, after, applied, gain, drawn,
                    within // per_word, within % per_word, coefficients[p, interval, size], rail,
                )  # fmt: skip
            now = after
        seen = read if ends[p] == steps[p] else read[:0]
        _store(x[now], begin, order[p], state[p], seen, samples[p, :, observation])

    return take_steps
