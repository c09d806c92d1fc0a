"""Determinant of a matrix from the work of switching it on, on a board that holds it.

Linear cells with the energy ``U = x^T A x / 2`` have the free energy ``(kT/2) ln det A`` up to a constant, so
``ln det A - ln det B`` is twice the difference of free energy in units of kT (Aifer et al., "Thermodynamic linear
algebra").
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, configure, measure, recorded, save
from protocols.arguments import SLOTS, whole
from protocols.free_energy import Difference, bennett, jarzynski, mean_work
from protocols.linear_board import LinearBoard, checked_arguments, chosen_matrix, condition_number
from protocols.matrices import HeldMatrix, energy_program
from protocols.ports import Board
from protocols.randomness import noise_seed
from protocols.record import Record

Array = NDArray[np.float64]

DIMS: Mapping[str, tuple[str, ...]] = {
    "matrix": ("row", "column"),
    **dict.fromkeys(("forward_work", "reverse_work", "free_energy"), ("switch",)),
}
UNITS: Mapping[str, str] = dict.fromkeys(("forward_work", "reverse_work", "free_energy", "dissipated_work"), "kT")

EXAMPLES: Mapping[str, Mapping[str, Any]] = {"determinant": {"size": 3, "shots": 400, "batches": 2, "stages": 3}}
"""Arguments of a short run of the plan."""


def determinant(
    board: Board,
    *,
    matrix: NDArray[np.float64] | None = None,
    size: int = 8,
    condition: float = 4.0,
    stages: int = 8,
    sampling: Literal["serial", "reset"] = "reset",
    shots: int = 20_000,
    batches: int = 20,
    temperature: float = 0.1,
    observation_time: float | None = None,
    seed: int = 0,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Find the logarithm of the determinant of a symmetric positive definite matrix from the work of switching it on.

    The energy is switched in equal steps from the diagonal of A, whose determinant is known, to A, with relaxation
    after each step. The free energy changes by ``(kT/2)(ln det A - sum ln A_ii)``, which the work of all steps gives.

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
    stages : int
        Steps from the diagonal to the whole matrix, from 1 to 63. More of them dissipate less work.
    sampling : str
        "reset": every shot starts from zero; "serial": the shots of a stage follow each other along one trajectory.
    shots : int
        Samples of every stage, from 2 to 16777216; rounded up to whole batches.
    batches : int
        Runs of the board they are taken in, each an event, from 2 to 4096.
    temperature : float
        Noise temperature kT in model units, above 0 and up to 4.
    observation_time : float, optional
        Time from the start to the sample (reset sampling) or between two shots (serial sampling), in units of 1/mu;
        by default 7 or 2 relaxation times of the softest direction.
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
        ``log_determinant`` by Bennett's acceptance ratio and its standard error, NumPy's as ``exact``, and the
        ``deviation`` in standard errors; the same by Jarzynski's equality, ``jarzynski_forward`` and
        ``jarzynski_reverse``; what the mean work bounds, ``lower_bound`` and ``upper_bound``; ``dissipated_work`` on
        the way to A in kT; ``condition_number``, ``shots`` (of all stages) and ``board_seconds``.

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
    arguments["stages"] = whole("stages", stages, 1, SLOTS - 1)
    held = HeldMatrix.stiffest(chosen_matrix(arguments))
    linear = LinearBoard.of(held, arguments, programs=stages + 1)
    linear.check(board)
    return (yield from recorded(board, "determinant", arguments, _switch_on(board, linear, stages, seed), md))


def _switch_on(board: Board, linear: LinearBoard, stages: int, seed: int) -> Plan[dict[str, Any]]:
    matrix, shots = linear.held.matrix, linear.batches.shots
    diagonal = np.diag(np.diagonal(matrix))
    step = (matrix - diagonal) / stages
    programs = [energy_program(linear.held.factor * (diagonal + stage * step)) for stage in range(stages + 1)]
    half_step = linear.held.factor * step / (2 * linear.temperature)
    record, seconds, works = Record("estimates", units=UNITS), 0.0, np.empty((stages + 1, 0))
    yield from linear.prepare(board, shots=shots)
    yield from configure(board, programs=programs)
    for batch in range(linear.batches.count):
        seconds += yield from measure(board, noise_seed=noise_seed(seed, batch))
        states = np.asarray(board.samples.get(), dtype=float)[:, 0]
        works = np.concatenate([works, np.sum((states @ half_step) * states, axis=-1)], axis=1)
        estimates = _estimates(works, linear.serial)
        result = {
            **_log_determinants(matrix, estimates),
            "dissipated_work": estimates["upper_bound"].value - estimates["log_determinant"].value,
            "shots": works.size,
            "board_seconds": seconds,
        }
        yield from save(record, batch=batch + 1, **result)
    yield from save(
        Record("result", units=UNITS, dims=DIMS),
        matrix=matrix,
        forward_work=estimates["upper_bound"].switches,
        reverse_work=estimates["lower_bound"].switches,
        free_energy=estimates["log_determinant"].switches,
    )
    return {**result, "condition_number": condition_number(matrix)}


def _estimates(works: Array, correlated: bool) -> dict[str, Difference]:
    """Return the difference of free energy from the diagonal to the matrix by all estimators.

    Parameters
    ----------
    works : ndarray, shape (stages + 1, shots)
        Work, in kT, of one step of the energy in the states of every stage.
    correlated : bool
        Whether shots follow each other along one trajectory.
    """
    forward, reverse = works[:-1], works[1:]
    forwards, backwards = jarzynski(forward, reverse, correlated=correlated)
    upper, lower = mean_work(forward, reverse, correlated=correlated)
    return {
        "log_determinant": bennett(forward, reverse, correlated=correlated),
        "jarzynski_forward": forwards,
        "jarzynski_reverse": backwards,
        "lower_bound": lower,
        "upper_bound": upper,
    }


def _log_determinants(matrix: Array, estimates: Mapping[str, Difference]) -> dict[str, float]:
    """Return ``ln det A = sum ln A_ii + 2 dF/kT`` by all estimators with its standard errors, and that of NumPy."""
    known, exact = float(np.log(np.diagonal(matrix)).sum()), float(np.linalg.slogdet(matrix)[1])
    result = {}
    for name, difference in estimates.items():
        result[name] = known + 2 * difference.value
        result[f"{name}_standard_error"] = 2 * difference.standard_error
    error = result["log_determinant_standard_error"]
    deviation = (result["log_determinant"] - exact) / error if error > 0 else 0.0
    return {**result, "exact": exact, "deviation": deviation}
