"""How fast networks of noisy cells are simulated: our kernel beside what one would use without it.

Run ``python benchmarks/langevin.py`` for tables, ``--json`` for one line, ``--quick`` for a short look. All contenders
are given the same work, trajectories of a layered board of cells (1, 0, 1) at kT = 0.1 from 0 to t = 1, and their means
and variances of the last layer are compared with ours in the same run: "apart" is the largest difference in standard
errors. Times are CPU times of one thread, the least of several rounds after one that compiles. A contender that is not
installed is named and skipped: ``pip install .[benchmark]``, and a C compiler.

- ns: for one step of one cell. trajectories: of unit length in a second. ratio: how much longer a contender takes for
  the same steps than ours with Euler and ``rademacher`` noise, one random bit a step as in the C program.
  equal bias: and than ours with 64 steps of ``ros2``, whose bias is that of 1000 steps of Euler.
- C: a program for one board, whose stiffness, noise and biases are constants and whose cells have no rails; and one as
  general as ours, with those of each cell in memory, a field of each trajectory, and rails. Noise of one random bit.
- Parts: where the time of a step goes, and how much of what fused multiply-adds reach on this machine.
- Linear boards: exact samples, beside thermox; ns for a sample of one cell.
- Threads, narrower vectors, the gradient, and the accuracy that the comparison of unequal steps rests on.
- Bars: what the kernel is held to, and whether it is met on this machine.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, get_args

import numpy as np
from measuring import (
    ROUNDS,
    Column,
    NotInstalledError,
    Row,
    Timing,
    least_time,
    least_times,
    make_parser,
    print_json,
    print_table,
)
from network import accuracy, contenders, gradient, linear, ours, parts
from network.board import Board, Moments, Work
from network.compiled import c_euler
from threadpoolctl import threadpool_limits

from twin.models.network import Scheme

COSINE, DIGITS = Board(4, 8), Board(3, 32)
EULER_STEPS, ROS2_STEPS = 1000, 64
MINE = "ours, euler rademacher"
EQUAL_BIAS = f"ours, ros2 matched, {ROS2_STEPS} steps"

Maker = Callable[[Board, Work], Callable[[], Any]]

CONTENDERS: Mapping[str, Maker] = {
    "C, register tiles, as general": partial(c_euler, form="general"),
    "C, register tiles, one board": partial(c_euler, form="tiled"),
    "C, plain loops, one board": partial(c_euler, form="plain"),
    "JAX scan, normal": partial(contenders.jax_euler, draw="normal"),
    "JAX scan, one bit": partial(contenders.jax_euler, draw="rademacher"),
    "JAX scan, no noise": partial(contenders.jax_euler, draw="none"),
    "PyTorch, eager": contenders.torch_euler,
    "NumPy, vectorised": contenders.numpy_euler,
    "Numba, plain loop": contenders.numba_euler,
    "diffrax, UnsafeBrownianPath": contenders.diffrax_euler,
    "torchsde": contenders.torchsde_euler,
}
WIDE_BOARD = (
    "C, register tiles, as general",
    "C, register tiles, one board",
    "C, plain loops, one board",
    "JAX scan, normal",
    "NumPy, vectorised",
)
"""Contenders on the board of 3 x 32 cells too."""


@dataclass(frozen=True, eq=False)
class Case:
    """A run, what it does, and on which board."""

    run: Callable[[], Any]
    work: Work
    board: Board

    def row(self, timing: Timing, final: Any, reference: Moments | None) -> Row:
        """Return times, and how far the moments of where it ends are from a reference."""
        size = self.work.trajectories * self.work.steps * self.board.cells
        row: Row = {
            "work": size,
            "seconds": timing.cpu,
            "wall_seconds": timing.wall,
            "ns": timing.cpu / size * 1e9,
            "trajectories": self.work.trajectories / timing.cpu,
        }
        if reference is not None and self.board.temperature > 0:
            last = final[:, self.board.last] if final.shape[1] == self.board.cells else final
            row["apart"] = Moments.of(last).distance(reference)
        return row


def our_cases(board: Board, trajectories: int) -> dict[str, Case]:
    """Return our kernel in every scheme with every noise; what is shorter has more trajectories."""
    cases = {}
    for scheme, noise, steps in product(get_args(Scheme), ours.NOISES, (EULER_STEPS, ROS2_STEPS, 50)):
        if (scheme == "euler") != (steps == EULER_STEPS) or (steps == 50 and noise in ("popcount", "gaussian")):
            continue
        work = Work(trajectories * EULER_STEPS // steps, steps, 1 / steps)
        name = f"ours, {scheme} {noise}" + (f", {steps} steps" if scheme == "ros2" else "")
        cases[name] = Case(ours.kernel(board, work, scheme, noise), work, board)
    return cases


def contender_cases(board: Board, names: Iterable[str], trajectories: int) -> tuple[dict[str, Case], dict[str, Row]]:
    """Return the contenders, 1000 steps of Euler, and why some are skipped."""
    cases, skipped = {}, {}
    work = Work(trajectories, EULER_STEPS, 1 / EULER_STEPS)
    for name in names:
        condition = board.at(0.0) if "no noise" in name else board
        try:
            cases[name] = Case(CONTENDERS[name](condition, work), work, condition)
        except NotInstalledError as error:
            skipped[name] = {"skipped": str(error)}
    return cases, skipped


def timed(cases: Mapping[str, Case], reference: Moments | None, rounds: int) -> dict[str, Row]:
    """Time cases in turns."""
    found = least_times({name: case.run for name, case in cases.items()}, rounds)
    return {name: case.row(*found[name], reference) for name, case in cases.items()}


def add_ratios(rows: dict[str, Row]) -> None:
    """Compare each row with our fastest Euler steps and with our shortest way to the same bias."""
    mine = rows.get(MINE, rows["ours, euler matched"])
    for row in rows.values():
        if "ns" in row:
            row["ratio"] = row["ns"] / mine["ns"]
            row["equal_bias_ratio"] = rows[EQUAL_BIAS]["trajectories"] / row["trajectories"]


def on_board(board: Board, names: Iterable[str], quick: bool) -> dict[str, Row]:
    """Time everything on one board."""
    sample = Work(4096 if quick else 65536, EULER_STEPS, 1 / EULER_STEPS)
    reference = Moments.of(ours.kernel(board, sample, "euler", "gaussian")())
    cases, skipped = contender_cases(board, names, 64 if quick else 32768 // board.cells)
    rows = timed(our_cases(board, 256 if quick else 4096) | cases, reference, 2 if quick else ROUNDS) | skipped
    add_ratios(rows)
    return rows


def threads(quick: bool) -> Row:
    """Return what a second thread gains in wall time, and whether the numbers stay the same."""
    work = Work(16384 if quick else 262144, ROS2_STEPS, 1 / ROS2_STEPS)
    (one, first), (two, second) = (least_time(ours.kernel(COSINE, work, "ros2", "matched", count)) for count in (1, 2))
    return {
        "identical": bool(np.array_equal(first, second)),
        "wall_gain": one.wall / two.wall,
        "cpu": two.cpu / one.cpu,
    }


def kernel_only() -> dict[str, float]:
    """Return the ns of a step of the kernel, without anything else."""
    return {name: row["ns"] for name, row in timed(our_cases(COSINE, 4096), None, 3).items()}


def bars(results: Mapping[str, Any]) -> list[Row]:
    """Compare the results with what the kernel is held to; a bar whose contender is missing is left out."""
    cosine, found = results["4 x 8"], results["accuracy"]
    pieces, adjoint = results["parts"], results["gradient"]

    def ratio(name: str, key: str) -> float | None:
        return cosine[name].get(key)

    euler, ros2 = found["euler, 1000 steps"], found["ros2, 64 steps"]
    checks: list[tuple[str, float | None, str, float]] = [
        ("euler beside C tiles as general", ratio("C, register tiles, as general", "ratio"), ">=", 1.15),
        ("euler beside C tiles of one board", ratio("C, register tiles, one board", "ratio"), ">=", 1.15),
        ("euler beside plain C", ratio("C, plain loops, one board", "ratio"), ">=", 1.6),
        ("euler beside NumPy", ratio("NumPy, vectorised", "ratio"), ">=", 60),
        ("euler beside JAX, normal", ratio("JAX scan, normal", "ratio"), ">=", 20),
        ("euler beside torchsde", ratio("torchsde", "ratio"), ">=", 50),
        ("3 x 32, coupling alone, share of the peak", pieces["3 x 32"].get("coupling_of_peak"), ">=", 0.75),
        ("4 x 8, all multiply-adds, share of the peak", pieces["4 x 8"].get("all_of_peak"), ">=", 0.8),
        ("ros2 step / euler step", cosine[EQUAL_BIAS]["ns"] / cosine["ours, euler matched"]["ns"], "<=", 1.5),
        ("bias of means, ros2 64 / euler 1000", ros2["mean"] / euler["mean"], "<=", 1.5),
        ("bias of variances, ros2 64 / euler 1000", ros2["variance"] / euler["variance"], "<=", 1.5),
        ("equal bias, beside NumPy", ratio("NumPy, vectorised", "equal_bias_ratio"), ">=", 500),
        ("equal bias, beside JAX", ratio("JAX scan, normal", "equal_bias_ratio"), ">=", 200),
        ("one cell, error of the mean", found["one cell"]["mean"], "<=", 3e-4),
        ("one cell, relative error of the variance", found["one cell"]["variance"], "<=", 0.01),
        ("1 and 2 threads give the same", float(results["threads"]["identical"]), ">=", 1),
        ("gradient / step of ros2", adjoint["gradient"] / cosine[EQUAL_BIAS]["ns"], "<=", 20),
        ("gradient beside a finite difference", adjoint["disagreement"], "<=", 0.01),
    ]
    return [
        {"bar": name, "value": value, "needs": f"{relation} {limit:g}",
         "met": value >= limit if relation == ">=" else value <= limit}
        for name, value, relation, limit in checks
        if value is not None
    ]  # fmt: skip


def measure(quick: bool) -> dict[str, Any]:
    """Take every figure."""
    rounds = 2 if quick else ROUNDS
    results: dict[str, Any] = {
        "4 x 8": on_board(COSINE, CONTENDERS, quick),
        "3 x 32": on_board(DIGITS, () if quick else WIDE_BOARD, quick),
        "linear": linear.compare(1000 if quick else 50_000, rounds),
        "parts": parts.measure({"4 x 8": COSINE, "3 x 32": DIGITS}, rounds),
        "threads": threads(quick),
        "narrower": {} if quick else ours.narrower(__file__),
        "gradient": gradient.adjoint(COSINE, Work(512 if quick else 16384, 16, 1 / 16), rounds),
        "accuracy": accuracy.biases(2048 if quick else 131072)
        | {"one cell": accuracy.one_cell(ROS2_STEPS, 100_000 if quick else 4_000_000)},
    }
    results["bars"] = bars(results)
    return results


TABLE = [
    Column("ns", "ns"),
    Column("trajectories", "trajectories/s", ",.0f"),
    Column("ratio", "ratio", ".3g"),
    Column("equal_bias_ratio", "equal bias", ",.3g"),
    Column("apart", "apart, s.e.", ".1f"),
]
PARTS = [
    Column(key, key)
    for key in ("step", "without couplings", "couplings", "words", "potential, noise, update")
] + [
    Column("coupling_of_peak", "couplings/peak", ".0%"),
    Column("all_of_peak", "all/peak", ".0%"),
]  # fmt: skip


def show(results: Mapping[str, Any]) -> None:
    """Print the tables."""
    for board in ("4 x 8", "3 x 32"):
        print_table(f"{board} cells, to t = 1", results[board], TABLE)
        print()
    print_table("4 x 8 linear cells, a sample", results["linear"], [TABLE[0], TABLE[2], TABLE[4]])
    print()
    print_table("ns of a step of euler", results["parts"], PARTS)
    peak = results["parts"]["4 x 8"].get("peak")
    print("peak: no C compiler" if peak is None else f"peak: {peak / 1e9:.1f}e9 multiply-adds a second")
    print()
    print("AVX-512: in use" if ours.HAS_AVX512 else "AVX-512: this machine has none")
    if results["narrower"]:
        names = next(iter(results["narrower"].values()))
        narrow: dict[str, Row] = {name: {key: row[name] for key, row in results["narrower"].items()} for name in names}
        print_table("ns of a step", narrow, [Column(key, key) for key in results["narrower"]])
    for name in ("threads", "gradient"):
        print(f"{name}:", ", ".join(f"{key} {value:.3g}" for key, value in results[name].items()))
    print_table("rms bias", results["accuracy"], [Column("mean", "means"), Column("variance", "relative variances")])
    print()
    rows = {row["bar"]: row | {"met": "met" if row["met"] else "NOT MET"} for row in results["bars"]}
    print_table("bar", rows, [Column("value", "value"), Column("needs", "needs"), Column("met", "")])


def main() -> None:
    """Print the tables or one line of JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--kernel", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    if arguments.kernel:
        print_json(kernel_only())
        return
    with threadpool_limits(1):
        results = measure(arguments.quick)
    if arguments.json:
        print_json(results)
    else:
        show(results)


if __name__ == "__main__":
    main()
