"""Linear Langevin dynamics without time steps: the transitions of an Ornstein-Uhlenbeck process.

For dx = (f - A x) dt + sqrt(2 kT) dB with any matrix A, after a time t

    x <- e^{-At} x + R(t) f + L xi,   R(t) = int_0^t e^{-As} ds,   L L' = C(t) = int_0^t e^{-As} 2 kT e^{-A's} ds

with normal xi (Gardiner, "Stochastic Methods", section 4.5.6). The three functions of t are summed as power series for
a time at which |A| t is small, which is then doubled:

    e^{-2At} = (e^{-At})^2,   R(2t) = R(t) + e^{-At} R(t),   C(2t) = C(t) + e^{-At} C(t) e^{-A't};

so A may be singular, and stable or not.

Noise is addressed by the counter (observation, trajectory, row, 65536 slot + i), which gives the variates of the cells
i, i + m / 4, i + m / 2 and i + 3 m / 4, where m is n rounded up to a multiple of four; so a trajectory does not depend
on the number of threads, on what else is run, or on how a run is cut.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import float32

from twin.kernels.jit import LANES, kernel, leaf, stack_lanes
from twin.kernels.lanes import PACK, Addresses, add_row, aligned, load_state, name_lanes, store
from twin.kernels.philox import fill_words, words_to_normals

SMALL = 0.125
"""Largest |A| t at which the series are summed."""
TERMS = 14
"""With so many terms they are exact to rounding, |2 A t|^14 / 14! being below 1e-19."""
FORGOTTEN = 1e-18
"""Where no element of e^{-At} is larger, the start is forgotten."""
WORDS = 4
"""Words drawn at once, each for one cell."""


class Process(NamedTuple):
    """The transitions of P programs of n cells for K rows of input; m is n rounded up to a multiple of PACK."""

    mean: np.ndarray  # (P, K, n) float32: of the first observation, from the start
    first_root: np.ndarray  # (P, n, m) float32: lower triangular L of the first observation
    drive: np.ndarray  # (P, K, n) float32: R f from one observation to the next
    decay: np.ndarray  # (P, n, m) float32: e^{-At}
    root: np.ndarray  # (P, n, m) float32: L


class Plan(NamedTuple):
    """Which trajectories are observed how often."""

    read: np.ndarray  # (c,) cells observed
    addresses: Addresses
    stop: np.ndarray  # (1,) set to 1 from outside, it ends the run soon; what was computed is then of no use
    observed: np.ndarray  # (P * blocks,) observations each block has made, for whoever looks on
    done: int  # observations made before this call
    rail: float


@leaf
def _multiply(a, b, product):  # type: ignore[no-untyped-def]
    """Set the product of a (n, n) with b (n, k), a column of which does not depend on the others."""
    for i in range(product.shape[0]):
        for j in range(product.shape[1]):
            product[i, j] = 0
        for k in range(a.shape[1]):
            factor = a[i, k]
            if factor != 0:
                for j in range(product.shape[1]):
                    product[i, j] += factor * b[k, j]


@leaf
def _set_diagonal(matrix, values, factor):  # type: ignore[no-untyped-def]
    """Fill in a diagonal matrix."""
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            matrix[i, j] = factor * values[i] if i == j else 0.0


@leaf
def _add(total, term):  # type: ignore[no-untyped-def]
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            total[i, j] += term[i, j]


@leaf
def _next_term(drift, term, product, factor, both):  # type: ignore[no-untyped-def]
    """Replace a term T of a series by -factor A T, or by -factor (A T + T A')."""
    _multiply(drift, term, product)
    for i in range(term.shape[0]):
        for j in range(term.shape[1]):
            term[i, j] = -factor * (product[i, j] + (product[j, i] if both else 0.0))


@leaf
def _begin(drift, ones, noise, time, decay, response, covariance, term, scratch):  # type: ignore[no-untyped-def]
    """Sum the series of the three functions for a time at which they converge fast."""
    _set_diagonal(term, ones, time)
    _set_diagonal(response, ones, time)
    for k in range(2, TERMS):
        _next_term(drift, term, scratch, time / k, False)
        _add(response, term)
    _set_diagonal(decay, ones, 1.0)
    _multiply(drift, response, term)
    for i in range(decay.shape[0]):
        for j in range(decay.shape[0]):
            decay[i, j] -= term[i, j]
    _set_diagonal(term, noise, time)
    _set_diagonal(covariance, noise, time)
    for k in range(2, TERMS):
        _next_term(drift, term, scratch, time / k, True)
        _add(covariance, term)


@leaf
def _double(decay, response, covariance, scratch, square):  # type: ignore[no-untyped-def]
    """Double the time of the three functions."""
    _multiply(decay, response, scratch)
    _add(response, scratch)
    for i in range(decay.shape[0]):
        for j in range(decay.shape[0]):
            square[i, j] = decay[j, i]
    _multiply(covariance, square, scratch)
    _multiply(decay, scratch, square)
    _add(covariance, square)
    _multiply(decay, decay, square)
    for i in range(decay.shape[0]):
        for j in range(decay.shape[0]):
            decay[i, j] = square[i, j]


@leaf
def _extend(reach, decay, response, slopes, size, moved, more):  # type: ignore[no-untyped-def]
    """Bound how far the mean gets in twice the time of the functions, |R d| + |e^{-At}| reach; (n, K)."""
    for i in range(decay.shape[0]):
        for j in range(decay.shape[0]):
            size[i, j] = abs(decay[i, j])
    _multiply(response, slopes, moved)
    _multiply(size, reach, more)
    for i in range(reach.shape[0]):
        for k in range(reach.shape[1]):
            reach[i, k] = max(reach[i, k], abs(moved[i, k]) + more[i, k])


@leaf
def _largest(matrix):  # type: ignore[no-untyped-def]
    """Return the largest sum of magnitudes in a row or column of a square matrix."""
    largest = 0.0
    for i in range(matrix.shape[0]):
        row = column = 0.0
        for j in range(matrix.shape[0]):
            row += abs(matrix[i, j])
            column += abs(matrix[j, i])
        largest = max(largest, row, column)
    return largest


@kernel
def prolong(decay, response, covariance, reach, slopes, doublings):  # type: ignore[no-untyped-def]
    """Double the time of what `propagate` returned so many times, in place, or until nothing changes any more."""
    scratch, square = np.empty_like(decay), np.empty_like(decay)
    moved, more = np.empty_like(reach), np.empty_like(reach)
    for _ in range(doublings):
        if _largest(decay) < FORGOTTEN:
            return
        _extend(reach, decay, response, slopes, scratch, moved, more)
        _double(decay, response, covariance, scratch, square)


@kernel
def propagate(drift, temperature, time, slopes):  # type: ignore[no-untyped-def]
    """Return the three functions of a time, and how far the mean gets on the way.

    Parameters
    ----------
    drift
        (n, n) A.
    temperature
        (n,) kT.
    time
        t.
    slopes
        (n, K) drifts f - A x at the start, for K fields.

    Returns
    -------
    decay, response, covariance
        (n, n) e^{-At}, R(t) and C(t). They overflow where A is unstable and t is long.
    reach
        (n, K): at no time up to t is the mean farther than that from the start.
    """
    n = drift.shape[0]
    doublings = max(0, math.ceil(math.log2(max(_largest(drift) * time / SMALL, 1.0))))
    short = time / 2.0**doublings
    decay, response, covariance = np.empty((n, n)), np.empty((n, n)), np.empty((n, n))
    ones, noise = np.empty(n), np.empty(n)
    for i in range(n):
        ones[i], noise[i] = 1.0, 2 * temperature[i]
    _begin(drift, ones, noise, short, decay, response, covariance, np.empty((n, n)), np.empty((n, n)))
    reach = np.empty(slopes.shape)
    for k in range(slopes.shape[1]):
        steepest = 0.0
        for i in range(n):
            steepest = max(steepest, abs(slopes[i, k]))
        for i in range(n):
            reach[i, k] = short * math.exp(SMALL) * steepest
    prolong(decay, response, covariance, reach, slopes, doublings)
    return decay, response, covariance, reach


@kernel
def multiply(a, b):  # type: ignore[no-untyped-def]
    """Return the product of a (n, n) with b (n, k), a column of which does not depend on the others."""
    product = np.empty((a.shape[0], b.shape[1]))
    _multiply(a, b, product)
    return product


@leaf
def _dot(a, i, j, count):  # type: ignore[no-untyped-def]
    """Return the product of the beginnings of two rows."""
    total = 0.0
    for k in range(count):
        total += a[i, k] * a[j, k]
    return total


@kernel
def factorise(covariance):  # type: ignore[no-untyped-def]
    """Return the lower triangular L with L L' the positive semidefinite (n, n) covariance (Cholesky)."""
    n = covariance.shape[0]
    root = np.zeros((n, n))
    for j in range(n):
        rest = covariance[j, j] - _dot(root, j, j, j)
        if rest > n * 2.3e-16 * covariance[j, j]:
            root[j, j] = math.sqrt(rest)
            for i in range(j + 1, n):
                root[i, j] = (covariance[i, j] - _dot(root, i, j, j)) / root[j, j]
    return root


@leaf
def _draw(words, trajectory, row, observation, owner, addresses):  # type: ignore[no-untyped-def]
    """Fill in (WORDS, m / WORDS, LANES) words with the normal variates of one observation."""
    quads = words.shape[1]
    fill_words(words, 0, quads, observation, trajectory, row, owner, addresses.key_0, addresses.key_1)
    words_to_normals(words, 0, quads)


@leaf
def _move(after, before, decay, root, xi, drive, drive_rows, n, rail):  # type: ignore[no-untyped-def]
    """Carry every cell in every lane to the next observation; ``before`` is empty at the first."""
    lanes: np.ndarray = stack_lanes()  # type: ignore[call-arg]
    for i in range(n):
        for lane in range(LANES):
            lanes[lane] = drive[drive_rows[lane], i]
        add_row(lanes, decay[i], before, before.shape[0])
        add_row(lanes, root[i], xi, (i // PACK + 1) * PACK)
        for lane in range(LANES):
            after[i, lane] = min(max(lanes[lane], -rail), rail)


@kernel
def sample_blocks(begin, end, process, plan, state, samples):  # type: ignore[no-untyped-def]
    """Draw blocks ``begin`` to ``end`` of the P * ceil(K * trajectories / LANES) blocks of a run.

    Parameters
    ----------
    state
        (P, K * trajectories, n) float32: where the trajectories are, carried on and written back; or shape (0, 0, 0).
    samples
        (P, K * trajectories, observations, c) float32: filled in.
    """
    n, m = process.decay.shape[1], process.decay.shape[2]
    total, observations = samples.shape[1], samples.shape[2]
    blocks = (total + LANES - 1) // LANES
    x, moved, xi = aligned(m), aligned(m), aligned(m)
    words = xi.view(np.uint32).reshape((WORDS, m // WORDS, LANES))
    trajectory, row, place = np.zeros(LANES, np.uint32), np.zeros(LANES, np.uint32), np.zeros(LANES, np.int64)
    rail = float32(plan.rail)
    for item in range(begin, end):
        p, first_lane = item // blocks, item % blocks * LANES
        lanes = name_lanes(trajectory, row, first_lane, total, plan.addresses)
        owner = plan.addresses.slots[p] * 65536 + np.arange(m // WORDS)
        for lane in range(LANES):
            place[lane] = min(first_lane + lane, total - 1) // plan.addresses.trajectories
        if state.shape[0]:
            load_state(x[:n], 0, state[p], first_lane, total)
        for o in range(plan.done, plan.done + observations):
            if plan.stop[0]:
                return
            _draw(words, trajectory, row, o, owner, plan.addresses)
            if o == 0:
                _move(moved, x[:0], process.decay[p], process.first_root[p], xi, process.mean[p], place, n, rail)
            else:
                _move(moved, x, process.decay[p], process.root[p], xi, process.drive[p], place, n, rail)
            x, moved = moved, x
            store(x, plan.read, lanes, samples[p, first_lane : first_lane + lanes, o - plan.done])
            plan.observed[item] = o - plan.done + 1
        if state.shape[0]:
            store(x, np.arange(n), lanes, state[p, first_lane : first_lane + lanes])
