"""What benchmarks share: the least time of several rounds, contenders that may be missing, a table or a line of JSON.

CPU time counts all threads of the process and hardly depends on what else the machine does, so ratios of it hold on a
machine that others use; wall time does not.
"""

import argparse
import importlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

Row = dict[str, Any]

ROUNDS = 7


class NotInstalledError(ImportError):
    """A contender is not installed."""


@dataclass(frozen=True)
class Timing:
    """The least times of several rounds, s."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Column:
    """A column of a table: which value of a row it shows, under which heading, in which format."""

    key: str
    heading: str
    form: str = ".3g"


def least_times(runs: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, tuple[Timing, Any]]:
    """Return the least times of each run, after one that compiles and warms up, and what it returned last.

    The runs take turns, so that what else the machine does hits all of them.
    """
    results = {name: run() for name, run in runs.items()}
    least = dict.fromkeys(runs, Timing(math.inf, math.inf))
    for _ in range(rounds):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            results[name] = run()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            least[name] = Timing(min(least[name].cpu, cpu), min(least[name].wall, wall))
    return {name: (least[name], results[name]) for name in runs}


def least_time(run: Callable[[], Any], rounds: int = ROUNDS) -> tuple[Timing, Any]:
    """Return the least times of one run, see `least_times`."""
    return least_times({"": run}, rounds)[""]


def contender(name: str) -> ModuleType:
    """Return a module.

    Raises
    ------
    NotInstalledError
        If it is not installed, or lacks something that it needs.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"does not import: {error}"
        raise NotInstalledError(f"{name} {reason}") from error


def attempt(measure: Callable[[], Row]) -> Row:
    """Return what a measurement gives, or why it was skipped."""
    try:
        return measure()
    except NotInstalledError as error:
        return {"skipped": str(error)}


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=str(doc).splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of tables")
    parser.add_argument("--quick", action="store_true", help="less work and fewer rounds: figures of little worth")
    return parser


def print_json(results: Mapping[str, Any]) -> None:
    """Print results on one line; numbers have six digits."""
    print(json.dumps(_rounded(results)))


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return float(f"{value:.6g}") if isinstance(value, float) else value


def print_table(title: str, rows: Mapping[str, Row], columns: list[Column]) -> None:
    """Print rows under a title, as wide as they need; a value that a row lacks is a dash."""
    cells = {name: [_cell(row, column) for column in columns] for name, row in rows.items()}
    widths = [
        max(len(column.heading), *(len(cells[name][k]) for name, row in rows.items() if "skipped" not in row), 0)
        for k, column in enumerate(columns)
    ]
    label = max(len(title), *map(len, rows))
    print(f"{title:{label}}", *(f"{column.heading:>{width}}" for column, width in zip(columns, widths, strict=True)))
    for name, row in rows.items():
        shown = (f"{cell:>{width}}" for cell, width in zip(cells[name], widths, strict=True))
        print(f"{name:{label}}", *([f"skipped: {row['skipped']}"] if "skipped" in row else shown))


def _cell(row: Row, column: Column) -> str:
    value = row.get(column.key)
    if value is None:
        return "-"
    return value if isinstance(value, str) else format(value, column.form)
