"""How long an operator waits for the command line: whole processes, beside the bare interpreter and the bare imports.

Run ``python benchmarks/startup.py`` for a table, ``--json`` for one line. Each figure is the median of several runs,
taken in turn; the last column counts bare interpreters.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial

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


def measure() -> dict[str, float]:
    """Return the median of each wait, s."""
    with tempfile.TemporaryDirectory() as directory:
        waits: dict[str, Callable[[], float]] = {
            name: partial(run, arguments, directory) for name, arguments in COMMANDS.items()
        }
        waits["lab serve, until it listens"] = partial(serve, directory)
        for wait in waits.values():
            wait()
        rounds = [{name: wait() for name, wait in waits.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(each[name] for each in rounds) for name in waits}


def main() -> None:
    """Print the table, or one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    medians = measure()
    bare = medians["bare interpreter"]
    if arguments.json:
        print(json.dumps({name: {"seconds": round(s, 4), "ratio": round(s / bare, 1)} for name, s in medians.items()}))
        return
    print(f"{'':36}{'seconds':>9}{'ratio':>9}")
    for name, seconds in medians.items():
        print(f"{name:36}{seconds:>9.2f}{seconds / bare:>9.1f}")


if __name__ == "__main__":
    main()
