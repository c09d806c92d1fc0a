"""A thermodynamic board that can be differentiated: samples of a program, and what they would be under another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from twin.compute import run_sliced
from twin.kernels.adjoint import differentiate_blocks, first_states, pair_derivatives, record_blocks
from twin.kernels.block import Programs
from twin.kernels.jit import LANES
from twin.kernels.langevin import Plan
from twin.kernels.tile import Implicit, Symbols
from twin.kernels.topology import BEGIN, CELLS, END, WEIGHT, layout_of
from twin.models.blocks import address, watched
from twin.models.network import arrange_programs, steps_in

MAXIMUM_HISTORY = 2**30
"""Bytes of states that a run may keep."""
MOST_BATCHES = 64
"""Parts of a run whose derivatives by the couplings are kept apart until they are summed, in a fixed order."""
LONGEST_STEP = 0.25
CACHE_LINE = 64

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]


class HistoryMemoryError(MemoryError):
    """The states of a run do not fit into memory."""


class ProgramGradient(NamedTuple):
    """Derivatives by the parameters of a program, summed over all samples."""

    couplings: Array
    """(n, n) by each J_ij = J_ji, symmetric; 0 where the coupling is 0, for then there is none."""
    bias: Array
    """(n,)"""
    weights: Array
    """(n, k) by each W_ia; 0 for cells whose weights are all 0, for then they have no inputs."""


@dataclass(frozen=True, eq=False)
class DifferentiableRun:
    """Samples of one program and every state on the way to them.

    Parameters
    ----------
    samples
        (K, trajectories, observations, cells read)
    inputs
        (K, k) rows of input.
    driven
        (n,) which cells have inputs.
    programs, plan, history
        See `twin.kernels.adjoint.record_blocks`.
    """

    samples: Floats
    inputs: Floats
    driven: npt.NDArray[np.bool_]
    programs: Programs
    plan: Plan
    history: Floats

    def gradient(self, weights: npt.ArrayLike) -> ProgramGradient:
        """Return the derivatives of ``sum(weights * samples)`` by the parameters of the program, noise held fixed.

        Parameters
        ----------
        weights
            As `samples`: derivative of a loss by each sample.

        Raises
        ------
        ValueError
            If the weights have another shape or are not finite.
        """
        by_sample = np.ascontiguousarray(weights, np.float32)
        if by_sample.shape != self.samples.shape or not np.isfinite(by_sample).all():
            raise ValueError(
                f"weights have the shape {by_sample.shape}; finite numbers of the shape {self.samples.shape} are needed"
            )
        rows, trajectories, observations, read = by_sample.shape
        n = self.driven.size
        batch = math.ceil(len(self.history) / MOST_BATCHES)
        by_field = np.empty((rows * trajectories, n), np.float32)
        by_coupling = np.empty((math.ceil(len(self.history) / batch), _weights(self.programs)))
        flat = by_sample.reshape(rows * trajectories, observations, read)
        run_sliced(
            lambda begin, end: differentiate_blocks(
                begin, end, batch, self.programs, self.plan, self.history, flat, by_field, by_coupling
            ),
            len(by_coupling),
        )
        by_pair, by_weight = np.zeros((n, n)), np.zeros((n, self.inputs.shape[1]))
        pair_derivatives(by_coupling.sum(axis=0), self.programs.layout, by_pair)
        by_row = by_field.reshape(rows, trajectories, n).sum(axis=1)
        by_weight[self.driven] = -by_row[:, self.driven].T @ self.inputs
        return ProgramGradient(by_pair, by_row.sum(axis=0, dtype=np.float64), by_weight)


def simulate_board(
    couplings: npt.ArrayLike,
    bias: npt.ArrayLike,
    weights: npt.ArrayLike,
    stiffness: npt.ArrayLike,
    inputs: npt.ArrayLike,
    temperature: float,
    *,
    trajectories: int,
    key: tuple[int, int],
    first: float,
    interval: float | None = None,
    observations: int = 1,
    step: float = 0.02,
    rail: float = 16.0,
    read: Sequence[int] | npt.NDArray[np.integer] | None = None,
) -> DifferentiableRun:
    """Simulate trajectories of an ideal board from x = 0 under one program. Everything is in model units.

    Every state is kept: 256 bytes for each cell, each of its sub-steps and each 64 trajectories.

    Parameters
    ----------
    couplings
        (n, n) J, symmetric with zero diagonal.
    bias, weights
        (n,) b and (n, k) W; the field on cell i is b_i - sum_a W_ia u_a.
    stiffness
        (n, 3): J2, J3, J4.
    inputs
        (K, k) rows u of input.
    temperature
        kT.
    trajectories, key, first, interval, observations, step, rail, read
        See `twin.models.network.sample_network`, whose samples in the scheme ``ros2`` with ``matched`` noise these are.

    Raises
    ------
    ValueError
        If arrays do not fit together, or a number is out of range; the message says what is allowed.
    HistoryMemoryError
        If the states take more than MAXIMUM_HISTORY.
    """
    couplings, weights = np.asarray(couplings, np.float32), np.asarray(weights, np.float32)
    inputs, interval = np.asarray(inputs, np.float32), first if interval is None else interval
    n = len(couplings)
    cells = np.arange(n) if read is None else np.asarray(read, np.int64)
    _check_arrays(couplings, weights, inputs, cells)
    _check_numbers(temperature, trajectories, observations, first, interval, step)
    driven = np.asarray(weights.any(axis=1))
    fields = np.tile(np.asarray(bias, np.float32), (len(inputs), 1))
    fields[:, driven] -= inputs @ weights[driven].T
    programs = arrange_programs(
        couplings[np.newaxis], fields[np.newaxis], np.asarray(stiffness, np.float32)[np.newaxis], temperature
    )
    (first_steps, first_step), (next_steps, next_step) = (steps_in(t, np.array([step])) for t in (first, interval))
    groups = 1, len(inputs)
    plan = Plan(
        scheme=Implicit(),
        kind=Symbols(),
        addresses=address(groups, trajectories, 0, key, None, None),
        cells=np.arange(n),
        start=np.zeros(n, np.float32),
        read=cells,
        first_steps=first_steps,
        first_step=first_step,
        next_steps=next_steps,
        next_step=next_step,
        done=0,
        settling_time=0.0,
        rail=float(rail),
        **watched(groups, trajectories),
    )
    samples = np.empty((len(inputs) * trajectories, observations, cells.size), np.float32)
    history = _room(programs, plan, observations)
    run_sliced(lambda begin, end: record_blocks(begin, end, programs, plan, history, samples), len(history))
    shaped = samples.reshape(len(inputs), trajectories, observations, cells.size)
    return DifferentiableRun(shaped, inputs, driven, programs, plan, history)


def _check_arrays(couplings: Floats, weights: Floats, inputs: Floats, cells: npt.NDArray[np.integer]) -> None:
    n = len(couplings)
    if couplings.shape != (n, n) or not np.array_equal(couplings, couplings.T):
        raise ValueError(f"couplings have the shape {couplings.shape}; a symmetric matrix is needed")
    if inputs.ndim != 2 or not len(inputs) or weights.shape != (n, inputs.shape[1]):
        raise ValueError(
            f"inputs have the shape {inputs.shape}, weights {weights.shape}; needed are rows of inputs (K, k) and "
            f"weights ({n}, k)"
        )
    if not np.isfinite(inputs).all():
        raise ValueError("inputs hold a value that is not finite")
    if cells.ndim != 1 or not cells.size or cells.min() < 0 or cells.max() >= n:
        raise ValueError(f"cells read are {cells}; a list of numbers from 0 to {n - 1} is needed")


def _check_numbers(
    temperature: float, trajectories: int, observations: int, first: float, interval: float, step: float
) -> None:
    for name, count in (("trajectories", trajectories), ("observations", observations)):
        if count < 1:
            raise ValueError(f"{name} is {count}; at least 1 is needed")
    for name, time in (("first observation", first), ("interval", interval)):
        if not 0 < time < math.inf:
            raise ValueError(f"time of the {name} is {time}; it must be above 0 and finite")
    if not 0 < step <= LONGEST_STEP:
        raise ValueError(f"step is {step}; allowed are up to {LONGEST_STEP} units of time")
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; it must be finite and not negative")


def _weights(programs: Programs) -> int:
    """Return how many weights the layout of the first program has."""
    layout = programs.layout
    last = layout.tiles[0, layout.class_tiles[0, layout.colours[0]] - 1]
    return int(last[WEIGHT] + last[CELLS] * (last[END] - last[BEGIN]))


def _room(programs: Programs, plan: Plan, observations: int) -> Floats:
    """Return (blocks, states, LANES) for the history of a run, on cache lines."""
    steps = int(plan.first_steps[0]), int(plan.next_steps[0])
    states = int(first_states(layout_of(programs.layout, 0), *steps, observations)[-1])
    shape = plan.observed.size, states, LANES
    needed = math.prod(shape) * np.float32().itemsize
    if needed > MAXIMUM_HISTORY:
        raise HistoryMemoryError(
            f"the states of this run take {needed / 2**20:.0f} MiB; allowed are {MAXIMUM_HISTORY / 2**20:.0f} MiB: "
            "take fewer trajectories, fewer or shorter observations, or larger steps"
        )
    memory: npt.NDArray[Any] = np.empty(needed + CACHE_LINE, np.uint8)
    skip = -memory.ctypes.data % CACHE_LINE
    return memory[skip : skip + needed].view(np.float32).reshape(shape)
