"""Our kernel on the boards that contenders simulate, and on vectors narrower than the machine's."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import get_args

import numpy as np
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name
from network.board import Array, Board, Work

from twin import compute
from twin.models.network import Noise, Scheme, sample_network

NOISES = [noise for noise in ("rademacher", "matched", "popcount", "gaussian") if noise in get_args(Noise)]
KEY = (1, 2)
HAS_AVX512 = bool(get_host_cpu_features().get("avx512f"))
NARROWER = {"vectors of 8, no AVX-512": ("avx512",), "vectors of 4, no AVX": ("avx", "fma")}
"""Which instructions of the machine to leave out, by the beginnings of their names."""


def kernel(board: Board, work: Work, scheme: Scheme, noise: Noise, threads: int = 1) -> Callable[[], Array]:
    """Simulate trajectories with our kernel; the run returns where the last layer ends (trajectories, width)."""
    couplings, fields = board.couplings[None], board.bias[None, None]
    stiffness = np.broadcast_to(np.float32([1, 0, board.quartic]), (1, board.cells, 3))

    def run() -> Array:
        compute.set_threads(threads)
        samples = sample_network(
            couplings, fields, stiffness, board.temperature, trajectories=work.trajectories, key=KEY,
            first=work.steps * work.step, step=work.step, scheme=scheme, noise=noise,
            read=np.arange(board.cells)[board.last],
        )  # fmt: skip
        return samples[0, 0, :, 0]

    return run


def narrower(script: str) -> dict[str, dict[str, float]]:
    """Run a script with ``--kernel`` on vectors narrower than this machine has; return the JSON that it prints."""
    features = get_host_cpu_features()
    answers = {}
    for name, left_out in NARROWER.items():
        kept = {each: there and not each.startswith(left_out) for each, there in features.items()}
        if kept == features:
            continue
        written = ",".join(f"{'+' if there else '-'}{each}" for each, there in kept.items())
        environment = os.environ | {"NUMBA_CPU_NAME": get_host_cpu_name(), "NUMBA_CPU_FEATURES": written}
        command = [sys.executable, script, "--kernel"]
        outcome = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        answers[name] = json.loads(outcome.stdout)
    return answers
