"""The one place where a run engine is made: what it records, where, on whose clock, and how it ends."""

import json
import os
import platform
import subprocess
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine
from bluesky.run_engine import get_bluesky_event_loop
from bluesky.utils import Msg, SigintHandler
from event_model import DocumentNames
from threadpoolctl import threadpool_limits

from lab.bench_state import noting, taking_up
from lab.catalog_address import catalog_address, send_in_background
from lab.device_states import DeviceStates
from lab.devices.driver_device import AcquisitionStoppedError
from lab.journal import Encoder, Journal
from lab.station import Station
from lab.suspenders import Suspenders
from lab.terminal import say
from lab.watchdog import Watch

__all__ = ["LabRunEngine", "MetadataError", "make_run_engine"]

LIBRARIES = ("szilard", "bluesky", "ophyd", "event-model", "pymeasure", "pyvisa", "numpy", "numba", "scipy")
SHORT_REPR = 16  # elements; event validation formats every array, which costs milliseconds for long ones

ContextManager = Callable[[Any], AbstractContextManager[Any]]


class MetadataError(ValueError):
    """Metadata of a run that cannot be recorded."""


class LabRunEngine(RunEngine):
    """A run engine whose runs are always recorded and always end with the station in its safe state.

    The journal sees each document before any subscriber; if it cannot write, the run fails. After a plan, however it
    ended (also by `halt`), and before control returns, the station's devices are brought to their safe state. Neither
    can be unsubscribed.

    Attributes
    ----------
    station : Station
        Whose devices the plans use.
    journal : Journal
        Where the runs are recorded; ``journal.run_directory(uid)`` says where one is.
    """

    def __init__(self, station: Station, journal: Journal, **options: Any) -> None:
        self.station = station
        self.journal = journal
        self._watch: Watch | None = None
        self._askers: tuple[ContextManager, ...] = ()
        super().__init__(**options)

    @property
    def context_managers(self) -> list[ContextManager]:
        """What surrounds every execution: those set, for instance to handle Ctrl-C, and the guard of the station."""
        return [*self._chosen_context_managers, _guarded, *self._askers]

    @context_managers.setter
    def context_managers(self, chosen: Sequence[ContextManager]) -> None:
        own = (_guarded, *self._askers)
        self._chosen_context_managers = [manager for manager in chosen if manager not in own]

    def suspend_for(self, suspenders: Suspenders) -> None:
        """Let plans wait for what the station must be like."""
        self._askers = (suspenders.asking,)

    def request_suspend(self, fut: Any, *, justification: str | None = None, **plans: Any) -> None:
        """Suspend the plan until something is done; why is told in one line instead of bluesky's own."""
        say(justification or "the plan is suspended")
        with redirect_stdout(StringIO()):
            super().request_suspend(fut, **plans)

    async def _start_suspender(self, msg: Msg) -> None:
        """Suspend the plan, unless it is being ended: nothing may hold up what leaves the outputs safe."""
        if self.state not in ("aborting", "stopping", "halting"):
            await super()._start_suspender(msg)

    def abort(self, reason: str = "") -> Any:
        """Abort the plan; what is stopped by that does not make it one that failed."""
        if self._pardon_failures is not None:
            self.loop.call_soon_threadsafe(self._pardon_failures.set)
        return super().abort(reason)

    def emit_sync(self, name: DocumentNames, doc: Mapping[str, Any]) -> None:
        """Record a document, then hand it to the subscribers."""
        self.journal(name.name, doc)
        if self._watch is not None and name is DocumentNames.start:
            self._watch.note_run(self.journal.run_directory(doc["uid"]))
        super().emit_sync(name, doc)

    def watch(self) -> None:
        """Set a watchdog on instruments that outlive this process, unless one watches already."""
        outlived = self.station.mode == "hardware" and len(self.station) > 0
        if outlived and (self._watch is None or not self._watch.alive):
            self._watch = Watch(self.station)

    def make_safe(self) -> None:
        """Make the station safe; the watchdog is dismissed when it is, and else stays to try again."""
        self.station.safe()
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.dismiss()


def make_run_engine(
    station: Station,
    *,
    directory: str | os.PathLike | None = None,
    arguments: Mapping[str, Any] | None = None,
    progress: Callable[[Any], None] | None = None,
    context_managers: Sequence[ContextManager] | None = None,
) -> LabRunEngine:
    """Make the run engine of a station.

    Parameters
    ----------
    station : Station
        Whose clock plans sleep on, and whose devices are safe when a plan ends.
    directory : path, optional
        Where runs are recorded; by default ``$LAB_RUNS``, else ``./runs``.
    arguments : mapping, optional
        Arguments of the plan as the operator gave them, recorded in the start document.
    progress : callable, optional
        Called with the statuses that are being waited for, and with None when the wait is over, as
        `bluesky.utils.ProgressBarManager` is.
    context_managers : sequence, optional
        Handling of Ctrl-C; by default bluesky's: once pauses at the next checkpoint, twice at once.

    Returns
    -------
    LabRunEngine

    Raises
    ------
    JournalError
        If runs cannot be recorded in the directory.
    MetadataError
        If the arguments cannot be recorded.
    """
    md = {**station.metadata(), **_provenance()}
    if arguments is not None:
        md["arguments"] = dict(arguments)
    _check_metadata(md)
    engine = LabRunEngine(
        station,
        Journal(directory),
        md=md,
        md_validator=_check_metadata,
        loop=_event_loop(),
        context_managers=list(context_managers) if context_managers is not None else [_interruptible],
    )
    engine.suspend_for(Suspenders(station, engine))
    engine.waiting_hook = progress  # type: ignore[assignment]
    states = DeviceStates(station, engine.journal)
    engine.subscribe(states)
    engine.state_hook = states.engine_state  # type: ignore[assignment]
    engine.register_command("take_up", taking_up(station.bench))
    if station.mode == "twin":
        engine.register_command("sleep", _sleeper(station))
    if station.bench is not None:
        engine.preprocessors.append(noting(station.bench))
    if (address := catalog_address(station.catalog)) is not None:
        engine.subscribe(lambda _name, _doc: send_in_background(address, engine.journal.directory), "stop")
    return engine


def _event_loop() -> AbstractEventLoop | None:
    """Return the loop of the engine before, None if there is none: nobody ever closes one, nor ends its thread."""
    loop = get_bluesky_event_loop()
    return loop if loop is not None and loop.is_running() else None


@contextmanager
def _guarded(engine: LabRunEngine) -> Iterator[None]:
    """Refuse to begin what cannot be recorded; leave the station safe unless the plan is only paused.

    Linear algebra runs on one thread meanwhile: its matrices are small, its idle threads would spin on the cores the
    twin computes on, and results must not depend on how many cores there are.
    """
    if engine.state == "idle":
        engine.journal.check()
        engine.watch()
    try:
        with np.printoptions(threshold=SHORT_REPR), threadpool_limits(limits=1, user_api="blas"):
            yield
    except BaseException as error:
        try:
            engine.make_safe()
        except ExceptionGroup as unsafe:
            error.add_note(str(unsafe))
        first = _first_failure(error)
        if first is error:
            raise
        raise first from first.__cause__
    if engine.state != "paused":
        engine.make_safe()


def _first_failure(error: BaseException) -> BaseException:
    """Return the failure for whose sake other devices were stopped, where an error only says that one was."""
    earlier: BaseException | None = error
    while isinstance(earlier, BaseException):
        if not isinstance(earlier.__cause__ or earlier, AcquisitionStoppedError):
            return earlier
        earlier = earlier.__context__
    return error


def _interruptible(engine: RunEngine) -> AbstractContextManager:
    """Handle Ctrl-C where Python lets us: in the main thread."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    return SigintHandler(engine) if in_main_thread else nullcontext()


def _sleeper(station: Station) -> Callable[[Msg], Any]:
    async def sleep(msg: Msg) -> None:
        (seconds,) = msg.args
        station.clock.sleep(float(seconds))

    return sleep


def _check_metadata(md: Mapping[str, Any]) -> None:
    for key, value in md.items():
        try:
            json.dumps({key: value}, cls=Encoder)
        except (TypeError, ValueError) as error:
            raise MetadataError(f"metadata {key!r} cannot be recorded: {error}") from error
    if not isinstance(md.get("sample", ""), (str, Mapping)):
        raise MetadataError(f"metadata 'sample' must be a text or a mapping, not {md['sample']!r}")


def _provenance() -> dict[str, Any]:
    versions = {name.replace("-", "_"): metadata.version(name) for name in LIBRARIES}
    versions["python"] = platform.python_version()
    revision = _revision(Path(__file__).parents[1])
    return {"versions": versions, **({"revision": revision} if revision else {})}


def _revision(root: Path) -> str:
    """Return the git revision of a source checkout, ``+`` appended if files differ from it; empty elsewhere."""
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    try:
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return outcome.stdout.strip()
