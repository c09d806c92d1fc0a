"""Benchmarks are never timed by a test, but each can still be run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(script.name for script in BENCHMARKS.glob("*.py") if "__main__" in script.read_text())


def run(script, *options):
    outcome = subprocess.run(
        [sys.executable, BENCHMARKS / script, *options], capture_output=True, text=True, timeout=200, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_benchmark_finds_what_it_times_and_says_what_it_does(script):
    assert "--json" in run(script, "--help")


@pytest.mark.slow
@pytest.mark.parametrize("script", ["dots.py", "photons.py", "wire.py"])
def test_a_quick_benchmark_prints_one_line_of_json_with_numbers_or_why_there_are_none(script):
    (line,) = run(script, "--quick", "--json").splitlines()
    rows = [row for row in json.loads(line).values() if isinstance(row, dict)]
    assert rows
    for row in rows:
        assert row["seconds"] > 0 if "seconds" in row else "not installed" in row["skipped"]
