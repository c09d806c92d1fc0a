"""The base of our devices: one driver, one worker thread that writes to it, one way to safety."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from ophyd import Device, Staged
from ophyd.status import StatusBase

from drivers.errors import InstrumentError
from drivers.wire import TROUBLES, WireInstrument
from lab.devices.failures import has_gone_safe, is_reported, may_pass
from lab.signals import AcquisitionStatus, DriverSignal, ResultSignal

log = logging.getLogger(__name__)

Result = TypeVar("Result")

MOST_REPEATS = 8
"""How often work is repeated that something goes wrong with each time, though the instruments answer in between."""
SAFETY_PATIENCE = 10.0
"""Seconds for which a step of safety that fails on the wire is tried again; the steps after it are tried once then."""
GLANCE = 2.0
"""Seconds that an instrument may be away while it is only asked something."""
FIRST_DELAY, LONGEST_DELAY, SAY_INTERVAL = 0.05, 2.0, 5.0
"""Seconds between two attempts to reach an instrument, twice as many after each, and between two lines about it."""
SAY_AGAIN = 60.0
"""Seconds between two lines about a condition that is waited for."""
PATIENCE = 60.0
"""Seconds that what is under way is given to end before a device is made safe once more."""


class AcquisitionStoppedError(RuntimeError):
    """An acquisition that was stopped before its end; it has no results."""


class Condition(Protocol):
    """What instruments must be like, which the operator is willing to wait for, see `lab.suspenders`."""

    message: str
    interval: float
    resume_after: float

    def explains(self, error: BaseException) -> bool:
        """Whether an error says that it is not so."""

    def met(self) -> bool:
        """Whether it is so now, or only what is done next can tell."""


class DriverDevice(Device):
    """A device whose signals are properties of a driver.

    All writes and acquisitions run one after the other on the device's own thread; only `stop` and `safe` go past it,
    and after `safe` nothing that was begun before is done any more.
    Constructing a device writes nothing.

    Parameters
    ----------
    driver : object
        A pymeasure instrument, or what the device stands on.
    name : str
        Name in the record.
    limits : mapping of str to (low, high), optional
        Limits to put in place of the default ones, by signal name.

    Attributes
    ----------
    stopped : threading.Event
        Set when what is acquired is to end.
    say : callable
        Tells the operator a line, by default the log.
    conditions : sequence of Condition
        What is waited for, however long, when the instruments report that it is not so; then work is repeated.
    wanted : dict
        What signals were set to, by their names, the latest last.
    troubles : collections.Counter
        What has gone wrong on the wire and was made good, by the name of the error.
    """

    def __init__(
        self, driver: Any, *, name: str, limits: Mapping[str, tuple[float, float]] | None = None, **kwargs: Any
    ) -> None:
        self.driver = driver
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-worker")
        self._unfinished: set[Future[None]] = set()
        self._failure: BaseException | None = None
        self.say: Callable[[str], None] = log.warning
        self.troubles: Counter[str] = Counter()
        self.conditions: Sequence[Condition] = ()
        self.wanted: dict[str, Any] = {}
        self._sessions: dict[Any, int] = {}
        self.stopped = threading.Event()
        super().__init__(name=name, **kwargs)
        for key, (low, high) in (limits or {}).items():
            self.limit(key, low, high)

    def limit(self, key: str, low: float, high: float) -> None:
        """Put limits on what a signal may be set to.

        Raises
        ------
        ValueError
            If there is no such signal, or it takes no limits.
        """
        signals = {n: getattr(self, n) for n in self.component_names}
        limited = {n: s for n, s in signals.items() if isinstance(s, DriverSignal) and s.limits is not None}
        if key not in limited:
            raise ValueError(f"{self.name} has no limits of {key!r}; there are those of {', '.join(limited)}")
        limited[key].limits = (low, high)

    def submit(self, work: Callable[[], None], status: StatusBase) -> StatusBase:
        """Run `work` on the device's thread; `status` ends with it, and fails with what it raises.

        What stopped the device before does not stop this, unless something is still to end. After a failure, whatever
        the stop of the device ends or drops fails with the same error, until the device is staged anew.
        """

        def end(future: Future[None]) -> None:
            error = self._dropped() if future.cancelled() else future.exception()
            if isinstance(error, AcquisitionStoppedError):
                error = self._failure or error
            if error is None:
                status.set_finished()
            else:
                self._failure = error
                status.set_exception(error)

        if not self._unfinished:
            self.stopped.clear()
        self._begin(work).add_done_callback(end)
        return status

    def do(self, work: Callable[[], None]) -> None:
        """Run `work` on the device's thread and wait for its end.

        Conditions are waited for, however long, so that this is not for the thread of a run engine.

        Raises
        ------
        AcquisitionStoppedError
            If the device was made safe before its turn came.
        """
        self._wait_for(self._begin(work))

    def do_now(self, work: Callable[[], None]) -> None:
        """Run `work` as `do` does, but let a condition that is not met be a failure.

        Raises
        ------
        AcquisitionStoppedError
            If the device was made safe before its turn came.
        """
        self._wait_for(self._started(self._repeated, work))

    def _wait_for(self, future: Future[None]) -> None:
        try:
            future.result()
        except CancelledError:
            raise self._dropped() from None

    def persist(self, work: Callable[[], Result]) -> Result:
        """Do `work` on the device's thread, and again when something goes wrong on the wire, once all is well there.

        So it is where instruments report that a condition is not met that the operator is willing to wait for.

        Work is repeated whole, so it must be of a kind that may be: settings are absolute, and an acquisition begins
        anew. What is still under way is ended before, and what a new session may have lost is put back.

        Returns
        -------
        object
            What `work` returns.

        Raises
        ------
        AcquisitionStoppedError
            If the device was stopped while it waited.
        Exception
            What `work` raised last, if the instruments stayed away or it went wrong too often.
        """
        said = -math.inf
        while True:
            try:
                return self._repeated(work)
            except InstrumentError as error:
                condition = self._explaining(error)
                if condition is None:
                    raise
                if time.monotonic() - said > SAY_AGAIN:
                    said = time.monotonic()
                    self.say(f"{error}; {condition.message}")
                self._wait_for_condition(condition)

    def _repeated(self, work: Callable[[], Result]) -> Result:
        """Do `work` until nothing goes wrong on the wire, with everything put back before that was lost."""

        def whole() -> Result:
            if self._renewed:
                self._make_ready()
            return work()

        return self._persist(whole, self.patience, self._make_ready)

    def _explaining(self, error: BaseException) -> Condition | None:
        return next((condition for condition in self.conditions if condition.explains(error)), None)

    def _wait_for_condition(self, condition: Condition) -> None:
        """Wait until a condition is met, for which instruments may have left what they were set to."""
        self._doubt_settings()
        while True:
            if self.stopped.wait(condition.interval):
                self.go_on()
            if condition.met():
                break
        if self.stopped.wait(condition.resume_after):
            self.go_on()

    def glance(self, work: Callable[[], Result]) -> Result:
        """Ask instruments something on any thread, and once more when something goes wrong on the wire.

        It does not wait long, for it may hold up the run engine, and leaves what the device does alone.
        """
        return self._persist(work, GLANCE, lambda: None)

    def _persist(self, work: Callable[[], Result], patience: float, again: Callable[[], None]) -> Result:
        for _ in range(MOST_REPEATS):
            try:
                return work()
            except Exception as error:
                if not may_pass(error):
                    raise
                self.troubles[type(error).__name__] += 1
                if has_gone_safe(error):
                    self._doubt_settings()
                self._wait_for_instruments(error, patience, again)
        return work()

    @property
    def patience(self) -> float:
        """How long instruments may be away, s."""
        return max(getattr(instrument, "patience", 0.0) for instrument in self.instruments())

    def _wait_for_instruments(self, trouble: Exception, patience: float, again: Callable[[], None]) -> None:
        """Wait until all instruments answer and are ready for what comes again; raise `trouble` after patience."""
        begun = time.monotonic()
        said, delay = begun, FIRST_DELAY
        while True:
            try:
                for instrument in self.instruments():
                    instrument.recover()
                again()
            except Exception as still:
                if not may_pass(still):
                    raise
                away = time.monotonic() - begun
                if away + delay > patience:
                    trouble.add_note(f"{self.name} was waited for {away:.0f} s, and still: {still}")
                    raise trouble from still
                if time.monotonic() >= said:
                    self.say(f"{self.name}: no connection for {away:.0f} s, waiting up to {patience:.0f} s ({still})")
                    said = time.monotonic() + SAY_INTERVAL
                if self.stopped.wait(delay):
                    self.go_on()
                delay = min(2 * delay, LONGEST_DELAY)
            else:
                if said > begun:
                    self.say(f"{self.name}: connected again after {time.monotonic() - begun:.0f} s")
                return

    def _make_ready(self) -> None:
        """End what is under way, and put back what instruments with new sessions may have lost; keep the results."""
        self.safety_steps()[0][1]()
        renewed = self._renewed
        if not renewed:
            return
        signals = (getattr(self, name) for name in self.component_names)
        results = [(signal, signal.last) for signal in signals if isinstance(signal, ResultSignal) and signal.seen]
        sessions = {one: one.sessions for one in renewed}
        self.put_back(renewed)
        self._sessions |= sessions
        for signal, value in results:
            signal.store(value)

    @property
    def _renewed(self) -> list[WireInstrument]:
        """The instruments that have got new sessions since they were last put back."""
        there = (one for one in self.instruments() if isinstance(one, WireInstrument))
        return [one for one in there if one.sessions > self._sessions.get(one, 1)]

    def _doubt_settings(self) -> None:
        """Let everything that was set be put back before anything else is done."""
        self._sessions = dict.fromkeys(self.instruments(), 0)

    def instruments(self) -> Sequence[Any]:
        """Return the drivers of all instruments that the device stands on."""
        return [self.driver]

    def put_back(self, instruments: Sequence[Any]) -> None:
        """Put back what instruments may have lost with their sessions, switched off and on as they may have been.

        Raises
        ------
        Exception
            If that is not safe.
        """

    def _begin(self, work: Callable[[], None]) -> Future[None]:
        return self._started(self.persist, work)

    def _started(self, carry_out: Callable[[Callable[[], None]], None], work: Callable[[], None]) -> Future[None]:
        future = self._worker.submit(carry_out, work)
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        return future

    def _dropped(self) -> AcquisitionStoppedError:
        return AcquisitionStoppedError(f"{self.name}: made safe before this was done")

    def trigger(self) -> AcquisitionStatus:
        """Begin an acquisition; the status is done when the results are there."""
        self.stopped.clear()
        status = AcquisitionStatus(self)
        self.submit(lambda: self.acquire(status), status)
        return status

    def go_on(self) -> None:
        """Raise if the acquisition was stopped meanwhile.

        Raises
        ------
        AcquisitionStoppedError
            If it was.
        """
        if self.stopped.is_set():
            raise AcquisitionStoppedError(f"{self.name}: the acquisition was stopped")

    def begun(self) -> None:
        """End what has just begun on the instruments, if the acquisition was stopped before there was anything to end.

        Raises
        ------
        AcquisitionStoppedError
            If it was stopped.
        """
        if self.stopped.is_set():
            self.safety_steps()[0][1]()
        self.go_on()

    def acquire(self, status: AcquisitionStatus) -> None:
        """Acquire and fill the result signals, on the device's thread."""
        raise NotImplementedError

    def prepare_acquisition(self) -> None:
        """Make ready to acquire, on the device's thread."""
        raise NotImplementedError

    @property
    def at_rest(self) -> bool:
        """Whether the instruments say that every output has its safe value."""
        raise NotImplementedError

    def safety_steps(self) -> list[tuple[str, Callable[[], Any]]]:
        """Return what makes the device safe, in order: what is done, and how."""
        raise NotImplementedError

    def length(self, dim: str) -> int:
        """Return the length of an axis of the next results."""
        raise NotImplementedError

    def stage(self) -> list[object]:
        """Make ready to acquire; a failure leaves the device safe."""
        self.stopped.clear()
        self._failure = None
        staged = super().stage()
        try:
            self.do_now(self.prepare_acquisition)
        except BaseException as error:
            try:
                self.unstage()
            except ExceptionGroup as group:
                error.add_note(f"and {self.name} could not be made safe: {group.exceptions}")
            raise
        return staged

    def unstage(self) -> list[object]:
        """Leave the device safe, if it is staged."""
        if not self.staged:
            return []
        unstaged = super().unstage()
        self.release()
        return unstaged

    @property
    def staged(self) -> bool:
        """Whether the device is staged, or half so."""
        return self._staged is not Staged.no

    def release(self) -> None:
        """Undo `prepare_acquisition`: leave the device safe."""
        self.safe()

    def stop(self, *, success: bool = False) -> None:
        """End an acquisition now; its status fails."""
        super().stop(success=success)
        self.stopped.set()
        self._insist(self.safety_steps()[0][1], SAFETY_PATIENCE)

    def safe(self) -> list[str]:
        """Leave the device safe, and return what was done.

        What waits for its turn is dropped. What is under way is stopped; when it has ended, the steps are taken once
        more, for it may have moved an output meanwhile. Every step is tried whatever happens to the others; this may
        be called at any time, and again.

        Raises
        ------
        ExceptionGroup
            Of the steps that failed.
        """
        self.stopped.set()
        under_way = [work for work in tuple(self._unfinished) if not work.cancel()]
        done, failures = self._take_safety_steps(SAFETY_PATIENCE)
        if under_way:
            wait(under_way, PATIENCE)
            done, failures = self._take_safety_steps(0.0 if failures else SAFETY_PATIENCE)
        if failures:
            raise ExceptionGroup(f"{self.name} could not be made safe", failures)
        return done

    def _take_safety_steps(self, patience: float) -> tuple[list[str], list[Exception]]:
        """Take every step; return what was done and what failed."""
        done: list[str] = []
        failures: list[Exception] = []
        for what, step in self.safety_steps():
            try:
                self._insist(step, patience)
            except Exception as error:  # noqa: BLE001
                patience = 0.0
                error.add_note(f"{self.name}: {what}")
                failures.append(error)
            else:
                done.append(what)
        return done, failures

    def _insist(self, step: Callable[[], Any], patience: float) -> None:
        """Take a step of safety, and again, over a new session if need be, when something goes wrong on the wire.

        An error that an instrument reports is told, and the step taken once more: it may be older than the step.
        """
        deadline, reported = math.inf, False
        for _ in range(MOST_REPEATS):
            try:
                step()
                return
            except Exception as error:
                if not reported and is_reported(error):
                    reported = True
                    self.say(str(error))
                    continue
                deadline = min(deadline, time.monotonic() + patience)
                if not may_pass(error) or time.monotonic() >= deadline:
                    raise
                for instrument in self.instruments():
                    with suppress(*TROUBLES):
                        instrument.recover()
        step()

    def close(self) -> None:
        """End the device's thread, once what it does is done."""
        self._worker.shutdown(wait=True)


def take_every_step(failure: str, steps: Iterable[Callable[[], Any]]) -> None:
    """Take every step, whatever happens to the others.

    Raises
    ------
    ExceptionGroup
        Of the steps that failed, with the message `failure`.
    """
    failures: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001
            failures.append(error)
    if failures:
        raise ExceptionGroup(failure, failures)
