"""Networks of noisy harmonic cells, sampled exactly: Ornstein-Uhlenbeck processes."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from twin.compute import run_sliced
from twin.kernels.lanes import PACK
from twin.kernels.ornstein_uhlenbeck import Plan, Process, factorise, multiply, prolong, propagate, sample_blocks
from twin.models.blocks import Indices, address, sample_in_blocks, watched

MARGIN = 8.0
"""Standard deviations that the mean keeps from the rails: a sample in 10^15 lies beyond."""


def prepare_process(
    couplings: npt.NDArray[np.float32],
    fields: npt.NDArray[np.float32],
    stiffness: npt.NDArray[np.float32],
    temperature: float | npt.NDArray[np.float64],
    *,
    first: float,
    interval: float | None = None,
    observations: int = 1,
    start: npt.NDArray[np.float64] | None = None,
    rail: float = 16.0,
) -> tuple[npt.NDArray[np.bool_], Process]:
    """Return which networks of harmonic cells keep clear of the rails, and their transitions.

    Parameters
    ----------
    couplings, fields, stiffness, temperature
        Programs, see `twin.models.network.arrange_programs`; those with J3 or J4 are left out.
    first, interval
        Times from the start to the first observation and between observations (default: the same).
    observations
        Observations that will be made along each trajectory.
    start
        (n,) where trajectories start, 0 by default.
    rail
        Cells are clipped at +-rail.

    Returns
    -------
    ndarray of bool
        (P, K): whether the mean of every cell stays MARGIN standard deviations away from the rails at all times up to
        the last observation, so that nothing is ever clipped. The bound on the mean holds for certain, but may be a few
        times too large; where it is too large, or the network is unstable, the answer is no.
    Process
        See `twin.kernels.ornstein_uhlenbeck`; of no use where the answer is no.
    """
    programs, count, n = fields.shape
    padded = -(-n // PACK) * PACK
    kT = np.broadcast_to(np.asarray(temperature, np.float64), (n,)).copy()
    origin = np.zeros(n) if start is None else np.asarray(start, np.float64)
    process = Process(
        mean=np.zeros((programs, count, n), np.float32),
        first_root=np.zeros((programs, n, padded), np.float32),
        drive=np.zeros((programs, count, n), np.float32),
        decay=np.zeros((programs, n, padded), np.float32),
        root=np.zeros((programs, n, padded), np.float32),
    )
    within = np.zeros((programs, count), np.bool_)
    between = first if interval is None else interval

    def prepare(p: int) -> None:
        drift = couplings[p].astype(np.float64)
        np.fill_diagonal(drift, 2.0 * stiffness[p, :, 0])
        field = np.ascontiguousarray(fields[p].T, np.float64)
        slopes = field - (drift * origin).sum(axis=1)[:, np.newaxis]
        _decay, response, covariance, reach = propagate(drift, kT, first, slopes)
        process.mean[p] = (origin[:, np.newaxis] + multiply(response, slopes)).T
        process.first_root[p, :, :n] = factorise(covariance)
        if observations > 1:
            decay, response, covariance, reach = propagate(drift, kT, between, slopes)
            process.drive[p] = multiply(response, field).T
            process.decay[p, :, :n] = decay
            process.root[p, :, :n] = factorise(covariance)
            duration = first + (observations - 1) * between
            prolong(decay, response, covariance, reach, slopes, math.ceil(math.log2(duration / between)))
        spread = MARGIN * np.sqrt(np.diagonal(covariance))
        within[p] = ((np.abs(origin) + spread)[:, np.newaxis] + reach < rail).all(axis=0)

    def prepare_slice(begin: int, end: int) -> None:
        with np.errstate(all="ignore"):  # what overflows is not used
            for p in range(begin, end):
                if not stiffness[p, :, 1:].any():
                    prepare(p)

    run_sliced(prepare_slice, programs)
    return within, process


def take(process: Process, programs: npt.NDArray[np.intp], rows: npt.NDArray[np.intp]) -> Process:
    """Return the transitions of some programs with some rows."""
    both = np.ix_(programs, rows)
    return Process(
        mean=process.mean[both],
        first_root=process.first_root[programs],
        drive=process.drive[both],
        decay=process.decay[programs],
        root=process.root[programs],
    )


def sample_process(
    process: Process,
    *,
    trajectories: int,
    key: tuple[int, int],
    observations: int = 1,
    rail: float = 16.0,
    read: Indices | None = None,
    slots: Indices | None = None,
    rows: Indices | None = None,
    first_trajectory: int = 0,
    done: int = 0,
    state: npt.NDArray[np.float32] | None = None,
    cancelled: Callable[[], bool] | None = None,
    progress: Callable[[float], None] | None = None,
) -> npt.NDArray[np.float32]:
    """Sample networks of harmonic cells and return what is observed. Everything is in model units.

    Parameters
    ----------
    process
        Programs, see `prepare_process`.

    The other parameters, the result and the errors are those of `twin.models.network.sample_network`.
    """
    programs, count, n = process.mean.shape
    groups = programs, count
    plan = Plan(
        read=np.arange(n) if read is None else np.asarray(read, np.int64),
        addresses=address(groups, trajectories, first_trajectory, key, slots, rows),
        done=int(done),
        rail=float(rail),
        **watched(groups, trajectories),
    )
    return sample_in_blocks(sample_blocks, process, plan, groups, observations, state, cancelled, progress)
