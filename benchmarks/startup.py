"""How long an operator waits for the command line: whole processes, beside the bare interpreter and the bare imports.

Run ``python benchmarks/startup.py`` for a table, ``--json`` for one line, ``--quick`` for a short look. Each figure is
the median of several runs, taken in turn; the last column counts bare interpreters.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial

from measuring import Column, Row, make_parser, print_json, print_table

ROUNDS = 5
LAB = ("-m", "lab")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "bare interpreter": ("-c", ""),
    "import bluesky, ophyd, pymeasure": ("-c", "import bluesky, ophyd, pymeasure.instruments"),
    "lab plans": (*LAB, "plans"),
    "a refused argument of a plan": (*LAB, "run", "activation_curve", "--shots", "1e12"),
    "a station that is not there": (*LAB, "check", "--station", "nosuch.toml"),
    "lab check, the twin": (*LAB, "check"),
    "a curve of five drives": (*LAB, "run", "activation_curve", "--drive", "-2,-1,0,1,2", "--no-figure"),
}


def run(arguments: tuple[str, ...], directory: str) -> float:
    """Return how long a process takes from start to end, s."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=directory, capture_output=True, timeout=120, check=False)
    return time.perf_counter() - begin


def serve(directory: str) -> float:
    """Return how long a served bench takes to listen, s."""
    begin = time.perf_counter()
    command = [sys.executable, *LAB, "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        seconds = time.perf_counter() - begin
        server.terminate()
    return seconds


def measure(rounds: int) -> dict[str, float]:
    """Return the median of each wait, s."""
    with tempfile.TemporaryDirectory() as directory:
        waits: dict[str, Callable[[], float]] = {
            name: partial(run, arguments, directory) for name, arguments in COMMANDS.items()
        }
        waits["lab serve, until it listens"] = partial(serve, directory)
        for wait in waits.values():
            wait()
        taken = [{name: wait() for name, wait in waits.items()} for _ in range(rounds)]
    return {name: statistics.median(each[name] for each in taken) for name in waits}


def main() -> None:
    """Print the table, or one line of JSON."""
    arguments = make_parser(__doc__).parse_args()
    medians = measure(1 if arguments.quick else ROUNDS)
    bare = medians["bare interpreter"]
    rows: dict[str, Row] = {name: {"seconds": each, "ratio": each / bare} for name, each in medians.items()}
    if arguments.json:
        print_json(rows)
        return
    print_table("whole processes", rows, [Column("seconds", "s", ".2f"), Column("ratio", "bare interpreters", ".1f")])


if __name__ == "__main__":
    main()
