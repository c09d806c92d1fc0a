"""Running the kernels that sample block by block, and the addresses of the noise they draw."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from twin.compute import run_sliced
from twin.kernels.jit import LANES
from twin.kernels.lanes import Addresses

Indices = Sequence[int] | npt.NDArray[np.integer]


def address(
    groups: tuple[int, int],
    trajectories: int,
    first_trajectory: int,
    key: tuple[int, int],
    slots: Indices | None,
    rows: Indices | None,
) -> Addresses:
    """Return the addresses of P programs with K rows, numbered by their positions unless numbers are given."""
    return Addresses(
        slots=np.arange(groups[0]) if slots is None else np.asarray(slots, np.int64),
        rows=np.arange(groups[1]) if rows is None else np.asarray(rows, np.int64),
        first_trajectory=int(first_trajectory),
        trajectories=int(trajectories),
        key_0=int(key[0]),
        key_1=int(key[1]),
    )


def watched(groups: tuple[int, int], trajectories: int) -> dict[str, npt.NDArray[Any]]:
    """Return the flag that stops a run and the counters of the observations that its blocks have made."""
    blocks = -(-groups[1] * trajectories // LANES)
    return {"stop": np.zeros(1, np.uint8), "observed": np.zeros(groups[0] * blocks, np.int64)}


def sample_in_blocks(
    sample_blocks: Callable[..., None],
    dynamics: Any,
    plan: Any,
    groups: tuple[int, int],
    observations: int,
    state: npt.NDArray[np.float32] | None,
    cancelled: Callable[[], bool] | None,
    progress: Callable[[float], None] | None,
) -> npt.NDArray[np.float32]:
    """Run a kernel on every block and return (P, K, trajectories, observations, cells read) samples.

    Parameters
    ----------
    sample_blocks, dynamics, plan, state
        The kernel and its arguments.
    groups
        P programs and K rows.
    cancelled, progress
        Asked and told every 20 ms, see `twin.models.network.sample_network`.

    Raises
    ------
    Cancelled
        If ``cancelled`` said so.
    """
    trajectories = plan.addresses.trajectories
    carried = np.empty((0, 0, 0), np.float32) if state is None else state
    samples = np.empty((groups[0], groups[1] * trajectories, observations, plan.read.size), np.float32)

    def look_on() -> bool:
        if progress is not None:
            progress(float(plan.observed.sum() / (plan.observed.size * observations)))
        return cancelled is not None and cancelled()

    run_sliced(
        lambda begin, end: sample_blocks(begin, end, dynamics, plan, carried, samples),
        plan.observed.size, plan.stop, look_on if cancelled or progress else None,
    )  # fmt: skip
    return samples.reshape(*groups, trajectories, observations, plan.read.size)
