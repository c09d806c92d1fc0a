"""The lock of a VISA resource: one exclusive holder, or several sessions that share a key (VPP-4.3, section 3.6)."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable

from pyvisa.constants import AccessModes, Lock, StatusCode

__all__ = ["ResourceLock", "VisaError"]


class VisaError(Exception):
    """A VISA operation that ends with an error code.

    Parameters
    ----------
    status
        The completion code that PyVISA turns into its ``VisaIOError``.
    """

    def __init__(self, status: StatusCode) -> None:
        super().__init__(status.name)
        self.status = status


class ResourceLock:
    """Who may talk to one resource. Locks nest; an exclusive lock may be put on top of a shared one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: int | None = None
        self._nesting = 0
        self._key: str | None = None
        self._sharing: Counter[int] = Counter()

    @property
    def state(self) -> AccessModes:
        """The lock in force."""
        if self._holder is not None:
            return AccessModes.exclusive_lock
        return AccessModes.shared_lock if self._sharing else AccessModes.no_lock

    def admits(self, session: int) -> bool:
        """Tell whether a session may use the resource now."""
        if self._holder is not None:
            return self._holder == session
        return not self._sharing or session in self._sharing

    def acquire(self, session: int, kind: Lock, timeout: float, key: str | None = None) -> tuple[str, StatusCode]:
        """Take the lock, waiting for others to give it back.

        Parameters
        ----------
        session
            Who asks.
        kind
            Exclusive or shared.
        timeout
            How long to wait, in seconds.
        key
            The key of a shared lock; a new one is made when it is None.

        Returns
        -------
        tuple
            The access key (empty for an exclusive lock) and the completion code.

        Raises
        ------
        VisaError
            ``VI_ERROR_TMO`` when others kept the lock, ``VI_ERROR_INV_ACCESS_KEY`` when a shared lock has another key.
        """
        with self._changed:
            if kind == Lock.exclusive:
                self._wait(lambda: self._may_exclude(session), timeout)
                self._holder = session
                self._nesting += 1
                nested = self._nesting > 1
                return "", StatusCode.success_nested_exclusive if nested else StatusCode.success
            if key is not None and self._key is not None and key != self._key:
                raise VisaError(StatusCode.error_invalid_access_key)
            self._wait(lambda: self._may_share(session, key), timeout)
            self._key = self._key or key or uuid.uuid4().hex
            self._sharing[session] += 1
            nested = self._sharing[session] > 1
            return self._key, StatusCode.success_nested_shared if nested else StatusCode.success

    def release(self, session: int) -> StatusCode:
        """Give back the innermost lock of a session.

        Raises
        ------
        VisaError
            ``VI_ERROR_SESN_NLOCKED`` when the session holds no lock.
        """
        with self._changed:
            if self._holder == session:
                self._nesting -= 1
                self._holder = session if self._nesting else None
            elif session in self._sharing:
                self._sharing[session] -= 1
            else:
                raise VisaError(StatusCode.error_session_not_locked)
            self._tidy()
            if self._holder == session:
                return StatusCode.success_nested_exclusive
            return StatusCode.success_nested_shared if session in self._sharing else StatusCode.success

    def forget(self, session: int) -> None:
        """Give back every lock of a session that closed."""
        with self._changed:
            if self._holder == session:
                self._holder, self._nesting = None, 0
            self._sharing.pop(session, None)
            self._tidy()

    def _tidy(self) -> None:
        self._sharing = +self._sharing
        if not self._sharing:
            self._key = None
        self._changed.notify_all()

    def _may_exclude(self, session: int) -> bool:
        return self._holder in (None, session) and (not self._sharing or session in self._sharing)

    def _may_share(self, session: int, key: str | None) -> bool:
        return self._holder in (None, session) and (not self._sharing or session in self._sharing or key == self._key)

    def _wait(self, condition: Callable[[], bool], timeout: float) -> None:
        if not self._changed.wait_for(condition, min(timeout, threading.TIMEOUT_MAX)):
            raise VisaError(StatusCode.error_timeout)
