import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from importlib import resources

import numpy as np
import pytest

from lab import open_station
from lab.catalogue import Catalogue
from lab.station_file import read_station
from lab.watchdog import LOG, Watch, leave_safe

TRAINING = ["train_in_situ", "--task", "xor", "--epochs", "1000000"]
SLEW = 0.5


@pytest.fixture
def whole_station(server, tmp_path):
    """The file of a station with everything that is served, whose gates are slow."""
    text = (resources.files("lab") / "stations" / "tcp.toml").read_text().replace('"20 V/s"', f'"{SLEW} V/s"')
    served = iter(server.addresses.values())
    path = tmp_path / "whole.toml"
    path.write_text(re.sub(r"127\.0\.0\.1::\d+", lambda _: "{}::{}".format(*next(served)), text))
    return path


def wait_until(condition, seconds=60.0):
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it did not happen in time")


@contextmanager
def running(station_path, runs, plan, stdin=subprocess.DEVNULL):
    """`lab run` in a process of its own, at work."""
    command = [sys.executable, "-m", "lab", "run", *plan, "--no-figure", "--station", str(station_path)]
    with subprocess.Popen(
        [*command, "--directory", str(runs)], stdin=stdin, stdout=subprocess.DEVNULL, start_new_session=True
    ) as run:
        try:
            yield run
        finally:
            run.kill()


def killed(run):
    os.killpg(run.pid, signal.SIGKILL)
    run.wait(20)


def said_in(runs, lines=2):
    """What a watchdog wrote, once it has."""
    (directory,) = runs.iterdir()
    log = directory / LOG
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == lines)
    return log.read_text().splitlines()


def steps(runs):
    return sum(path.read_text().count('"epoch"') for path in runs.glob("*/journal.jsonl"))


@pytest.mark.slow
def test_the_outputs_of_a_process_that_is_killed_are_made_safe_and_the_run_says_so(board, station_path, tmp_path):
    runs = tmp_path / "runs"
    with running(station_path, runs, TRAINING) as run:
        wait_until(lambda: steps(runs) > 3)
        assert board.outputs_on
        killed(run)
        wait_until(lambda: not board.outputs_on)
    first, second = said_in(runs)
    assert f"process {run.pid} ended without leaving board of station served safe" in first
    assert re.search(r"UTC  board: run aborted, noise off, outputs off$", second)
    with open_station(station_path) as station:
        assert station["board"].at_rest


@pytest.mark.slow
def test_the_gates_of_a_process_that_is_killed_are_ramped_home_no_faster_than_they_may_move(
    server, whole_station, tmp_path
):
    dac, runs, path = server.bench.instruments["TCPIP0::qdac::5025::SOCKET"], tmp_path / "runs", []

    def look():
        now = dac.clock.now()
        path.append((now, dac.output(1).programmed(now)))
        return path[-1][1]

    plan = ["pinch_off", "--start", "0.3", "--stop", "0.9", "--points", "400", "--settling-time", "0.005"]
    with running(whole_station, runs, plan) as run:
        wait_until(lambda: look() > 0.5)
        killed(run)
        wait_until(lambda: abs(look()) < 1e-6)
    _, second = said_in(runs)
    assert re.search(r"UTC  dot: measurement ended, bias off, excitation .*, gates at their safe voltages$", second)
    times, volts = np.array(path).T
    slopes = np.diff(volts) / np.diff(times)
    assert np.abs(slopes).max() < 1.01 * SLEW
    with open_station(whole_station, devices=["dot"]) as station:
        assert station["dot"].at_rest


@pytest.mark.slow
def test_the_pulses_of_a_process_that_is_killed_are_switched_off(server, whole_station, tmp_path):
    runs = tmp_path / "runs"
    with open_station(whole_station, devices=["photon"]) as station:
        assert station["photon"].at_rest
    with running(whole_station, runs, ["photon_kernel", "--vectors", "30", "--shots", "100000"]) as run:
        wait_until(lambda: any(b'"name":"event"' in path.read_bytes() for path in runs.glob("*/journal.jsonl")))
        killed(run)
        _, second = said_in(runs)
    assert second.endswith("photon: counting ended, pulses off")
    with open_station(whole_station, devices=["photon"]) as station:
        assert station["photon"].at_rest


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_outputs_of_a_paused_run_are_made_safe_when_it_is_killed(board, station_path, tmp_path):
    runs = tmp_path / "runs"
    with running(station_path, runs, TRAINING, stdin=subprocess.PIPE) as run:
        wait_until(lambda: steps(runs) > 3)
        run.send_signal(signal.SIGINT)
        (states,) = runs.glob("*/devices.json")
        wait_until(lambda: json.loads(states.read_text())["engine"] == "paused")
        assert board.outputs_on
        killed(run)
        wait_until(lambda: not board.outputs_on)


@pytest.mark.soak
def test_a_killed_run_that_is_resumed_at_once_has_its_instruments_to_itself(board, station_path, tmp_path):
    runs = tmp_path / "runs"
    plan = [*TRAINING[:3], "--epochs", "200"]
    with running(station_path, runs, plan) as run:
        wait_until(lambda: steps(runs) > 20)
        killed(run)
        resume = [sys.executable, "-m", "lab", "resume", "last", "--no-figure", "--directory", str(runs)]
        done = subprocess.run(resume, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [each.state for each in Catalogue(runs)] == ["cut", "success"]
    assert not board.outputs_on


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("signals", ["SIGTERM", "SIGSTOP SIGTERM SIGCONT"])
def test_a_run_that_ends_by_a_signal_makes_itself_safe_and_leaves_no_watchdog(board, station_path, tmp_path, signals):
    runs = tmp_path / "runs"
    with running(station_path, runs, TRAINING) as run:
        wait_until(lambda: steps(runs) > 3)
        for name in signals.split():
            run.send_signal(getattr(signal, name))
        run.wait(60)
    assert not board.outputs_on
    directory = next(runs.iterdir())
    assert not (directory / LOG).exists()
    last = json.loads((directory / "journal.jsonl").read_text().splitlines()[-1])
    assert last["doc"]["exit_status"] == "abort"
    children = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in children.splitlines() if "lab.watchdog" in line and str(station_path) in line]


def test_devices_that_another_process_holds_are_left_to_it(station_path):
    told = []
    with open_station(station_path):
        assert leave_safe(read_station(station_path), ["board"], told.append, patience=0.0)
    assert len(told) == 1
    assert told[0].startswith("board: left alone: ")
    assert "it is held by" in told[0]


def test_devices_that_do_not_answer_are_tried_again_and_then_said_not_to_be_safe(
    tmp_path, station_path, board_resource
):
    told = []
    path = tmp_path / "gone.toml"
    path.write_text(station_path.read_text().replace(board_resource, "TCPIP0::127.0.0.1::1::SOCKET"))
    assert not leave_safe(read_station(path), ["board"], told.append, patience=0.1)
    assert told[0].startswith("board: NOT SAFE: ")


def test_a_watchdog_that_is_dismissed_is_gone_and_has_touched_nothing(board, station_path):
    with open_station(station_path) as station:
        watchdog = Watch(station)
        assert watchdog.alive
        station["board"].stage()
        watchdog.dismiss()
        assert not watchdog.alive
        assert board.outputs_on
        station.safe()
    assert not board.outputs_on
