"""A Dask cluster as a place to compute at: pieces of a call go to its workers, and numbers come back.

A piece holds all that it needs, so that the scheduler can give it to another worker when one dies. Results are those
of this machine, because workers are refused whose code is another or whose processors round differently.
"""

import functools
import hashlib
import platform
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from importlib import metadata
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite.binding import get_host_cpu_features

from twin.compute import WATCH_INTERVAL, Call, Cancelled, ClusterError, MissingExtraError, Piece, one_thread

PIECES_PER_THREAD = 4
CONNECTING = 5.0
"""Seconds within which a scheduler answers and has a worker."""
LONGEST_GREETING = 2**20
"""Bytes of the first message of a scheduler; it takes some hundreds."""
WITHOUT_WORKERS = 60.0
"""Seconds that a run waits for a worker when all have died."""
REPORTING = 0.2
"""Seconds between two reports of a worker on the progress of its piece."""


class Cluster:
    """The workers of a Dask scheduler.

    Parameters
    ----------
    address
        Of the scheduler: ``tcp://host:port``.

    Raises
    ------
    MissingExtraError
        If Dask is not installed.
    ClusterError
        If nothing answers there, there are no workers, or they would compute other numbers.
    """

    def __init__(self, address: str) -> None:
        try:
            import dask
            import distributed
        except ImportError as error:
            raise MissingExtraError("a cluster needs Dask: pip install 'szilard[cluster]'") from error
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GB"})  # pieces carry their arrays
        self.address = address
        self._fractions: dict[str, float] = {}
        try:
            _knock(address)
            self._client = distributed.Client(address, timeout=CONNECTING, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"no Dask scheduler answers at {address}: {error}") from error
        try:
            self._check_workers()
            self._topic = f"szilard {self._client.id}"
            self._client.subscribe_topic(self._topic, self._hear)
        except BaseException:
            self.close()
            raise

    @property
    def description(self) -> str:
        """What it computes with, in words."""
        threads = self._threads()
        return f"{_count(len(threads), 'worker')} with {_count(sum(threads.values()), 'thread')} at {self.address}"

    def close(self) -> None:
        """Leave the cluster, which goes on; more than once does no harm."""
        self._client.close()

    def run(self, call: Call) -> Any:
        """Return what a call returns, put together from pieces that the workers have done.

        Raises
        ------
        Cancelled
            If the argument ``cancelled`` said so.
        ClusterError
            If the cluster is lost, has no worker for a minute, or a piece has been the end of several workers.
        """
        cancelled, progress = call.arguments.get("cancelled"), call.arguments.get("progress")
        if cancelled is not None and cancelled():
            raise Cancelled("the run was cancelled")
        arguments = {name: value for name, value in call.arguments.items() if name not in ("cancelled", "progress")}
        pieces = list(call.cut(arguments, PIECES_PER_THREAD * max(1, sum(self._threads().values()))))
        send = functools.partial(
            _run_piece,
            call.function,
            watched="cancelled" in call.arguments,
            topic=self._topic if progress is not None else None,
        )

        def look_on(keys: Sequence[str]) -> None:
            if cancelled is not None and cancelled():
                raise Cancelled("the run was cancelled")
            if progress is not None:
                progress(sum(self._fractions[key] for key in keys) / len(keys))

        whole = None
        for piece, part, changes in self._results(send, pieces, look_on):
            whole = _whole(pieces, part) if whole is None else whole
            whole[piece.where] = part
            for name, place in piece.changed.items():
                place[...] = changes[name].reshape(place.shape)
        return whole

    def _results(
        self, send: Callable[..., Any], pieces: Sequence[Piece], look_on: Callable[[Sequence[str]], None]
    ) -> Iterator[tuple[Piece, npt.NDArray[Any], Mapping[str, npt.NDArray[Any]]]]:
        """Yield each piece with its result and the arrays it changed, as they are done."""
        run = uuid.uuid4().hex
        numbered = {f"szilard-{run}-{number}": piece for number, piece in enumerate(pieces)}
        self._fractions.update(dict.fromkeys(numbered, 0.0))
        finished: SimpleQueue[Any] = SimpleQueue()
        futures = []
        try:
            for key, piece in numbered.items():
                futures.append(self._client.submit(send, piece.arguments, list(piece.changed), key=key, pure=False))
                futures[-1].add_done_callback(finished.put)
            for _ in pieces:
                future = self._next(finished, lambda: look_on(list(numbered)))
                part, changes = self._outcome(future)
                self._fractions[future.key] = 1.0
                yield numbered[future.key], part, changes
                future.release()
        finally:
            self._client.cancel([future for future in futures if not future.done()])
            for key in numbered:
                del self._fractions[key]

    def _next(self, finished: "SimpleQueue[Any]", look_on: Callable[[], None]) -> Any:
        """Wait for a piece to be done."""
        last_seen = asked = time.monotonic()
        while True:
            try:
                return finished.get(timeout=WATCH_INTERVAL)
            except Empty:
                look_on()
            now = time.monotonic()
            if now - asked > CONNECTING:
                asked = now
                last_seen = now if self._threads() else last_seen
            if now - last_seen > WITHOUT_WORKERS:
                raise ClusterError(f"the cluster at {self.address} has had no worker for {WITHOUT_WORKERS:.0f} s")

    def _outcome(self, future: Any) -> Any:
        from distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker as error:
            raise ClusterError(f"several workers of the cluster at {self.address} died of the same piece") from error
        except (CancelledError, OSError) as error:
            raise ClusterError(f"the cluster at {self.address} is lost") from error

    def _threads(self) -> dict[str, int]:
        """Return the number of threads of each worker."""
        try:
            return self._client.nthreads()
        except OSError as error:
            raise ClusterError(f"the cluster at {self.address} is lost") from error

    def _hear(self, event: tuple[float, tuple[str, float]]) -> None:
        """Note how far a piece is; one that another worker began anew does not go back."""
        _, (key, fraction) = event
        if key in self._fractions:
            self._fractions[key] = max(self._fractions[key], fraction)

    def _check_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=CONNECTING)
            found = self._client.run(_versions)
        except TimeoutError as error:
            raise ClusterError(f"the cluster at {self.address} has no workers") from error
        except ImportError as error:
            raise ClusterError(f"a worker of the cluster at {self.address} has no szilard: {error}") from error
        ours = _versions()
        for worker, theirs in found.items():
            if theirs != ours:
                raise ClusterError(f"the worker at {worker} has {_listed(theirs)}; needed is {_listed(ours)}")


def _knock(address: str) -> None:
    """Make sure that something answers at an address: Dask would wait for it, if need be for ever.

    Raises
    ------
    OSError
        If nothing listens there, or does not say who it is as a scheduler does: the length of that comes first.
    ValueError
        If it is no address, or one that needs certificates and has none.
    """
    from distributed import Security
    from distributed.comm import get_address_host_port, parse_address

    scheme, _ = parse_address(address)
    with socket.create_connection(get_address_host_port(address), CONNECTING) as line, line.makefile("rb") as incoming:
        if scheme == "tcp":
            length = incoming.read(8)
            if len(length) < 8:
                raise ConnectionError("it hangs up")
            if not 0 < int.from_bytes(length, "little") <= LONGEST_GREETING:
                raise ConnectionError(f"what answers is something else, it says {length!r}")
    if scheme == "tls" and Security().get_connection_args("client")["ssl_context"] is None:
        raise ValueError("no certificates for TLS are configured, see distributed.comm.tls of Dask")


def _versions() -> dict[str, str]:
    """Return all that the numbers of a computation may depend on."""
    digest = hashlib.blake2b(digest_size=4)
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    fused = get_host_cpu_features().get("fma", platform.machine() != "x86_64")
    return {
        **{name: metadata.version(name) for name in ("szilard", "numba", "numpy")},
        "twin": digest.hexdigest(),
        "processor": f"{platform.machine()} {'with' if fused else 'without'} FMA",
    }


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _whole(pieces: Sequence[Piece], part: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return room for the whole result, given the result of one piece."""
    cut = [max(where.stop for where in axis) for axis in zip(*(piece.where for piece in pieces), strict=True)]
    return np.empty((*cut, *part.shape[len(cut) :]), part.dtype)


def _run_piece(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    changed: Sequence[str],
    *,
    watched: bool,
    topic: str | None,
) -> tuple[npt.NDArray[Any], dict[str, npt.NDArray[Any]]]:
    """Do a piece on a worker, whose other threads do other pieces; return its result and the arrays it changed."""
    own = {name: np.array(value) if isinstance(value, np.ndarray) else value for name, value in arguments.items()}
    callbacks: dict[str, Callable[..., Any]] = {"cancelled": _is_given_up()} if watched else {}
    if topic is not None:
        callbacks["progress"] = _report_to(topic)
    with one_thread():
        result = function(**own, **callbacks)
    return result, {name: own[name] for name in changed}


def _is_given_up() -> Callable[[], bool]:
    """Return what tells whether nobody waits for the task of this thread any more."""
    from distributed import get_worker

    worker = get_worker()
    tasks, key = worker.state.tasks, worker.get_current_task()
    return lambda: key not in tasks or tasks[key].state == "cancelled"


def _report_to(topic: str) -> Callable[[float], None]:
    """Return what tells the client how far the task of this thread is, now and then."""
    from distributed import get_worker

    worker = get_worker()
    key, last = worker.get_current_task(), time.monotonic()

    def report(fraction: float) -> None:
        nonlocal last
        if time.monotonic() - last > REPORTING:
            last = time.monotonic()
            worker.log_event(topic, (key, fraction))

    return report
