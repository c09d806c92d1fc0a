import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from lab import open_station
from lab.station import serve_bench
from lab.station_file import read_station
from lab.watchdog import LOG, Watch, leave_safe

TRAINING = ["run", "train_in_situ", "--task", "xor", "--epochs", "1000000", "--no-figure"]


@pytest.fixture(scope="module")
def board():
    """Where a simulated board is served, and the board itself."""
    with serve_bench("twin", port=0) as server:
        server.bench.warm_up()
        host, port = server.addresses["TCPIP0::board::5025::SOCKET"]
        yield f"TCPIP0::{host}::{port}::SOCKET", server.bench.instruments["TCPIP0::board::5025::SOCKET"]


@pytest.fixture
def station_path(board, tmp_path):
    path = tmp_path / "served.toml"
    path.write_text(
        f"""
        [station]
        library = "py"
        [instruments.board]
        resource = "{board[0]}"
        driver = "thermodynamic_board"
        [devices.board]
        role = "thermodynamic_board"
        instrument = "board"
        """
    )
    return path


def wait_until(condition, seconds=60.0):
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it did not happen in time")


@contextmanager
def training(station_path, runs):
    """`lab run` in a process of its own, at work."""
    command = [sys.executable, "-m", "lab", *TRAINING, "--station", str(station_path), "--directory", str(runs)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True) as run:
        try:
            yield run
        finally:
            run.kill()


def steps(runs):
    return sum(path.read_text().count('"epoch"') for path in runs.glob("*/journal.jsonl"))


@pytest.mark.slow
def test_the_outputs_of_a_process_that_is_killed_are_made_safe_and_the_run_says_so(board, station_path, tmp_path):
    _, instrument = board
    runs = tmp_path / "runs"
    with training(station_path, runs) as run:
        wait_until(lambda: steps(runs) > 3)
        assert instrument.outputs_on
        os.killpg(run.pid, signal.SIGKILL)
        run.wait(20)
        wait_until(lambda: not instrument.outputs_on)
    log = next(runs.iterdir()) / LOG
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
    first, second = log.read_text().splitlines()
    assert f"process {run.pid} ended without leaving board of station served safe" in first
    assert re.search(r"UTC  board: run aborted, noise off, outputs off$", second)
    with open_station(station_path) as station:
        assert station["board"].at_rest


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_run_that_ends_by_a_signal_makes_itself_safe_and_leaves_no_watchdog(board, station_path, tmp_path):
    _, instrument = board
    runs = tmp_path / "runs"
    with training(station_path, runs) as run:
        wait_until(lambda: steps(runs) > 3)
        run.send_signal(signal.SIGTERM)
        run.wait(60)
    assert not instrument.outputs_on
    directory = next(runs.iterdir())
    assert not (directory / LOG).exists()
    last = json.loads((directory / "journal.jsonl").read_text().splitlines()[-1])
    assert last["doc"]["exit_status"] == "abort"
    children = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in children.splitlines() if "lab.watchdog" in line and str(station_path) in line]


def test_devices_that_another_process_holds_are_left_to_it(station_path):
    told = []
    with open_station(station_path):
        assert leave_safe(read_station(station_path), ["board"], told.append, patience=0.0)
    assert len(told) == 1
    assert told[0].startswith("board: left alone: ")
    assert "it is held by" in told[0]


def test_devices_that_do_not_answer_are_tried_again_and_then_said_not_to_be_safe(tmp_path, station_path, board):
    told = []
    path = tmp_path / "gone.toml"
    path.write_text(station_path.read_text().replace(board[0], "TCPIP0::127.0.0.1::1::SOCKET"))
    assert not leave_safe(read_station(path), ["board"], told.append, patience=0.1)
    assert told[0].startswith("board: NOT SAFE: ")


def test_a_watchdog_that_is_dismissed_is_gone_and_has_touched_nothing(board, station_path):
    _, instrument = board
    with open_station(station_path) as station:
        watchdog = Watch(station)
        assert watchdog.alive
        station["board"].stage()
        watchdog.dismiss()
        assert not watchdog.alive
        assert instrument.outputs_on
        station.safe()
    assert not instrument.outputs_on
