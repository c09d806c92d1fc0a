"""Runs on instruments in another process that fall silent, drop their clients, or are still away at Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from lab import open_station
from lab.catalogue import Catalogue
from lab.outcome import NO_COMMUNICATION
from lab.watchdog import LOG

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")]

TRAINING = ["train_in_situ", "--task", "xor", "--shots", "10", "--seed", "3", "--board", "board"]
EPOCHS = 40


class Served:
    """`lab serve` in a process of its own, and the file of a station that has its board."""

    def __init__(self, write_station, directory, *options):
        command = [sys.executable, "-m", "lab", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if found := re.search(r"board.*?(127\.0\.0\.1):(\d+)", line):
                break
        else:
            raise AssertionError("".join(lines))
        resource = f"TCPIP0::{found[1]}::{found[2]}::SOCKET"
        self.station = write_station(directory / "served.toml", resource, 'timeout = "500 ms"')

    def fall_silent(self):
        self.process.send_signal(signal.SIGSTOP)

    def answer_again(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        self.answer_again()
        self.process.terminate()
        self.process.communicate(timeout=10)


@pytest.fixture(scope="module")
def served(write_station, tmp_path_factory):
    serving = Served(write_station, tmp_path_factory.mktemp("served"))
    yield serving
    serving.end()


@contextmanager
def running(station, runs, epochs):
    """`lab run` in a process of its own, and the lines that it says."""
    command = [sys.executable, "-m", "lab", "run", *TRAINING, "--epochs", str(epochs), "--no-figure", "--json"]
    with subprocess.Popen(
        [*command, "--station", str(station), "--directory", str(runs)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        try:
            yield run
        finally:
            run.kill()


def line_with(stream, text):
    """Read until a line has some text."""
    seen = []
    for line in stream:
        seen.append(line)
        if text in line:
            return line
    raise AssertionError("".join(seen))


def wait_until(condition, seconds=60.0):
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it did not happen in time")


def steps(runs):
    return sum(path.read_bytes().count(b'"data":{"step":') for path in runs.glob("*/journal.jsonl"))


def result_of(run):
    return json.loads(run.stdout.read().splitlines()[-1])["result"]


@pytest.fixture(scope="module")
def undisturbed(served, tmp_path_factory):
    with running(served.station, tmp_path_factory.mktemp("undisturbed"), EPOCHS) as run:
        return result_of(run)


def test_a_run_waits_visibly_for_a_board_that_says_nothing_for_a_while_and_ends_as_if_nothing_had_been(
    served, undisturbed, tmp_path
):
    with running(served.station, tmp_path, EPOCHS) as run:
        wait_until(lambda: steps(tmp_path) > 3)
        served.fall_silent()
        told = line_with(run.stderr, "no connection")
        line_with(run.stderr, "waiting up to 60 s")
        served.answer_again()
        line_with(run.stderr, "connected again")
        assert result_of(run) == undisturbed
    assert re.search(r"board: no connection for \d+ s", told)


@pytest.mark.soak
def test_a_run_that_is_dropped_again_and_again_ends_as_if_nothing_had_been(undisturbed, write_station, tmp_path):
    dropping = Served(write_station, tmp_path, "--fault", "dropped:0.003")
    try:
        with running(dropping.station, tmp_path / "runs", EPOCHS) as run:
            assert result_of(run) == undisturbed
    finally:
        dropping.end()


@pytest.mark.soak
def test_ctrl_c_ends_the_wait_for_a_silent_board_which_its_watchdog_makes_safe_when_it_answers(served, tmp_path):
    with running(served.station, tmp_path, 100000) as run:
        wait_until(lambda: steps(tmp_path) > 3)
        served.fall_silent()
        line_with(run.stderr, "no connection")
        recorded = steps(tmp_path)
        begun = time.monotonic()
        run.send_signal(signal.SIGINT)
        line_with(run.stderr, "pausing at the next checkpoint")
        run.send_signal(signal.SIGINT)
        line_with(run.stderr, "board could not be made safe")
        assert run.wait(60) == NO_COMMUNICATION
        assert time.monotonic() - begun < 60
    (directory,) = tmp_path.iterdir()
    served.answer_again()
    wait_until(lambda: (directory / LOG).exists() and "outputs off" in (directory / LOG).read_text())
    stored = Catalogue(tmp_path).find("last")
    assert stored.state == "abort"
    assert stored.read("learning").sizes["event"] >= recorded
    with open_station(served.station) as station:
        assert station["board"].at_rest
