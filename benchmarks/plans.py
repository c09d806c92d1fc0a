"""How long plans take through the whole stack on the twin in this process: run engine, devices, drivers, wire, physics.

Run ``python benchmarks/plans.py`` for tables, ``--json`` for one line, ``--quick`` for a short look. Figures are wall
and CPU time in ms, the least of several rounds, records on disk included; the station is open and the kernels are
compiled.

- An epoch of `learn_gate` on each of the three bodies: NOT, 200 shots; what many epochs take beyond few.
- An acquisition of 200 shots on each: `drive` set, triggered.
- A line and a map of Coulomb diamonds without the fine sweeps.
- A learning step of `train_in_situ` and of `train_genetic` with so few cells and shots that the physics takes no time,
  beside a point of a scan that reads numbers and arrays like those in the record of the former: `do1d` of QCoDeS, which
  stores them, and `bluesky.plans.scan`, which does not.
- A point of the diamonds, whose lines are one event each, beside `do2d` and `bluesky.plans.grid_scan` on instruments
  that answer at once.

A contender that is not installed is named and skipped: ``pip install .[benchmark]``.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import scans
from measuring import (
    Column,
    Row,
    Timing,
    attempt,
    least_time,
    make_parser,
    print_json,
    print_table,
)

from lab import open_station
from lab.run_engine import make_run_engine
from lab.station import Station
from protocols import coulomb_diamonds, learn_gate, train_genetic, train_in_situ

SWITCHES = {"a cell of the board": "switch", "the charge of a dot": "dot_switch", "single photons": "photon_switch"}
SHOTS = 200
TINY: Mapping[str, Any] = {
    "population": 2, "parents": 1, "inputs": 2, "shots": 1, "final_shots": 1, "layers": (2, 2), "target_loss": 0.0,
}  # fmt: skip

Engine = Callable[..., object]


def in_ms(timing: Timing, points: int = 1) -> Row:
    """Return a row: wall and CPU time of one of so many points, ms."""
    return {
        "work": points,
        "seconds": timing.cpu,
        "wall_ms": timing.wall / points * 1e3,
        "cpu_ms": timing.cpu / points * 1e3,
    }


def beyond(few: Timing, many: Timing, points: int) -> Row:
    """Return the row of the points that many have more than few."""
    return in_ms(Timing(many.cpu - few.cpu, many.wall - few.wall), points)


def acquisition(station: Station, name: str, rounds: int) -> Row:
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

        return in_ms(least_time(acquire, 10 * rounds)[0])
    finally:
        switch.unstage()


def epoch(engine: Engine, station: Station, name: str, few: int, many: int, rounds: int) -> Row:
    """Time one epoch of learning with a switch."""
    timings = [
        least_time(lambda: engine(learn_gate([station[name]], epochs=epochs, shots=SHOTS)), rounds)[0]  # noqa: B023
        for epochs in (few, many)
    ]
    return beyond(*timings, many - few)


def learning_step(
    engine: Any, plan: Callable[[int], Any], few: int, many: int, rounds: int
) -> tuple[Row, dict[str, Any]]:
    """Time an event of the learning that a plan of few and of many rounds does; return also what the first records."""
    timings, counts, data = [], [], {}
    for length in (few, many):
        with listening(engine) as events:
            timings.append(least_time(lambda: engine(plan(length)), rounds)[0])  # noqa: B023
        counts.append(len(events) // (rounds + 1))
        data = events[0]
    return beyond(timings[0], timings[1], counts[1] - counts[0]), data


@contextmanager
def listening(engine: Any) -> Iterator[list[dict[str, Any]]]:
    """Keep the data of the events of an engine."""
    events: list[dict[str, Any]] = []
    token = engine.subscribe(lambda _, document: events.append(document["data"]), "event")
    try:
        yield events
    finally:
        engine.unsubscribe(token)


def qcodes_rows(readings: scans.Readings, points: int, side: int, rounds: int) -> dict[str, Row]:
    """Time a point of a scan and of a map with QCoDeS."""
    with tempfile.TemporaryDirectory() as directory, scans.qcodes_database(Path(directory)) as instrument:
        steps = least_time(scans.qcodes_steps(instrument, points, readings), rounds)[0]
        plane = least_time(scans.qcodes_map(instrument, side), rounds)[0]
    return {"step": in_ms(steps, points), "map": in_ms(plane, side**2)}


def through_the_stack(quick: bool) -> tuple[dict[str, Row], dict[str, Any]]:
    """Return the time of each part of ours, and what a step of `train_in_situ` records."""
    few, many, rounds, lines = (2, 6, 1, 20) if quick else (20, 120, 3, 200)
    results: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as directory, open_station("twin", seed=1) as station:
        engine = make_run_engine(station, directory=Path(directory))
        for what, name in SWITCHES.items():
            results[f"acquisition, {what}"] = acquisition(station, name, rounds)
            results[f"epoch of learn_gate, {what}"] = epoch(engine, station, name, few, many, rounds)
        board, dot = station["board"], station["dot"]
        diamonds, _ = least_time(
            lambda: engine(coulomb_diamonds(dot, gate_points=lines, bias_points=lines, peak_points=0)), 1
        )
        results[f"diamonds, {lines} x {lines}"] = in_ms(diamonds)
        results["diamonds, a line"] = in_ms(diamonds, lines)
        results["point of coulomb_diamonds"] = in_ms(diamonds, lines**2)
        results["step of train_in_situ"], recorded = learning_step(
            engine, lambda epochs: train_in_situ(board, task="xor", epochs=epochs, shots=2, hidden=1), few, many, rounds
        )
        results["step of train_genetic"], _ = learning_step(
            engine, lambda count: train_genetic(board, generations=count, **TINY), few, many, rounds
        )
    return results, recorded


def of_contenders(readings: scans.Readings, quick: bool) -> dict[str, dict[str, Row]]:
    """Return the time of a point of a scan and of a map with other engines."""
    points, side, rounds = (5, 3, 1) if quick else (50, 12, 3)
    theirs: dict[str, Any] = {"QCoDeS": attempt(lambda: qcodes_rows(readings, points, side, rounds))}
    if "skipped" in theirs["QCoDeS"]:
        theirs["QCoDeS"] = dict.fromkeys(("step", "map"), theirs["QCoDeS"])
    theirs["bare bluesky.plans"] = {
        "step": in_ms(least_time(scans.bluesky_steps(points, readings), rounds)[0], points),
        "map": in_ms(least_time(scans.bluesky_map(side), rounds)[0], side**2),
    }
    return theirs


def measure(quick: bool) -> dict[str, dict[str, Row]]:
    """Return two tables: ours, and a step and a point beside those of others, with ratios of CPU time."""
    ours, recorded = through_the_stack(quick)
    beside = {name: ours[name] for name in ("step of train_in_situ", "step of train_genetic")}
    point = ours["point of coulomb_diamonds"]
    theirs = of_contenders(recorded, quick)
    for name, rows in theirs.items():
        beside[f"point of a scan, {name}"] = rows["step"]
    beside["point of coulomb_diamonds"] = point
    for name, rows in theirs.items():
        beside[f"point of a map, {name}"] = rows["map"]
    for name, row in beside.items():
        mine = point if "map" in name or "diamonds" in name else ours["step of train_in_situ"]
        if "skipped" not in row:
            row["ratio"] = row["cpu_ms"] / mine["cpu_ms"]
    return {"ours": ours, "beside": beside}


def main() -> None:
    """Print the tables or one line of JSON."""
    arguments = make_parser(__doc__).parse_args()
    results = measure(arguments.quick)
    if arguments.json:
        print_json(results)
        return
    columns = [Column("wall_ms", "wall ms"), Column("cpu_ms", "CPU ms")]
    print_table("through the whole stack", results["ours"], columns)
    print()
    print_table("engine and wire", results["beside"], [*columns, Column("ratio", "their CPU / ours", ".2f")])


if __name__ == "__main__":
    main()
