"""Inverse and exponential of a matrix from the thermal fluctuations of a board that holds it.

Linear cells with the energy ``U = x^T A x / 2`` have the covariance ``kT A^-1`` in equilibrium, and the lagged
covariance ``kT e^(-A t) A^-1`` (Aifer et al., "Thermodynamic linear algebra").
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, configure, measure, recorded, save
from protocols.arguments import ArgumentError, number
from protocols.block_means import BlockCovariance, BlockPropagator, symmetric
from protocols.linear_board import (
    DIMS,
    LinearBoard,
    checked_arguments,
    chosen_matrix,
    compared,
    condition_number,
)
from protocols.matrices import STIFFEST, HeldMatrix, energy_program
from protocols.ports import Board
from protocols.randomness import noise_seed
from protocols.record import Record

Array = NDArray[np.float64]

SHORTEST_LAG = 0.25
"""Shortest time of an exponential on the board, in units of 1/mu: it is rounded to a clock."""

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "invert_matrix": {"size": 3, "shots": 400, "batches": 2},
    "matrix_exponential": {"size": 3, "shots": 400, "batches": 2},
}
"""Arguments of a short run of each plan."""


def invert_matrix(
    board: Board,
    *,
    matrix: NDArray[np.float64] | None = None,
    size: int = 8,
    condition: float = 4.0,
    sampling: Literal["serial", "reset"] = "serial",
    shots: int = 100_000,
    batches: int = 20,
    temperature: float = 0.1,
    observation_time: float | None = None,
    seed: int = 0,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Invert a symmetric positive definite matrix: the covariance of linear cells in equilibrium is ``kT A^-1``.

    Parameters
    ----------
    board : Board
        The thermodynamic board.
    matrix : ndarray, shape (n, n), optional
        The matrix A, up to 256 rows; on the command line a file, .csv or .npy. Random if not given.
    size : int
        Rows of a random matrix, from 1 to 256.
    condition : float
        Condition number of a random matrix, whose eigenvalues go from 1 to this in equal steps, from 1 to 1e6.
    sampling : str
        "serial": shots follow each other along one trajectory; "reset": every shot starts from zero.
    shots : int
        Samples in all, from 2 to 16777216; rounded up to whole blocks.
    batches : int
        Runs of the board they are taken in, each an event, from 2 to 4096.
    temperature : float
        Noise temperature kT in model units, above 0 and up to 4.
    observation_time : float, optional
        Time between two shots (serial sampling) or from the start to the sample (reset sampling), in units of 1/mu;
        by default 2 or 7 relaxation times of the softest direction.
    seed : int
        Seed of the noise and of a random matrix, from 0 to 4294967295.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        ``inverse`` and ``inverse_standard_error`` (lists of rows); compared with that of NumPy the ``relative_error``
        (Frobenius norm), the ``expected_error`` by the standard errors, and the ``largest_deviation`` of an entry in
        standard errors; ``residual``, the root-mean-square entry of ``A X - 1``; ``condition_number``, ``shots`` and
        ``board_seconds``.

    Raises
    ------
    MatrixError
        No board of linear cells can hold the matrix; nothing has been sent then.
    ArgumentError
        Another argument is not allowed; nothing has been sent then.
    """
    arguments = checked_arguments(
        matrix=matrix,
        size=size,
        condition=condition,
        sampling=sampling,
        shots=shots,
        batches=batches,
        temperature=temperature,
        observation_time=observation_time,
        seed=seed,
    )
    linear = LinearBoard.of(HeldMatrix.stiffest(chosen_matrix(arguments)), arguments)
    linear.check(board)
    return (yield from recorded(board, "invert_matrix", arguments, _invert(board, linear, seed), md))


def matrix_exponential(
    board: Board,
    *,
    matrix: NDArray[np.float64] | None = None,
    size: int = 8,
    condition: float = 4.0,
    time: float = 1.0,
    sampling: Literal["serial", "reset"] = "serial",
    shots: int = 100_000,
    batches: int = 20,
    temperature: float = 0.1,
    observation_time: float | None = None,
    amplitude: float = 4.0,
    seed: int = 0,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Find ``e^(-A t)`` of a symmetric positive definite matrix, from fluctuations or from the decay of a displacement.

    With serial sampling by regression of every shot on the one before, with the covariances ``kT e^(-A t) A^-1`` and
    ``kT A^-1``; with reset sampling from the mean of shots that start displaced along one cell after the other, both
    ways.

    Parameters
    ----------
    board : Board
        The thermodynamic board.
    matrix : ndarray, shape (n, n), optional
        The matrix A, up to 256 rows; on the command line a file, .csv or .npy. Random if not given.
    size : int
        Rows of a random matrix, from 1 to 256.
    condition : float
        Condition number of a random matrix, whose eigenvalues go from 1 to this in equal steps, from 1 to 1e6.
    time : float
        The time t, in units of 1/A, above 0 and up to 1e6.
    sampling : str
        "serial": by fluctuations in equilibrium; "reset": by the decay of a displacement.
    shots : int
        Samples in all, from 2 to 16777216; rounded up to whole blocks.
    batches : int
        Runs of the board with serial sampling, each an event, from 2 to 4096; with reset sampling every cell has two.
    temperature : float
        Noise temperature kT in model units, above 0 and up to 4.
    observation_time : float, optional
        Time on the board that stands for t, in units of 1/mu: the board holds A times ``t/observation_time``. By
        default the shortest one that it can hold.
    amplitude : float
        Displacement of reset sampling in model units, above 0 and up to 8.
    seed : int
        Seed of the noise and of a random matrix, from 0 to 4294967295.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        ``exponential`` and ``exponential_standard_error`` (lists of rows); compared with that from the eigenvectors by
        NumPy the ``relative_error`` (Frobenius norm), the ``expected_error`` by the standard errors, and the
        ``largest_deviation`` of an entry in standard errors; ``condition_number``, ``shots`` and ``board_seconds``.

    Raises
    ------
    MatrixError
        No board of linear cells can hold the matrix; nothing has been sent then.
    ArgumentError
        Another argument is not allowed; nothing has been sent then.
    """
    arguments = checked_arguments(
        matrix=matrix,
        size=size,
        condition=condition,
        sampling=sampling,
        shots=shots,
        batches=batches,
        temperature=temperature,
        observation_time=observation_time,
        seed=seed,
    )
    arguments["time"] = number("time", time, 0.0, 1e6, above=True)
    arguments["amplitude"] = number("amplitude", amplitude, 0.0, 8.0, above=True)
    matrix = chosen_matrix(arguments)
    shortest = max(SHORTEST_LAG, time * float(np.diagonal(matrix).max()) / STIFFEST)
    wait = shortest if observation_time is None else observation_time
    if wait < shortest:
        raise ArgumentError(
            f"observation_time: {wait:g} is not allowed; at least {shortest:.4g} for this matrix and time"
        )
    linear = LinearBoard.of(HeldMatrix(matrix, time / wait), {**arguments, "observation_time": wait})
    linear.check(board)
    if sampling == "serial":
        body = _fluctuate(board, linear, time, seed)
    else:
        body = _displace(board, linear, time, arguments["amplitude"], seed, shots=shots)
    return (yield from recorded(board, "matrix_exponential", arguments, body, md))


def _invert(board: Board, linear: LinearBoard, seed: int) -> Plan[dict[str, Any]]:
    matrix, scale = linear.held.matrix, linear.held.factor / linear.temperature
    covariance = BlockCovariance(linear.batches.blocks)
    exact = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    yield from linear.prepare(board, shots=linear.batches.shots)
    yield from configure(board, programs=[energy_program(linear.held.entries)])
    comparison = yield from _gather(board, linear, covariance, scale, exact, seed, shots=linear.batches.shots)
    inverse, error = (scale * values for values in covariance.estimate)
    yield from _save_result(matrix, inverse, error, exact)
    return {
        "inverse": inverse.tolist(),
        "inverse_standard_error": error.tolist(),
        **comparison,
        "residual": float(np.sqrt(np.mean((matrix @ inverse - np.eye(len(matrix))) ** 2))),
        "condition_number": condition_number(matrix),
    }


def _fluctuate(board: Board, linear: LinearBoard, time: float, seed: int) -> Plan[dict[str, Any]]:
    """Find the exponential from the covariance of successive shots."""
    shots = linear.batches.shots + 1
    yield from linear.prepare(board, shots=shots)
    held = _as_timed(board, linear.held, time)
    yield from configure(board, programs=[energy_program(held.entries)])
    propagator = BlockPropagator(linear.batches.blocks, held.entries / linear.temperature)
    exact = held.exponential(time)
    comparison = yield from _gather(board, linear, propagator, 1.0, exact, seed, shots=shots)
    return (yield from _exponential_result(held.matrix, *propagator.estimate, exact, comparison))


def _gather(
    board: Board,
    linear: LinearBoard,
    running: BlockCovariance | BlockPropagator,
    scale: float,
    exact: Array,
    seed: int,
    *,
    shots: int,
) -> Plan[dict[str, Any]]:
    """Take all batches, with an event after each, and return how the scaled estimate compares with the exact result."""
    record, seconds = Record("estimates"), 0.0
    comparison: dict[str, Any] = {}
    for batch in range(linear.batches.count):
        seconds += yield from measure(board, noise_seed=noise_seed(seed, batch))
        running.add(np.asarray(board.samples.get(), dtype=float)[0, 0])
        estimate, error = running.estimate
        comparison = {
            **compared(scale * estimate, scale * error, exact),
            "shots": (batch + 1) * shots,
            "board_seconds": seconds,
        }
        yield from save(record, batch=batch + 1, **comparison)
    return comparison


def _displace(
    board: Board, linear: LinearBoard, time: float, amplitude: float, seed: int, *, shots: int
) -> Plan[dict[str, Any]]:
    """Find the exponential column by column: what is left of a displacement along a cell, forwards and backwards."""
    size = linear.held.size
    each = max(2, math.ceil(shots / (2 * size)))
    yield from linear.prepare(board, shots=each, readout="statistics")
    held = _as_timed(board, linear.held, time)
    yield from configure(board, programs=[energy_program(held.entries)])
    exact = held.exponential(time)
    record, seconds = Record("estimates"), 0.0
    columns, errors = np.zeros((size, size)), np.zeros((size, size))
    for cell in range(size):
        means, variances = [], []
        for sign in (1, -1):
            start = sign * amplitude * np.eye(size)[cell]
            step = 2 * cell + (sign < 0)
            seconds += yield from measure(board, noise_seed=noise_seed(seed, step), start=start.tolist())
            means.append(np.asarray(board.mean.get(), dtype=float)[0, 0])
            variances.append(np.asarray(board.variance.get(), dtype=float)[0, 0])
        columns[:, cell] = (means[0] - means[1]) / (2 * amplitude)
        errors[:, cell] = np.sqrt((variances[0] + variances[1]) / each) / (2 * amplitude)
        comparison = {
            **compared(columns[:, : cell + 1], errors[:, : cell + 1], exact[:, : cell + 1]),
            "shots": 2 * (cell + 1) * each,
            "board_seconds": seconds,
        }
        yield from save(record, column=cell + 1, **comparison)
    yield from configure(board, start=[0.0])
    estimate = symmetric(columns)
    error = np.sqrt(symmetric(errors**2) / np.where(np.eye(size), 1.0, 2.0))
    comparison |= compared(estimate, error, exact)
    return (yield from _exponential_result(held.matrix, estimate, error, exact, comparison))


def _as_timed(board: Board, held: HeldMatrix, time: float) -> HeldMatrix:
    """Return the matrix with the factor that fits the observation time in force, which the board has rounded."""
    return HeldMatrix(held.matrix, time / float(board.observation_time.get()))


def _exponential_result(
    matrix: Array, estimate: Array, error: Array, exact: Array, comparison: Mapping[str, Any]
) -> Plan[dict[str, Any]]:
    yield from _save_result(matrix, estimate, error, exact)
    return {
        "exponential": estimate.tolist(),
        "exponential_standard_error": error.tolist(),
        **comparison,
        "condition_number": condition_number(matrix),
    }


def _save_result(matrix: Array, estimate: Array, error: Array, reference: Array) -> Plan[None]:
    record = Record("result", dims=DIMS)
    yield from save(record, matrix=matrix, estimate=estimate, estimate_standard_error=error, reference=reference)
