"""Networks of noisy loops with inductance, simulated: their motion is underdamped."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from twin.compute import piecewise
from twin.kernels.lanes import PACK
from twin.kernels.underdamped import NORMALS_PER_GROUP, Loops, Plan, sample_blocks
from twin.models.blocks import Indices, address, sample_in_blocks, watched
from twin.models.network import MAXIMUM_GROUPS, steps_in
from twin.models.network_pieces import cut_network


def prepare_loops(
    couplings: npt.NDArray[np.float32],
    fields: npt.NDArray[np.float32],
    stiffness: npt.NDArray[np.float32],
    temperature: float | npt.NDArray[np.float64],
    mass: float,
) -> Loops:
    """Return programs as the kernel walks them, see `sample_loops`."""
    programs, n = couplings.shape[:2]
    weights = np.zeros((programs, n, -(-n // PACK) * PACK), np.float32)
    weights[:, :, :n] = -couplings
    weights[:, np.arange(n), np.arange(n)] = 0
    return Loops(
        fields=np.ascontiguousarray(fields, np.float32),
        stiffness=np.ascontiguousarray(stiffness, np.float32),
        temperature=np.broadcast_to(np.asarray(temperature, np.float64), (n,)).copy(),
        weights=weights,
        mass=float(mass),
    )


@piecewise(cut_network)
def sample_loops(
    couplings: npt.NDArray[np.float32],
    fields: npt.NDArray[np.float32],
    stiffness: npt.NDArray[np.float32],
    temperature: float | npt.NDArray[np.float64],
    *,
    mass: float,
    trajectories: int,
    key: tuple[int, int],
    first: float,
    interval: float | None = None,
    observations: int = 1,
    step: float | npt.NDArray[np.float64] = 0.01,
    rail: float = 16.0,
    read: Indices | None = None,
    start: npt.NDArray[np.float64] | None = None,
    slots: Indices | None = None,
    rows: Indices | None = None,
    first_trajectory: int = 0,
    done: int = 0,
    state: npt.NDArray[np.float32] | None = None,
    settling_time: float = 0.0,
    cancelled: Callable[[], bool] | None = None,
    progress: Callable[[float], None] | None = None,
) -> npt.NDArray[np.float32]:
    """Simulate networks of loops and return what is observed, see `twin.kernels.underdamped`. In model units.

    Parameters
    ----------
    mass
        Reduced mass of a loop, see `twin.models.circuit.Circuit`.
    state
        (P, K * trajectories, 2 n): where the n loops of each trajectory are and then how fast they move, carried on
        and written back.

    The other parameters, the result and the errors are those of `twin.models.network.sample_network`; trajectories
    start at rest.
    """
    programs, count, n = np.shape(fields)
    step = np.broadcast_to(np.asarray(step, np.float64), (programs,))
    first_steps, first_step = steps_in(first, step)
    next_steps, next_step = steps_in(first if interval is None else interval, step)
    longest = int(first_steps.max()) + (done + observations) * int(next_steps.max())
    if longest >= MAXIMUM_GROUPS * NORMALS_PER_GROUP:
        raise ValueError(f"a trajectory of {done + observations} observations is longer than its noise lasts")
    groups = programs, count
    plan = Plan(
        start=np.zeros(n, np.float32) if start is None else np.ascontiguousarray(start, np.float32),
        read=np.arange(n) if read is None else np.asarray(read, np.int64),
        addresses=address(groups, trajectories, first_trajectory, key, slots, rows),
        first_steps=first_steps,
        first_step=first_step,
        next_steps=next_steps,
        next_step=next_step,
        done=int(done),
        settling_time=float(settling_time),
        rail=float(rail),
        **watched(groups, trajectories),
    )
    loops = prepare_loops(couplings, fields, stiffness, temperature, mass)
    return sample_in_blocks(sample_blocks, loops, plan, groups, observations, state, cancelled, progress)
