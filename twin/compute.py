"""The one place that runs kernels: in slices, on as many threads as the machine lends."""

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import numba
import numpy as np
import numpy.typing as npt

SLICES_PER_THREAD = 4
WATCH_INTERVAL = 0.02


class Cancelled(RuntimeError):  # noqa: N818  (not an error: what was asked for)
    """A run was cancelled before it was done."""


class _Workers:
    """Threads that kernels, which hold no GIL, run on; started when first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    @property
    def threads(self) -> int:
        return self._threads

    def resize(self, threads: int) -> None:
        with self._lock:
            self._threads = threads
            self._pool = None

    def pool(self) -> ThreadPoolExecutor:
        """Return the pool of this process: a fork inherits no threads and starts its own."""
        with self._lock:
            if self._pool is None or self._pool[0] != os.getpid():
                self._pool = os.getpid(), ThreadPoolExecutor(self._threads, thread_name_prefix="twin")
            return self._pool[1]


_workers = _Workers()


def threads() -> int:
    """Return on how many threads kernels run: NUMBA_NUM_THREADS of the environment, else the number of cores."""
    return _workers.threads


def set_threads(count: int) -> None:
    """Set on how many threads kernels run. Results do not depend on it.

    Raises
    ------
    ValueError
        If the count is below 1.
    """
    if count < 1:
        raise ValueError(f"threads is {count}; at least 1 is needed")
    _workers.resize(count)


def run_sliced(
    kernel: Callable[[int, int], None],
    items: int,
    stop: npt.NDArray[np.uint8] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Call ``kernel(begin, end)`` on contiguous slices of the items, side by side.

    Parameters
    ----------
    stop, cancelled
        While the kernel runs, ``cancelled`` is asked every 20 ms; once it says so, ``stop[0]`` is set for the kernel
        to see.

    Raises
    ------
    Cancelled
        If ``cancelled`` said so before the kernel was done.
    """
    if cancelled is not None and cancelled():
        raise Cancelled("the run was cancelled")
    if cancelled is None and (_workers.threads == 1 or items == 1):
        kernel(0, items)
        return
    slices = 1 if _workers.threads == 1 else min(items, _workers.threads * SLICES_PER_THREAD)
    edges = np.linspace(0, items, slices + 1).astype(int).tolist()
    pool = _workers.pool()
    futures = [pool.submit(kernel, begin, end) for begin, end in itertools.pairwise(edges)]
    try:
        while wait(futures, WATCH_INTERVAL if cancelled else None).not_done:
            if cancelled is not None and stop is not None and cancelled():
                stop[0] = 1
    except BaseException:
        if stop is not None:
            stop[0] = 1
        raise
    for future in futures:
        future.result()
    if stop is not None and stop[0]:
        raise Cancelled("the run was cancelled")
