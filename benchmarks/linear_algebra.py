"""What a matrix costs on the board, by its size, beside NumPy.

Run ``python benchmarks/linear_algebra.py`` for a table, ``--json`` for one line. Random matrices with eigenvalues in
equal steps from 1 to 4 go through the whole stack: plan, device, driver, wire, and the twin of a board. "board" is the
time the samples would take on the board itself, "twin" the CPU time of the process that simulates it, "NumPy" the least
CPU time of NumPy's own function, which is exact to rounding. Errors are relative to NumPy, in the Frobenius norm for
matrices and of ln det A for determinants; "expected" is the one that the plan derives from its samples.

A board of noisy cells does not compete with floating-point arithmetic at these sizes: the table shows how its errors
and times grow, not that it wins.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

import numpy as np

from lab import make_run_engine, open_station
from protocols import determinant, invert_matrix, matrix_exponential
from protocols.matrices import HeldMatrix, random_positive_definite

SIZES = (2, 4, 8, 16, 32, 64)
SHOTS = 100_000
CONDITION = 4.0
ROUNDS = 7

PLANS: Mapping[str, tuple[Callable[..., Any], Mapping[str, Any]]] = {
    "inverse, serial": (invert_matrix, {"shots": SHOTS}),
    "inverse, reset": (invert_matrix, {"shots": SHOTS, "sampling": "reset"}),
    "exponential, fluctuations": (matrix_exponential, {"shots": SHOTS}),
    "exponential, displacement": (matrix_exponential, {"shots": SHOTS, "sampling": "reset"}),
    "determinant, 8 steps": (determinant, {"shots": SHOTS // 9, "batches": 5}),
}


def least_time(function: Callable[[], object]) -> float:
    """Return the least CPU time of a call, s, over several rounds of about a millisecond."""
    function()
    calls, best = 1, math.inf
    while time_of(function, calls) < 1e-3:
        calls *= 2
    for _ in range(ROUNDS):
        best = min(best, time_of(function, calls) / calls)
    return best


def time_of(function: Callable[[], object], calls: int) -> float:
    """Return the CPU time of so many calls, s."""
    begun = time.process_time()
    for _ in range(calls):
        function()
    return time.process_time() - begun


def numpy_time(plan: Callable[..., Any], matrix: np.ndarray) -> float:
    """Return how long NumPy takes for what a plan computes, s."""
    if plan is invert_matrix:
        return least_time(lambda: np.linalg.inv(matrix))
    if plan is determinant:
        return least_time(lambda: np.linalg.slogdet(matrix))
    return least_time(lambda: HeldMatrix(matrix, 1.0).exponential(1.0))


def errors(result: Mapping[str, Any]) -> tuple[float, float]:
    """Return the relative error of a result, and the one expected."""
    if "exact" in result:
        size = abs(result["exact"])
        error, expected = result["log_determinant"] - result["exact"], result["log_determinant_standard_error"]
        return abs(error) / size, expected / size
    return result["relative_error"], result["expected_error"]


def measure(board: Any, engine: Any, name: str, size: int) -> dict[str, float]:
    """Run one plan at one size."""
    plan, arguments = PLANS[name]
    matrix = random_positive_definite(size, CONDITION, np.random.default_rng(size))
    results: list[Mapping[str, Any]] = []

    def kept() -> Generator[Any, Any, None]:
        results.append((yield from plan(board, matrix=matrix, **arguments)))

    begun = time.process_time()
    engine(kept())
    seconds = time.process_time() - begun
    error, expected = errors(results[0])
    return {
        "samples": results[0]["shots"],
        "board_s": results[0]["board_seconds"],
        "twin_cpu_s": seconds,
        "numpy_cpu_s": numpy_time(plan, matrix),
        "error": error,
        "expected": expected,
    }


def main() -> None:
    """Print the table or one line of JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    arguments = parser.parse_args()
    with open_station("twin", seed=1, devices=["board"]) as station, tempfile.TemporaryDirectory() as directory:
        engine = make_run_engine(station, directory=directory)
        measure(station["board"], engine, "inverse, serial", 2)
        table = {name: {n: measure(station["board"], engine, name, n) for n in SIZES} for name in PLANS}
    if arguments.json:
        print(json.dumps(table))
        return
    print(f"{'':28}{'n':>4}{'samples':>10}{'board s':>9}{'twin CPU s':>12}{'NumPy us':>10}{'error':>9}{'expected':>10}")
    for name, rows in table.items():
        for size, row in rows.items():
            print(
                f"{name:28}{size:>4}{row['samples']:>10}{row['board_s']:>9.2f}{row['twin_cpu_s']:>12.2f}"
                f"{1e6 * row['numpy_cpu_s']:>10.1f}{row['error']:>9.4f}{row['expected']:>10.4f}"
            )


if __name__ == "__main__":
    main()
