"""The kernel for GPUs, thread by thread on the simulator of Numba, which takes another process."""

import json
import os
import subprocess
import sys
from typing import get_args

import pytest

from twin.models.network import Noise

pytest.importorskip("numba_cuda")

ON_THE_SIMULATOR = """
import inspect, json
import numpy as np
from twin import compute
from twin.kernels.langevin_cuda import NOISES
from twin.models import network_cuda
from twin.models.network import sample_network

def network(**options):
    rng = np.random.default_rng(3)
    upper = np.triu(rng.normal(size=(2, 6, 6)) * options.pop("couple", np.ones((6, 6))), 1).astype(np.float32)
    fields = rng.normal(size=(2, 2, 6)).astype(np.float32)
    stiffness = np.tile(np.float32([1, 0.1, 1]), (2, 6, 1))
    given = dict(trajectories=3, key=(5, 6), first=0.07, interval=0.03, observations=2, step=np.array([0.02, 0.01]))
    return sample_network(upper + upper.swapaxes(1, 2), fields, stiffness, 0.2, **given | options)

def difference(crowd=1, launch=2.0**31, **options):
    network_cuda.CROWD, network_cuda.LAUNCH = crowd, launch
    with compute.use("gpu"):
        there = network(**options)
    here = network(**options)
    return float(np.abs(there - here).max() / np.abs(here).max())

bipartite = np.arange(6)[:, None] % 2 != np.arange(6) % 2
layered = np.abs(np.arange(6)[:, None] // 2 - np.arange(6) // 2) == 1
cases = json.loads(input())
results = {name: difference(**case) for name, case in cases.items()}
results["bipartite"] = difference(couple=bipartite, first=0.3)
results["layered"] = difference(couple=layered)
results["uncoupled"] = difference(couple=np.zeros((6, 6)))
results["launches"] = difference(launch=100.0, couple=bipartite)
results["launches of Euler steps"] = difference(launch=100.0, scheme="euler", noise="gaussian")
states = np.zeros((2, 2, 6, 6), np.float32)
with compute.use("gpu") as gpu:
    cut = [network(state=states[0]), network(state=states[0], done=2)]
whole = [network(state=states[1]), network(state=states[1], done=2)]
results["series"] = float(max(np.abs(np.subtract(cut, whole)).max(), np.abs(states[0] - states[1]).max()))
told = []
with compute.use("gpu"):
    network(progress=told.append)
    try:
        network(cancelled=lambda: len(told) > 0)
    except compute.Cancelled:
        results["cancelled"] = 0.0
print(json.dumps({"differences": results, "told": told, "description": gpu.description, "noises": list(NOISES)}))
"""

CASES = {f"ros2 {noise}": {"noise": noise} for noise in get_args(Noise)} | {
    "euler gaussian": {"scheme": "euler", "noise": "gaussian"},
    "one trajectory a thread": {"crowd": 1e9},
    "rails": {"rail": 0.2},
    "settling": {"settling_time": 0.3},
    "some cells": {"read": [4, 1]},
    "where it starts": {"start": [0.3, 0.2, 0.1, 0.0, -0.1, -0.2]},
    "names": {"slots": [7, 8], "rows": [3, 9], "cells": [5, 4, 3, 2, 1, 0], "first_trajectory": 11},
}
OTHERS = [
    "bipartite", "layered", "uncoupled", "launches", "launches of Euler steps", "series", "cancelled",
]  # fmt: skip


@pytest.fixture(scope="module")
def simulated():
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", ON_THE_SIMULATOR],
        input=json.dumps(CASES), env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES, *OTHERS])
def test_trajectories_on_a_gpu_are_those_of_this_machine_but_for_rounding(simulated, case):
    assert simulated["differences"][case] < 2e-6


def test_a_gpu_knows_every_noise(simulated):
    assert set(get_args(Noise)) <= set(simulated["noises"])


def test_a_run_on_a_gpu_tells_how_much_of_it_is_done(simulated):
    told = simulated["told"]
    assert told == sorted(set(told))
    assert len(told) > 2
    assert told[-1] == 1.0


def test_the_gpu_is_named(simulated):
    assert simulated["description"] == "the GPU that Numba simulates"
