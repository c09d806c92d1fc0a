"""A PyVISA library whose resources are the simulated instruments of one bench.

Raw streams (``TCPIP::SOCKET``, ``ASRL``) carry bytes and know no END: a read stops at the termination character or at
the count. Message interfaces (``TCPIP::INSTR``, ``GPIB``, ``USB``) carry whole messages with END and follow the message
exchange protocol of IEEE 488.2. Above PyVISA nothing tells them from a real interface of that kind.
"""

import itertools
import threading
import weakref
from collections.abc import Iterable
from typing import Any, NoReturn, SupportsInt

from pyvisa import constants, rname
from pyvisa.constants import AccessModes, BufferOperation, EventMechanism, EventType, Lock, StatusCode
from pyvisa.errors import VisaIOError
from pyvisa.highlevel import VisaLibraryBase
from pyvisa.typing import VISAEventContext, VISARMSession, VISASession
from pyvisa.util import LibraryPath

from sim_devices import benches
from sim_devices.benches import Bench
from sim_devices.visa_lock import ResourceLock, VisaError
from sim_devices.visa_sessions import VisaSession, session_class

__all__ = ["TwinVisaLibrary", "open_library"]

_LOCKS = {AccessModes.exclusive_lock: Lock.exclusive, AccessModes.shared_lock: Lock.shared}
_DISCARDS_INPUT = (
    BufferOperation.discard_read_buffer
    | BufferOperation.discard_read_buffer_no_io
    | BufferOperation.discard_receive_buffer
    | BufferOperation.discard_receive_buffer2
)
_FAILURES = (VisaError, TimeoutError, ConnectionError)
_path_numbers = itertools.count(1)


def open_library(bench: Bench) -> "TwinVisaLibrary":
    """Make a VISA library of a bench.

    Give the instance to ``pyvisa.ResourceManager`` or to pymeasure's ``VISAAdapter(visa_library=...)``. Each call makes
    another library, so sessions, locks and handles of two of them never meet. The bench stays open when the library
    goes.

    Parameters
    ----------
    bench
        The instruments.
    """
    library = TwinVisaLibrary(f"{bench.name} {next(_path_numbers)}")
    library.attach(bench)
    return library


class TwinVisaLibrary(VisaLibraryBase):
    """VISA for simulated instruments.

    ``pyvisa.ResourceManager("@twin")`` opens the default bench, ``ResourceManager("NAME@twin")`` the bench of that
    name; `open_library` serves a bench that is already open.
    """

    _bench: Bench | None
    _owns_bench: bool

    @staticmethod
    def get_library_paths() -> Iterable[LibraryPath]:
        """List the default bench, so that ``ResourceManager("@twin")`` finds it."""
        return (LibraryPath(benches.DEFAULT),)

    @staticmethod
    def get_debug_info() -> dict[str, str]:
        """Describe the library for ``pyvisa-info``."""
        return {"Benches": ", ".join(benches.NAMES)}

    def _init(self) -> None:
        self._bench = None
        self._owns_bench = False
        self._handles = itertools.count(1)
        self._managers: dict[int, set[int]] = {}
        self._sessions: dict[int, VisaSession] = {}
        self._locks: dict[str, ResourceLock] = {}
        self._table = threading.RLock()

    def attach(self, bench: Bench) -> None:
        """Serve a bench that somebody else opened and will close."""
        self._bench = bench

    def open_default_resource_manager(self) -> tuple[VISARMSession, StatusCode]:
        """Open a session to the resource manager, and the bench where the library is to open one itself.

        Raises
        ------
        BenchNameError
            The library path names no bench.
        """
        with self._table:
            if self._bench is None:
                self._bench = benches.open(str(self.library_path))
                self._owns_bench = True
                weakref.finalize(self, self._bench.close)
            handle = next(self._handles)
            self._managers[handle] = set()
        return VISARMSession(handle), self.handle_return_value(handle, StatusCode.success)  # type: ignore[arg-type]

    def list_resources(self, session: VISARMSession, query: str = "?*::INSTR") -> tuple[str, ...]:
        """List the resource names of the bench that match a VISA expression."""
        if session not in self._managers:
            self.handle_return_value(session, StatusCode.error_invalid_object)
        return rname.filter(self._bench.instruments, query) if self._bench is not None else ()

    def open(
        self,
        session: VISARMSession,
        resource_name: str,
        access_mode: AccessModes = AccessModes.no_lock,
        open_timeout: SupportsInt = constants.VI_TMO_IMMEDIATE,
    ) -> tuple[VISASession, StatusCode]:
        """Open a session to an instrument (viOpen).

        Raises
        ------
        pyvisa.errors.VisaIOError
            ``VI_ERROR_INV_RSRC_NAME``, ``VI_ERROR_RSRC_NFOUND``, ``VI_ERROR_RSRC_LOCKED`` when a lock is asked for and
            others keep it, ``VI_ERROR_INV_OBJECT`` when the resource manager is closed.
        """
        try:
            if session not in self._managers or self._bench is None:
                raise VisaError(StatusCode.error_invalid_object)
            handle, connection = self._connect(self._bench, resource_name)
            if access_mode in _LOCKS:
                try:
                    connection.lock.acquire(handle, _LOCKS[access_mode], _seconds(open_timeout))
                except VisaError as error:
                    self._disconnect(handle)
                    raise VisaError(StatusCode.error_resource_locked) from error
            self._managers[session].add(handle)
        except _FAILURES as error:
            self._fail(None, error)
        return VISASession(handle), self.handle_return_value(handle, StatusCode.success)  # type: ignore[arg-type]

    def close(self, session: VISASession | VISARMSession | VISAEventContext) -> StatusCode:
        """Close a session; closing the resource manager closes all its sessions (viClose)."""
        with self._table:
            if session in self._managers:
                for handle in self._managers.pop(session):
                    self._disconnect(handle)
                self._release_bench()
            elif session in self._sessions:
                self._disconnect(session)
                for handles in self._managers.values():
                    handles.discard(session)
            else:
                return self.handle_return_value(None, StatusCode.error_invalid_object)
        return StatusCode.success

    def write(self, session: VISASession, data: bytes) -> tuple[int, StatusCode]:
        """Send bytes to an instrument (viWrite)."""
        try:
            self._find(session).write(data)
        except _FAILURES as error:
            self._fail(session, error)
        return len(data), self._success(session)

    def read(self, session: VISASession, count: int) -> tuple[bytes, StatusCode]:
        """Read at most `count` bytes (viRead).

        Returns
        -------
        tuple
            The bytes, and ``VI_SUCCESS`` at the end of a message, ``VI_SUCCESS_TERM_CHAR`` at the termination
            character, ``VI_SUCCESS_MAX_CNT`` when there may be more.

        Raises
        ------
        pyvisa.errors.VisaIOError
            ``VI_ERROR_TMO``, ``VI_ERROR_CONN_LOST``, ``VI_ERROR_RSRC_LOCKED``, ``VI_ERROR_INV_OBJECT``.
        """
        try:
            data, status = self._find(session).read(count)
        except _FAILURES as error:
            self._fail(session, error)
        if status is StatusCode.success_max_count_read:
            return data, self.handle_return_value(session, status)
        return data, self._success(session, status)

    def clear(self, session: VISASession) -> StatusCode:
        """Clear a device: its buffers and whatever it was about to say (viClear)."""
        try:
            self._find(session).clear()
        except _FAILURES as error:
            self._fail(session, error)
        return self._success(session)

    def read_stb(self, session: VISASession) -> tuple[int, StatusCode]:
        """Read the status byte without disturbing the message exchange (viReadSTB)."""
        try:
            status_byte = self._find(session).read_stb()
        except _FAILURES as error:
            self._fail(session, error)
        return status_byte, self._success(session)

    def assert_trigger(self, session: VISASession, protocol: constants.TriggerProtocol) -> StatusCode:
        """Send a software trigger, as ``*TRG`` does (viAssertTrigger)."""
        try:
            if protocol != constants.TriggerProtocol.default:
                raise VisaError(StatusCode.error_invalid_protocol)
            self._find(session).trigger()
        except _FAILURES as error:
            self._fail(session, error)
        return self._success(session)

    def flush(self, session: VISASession, mask: BufferOperation) -> StatusCode:
        """Discard what arrived, where the mask says so; what is written leaves at once (viFlush)."""
        try:
            connection = self._find(session)
            if mask & _DISCARDS_INPUT:
                connection.discard_input()
        except _FAILURES as error:
            self._fail(session, error)
        return self._success(session)

    def lock(
        self, session: VISASession, lock_type: Lock, timeout: int, requested_key: str | None = None
    ) -> tuple[str, StatusCode]:
        """Lock a resource against other sessions (viLock).

        Raises
        ------
        pyvisa.errors.VisaIOError
            ``VI_ERROR_TMO`` when others kept it for `timeout` milliseconds, ``VI_ERROR_INV_ACCESS_KEY``,
            ``VI_ERROR_INV_OBJECT``.
        """
        try:
            lock = self._find(session, locked=False).lock
            key, status = lock.acquire(session, lock_type, _seconds(timeout), requested_key)
        except _FAILURES as error:
            self._fail(session, error)
        return key, self.handle_return_value(session, status)

    def unlock(self, session: VISASession) -> StatusCode:
        """Give back the innermost lock (viUnlock)."""
        try:
            status = self._find(session, locked=False).lock.release(session)
        except _FAILURES as error:
            self._fail(session, error)
        return self.handle_return_value(session, status)

    def get_attribute(self, session: Any, attribute: Any) -> tuple[Any, StatusCode]:
        """Read an attribute (viGetAttribute)."""
        try:
            value = self._find(session, locked=False).get_attribute(attribute)
        except _FAILURES as error:
            self._fail(session, error)
        return value, self._success(session)

    def set_attribute(self, session: Any, attribute: Any, attribute_state: Any) -> StatusCode:
        """Write an attribute (viSetAttribute)."""
        try:
            self._find(session, locked=False).set_attribute(attribute, attribute_state)
        except _FAILURES as error:
            self._fail(session, error)
        return self._success(session)

    def disable_event(self, session: VISASession, event_type: EventType, mechanism: EventMechanism) -> StatusCode:  # noqa: ARG002
        """Do nothing: no event can be enabled."""
        return self._success(session)

    def discard_events(self, session: VISASession, event_type: EventType, mechanism: EventMechanism) -> StatusCode:  # noqa: ARG002
        """Do nothing: no event can be enabled."""
        return self._success(session)

    def _find(self, session: int, *, locked: bool = True) -> VisaSession:
        try:
            connection = self._sessions[session]
        except KeyError:
            raise VisaError(StatusCode.error_invalid_object) from None
        if locked and not connection.lock.admits(session):
            raise VisaError(StatusCode.error_resource_locked)
        return connection

    def _connect(self, bench: Bench, resource_name: str) -> tuple[int, VisaSession]:
        try:
            name = bench.find(resource_name)
            parsed = rname.parse_resource_name(name)
        except benches.ResourceNameError:
            raise VisaError(StatusCode.error_invalid_resource_name) from None
        except benches.ResourceError:
            raise VisaError(StatusCode.error_resource_not_found) from None
        with self._table:
            handle = next(self._handles)
            lock = self._locks.setdefault(name, ResourceLock())
            self._sessions[handle] = session_class(parsed)(bench, parsed, f"visa:{handle}", lock)
            return handle, self._sessions[handle]

    def _disconnect(self, handle: int) -> None:
        connection = self._sessions.pop(handle)
        connection.lock.forget(handle)
        connection.close()
        self._last_status_in_session.pop(handle, None)  # type: ignore[call-overload]
        self._ignore_warning_in_session.pop(handle, None)

    def _release_bench(self) -> None:
        if self._owns_bench and not self._managers and self._bench is not None:
            self._bench.close()
            self._bench = None

    def _success(self, session: Any, status: StatusCode = StatusCode.success) -> StatusCode:
        self._last_status = self._last_status_in_session[session] = status
        return status

    def _fail(self, session: Any, error: Exception) -> NoReturn:
        if isinstance(error, VisaError):
            status = error.status
        else:
            status = StatusCode.error_timeout if isinstance(error, TimeoutError) else StatusCode.error_connection_lost
        self._last_status = status
        if session is not None:
            self._last_status_in_session[session] = status
        raise VisaIOError(status) from error


def _seconds(milliseconds: SupportsInt) -> float:
    value = int(milliseconds)
    return threading.TIMEOUT_MAX if value == constants.VI_TMO_INFINITE else value / 1000
