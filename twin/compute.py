"""The one place that runs kernels and chooses where: threads of this machine, a Dask cluster or a GPU.

`run_sliced` runs one kernel on the threads of this machine. A function that is declared `piecewise` runs where its
thread has been told to: here, on the workers of a cluster in pieces, or on a GPU if it has such a version.
"""

import functools
import inspect
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ParamSpec, Protocol, TypeVar

import numba
import numpy as np
import numpy.typing as npt

SLICES_PER_THREAD = 4
WATCH_INTERVAL = 0.02

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Cancelled(RuntimeError):  # noqa: N818  (not an error: what was asked for)
    """A run was cancelled before it was done."""


class PlaceError(ValueError):
    """No place to compute at is called so."""


class MissingExtraError(ImportError):
    """An optional library is needed that is not installed."""


class GpuError(RuntimeError):
    """There is no GPU that CUDA can use."""


class ClusterError(ConnectionError):
    """A Dask cluster cannot be reached, cannot do the work, or was lost."""


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
_alone: ContextVar[bool] = ContextVar("alone", default=False)


def threads() -> int:
    """Return on how many threads kernels run: NUMBA_NUM_THREADS of the environment, else the number of cores."""
    return 1 if _alone.get() else _workers.threads


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


@contextmanager
def one_thread() -> Iterator[None]:
    """Let kernels that this thread runs use one thread, where something else keeps the other cores busy."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


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
    if cancelled is None and (threads() == 1 or items == 1):
        kernel(0, items)
        return
    slices = 1 if threads() == 1 else min(items, threads() * SLICES_PER_THREAD)
    pool = _workers.pool()
    futures = [pool.submit(kernel, begin, end) for begin, end in _edges(items, slices)]
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


def slices(items: int, count: int) -> list[slice]:
    """Cut a number of items into at most ``count`` contiguous slices of nearly equal size."""
    return [slice(begin, end) for begin, end in _edges(items, max(1, min(items, count)))]


def _edges(items: int, count: int) -> Iterator[tuple[int, int]]:
    return itertools.pairwise(np.linspace(0, items, count + 1).astype(int).tolist())


@dataclass(frozen=True)
class Piece:
    """One of the calls that together do what one call of a piecewise function does.

    Parameters
    ----------
    arguments
        Of the call, by name.
    where
        Which part of the leading axes of the whole result the result of this call is.
    changed
        Arguments that the call changes in place, by name: which part of the caller's arrays the change belongs in.
    """

    arguments: Mapping[str, Any]
    where: tuple[slice, ...]
    changed: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


Cut = Callable[[Mapping[str, Any], int], Iterable[Piece]]
"""Cuts a call, given by its arguments, into about as many pieces as asked for."""


@dataclass(frozen=True)
class Call:
    """A call of a piecewise function.

    Parameters
    ----------
    function
        As other processes find it; there it may be cut again.
    here
        The same on the threads of this machine.
    cut, gpu
        See `piecewise`.
    arguments
        By name.
    """

    function: Callable[..., Any]
    here: Callable[..., Any]
    cut: Cut
    gpu: str
    arguments: Mapping[str, Any]


class Executor(Protocol):
    """Where piecewise functions run."""

    @property
    def description(self) -> str:
        """What it computes with, in words."""

    def run(self, call: Call) -> Any:
        """Return what a call returns.

        Raises
        ------
        Cancelled
            If the argument ``cancelled`` said so.
        """

    def close(self) -> None:
        """Give back what was opened for it; more than once does no harm."""


class Threads:
    """The threads of this machine."""

    @property
    def description(self) -> str:
        """What it computes with, in words."""
        return f"{threads()} thread{'s' if threads() > 1 else ''}"

    def run(self, call: Call) -> Any:
        """Return what a call returns."""
        return call.here(**call.arguments)

    def close(self) -> None:
        """Do nothing."""


_threads = Threads()
_executor: ContextVar[Executor] = ContextVar("executor", default=_threads)


def open_executor(place: str = "threads") -> Executor:
    """Open a place to compute at.

    Parameters
    ----------
    place
        ``threads`` of this machine; ``gpu``; or the address of the scheduler of a Dask cluster, such as
        ``tcp://10.0.0.1:8786``.

    Raises
    ------
    PlaceError
        If the place is none of these.
    MissingExtraError
        If the library for it is not installed.
    ClusterError
        If there is no such cluster, it has no workers, or their software is another.
    GpuError
        If there is no GPU.
    """
    if place == "threads":
        return _threads
    if place == "gpu":
        from twin.gpu import Gpu

        return Gpu()
    if ":" in place:
        from twin.cluster import Cluster

        return Cluster(place)
    raise PlaceError(f"compute: {place!r} is not allowed; threads, gpu or the address of a cluster, tcp://host:port")


def choose(executor: Executor) -> None:
    """Let this thread run piecewise functions at a place from now on; other threads are not concerned."""
    _executor.set(executor)


@contextmanager
def use(place: str) -> Iterator[Executor]:
    """Open a place to compute at, see `open_executor`, and let this thread use it meanwhile."""
    executor = open_executor(place)
    token = _executor.set(executor)
    try:
        yield executor
    finally:
        _executor.reset(token)
        executor.close()


def piecewise(cut: Cut, gpu: str = "") -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Declare that a function may be run in pieces, elsewhere, with the same result.

    It must be a pure function of its arguments except for arrays that it changes as `Piece` says, return an array, and
    be found under its name by another process. Its arguments ``cancelled`` and ``progress`` are called here.

    Parameters
    ----------
    cut
        How a call is cut.
    gpu
        ``module:function`` that does the same on a GPU; without one the threads of this machine do it there, too.
    """

    def declare(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return _executor.get().run(Call(run, function, cut, gpu, bound.arguments))

        return run

    return declare
