"""A station behind bluesky-queueserver: plans and devices unchanged, runs in the catalogue, outputs safe."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lab.catalogue import Catalogue
from lab.plans import plan_names
from lab.queue.plans import queued_plan

PORTS = {"board": "Board", "model": "BoardModel", "switch": "ActivationSwitch"}


def test_a_plan_says_of_every_argument_what_it_is_and_of_devices_which_there_are():
    plan = queued_plan("learn_gate", PORTS)
    told = plan._custom_parameter_annotation_["parameters"]
    assert told["switch"]["devices"] == {"Devices": ["switch"]}
    assert told["calibration"]["annotation"] == "typing.Optional[str]"
    assert told["gate"]["annotation"] == "typing.Literal['NOT', 'AND', 'OR', 'NAND', 'XOR']"
    assert "continued" not in told
    assert all(entry["description"] for name, entry in told.items())


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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Queue:
    """`lab queue start` in a process of its own, and `qserver` beside it."""

    def __init__(self, directory):
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lab", "queue", "start", "--port", str(self.port), "--directory", str(directory)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_open(self):
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if "re abort" in line:
                return lines
        raise AssertionError(self.process.stderr.read())

    def __call__(self, *words):
        command = [
            str(Path(sys.executable).with_name("qserver")),
            "-a",
            f"tcp://127.0.0.1:{self.port}",
            *words,
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout

    def wait_for(self, state):
        deadline = time.monotonic() + 60
        while f"'manager_state': '{state}'" not in self("status"):
            assert time.monotonic() < deadline, self("status")


def wait_for_steps(directory, count):
    deadline, pause = time.monotonic() + 60, threading.Event()
    while not any((run.steps or 0) >= count for run in Catalogue(directory)):
        assert time.monotonic() < deadline
        pause.wait(0.05)


@pytest.mark.slow
def test_plans_are_added_run_paused_resumed_and_aborted_and_leave_outputs_safe(tmp_path):
    queue = Queue(tmp_path)
    try:
        printed = queue.wait_until_open()
        assert f"qserver -a tcp://127.0.0.1:{queue.port} queue start\n" in printed
        item = {"name": "train_in_situ", "args": ["board"], "kwargs": {"task": "xor", "epochs": 100000, "shots": 5}}
        assert "'success': True" in queue("queue", "add", "plan", json.dumps(item))
        wrong = {**item, "kwargs": {"task": "letters"}}
        assert "'success': False" in queue("queue", "add", "plan", json.dumps(wrong))
        elsewhere = {**item, "args": ["dot"]}
        assert "'success': False" in queue("queue", "add", "plan", json.dumps(elsewhere))
        queue("queue", "start")
        wait_for_steps(tmp_path, 3)
        queue("re", "pause", "deferred")
        queue.wait_for("paused")
        queue("re", "resume")
        queue.wait_for("executing_queue")
        refused = subprocess.run(
            [sys.executable, "-m", "lab", "queue", "start", "--port", str(queue.port)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 1
        assert "answers at" in refused.stderr
        queue.process.send_signal(signal.SIGTERM)
        _, said = queue.process.communicate(timeout=90)
    finally:
        queue.process.kill()
    assert queue.process.returncode == 0
    assert "outputs are made safe" in said
    (run,) = Catalogue(tmp_path)
    assert run.state == "abort"
    assert run.start["plan_devices"] == {"board": "board"}
    assert run.start["arguments"]["epochs"] == 100000
