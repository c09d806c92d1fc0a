"""Weak scaling: twice the work on twice the workers, threads of this process or processes of a Dask cluster.

Run ``python benchmarks/scaling.py`` for a table, ``--json`` for one line, ``--quick`` for a short look. Each worker is
given the same work: programs of a 4 x 8 board with 16 rows of inputs and 64 shots of unit length, by ``ros2``. All
samples are compared bit by bit with those of one thread; the script ends with an error if one differs.

- wall efficiency: time of one worker over that of two, which is 1 if workers do not hinder each other. It holds on an
  idle machine only.
- CPU efficiency: the same with the CPU time of all processes for each worker's share, which what else the machine does
  hardly changes. It shows what the distribution itself costs.

Dask needs ``pip install .[cluster]`` and is named and skipped without.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from measuring import Column, NotInstalledError, Row, contender, make_parser, print_json, print_table
from network.board import Board

from twin import compute
from twin.models.network import sample_network

BOARD = Board(layers=4, width=8)
PROGRAMS, ROWS, SHOTS = 400, 16, 64
ROUNDS = 7
COLUMNS = [
    Column("work", "programs", "d"),
    Column("wall", "wall s", ".3f"),
    Column("cpu", "CPU s", ".3f"),
    Column("wall_efficiency", "wall efficiency", ".2f"),
    Column("cpu_efficiency", "CPU efficiency", ".2f"),
]

Array = np.ndarray


def sample(programs: int) -> Array:
    """Return samples of so many programs, of which the first are the same for any number."""
    n = BOARD.cells
    fields = BOARD.bias * np.linspace(-1, 1, ROWS, dtype=np.float32)[:, np.newaxis]
    couplings = np.broadcast_to(BOARD.couplings, (programs, n, n))
    stiffness = np.broadcast_to(np.float32([1, 0, 1]), (programs, n, 3))
    return sample_network(
        couplings, np.broadcast_to(fields, (programs, ROWS, n)), stiffness, BOARD.temperature,
        trajectories=SHOTS, key=(1, 2), first=1.0, read=np.arange(n)[BOARD.last],
    )  # fmt: skip


def measured(run: Callable[[], Array], cpu_time: Callable[[], float], rounds: int) -> tuple[Row, Array]:
    """Return the least wall time of several runs, the least CPU time, and what they give; the first does not count."""
    walls, cpus = [], []
    samples = run()
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), cpu_time()
        samples = run()
        walls.append(time.perf_counter() - wall)
        cpus.append(cpu_time() - cpu)
    return {"wall": min(walls), "cpu": min(cpus)}, samples


def on_threads(count: int, programs: int, rounds: int) -> tuple[Row, Array]:
    """Measure so many threads of this process."""
    before = compute.threads()
    compute.set_threads(count)
    try:
        return measured(lambda: sample(programs), time.process_time, rounds)
    finally:
        compute.set_threads(before)


def on_dask(count: int, programs: int, rounds: int) -> tuple[Row, Array]:
    """Measure so many local Dask workers of one thread, with the process that asks them."""
    distributed: Any = contender("distributed")
    with (
        distributed.LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=":0") as workers,
        distributed.Client(workers, set_as_default=False) as client,
        compute.use(workers.scheduler_address),
    ):
        return measured(
            lambda: sample(programs),
            lambda: time.process_time() + sum(client.run(time.process_time).values()),
            rounds,
        )


def attempt(
    measure: Callable[[int, int, int], tuple[Row, Array]], programs: int, rounds: int, expected: Array
) -> list[Row]:
    """Return rows for one and two workers, with efficiencies, or why they were skipped."""
    rows = []
    for count in (1, 2):
        try:
            row, samples = measure(count, count * programs, rounds)
        except NotInstalledError as error:
            return [{"skipped": str(error)}] * 2
        if not np.array_equal(samples, expected[: count * programs]):
            raise AssertionError(f"{measure.__name__}({count}): samples are not those of one thread")
        rows.append(row | {"work": count * programs})
    for count, row in enumerate(rows, start=1):
        row["wall_efficiency"] = rows[0]["wall"] / row["wall"]
        row["cpu_efficiency"] = count * rows[0]["cpu"] / row["cpu"]
    return rows


def main() -> None:
    """Print the table or one line of JSON."""
    arguments = make_parser(__doc__).parse_args()
    programs, rounds = (PROGRAMS // 10, 2) if arguments.quick else (PROGRAMS, ROUNDS)
    with compute.one_thread():
        expected = sample(2 * programs)
    one, two = attempt(on_threads, programs, rounds, expected)
    dask_one, dask_two = attempt(on_dask, programs, rounds, expected)
    results = {"1 thread": one, "2 threads": two, "1 Dask worker": dask_one, "2 Dask workers": dask_two}
    if arguments.json:
        print_json(results)
    else:
        print_table("weak scaling", results, COLUMNS)


if __name__ == "__main__":
    main()
