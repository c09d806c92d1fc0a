"""How long plans take through the whole stack on the twin in this process: run engine, devices, drivers, wire, physics.

Run ``python benchmarks/plans.py`` for a table, ``--json`` for one line. Figures are wall and CPU time in ms, best of
several rounds, records on disk included; the station is open and the kernels are compiled.

- An epoch of `learn_gate` on each of the three bodies: NOT, 200 shots; what many epochs take beyond few.
- An acquisition of 200 shots on each: `drive` set, triggered.
- A line and a map of Coulomb diamonds, 200 x 200 points without the fine sweeps.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lab import open_station
from lab.run_engine import make_run_engine
from lab.station import Station
from protocols import coulomb_diamonds, learn_gate

SWITCHES = {"a cell of the board": "switch", "the charge of a dot": "dot_switch", "single photons": "photon_switch"}
SHOTS = 200
FEW, MANY = 20, 120
LINES = 200
ROUNDS = 3

Row = dict[str, float]


def timed(run: Callable[[], object], rounds: int = ROUNDS) -> Row:
    """Return the least wall and CPU time of a run, ms, after one that warms up."""
    run()
    best = {"wall_ms": math.inf, "cpu_ms": math.inf}
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        best["wall_ms"] = min(best["wall_ms"], (time.perf_counter() - wall) * 1e3)
        best["cpu_ms"] = min(best["cpu_ms"], (time.process_time() - cpu) * 1e3)
    return best


def acquisition(station: Station, name: str) -> Row:
    """Time one acquisition of a switch."""
    switch = station[name]
    switch.stage()
    try:
        switch.shots.set(SHOTS).wait(10)
        drives = [sum(switch.span) / 2, 0.45 * switch.span[0] + 0.55 * switch.span[1]]

        def acquire() -> None:
            switch.drive.set(drives[0]).wait(10)
            drives.reverse()
            switch.trigger().wait(60)

        return timed(acquire, 10 * ROUNDS)
    finally:
        switch.unstage()


def epoch(engine: Callable[..., object], station: Station, name: str) -> Row:
    """Time one epoch of learning with a switch."""
    few, many = (
        timed(lambda: engine(learn_gate([station[name]], epochs=epochs, shots=SHOTS)))  # noqa: B023
        for epochs in (FEW, MANY)
    )
    return {key: (many[key] - few[key]) / (MANY - FEW) for key in few}


def measure() -> dict[str, Row]:
    """Return the time of each part, ms."""
    results: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as directory, open_station("twin", seed=1) as station:
        engine = make_run_engine(station, directory=Path(directory))
        for what, name in SWITCHES.items():
            results[f"acquisition, {what}"] = acquisition(station, name)
            results[f"epoch of learn_gate, {what}"] = epoch(engine, station, name)
        dot = station["dot"]
        diamonds = timed(lambda: engine(coulomb_diamonds(dot, gate_points=LINES, bias_points=LINES, peak_points=0)), 1)
        results[f"diamonds, {LINES} x {LINES}"] = diamonds
        results["diamonds, a line"] = {key: value / LINES for key, value in diamonds.items()}
    return results


def main() -> None:
    """Print the table or one line of JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    arguments = parser.parse_args()
    results = measure()
    if arguments.json:
        print(json.dumps(results))
        return
    print(f"{'through the whole stack':46} {'wall ms':>10} {'CPU ms':>10}")
    for name, row in results.items():
        print(f"{name:46} {row['wall_ms']:10.2f} {row['cpu_ms']:10.2f}")


if __name__ == "__main__":
    main()
