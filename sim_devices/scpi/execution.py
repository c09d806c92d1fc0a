"""Carrying messages out, one at a time, and going on with those that wait when an overlapped operation completes."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from typing import Any

from sim_devices.scpi.errors import ScpiError
from sim_devices.scpi.operation import Operation, Suspension
from sim_devices.scpi.program import Unit
from sim_devices.scpi.session import Session


class Execution:
    """What an instrument is doing.

    A message is carried out on the thread that wrote it. Where it has to wait for an overlapped operation the writer
    returns, and the rest is carried out on the thread that completes the operation; nothing waits with the lock held.

    Parameters
    ----------
    lock : threading.RLock
        The instrument's lock.
    sessions : sequence of Session
        The instrument's open sessions.

    Attributes
    ----------
    pending : dict
        The operations that are not complete, with the sessions that learn of their failure.
    """

    def __init__(self, lock: threading.RLock, sessions: Sequence[Session]) -> None:
        self.pending: dict[Future[Any], list[Session]] = {}
        self._lock = lock
        self._sessions = sessions
        self._suspended: list[Session] = []
        self._announced: deque[Session] = deque()
        self._busy = False

    def run(self, session: Session, program: tuple[Unit, ...], size: int) -> None:
        """Carry out a message of a session, and what waited for something that it completes.

        Parameters
        ----------
        session : Session
            Whose message it is.
        program : tuple of Unit
            The message.
        size : int
            Its length in bytes, which counts while it waits.
        """
        with self._lock:
            self._busy = True
            try:
                session.submit(program, size)
                if self._suspended:
                    self._resume()
            finally:
                self._busy = False
        if self._announced:
            self._deliver()

    def begin(self, operation: Operation, session: Session) -> None:
        """Make an operation pending until it is done; the lock is held.

        Raises
        ------
        TypeError
            If ``operation`` is not an Operation.
        """
        if not isinstance(operation, Operation):
            raise TypeError(f"a command returns None or an Operation, not a {type(operation).__name__}")
        sessions = self.pending.get(operation.future)
        if sessions is None:
            self.pending[operation.future] = [session]
            operation.future.add_done_callback(self._complete)
        elif session not in sessions:
            sessions.append(session)

    def wait_for(self, operation: Operation, session: Session) -> Suspension:
        """Return what makes a message wait for an operation and answer with its result; the lock is held."""
        self.begin(operation, session)
        future = operation.future
        return Suspension(lambda: future not in self.pending, operation.reply or (lambda: _result(future)))

    def suspend(self, session: Session) -> None:
        """Remember that a message of a session waits; the lock is held."""
        if session not in self._suspended:
            self._suspended.append(session)

    def announce(self, session: Session) -> None:
        """Remember to tell a session, once the lock is free, that it has output."""
        self._announced.append(session)

    def forget(self, session: Session) -> None:
        """Forget a session that is closed; the lock is held."""
        if session in self._suspended:
            self._suspended.remove(session)

    def _complete(self, future: "Future[Any]") -> None:
        """Account for an operation that is done, on whichever thread completed it."""
        with self._lock:
            for session in self.pending.pop(future, ()):
                _report_failure(future, session)
            if not self.pending:
                for session in self._sessions:
                    session.complete()
            if self._busy:
                return
            self._busy = True
            try:
                self._resume()
            finally:
                self._busy = False
        self._deliver()

    def _resume(self) -> None:
        """Go on with the messages that need not wait any more, until all others wait."""
        progress = True
        while progress:
            progress = False
            waiting, self._suspended = self._suspended, []
            for session in waiting:
                progress |= session.resume()
                if session.suspended:
                    self.suspend(session)

    def _deliver(self) -> None:
        """Tell the sessions that have output, without the lock; one that cannot be told has lost its client."""
        while self._announced:
            try:
                session = self._announced.popleft()
            except IndexError:
                return
            try:
                if session.on_output is not None and not session.closed:
                    session.on_output()
            except OSError:
                session.close()


def _report_failure(future: "Future[Any]", session: Session) -> None:
    try:
        error = future.exception(timeout=0)
    except CancelledError:
        return
    if isinstance(error, ScpiError):
        session.report(error)
    elif error is not None:
        session.report(ScpiError(-310, f"{type(error).__name__}: {error}"))


def _result(future: "Future[Any]") -> Any:
    """Return the result of an operation; None where it failed, which has been reported."""
    if future.cancelled():
        raise ScpiError(-230, "the operation was aborted")
    if future.exception() is not None:
        return None
    result = future.result()
    if result is None:
        raise TypeError("a query returned no response data")
    return result
