"""How fast networks of noisy cells are simulated on a GPU, beside the threads of this machine.

Run ``python benchmarks/gpu.py`` for a table, ``--json`` for one line, ``--quick`` for a short look. On a machine
without a GPU it says so and measures nothing. The work is a generation as in the paper: programs of a layered board,
250 rows of inputs and 1000 shots of unit length, fewer programs on threads. Wall times, the least of several rounds
after one that compiles, with all copies to and from the GPU. Means of the last layer on both are compared: "apart" is
the largest difference in standard errors; samples have the same noise and differ by rounding only, so it is small.
"""

from typing import Any

import numpy as np
from measuring import Column, Row, least_time, make_parser, print_json, print_table
from network.board import Board

from twin import compute
from twin.models.network import sample_network

BOARDS = {"4 x 8": Board(layers=4, width=8), "3 x 32": Board(layers=3, width=32)}
WAYS = {
    "ros2, matched": {"scheme": "ros2", "noise": "matched", "step": 1 / 64},
    "euler, gaussian": {"scheme": "euler", "noise": "gaussian", "step": 1e-3},
}
ROWS, SHOTS = 250, 1000
COLUMNS = [
    Column("gpu", "GPU G steps/s", ".1f"),
    Column("threads", "threads G steps/s", ".2f"),
    Column("ratio", "ratio", ".0f"),
    Column("apart", "apart", ".2g"),
]


def sample(board: Board, programs: int, way: dict[str, Any]) -> np.ndarray:
    """Return samples of the last layer."""
    n = board.cells
    fields = board.bias * np.linspace(-1, 1, ROWS, dtype=np.float32)[:, np.newaxis]
    return sample_network(
        np.broadcast_to(board.couplings, (programs, n, n)), np.broadcast_to(fields, (programs, ROWS, n)),
        np.broadcast_to(np.float32([1, 0, 1]), (programs, n, 3)), board.temperature,
        trajectories=SHOTS, key=(1, 2), first=1.0, read=np.arange(n)[board.last], **way,
    )  # fmt: skip


def speed(board: Board, programs: int, way: dict[str, Any], rounds: int) -> tuple[float, np.ndarray]:
    """Return steps of a cell in a second, and samples."""
    timing, samples = least_time(lambda: sample(board, programs, way), rounds)
    return programs * ROWS * SHOTS * board.cells / way["step"] / timing.wall, samples


def measure(board: Board, way: dict[str, Any], programs: int, rounds: int) -> Row:
    """Compare the GPU, which this thread has chosen, with the threads of this machine on one program."""
    gpu, samples = speed(board, programs, way, rounds)
    with compute.use("threads"):
        threads, expected = speed(board, 1, way, 1)
    error = expected.std(axis=2) / np.sqrt(SHOTS)
    apart = np.abs(samples[:1].mean(axis=2) - expected.mean(axis=2)) / error
    return {"gpu": gpu / 1e9, "threads": threads / 1e9, "ratio": gpu / threads, "apart": float(apart.max())}


def main() -> None:
    """Print the table or one line of JSON, or that there is no GPU."""
    arguments = make_parser(__doc__).parse_args()
    programs, rounds = (2, 1) if arguments.quick else (50, 5)
    try:
        with compute.use("gpu") as gpu:
            results: dict[str, Any] = {
                f"{name}, {way}": measure(board, options, programs, rounds)
                for name, board in BOARDS.items()
                for way, options in WAYS.items()
            }
    except (compute.GpuError, compute.MissingExtraError) as error:
        results = {"skipped": f"no GPU here: {error}"}
    if arguments.json:
        print_json(results)
    elif "skipped" in results:
        print(results["skipped"])
    else:
        print_table(f"{gpu.description}, and {compute.open_executor().description}", results, COLUMNS)


if __name__ == "__main__":
    main()
