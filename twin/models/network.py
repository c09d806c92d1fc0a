"""Networks of noisy cells, simulated: programs as the kernel walks them, and what is observed of their motion."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from twin.compute import run_sliced
from twin.kernels.jit import LANES
from twin.kernels.langevin import NORMALS_PER_GROUP, SYMBOLS_PER_GROUP, Network, Plan, sample_blocks
from twin.kernels.topology import PACK, colour_classes, list_neighbours

Scheme = Literal["ros2", "euler"]
Noise = Literal["matched", "gaussian"]

MAXIMUM_GROUPS = 2**32


def steps_in(interval: float, step: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return number and size of the equal steps, none above ``step``, that make up an interval."""
    count = np.maximum(1, np.ceil(interval / np.asarray(step, np.float64) - 1e-9)).astype(np.int64)
    return count, interval / count


def prepare_network(
    couplings: npt.NDArray[np.float32],
    fields: npt.NDArray[np.float32],
    stiffness: npt.NDArray[np.float32],
    temperature: float | npt.NDArray[np.float64],
) -> Network:
    """Return programs as the kernel walks them: neighbour lists and colour classes.

    Parameters
    ----------
    couplings
        (P, n, n); ``J[i, j]`` weighs x_j in the force on cell i, so a board without detailed balance is allowed.
    fields
        (P, K, n): bias minus what the inputs exert, for K rows of input.
    stiffness
        (P, n, 3): J2, J3, J4.
    temperature
        kT, one for all cells or (n,).
    """
    programs, n = couplings.shape[:2]
    longest = int((np.count_nonzero(couplings, axis=2) + PACK).sum(axis=1).max())
    network = Network(
        fields=np.ascontiguousarray(fields, np.float32),
        stiffness=np.ascontiguousarray(stiffness, np.float32),
        temperature=np.broadcast_to(np.asarray(temperature, np.float64), (n,)).copy(),
        starts=np.zeros((programs, n + 1), np.int64),
        neighbours=np.zeros((programs, longest), np.int64),
        weights=np.zeros((programs, longest), np.float32),
        order=np.zeros((programs, n), np.int64),
        classes=np.zeros((programs, n + 1), np.int64),
        colours=np.zeros(programs, np.int64),
    )
    couplings = np.ascontiguousarray(couplings, np.float32)
    for p in range(programs):
        list_neighbours(couplings[p], network.starts[p], network.neighbours[p], network.weights[p])
        network.colours[p] = colour_classes(couplings[p], network.order[p], network.classes[p])
    return network


def sample_network(
    couplings: npt.NDArray[np.float32],
    fields: npt.NDArray[np.float32],
    stiffness: npt.NDArray[np.float32],
    temperature: float | npt.NDArray[np.float64],
    *,
    trajectories: int,
    key: tuple[int, int],
    first: float,
    interval: float | None = None,
    observations: int = 1,
    step: float | npt.NDArray[np.float64] = 0.02,
    scheme: Scheme = "ros2",
    noise: Noise = "matched",
    rail: float = 16.0,
    read: Sequence[int] | npt.NDArray[np.integer] | None = None,
    start: npt.NDArray[np.float64] | None = None,
    slots: npt.NDArray[np.integer] | None = None,
    rows: npt.NDArray[np.integer] | None = None,
    cells: npt.NDArray[np.integer] | None = None,
    first_trajectory: int = 0,
    done: int = 0,
    state: npt.NDArray[np.float32] | None = None,
    settling_time: float = 0.0,
    cancelled: Callable[[], bool] | None = None,
    progress: Callable[[float], None] | None = None,
) -> npt.NDArray[np.float32]:
    """Simulate networks of cells and return what is observed. Everything is in model units.

    Parameters
    ----------
    couplings, fields, stiffness, temperature
        Programs, see `prepare_network`.
    trajectories
        Trajectories per program and row.
    key
        Two 32-bit words, see `twin.noise.stream_key`.
    first, interval
        Times from the start to the first observation and between observations (default: the same).
    observations
        Observations along each trajectory.
    step
        Largest time step, one for all programs or (P,); intervals are cut into equal steps.
    scheme, noise
        See `twin.kernels.langevin`.
    rail
        Cells are clipped at +-rail.
    read
        Cells observed, all by default.
    start
        (n,) where trajectories start, 0 by default.
    slots, rows, cells
        Numbers (P,) and (n,) below 65536 and (K,) that address the noise of programs, cells and rows, by default their
        positions.
    first_trajectory, done, state
        To cut a run: the number of the first trajectory of each row; the observations already made along them; and
        (P, K * trajectories, n) where they are, carried on and written back.
    settling_time
        The fields rise as 1 - exp(-t / settling_time) after the start.
    cancelled
        Asked every 20 ms whether to give up.
    progress
        Told every 20 ms which fraction of the observations is made.

    Returns
    -------
    ndarray
        (P, K, trajectories, observations, cells read), float32.

    Raises
    ------
    ValueError
        If a trajectory is longer than the noise of one run lasts, 2^32 groups of draws.
    Cancelled
        If ``cancelled`` said so.
    """
    programs, count, n = np.shape(fields)
    step = np.broadcast_to(np.asarray(step, np.float64), (programs,))
    first_steps, first_step = steps_in(first, step)
    next_steps, next_step = steps_in(first if interval is None else interval, step)
    per_group = NORMALS_PER_GROUP if noise == "gaussian" else SYMBOLS_PER_GROUP
    longest = int(first_steps.max()) + 1 + (done + observations) * (int(next_steps.max()) + 1)
    if 2 * longest >= MAXIMUM_GROUPS * per_group:
        raise ValueError(f"a trajectory of {done + observations} observations is longer than its noise lasts")
    blocks = -(-count * trajectories // LANES)
    plan = Plan(
        start=np.zeros(n, np.float32) if start is None else np.ascontiguousarray(start, np.float32),
        read=np.arange(n) if read is None else np.asarray(read, np.int64),
        slots=np.arange(programs) if slots is None else np.asarray(slots, np.int64),
        rows=np.arange(count) if rows is None else np.asarray(rows, np.int64),
        cells=np.arange(n) if cells is None else np.asarray(cells, np.int64),
        stop=np.zeros(1, np.uint8),
        observed=np.zeros(programs * blocks, np.int64),
        first_trajectory=int(first_trajectory),
        trajectories=int(trajectories),
        done=int(done),
        first_steps=first_steps,
        first_step=first_step,
        next_steps=next_steps,
        next_step=next_step,
        settling_time=float(settling_time),
        key_0=int(key[0]),
        key_1=int(key[1]),
        rail=float(rail),
        euler=scheme == "euler",
        gaussian=noise == "gaussian",
    )
    network = prepare_network(couplings, fields, stiffness, temperature)
    carried = np.empty((0, 0, 0), np.float32) if state is None else state
    samples = np.empty((programs, count * trajectories, observations, plan.read.size), np.float32)

    def look_on() -> bool:
        if progress is not None:
            progress(float(plan.observed.sum() / (plan.observed.size * observations)))
        return cancelled is not None and cancelled()

    run_sliced(
        lambda begin, end: sample_blocks(begin, end, network, plan, carried, samples),
        programs * blocks, plan.stop, look_on if cancelled or progress else None,
    )  # fmt: skip
    return samples.reshape(programs, count, trajectories, observations, plan.read.size)
