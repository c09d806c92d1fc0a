"""Networks of noisy cells, simulated on a GPU: what `twin.models.network` does on threads."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from twin.compute import Cancelled
from twin.kernels.block import Programs, set_coefficients
from twin.kernels.langevin_cuda import SHARED_MEMORY, SIDE_BY_SIDE, THREADS, cuda, draws_per_group, step_kernel
from twin.kernels.tile import COEFFICIENTS
from twin.kernels.topology import BEGIN, CELLS, END, WEIGHT, Layout
from twin.models.network import MAXIMUM_GROUPS, Noise, Scheme, arrange_programs, steps_in

LAUNCH = 2.0**31
"""Steps of a cell in one launch, after which a run can be cancelled."""
CROWD = 2**19
"""Trajectories that keep a GPU busy although each of its threads has several."""


class Span(NamedTuple):
    """What one launch does: some of the steps that P programs take towards one observation."""

    drawn: npt.NDArray[np.int64]  # (P, n): how often each class of cells has drawn before the interval
    steps: npt.NDArray[np.int64]  # (P,) of the interval
    begins: npt.NDArray[np.int64]  # (P,) the first of this launch
    ends: npt.NDArray[np.int64]  # (P,) and where they end
    times: npt.NDArray[np.float64]  # (P,) from the start to the interval
    sizes: npt.NDArray[np.float64]  # (P,) of a step
    interval: int  # 0 for the first, 1 for the others
    observation: int  # counted from 0 in this call


@dataclass(frozen=True)
class Timetable:
    """When P programs are observed, in steps.

    Parameters
    ----------
    first_steps, first_step
        (P,) steps to the first observation and their size.
    next_steps, next_step
        (P,) and from each observation to the next.
    colours
        (P,) classes of cells.
    cells
        n.
    """

    first_steps: npt.NDArray[np.int64]
    first_step: npt.NDArray[np.float64]
    next_steps: npt.NDArray[np.int64]
    next_step: npt.NDArray[np.float64]
    colours: npt.NDArray[np.int64]
    cells: int

    def spans(self, done: int, observations: int, trajectories: int) -> Iterator[Span]:
        """Yield the launches after ``done`` observations, none much longer than LAUNCH."""
        for number in range(done, done + observations):
            later = number > 0
            steps, sizes = (self.next_steps, self.next_step) if later else (self.first_steps, self.first_step)
            times = (self.first_steps * self.first_step + (number - 1) * self.next_steps * self.next_step) * later
            launches = math.ceil(float(steps.sum()) * trajectories * self.cells / LAUNCH)
            for launch in range(launches):
                begins, ends = steps * launch // launches, steps * (launch + 1) // launches
                yield Span(self.drawn(number), steps, begins, ends, times, sizes, int(later), number - done)

    def drawn(self, observations: int) -> npt.NDArray[np.int64]:
        """Return how often each class of cells has drawn when so many observations are made, (P, n)."""
        after_first = self._draws(self.first_steps) + (observations - 1) * self._draws(self.next_steps)
        return after_first * (observations > 0)

    def _draws(self, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return how often each class of cells draws in an interval of so many steps, (P, n)."""
        colour, last = np.arange(self.cells), self.colours[:, np.newaxis] - 1
        often = np.where(colour == 0, steps[:, np.newaxis] + 1, 2 * steps[:, np.newaxis])
        return np.where(colour == last, steps[:, np.newaxis], often)


def sample_network(
    couplings: npt.NDArray[np.float32],
    fields: npt.NDArray[np.float32],
    stiffness: npt.NDArray[np.float32],
    temperature: float | npt.NDArray[np.float64],
    *,
    trajectories: int,
    key: tuple[int, int],
    first: float,
    interval: float | None,
    observations: int,
    step: float | npt.NDArray[np.float64],
    scheme: Scheme,
    noise: Noise,
    rail: float,
    read: Any,
    start: npt.NDArray[np.float64] | None,
    slots: Any,
    rows: Any,
    cells: Any,
    first_trajectory: int,
    done: int,
    state: npt.NDArray[np.float32] | None,
    settling_time: float,
    cancelled: Callable[[], bool] | None,
    progress: Callable[[float], None] | None,
) -> npt.NDArray[np.float32]:
    """Simulate networks of cells and return what is observed, see `twin.models.network.sample_network`.

    Raises
    ------
    ValueError
        If a trajectory is longer than the noise of one run lasts, 2^32 groups of draws.
    Cancelled
        If ``cancelled`` said so.
    """
    programs, count, n = np.shape(fields)
    total, read = count * trajectories, _numbers(read, n)
    arranged = arrange_programs(couplings, fields, stiffness, temperature, scheme)
    layout = _trimmed(arranged.layout)
    steps = np.broadcast_to(np.asarray(step, np.float64), (programs,))
    timetable = Timetable(
        *steps_in(first, steps), *steps_in(first if interval is None else interval, steps), layout.colours, n
    )
    if timetable.drawn(done + observations).max() >= MAXIMUM_GROUPS * draws_per_group(noise):
        raise ValueError(f"a trajectory of {done + observations} observations is longer than its noise lasts")
    coefficients = _coefficients(arranged, timetable, implicit=scheme != "euler")
    begin = np.zeros(n) if start is None else start
    where = np.broadcast_to(begin, (programs, total, n)) if state is None else state
    addresses = (
        *map(cuda.to_device, (_numbers(slots, programs), _numbers(rows, count), _numbers(cells, n))),
        first_trajectory, trajectories, *(np.uint32(word) for word in key),
    )  # fmt: skip
    room = 4 * (layout.weights.shape[1] + layout.neighbours.shape[1])
    together = SIDE_BY_SIDE if programs * total >= CROWD else 1
    kernel = step_kernel(n, scheme, noise, together, room <= SHARED_MEMORY)
    threads = min(THREADS, -(-total // together))
    blocks = -(-total // (together * threads)), programs
    there = cuda.to_device(np.ascontiguousarray(where, np.float32))
    samples = cuda.device_array((programs, total, observations, read.size), np.float32)
    given = (
        cuda.to_device(arranged.fields), tuple(map(cuda.to_device, layout)),
        cuda.to_device(coefficients), addresses, (np.float32(rail), float(settling_time)),
    )  # fmt: skip
    on_device = cuda.to_device(read)
    for span in timetable.spans(done, observations, trajectories=total):
        if cancelled is not None and cancelled():
            raise Cancelled("the run was cancelled")
        moved = tuple(cuda.to_device(item) if isinstance(item, np.ndarray) else item for item in span)
        kernel[blocks, threads, 0, min(room, SHARED_MEMORY)](*given, moved, there, on_device, samples)
        cuda.synchronize()
        if progress is not None:
            progress((span.observation + float((span.ends / span.steps).mean())) / observations)
    if state is not None:
        there.copy_to_host(state)
    return samples.copy_to_host().reshape(programs, count, trajectories, observations, read.size)


def _numbers(given: Any, count: int) -> npt.NDArray[np.int64]:
    return np.arange(count) if given is None else np.asarray(given, np.int64)


def _trimmed(layout: Layout) -> Layout:
    """Return the arrangement of cells without the room that neighbours and weights do not use."""
    programs, n = layout.order.shape
    used = np.arange(n) < layout.class_tiles[np.arange(programs), layout.colours][:, np.newaxis]
    begins, ends = layout.tiles[..., BEGIN], layout.tiles[..., END]
    weights = layout.tiles[..., WEIGHT] + layout.tiles[..., CELLS] * (ends - begins)
    return layout._replace(
        neighbours=layout.neighbours[:, : max(1, ends[used].max())].astype(np.int32),
        weights=np.ascontiguousarray(layout.weights[:, : max(1, weights[used].max())]),
    )


def _coefficients(programs: Programs, timetable: Timetable, *, implicit: bool) -> npt.NDArray[np.float32]:
    """Return the coefficients (P, 2, 2, n, COEFFICIENTS) of the first and later intervals, of full and half steps."""
    count, n = programs.layout.order.shape
    coefficients = np.zeros((count, 2, 2, n, COEFFICIENTS), np.float32)
    for p in range(count):
        for interval, sizes in enumerate((timetable.first_step, timetable.next_step)):
            set_coefficients(
                coefficients[p, interval], programs.stiffness[p], programs.temperature, programs.layout.order[p],
                sizes[p], implicit,
            )  # fmt: skip
    return coefficients
