"""Exact samples of a linear board, an Ornstein-Uhlenbeck process: ours beside thermox."""

from collections.abc import Callable

import numpy as np
from measuring import ROUNDS, NotInstalledError, Row, contender, least_time
from network.board import Array, Board, Moments
from network.ours import KEY

from twin import compute
from twin.models.linear_network import prepare_process, sample_process

BOARD = Board(4, 8, quartic=0.0, spread=0.2)
INTERVAL = 1.0

Run = Callable[[], Array]


def ours(trajectories: int, observations: int) -> Run:
    """Sample trajectories from 0 exactly; the run returns the states (trajectories, observations, cells)."""
    stiffness = np.broadcast_to(np.float32([1, 0, 0]), (1, BOARD.cells, 3))
    fields = BOARD.bias[None, None]
    clear, process = prepare_process(
        BOARD.couplings[None], fields, stiffness, BOARD.temperature, first=INTERVAL, observations=observations
    )
    assert clear.all()
    compute.set_threads(1)
    return lambda: sample_process(process, trajectories=trajectories, key=KEY, observations=observations)[0, 0]


def thermox_sample(trajectories: int, observations: int) -> Run:
    """Sample the same with thermox, compiled; its matrices are factorised outside the run, as ours."""
    jax, thermox = contender("jax"), contender("thermox")
    stiffness = BOARD.couplings.astype(float) + 2 * np.eye(BOARD.cells)
    rest = jax.numpy.asarray(np.linalg.solve(stiffness, BOARD.bias), jax.numpy.float32)
    drift, diffusion = thermox.preprocess(
        jax.numpy.asarray(stiffness, jax.numpy.float32),
        jax.numpy.asarray(2 * BOARD.temperature * np.eye(BOARD.cells), jax.numpy.float32),
    )
    times = INTERVAL * jax.numpy.arange(observations + 1, dtype=jax.numpy.float32)
    start = jax.numpy.zeros(BOARD.cells, jax.numpy.float32)

    def path(key: object, start: object) -> object:
        return thermox.sample(key, times, start, drift, rest, diffusion, associative_scan=False)[1:]

    batch = jax.jit(jax.vmap(path, in_axes=(0, None)))
    return lambda: np.asarray(batch(jax.random.split(jax.random.key(3), trajectories), start))


def compare(trajectories: int, rounds: int = ROUNDS) -> dict[str, Row]:
    """Time one jump of many trajectories, and fifty of a fiftieth of them; per sample of a cell."""
    rows: dict[str, Row] = {}
    for what, count, observations in (("one jump", trajectories, 1), ("path of 50", trajectories // 50, 50)):
        mine, samples = least_time(ours(count, observations), rounds)
        size = count * observations * BOARD.cells
        reference = Moments.of(samples[:, -1, BOARD.last])
        rows[f"exact, {what}, ours"] = {"work": size, "seconds": mine.cpu, "ns": mine.cpu / size * 1e9}
        name = f"exact, {what}, thermox"
        try:
            theirs, peers = least_time(thermox_sample(count, observations), rounds)
        except NotInstalledError as error:
            rows[name] = {"skipped": str(error)}
            continue
        rows[name] = {
            "work": size,
            "seconds": theirs.cpu,
            "ns": theirs.cpu / size * 1e9,
            "ratio": theirs.cpu / mine.cpu,
            "apart": Moments.of(peers[:, -1, BOARD.last]).distance(reference),
        }
    return rows
