"""The base of our devices: one driver, one worker thread that writes to it, one way to safety."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from typing import Any

from ophyd import Device, Staged
from ophyd.status import StatusBase

from lab.signals import AcquisitionStatus, DriverSignal

PATIENCE = 60.0
"""Seconds that what is under way is given to end before a device is made safe once more."""


class AcquisitionStoppedError(RuntimeError):
    """An acquisition that was stopped before its end; it has no results."""


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
    """

    def __init__(
        self, driver: Any, *, name: str, limits: Mapping[str, tuple[float, float]] | None = None, **kwargs: Any
    ) -> None:
        self.driver = driver
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-worker")
        self._unfinished: set[Future[None]] = set()
        self._failure: BaseException | None = None
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

        Raises
        ------
        AcquisitionStoppedError
            If the device was made safe before its turn came.
        """
        try:
            self._begin(work).result()
        except CancelledError:
            raise self._dropped() from None

    def _begin(self, work: Callable[[], None]) -> Future[None]:
        future = self._worker.submit(work)
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
            self.do(self.prepare_acquisition)
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
        self.safety_steps()[0][1]()

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
        done, failures = self._take_safety_steps()
        if under_way:
            wait(under_way, PATIENCE)
            done, failures = self._take_safety_steps()
        if failures:
            raise ExceptionGroup(f"{self.name} could not be made safe", failures)
        return done

    def _take_safety_steps(self) -> tuple[list[str], list[Exception]]:
        """Take every step; return what was done and what failed."""
        done: list[str] = []
        failures: list[Exception] = []
        for what, step in self.safety_steps():
            try:
                step()
            except Exception as error:  # noqa: BLE001
                error.add_note(f"{self.name}: {what}")
                failures.append(error)
            else:
                done.append(what)
        return done, failures

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
