"""Runs whose process is killed at any moment, and whose continuation is too, end as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest

from lab.catalogue import Catalogue

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

GATE = ("learn_gate", "--epochs", "60", "--shots", "60", "--seed", "4")
KINDS = {
    "in situ": ("train_in_situ", "--task", "xor", "--epochs", "60", "--shots", "20", "--seed", "2"),
    "genetic": ("train_genetic", "--generations", "60", "--population", "8", "--parents", "2", "--seed", "5"),
    "gate on a cell": (*GATE, "--switch", "switch"),
    "gate on a dot": (*GATE, "--switch", "dot_switch"),
    "kernel": ("learn_kernel", "--epochs", "40", "--shots", "60", "--seed", "6"),
}
RUNS = int(os.environ.get("LAB_KILLS", "6"))
KILLS = 2
"""How many runs of each kind are killed, and how often each at most."""
MOMENTS = ("time", "bench_state")


def attempt(words, directory, size=None):
    """Let `lab` work in a process of its own, and kill it when it has written so much; return its result, if any."""
    command = [sys.executable, "-m", "lab", *words, "--no-figure", "--json", "--directory", str(directory)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        before = written(directory)
        while size is not None and process.poll() is None:
            if written(directory) - before >= size:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return None
            threading.Event().wait(0.001)
        said, _ = process.communicate()
    assert process.returncode == 0, (words, said)
    return json.loads(said.splitlines()[-1])["result"]


def written(directory):
    return sum(path.stat().st_size for path in directory.glob("*/journal.jsonl"))


def killed_and_continued(words, directory, size, moments):
    """Kill a run and what continues it at some moments; return its result, None if it was complete, and the kills."""
    kills = 0
    while True:
        result = attempt(words, directory, moments.uniform(1.0, size) if kills < KILLS else None)
        if result is not None:
            return result, kills
        kills += 1
        if list(Catalogue(directory))[-1].state == "success":
            return None, kills
        words = ("resume", "last")


def assert_same(found, wanted):
    assert found.streams == wanted.streams
    for stream in wanted.streams:
        first, second = (run.read(stream).drop_vars(MOMENTS, errors="ignore") for run in (found, wanted))
        assert first.equals(second), stream


@pytest.mark.parametrize("kind", KINDS)
def test_runs_killed_at_random_moments_end_with_the_data_of_one_that_was_not(kind, tmp_path, capsys):
    wanted = attempt(("run", *KINDS[kind]), tmp_path / "whole")
    size, moments = written(tmp_path / "whole"), random.Random(kind)
    whole, counts = Catalogue(tmp_path / "whole").find("last"), Counter()
    for number in range(RUNS):
        directory = tmp_path / str(number)
        result, kills = killed_and_continued(("run", *KINDS[kind]), directory, size, moments)
        assert result in (None, wanted)
        assert_same(Catalogue(directory).find("last"), whole)
        counts.update(kills=kills, complete=result is None, continued=result is not None)
    with capsys.disabled():
        sys.stdout.write(f"\n{kind}: {RUNS} runs, {dict(counts)}: all equal\n")
