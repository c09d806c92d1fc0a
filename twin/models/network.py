"""Networks of noisy cells, simulated: programs as the kernel walks them, and what is observed of their motion."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from twin.compute import piecewise
from twin.kernels.block import WORDS_PER_GROUP, Programs
from twin.kernels.langevin import Plan, sample_blocks
from twin.kernels.tile import ConvexImplicit, Euler, Implicit, Signs, Symbols, Variates
from twin.kernels.topology import TILE, Layout, lay_out
from twin.models.blocks import address, sample_in_blocks, watched
from twin.models.network_pieces import cut_network

Scheme = Literal["ros2", "euler"]
Noise = Literal["matched", "rademacher", "popcount", "gaussian"]

_NOISE: dict[Noise, Signs | Symbols | Variates] = {
    "matched": Symbols(), "rademacher": Signs(), "popcount": Variates(normal=False), "gaussian": Variates(),
}  # fmt: skip

MAXIMUM_GROUPS = 2**32


def steps_in(interval: float, step: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return number and size of the equal steps, none above ``step``, that make up an interval."""
    count = np.maximum(1, np.ceil(interval / np.asarray(step, np.float64) - 1e-9)).astype(np.int64)
    return count, interval / count


def arrange_programs(
    couplings: npt.NDArray[np.float32],
    fields: npt.NDArray[np.float32],
    stiffness: npt.NDArray[np.float32],
    temperature: float | npt.NDArray[np.float64],
    scheme: Scheme = "ros2",
) -> Programs:
    """Return programs as the kernel walks them, see `twin.kernels.topology.Layout`.

    Parameters
    ----------
    couplings
        (P, n, n); ``J[i, j]`` weighs x_j in the force on cell i, so a board without detailed balance is allowed. The
        diagonal is not read.
    fields
        (P, K, n): bias minus what the inputs exert, for K rows of input.
    stiffness
        (P, n, 3): J2, J3, J4.
    temperature
        kT, one for all cells or (n,).
    scheme
        ``ros2`` needs classes of cells that are not coupled to each other.
    """
    programs, n = np.shape(couplings)[:2]
    layout = Layout(
        order=np.empty((programs, n), np.int64),
        colours=np.empty(programs, np.int64),
        classes=np.empty((programs, n + 1), np.int64),
        class_tiles=np.empty((programs, n + 1), np.int64),
        tiles=np.empty((programs, n, TILE), np.int64),
        neighbours=np.empty((programs, n * n), np.int64),
        weights=np.empty((programs, n * n), np.float32),
    )
    without_diagonal = np.array(couplings, np.float32)
    without_diagonal[:, np.arange(n), np.arange(n)] = 0
    lay_out(without_diagonal, scheme == "ros2", layout)
    return Programs(
        fields=np.ascontiguousarray(fields, np.float32),
        stiffness=np.ascontiguousarray(stiffness, np.float32),
        temperature=np.broadcast_to(np.asarray(temperature, np.float64), (n,)).copy(),
        layout=layout,
    )


def _marker(scheme: Scheme, stiffness: npt.NDArray[np.float32]) -> Euler | Implicit | ConvexImplicit:
    """Return the step that the kernel takes: one without the guard against negative slopes where there are none."""
    if scheme == "euler":
        return Euler()
    quadratic, cubic, quartic = np.moveaxis(stiffness, 2, 0)
    convex = (quadratic >= 0).all() and not cubic.any() and (quartic >= 0).all()
    return ConvexImplicit() if convex else Implicit()


@piecewise(cut_network, gpu="twin.models.network_cuda:sample_network")
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
        Programs, see `arrange_programs`.
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
        See `twin.kernels.langevin` and `twin.kernels.tile`. ``rademacher`` are signs, ``matched`` symbols, ``popcount``
        counts of bits and ``gaussian`` normal variates.
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
    kind = _NOISE[noise]
    longest = int(first_steps.max()) + 1 + (done + observations) * (int(next_steps.max()) + 1)
    if 2 * longest >= MAXIMUM_GROUPS * WORDS_PER_GROUP * kind.per_word:
        raise ValueError(f"a trajectory of {done + observations} observations is longer than its noise lasts")
    arranged = arrange_programs(couplings, fields, stiffness, temperature, scheme)
    plan = Plan(
        scheme=_marker(scheme, arranged.stiffness),
        kind=kind,
        addresses=address((programs, count), trajectories, first_trajectory, key, slots, rows),
        cells=np.arange(n) if cells is None else np.asarray(cells, np.int64),
        start=np.zeros(n, np.float32) if start is None else np.ascontiguousarray(start, np.float32),
        read=np.arange(n) if read is None else np.asarray(read, np.int64),
        first_steps=first_steps,
        first_step=first_step,
        next_steps=next_steps,
        next_step=next_step,
        done=int(done),
        settling_time=float(settling_time),
        rail=float(rail),
        **watched((programs, count), trajectories),
    )
    return sample_in_blocks(sample_blocks, arranged, plan, (programs, count), observations, state, cancelled, progress)
