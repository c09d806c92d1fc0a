"""The base of all our drivers: what happens between a program and an instrument, whatever language the two speak.

Everything here works on plain pymeasure adapters; what pymeasure leaves open is closed in one place: two threads tear
questions from answers, a late reply answers the next question, and binary replies are read byte by byte.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyvisa
from pymeasure.adapters import Adapter, ProtocolAdapter, VISAAdapter
from pymeasure.instruments import Instrument

from drivers.errors import ConnectionLostError, InstrumentError, InstrumentTimeoutError, ReplyError
from drivers.replies import on_or_off, whole

READ_CHUNK = 1 << 20
_IDENTITY = re.compile(r"[A-Za-z][^,]*(?:,[^,]*){3}")
WIRE_ERRORS = (pyvisa.errors.VisaIOError, pyvisa.errors.InvalidSession, OSError)
TROUBLES = (InstrumentTimeoutError, ConnectionLostError, ReplyError)
"""What an exchange raises that went wrong on the wire, and may go right when it is repeated."""
CASTS: dict[Any, Callable[[str], Any]] = {bool: lambda reply: bool(on_or_off(reply)), int: whole}
"""How replies become what pymeasure's classes ask for, in every way in which instruments write it."""


class WireInstrument(Instrument):
    """An instrument whose errors raise and whose questions and answers stay together.

    Any thread may use it. After a time-out the session is cleared, drained and asked who it is before anything else is
    sent. A subclass says in `read_errors` how the instrument tells its errors.

    Parameters
    ----------
    adapter : str, int or pymeasure Adapter
        VISA resource name, or an adapter.
    name : str
        Name for messages.
    **kwargs
        Passed to `pymeasure.adapters.VISAAdapter`: `visa_library`, `timeout` in ms and the like.

    Attributes
    ----------
    sessions : int
        How many sessions have been opened; after a new one the instrument may have lost its settings.
    """

    identity_timeout = 2.0
    patience = 60.0
    """How long it may be away, s, for those who wait for it to come back."""

    # No property of ours is dynamic, so names need none of pymeasure's translation, which costs 2 us an access.
    __getattribute__ = object.__getattribute__
    __setattr__ = object.__setattr__

    def __init__(self, adapter: Adapter | str | int, name: str = "instrument", **kwargs: Any) -> None:
        self.lock = threading.RLock()
        self._command = ""
        self._identity: str | None = None
        self._out_of_step = False
        self._stepping = False
        self._in_doubt = False
        self._new = False
        self.sessions = 0
        self._unreported: list[tuple[int, str]] = []
        kwargs.setdefault("read_termination", "\n")
        kwargs.setdefault("write_termination", "\n")
        self._session_options = {key: value for key, value in kwargs.items() if key not in ("visa_library", "log")}
        super().__init__(adapter, name, **kwargs)
        self._take_session()

    def _take_session(self) -> None:
        self._visa = _visa_resource(self.adapter)
        self._socket = None if self._visa is None else _tuned_socket(self._visa)
        self._in_doubt = False
        self.sessions += 1

    def pause(self, duration: float) -> None:
        """Wait some seconds without the lock; a station with a clock of its own lets that go on instead."""
        threading.Event().wait(duration)

    # one exchange

    def write(self, command: str, **kwargs: Any) -> None:
        """Write one message."""
        with self.lock, self._exchange(command):
            super().write(command, **kwargs)

    def write_bytes(self, content: bytes, **kwargs: Any) -> None:
        """Write bytes as they are."""
        with self.lock, self._exchange(content[:60].split(b"#")[0].decode("ascii", "replace")):
            super().write_bytes(content, **kwargs)

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """Write one query and return its reply."""
        with self.lock:
            self.write(command)
            self.wait_for(query_delay)
            return self._read_reply(self.read)

    def _read_reply(self, read: Callable[[], Any]) -> Any:
        """Read a reply; a missing one leaves the session back in step, or known to be out of it."""
        command = self._command
        try:
            return read()
        except ReplyError:
            self._out_of_step = True
            raise
        except ValueError as error:
            raise self.misunderstood(error) from error
        except WIRE_ERRORS as error:
            self._out_of_step = True
            self._in_doubt |= command == "*IDN?"
            if not _is_timeout(error):
                raise _translated(error, self.name, command) from error
            reported = [] if self._stepping else self._reported_after_timeout()
            if reported:
                raise self._first_of(reported, command) from error
            raise InstrumentTimeoutError(f"{self.name}: no reply to {command!r} in time") from error

    def values(
        self,
        command: str,
        separator: str = ",",
        cast: Callable[[str], Any] = float,
        preprocess_reply: Callable[[str], str] | None = None,
        maxsplit: int = -1,
        **kwargs: Any,
    ) -> list[Any]:
        """Ask for values, as pymeasure does, but raise ReplyError where one cannot be cast; see `CASTS`."""
        with self.lock:
            parts = super().values(command, separator, str, preprocess_reply, maxsplit, **kwargs)
            try:
                return [CASTS.get(cast, cast)(part) for part in parts]
            except (ValueError, LookupError, ArithmeticError) as error:
                raise self.misunderstood(error) from error

    def misunderstood(self, error: Exception) -> ReplyError:
        """Return the error of a reply that cannot be meant by the last command; the session may be out of step."""
        self._out_of_step = True
        return ReplyError(f"{self.name}: the reply to {self._command!r} is not understood: {error}")

    @contextlib.contextmanager
    def _exchange(self, command: str) -> Iterator[None]:
        if self._out_of_step:
            self._unreported += self.resynchronise()
        self._command = command
        try:
            yield
        except WIRE_ERRORS as error:
            self._out_of_step = True
            raise _translated(error, self.name, command) from error

    def _reported_after_timeout(self) -> list[tuple[int, str]]:
        """Return the errors that explain a missing reply; empty when there are none or the instrument is mute."""
        try:
            return self.resynchronise()
        except InstrumentTimeoutError:
            return []

    def resynchronise(self) -> list[tuple[int, str]]:
        """Clear the session, drop late replies, make sure who answers, and return the errors read on the way.

        A socket cannot be cleared, so one on which an identity may still be under way is given up for a new one.

        Query errors (-400 to -499) are not among them: a query that was given up leaves them.

        Raises
        ------
        InstrumentTimeoutError
            If the instrument does not say who it is; nothing else has been sent then.
        ConnectionLostError
            If another instrument answers, or the connection is gone.
        """
        with self.lock:
            self._out_of_step = False
            self._stepping = True
            try:
                if self._in_doubt and self._socket is not None:
                    self._open_session()
                self._drain()
                self._reidentify()
                errors = [entry for entry in self.read_errors() if not -499 <= entry[0] <= -400]
                if self._new:
                    self.reconnected()
                    self._new = False
                return errors
            except Exception as error:
                self._out_of_step = True
                if isinstance(error, WIRE_ERRORS):
                    raise _translated(error, self.name, "*IDN?") from error
                raise
            finally:
                self._stepping = False

    def recover(self) -> None:
        """Bring the session back in step, or open a new one where that is not possible.

        Raises
        ------
        InstrumentTimeoutError, ConnectionLostError, ReplyError
            If the instrument does not answer, or another one does.
        """
        with self.lock:
            try:
                self._unreported += self.resynchronise()
            except TROUBLES:
                self.reconnect()

    def reconnect(self) -> None:
        """Open a new session in place of the old one, and make sure who answers.

        Raises
        ------
        InstrumentTimeoutError, ConnectionLostError, ReplyError
            If the instrument does not answer, or another one does.
        """
        with self.lock:
            self._open_session()
            self._unreported += self.resynchronise()

    def _open_session(self) -> None:
        if self._visa is None:
            raise ConnectionLostError(f"{self.name}: no VISA session, so no new one can be opened")
        with contextlib.suppress(Exception):
            self.adapter.connection.close()
        try:
            self.adapter.connection = self.adapter.manager.open_resource(
                self.adapter.resource_name, **self._session_options
            )
        except (pyvisa.errors.Error, OSError, ValueError) as error:
            raise ConnectionLostError(f"{self.name}: no connection: {error}") from error
        self._take_session()
        self._new = True

    def reconnected(self) -> None:
        """Take up with a new session what the old one had of its own, such as a lock."""

    def _drain(self) -> None:
        """Clear the instrument where the interface can, and drop what it has sent so far."""
        if self._visa is None:
            self.adapter.connection.clear()
            self.adapter.flush_read_buffer()
        elif self._socket is None:
            with contextlib.suppress(NotImplementedError, pyvisa.errors.VisaIOError):
                self._visa.clear()
        else:
            self._visa.flush(pyvisa.constants.BufferOperation.discard_receive_buffer)
            _empty(self._socket, self.name)

    def _reidentify(self) -> None:
        """Ask `*IDN?` and drop late replies until the answer is an identity, the one known if there is one."""
        deadline = time.monotonic() + self.identity_timeout
        self._in_doubt = True
        self.write("*IDN?")
        while True:
            try:
                reply = self.read().strip()
            except UnicodeDecodeError:
                reply = "the rest of a block"
            except WIRE_ERRORS as error:
                raise _translated(error, self.name, "*IDN?") from error
            if reply == self._identity or (self._identity is None and _IDENTITY.fullmatch(reply)):
                self._in_doubt = False
                return
            if time.monotonic() > deadline:
                raise ConnectionLostError(f"{self.name}: answered {reply[:80]!r} when asked who it is")

    # identity, status and errors

    def status_byte(self) -> int:
        """Return the status byte, by a serial poll, which is answered at any time, or else by `*STB?`."""
        with self.lock:
            if self._visa is not None:
                with contextlib.suppress(NotImplementedError, pyvisa.errors.VisaIOError):
                    return self._visa.read_stb()
            return self.values("*STB?", cast=int)[0]

    @property
    def id(self) -> str:
        """Get the identity of the instrument: maker, model, serial number, firmware (str)."""
        with self.lock:
            self._identity = self.ask("*IDN?").strip()
            return self._identity

    def read_errors(self) -> list[tuple[int, str]]:
        """Return what went wrong since the errors were read last, as (code, text), and let the instrument forget it."""
        raise NotImplementedError

    def note_errors(self) -> None:
        """Read the errors now, before something clears them; `check_errors` raises them later."""
        with self.lock:
            found = self.read_errors()
            self._unreported += found

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Let something be done whose errors are its own, and leave earlier ones to whoever they are meant for."""
        with self.lock:
            self.note_errors()
            earlier, self._unreported = self._unreported, []
            try:
                yield
            finally:
                self._unreported = [*earlier, *self._unreported]

    def check_errors(self) -> list[tuple[int, str]]:
        """Raise the oldest error of the queue, the others as its notes; return an empty list if there is none.

        Raises
        ------
        InstrumentError
            With `code`, `text` and the `command` sent last.
        """
        self.raise_errors_of(self._command)
        return []

    def raise_errors_of(self, command: str) -> None:
        """Raise the oldest error as what `command` caused, the others as its notes, if there are any."""
        with self.lock:
            self.note_errors()
            entries, self._unreported = self._unreported, []
            if entries:
                raise self._first_of(entries, command)

    def _first_of(self, entries: Sequence[tuple[int, str]], command: str) -> InstrumentError:
        error = InstrumentError(*entries[0], command=command, instrument=self.name)
        for code, text in entries[1:]:
            error.add_note(f'then {code}, "{text}"')
        return error

    check_get_errors = check_errors
    check_set_errors = check_errors

    def execute(self, command: str | bytes) -> None:
        """Write a command, bytes with their own terminator, and raise what it leaves in the error queue."""
        with self.lock:
            if isinstance(command, bytes):
                self.write_bytes(command)
            else:
                self.write(command)
            self.check_errors()

    # binary replies

    def ask_bytes(self, query: str, count: int) -> bytes:
        """Write one query and return its reply of exactly `count` bytes, which nothing announces.

        Nothing ends it either, but a gateway may add a newline, which is dropped.
        """
        with self.lock:
            self.write(query)
            data = self._read_reply(lambda: self._read_whole(count))
            if self._socket is not None:
                self._drain()
            return data

    def _read_whole(self, count: int) -> bytes:
        with self._whole_payloads():
            return self._read_exactly(count)

    def _read_exactly(self, count: int) -> bytes:
        if self._visa is not None:
            return self._visa.read_bytes(count, chunk_size=max(1, min(count, READ_CHUNK))) if count else b""
        data = self.read_bytes(count) if count else b""
        if len(data) != count:
            raise ReplyError(f"{self.name}: a block ended after {len(data)} of {count} bytes")
        return data

    @contextlib.contextmanager
    def _whole_payloads(self) -> Iterator[None]:
        """Keep the session from looking for a terminator inside payloads."""
        if self._visa is None:
            yield
            return
        termination = self._visa.read_termination
        self._visa.read_termination = ""
        try:
            yield
        finally:
            self._visa.read_termination = termination


def _visa_resource(adapter: Adapter) -> pyvisa.resources.MessageBasedResource | None:
    """Return the PyVISA resource below an adapter, None where there is none."""
    if isinstance(adapter, VISAAdapter) and not isinstance(adapter.connection, ProtocolAdapter):
        return adapter.connection
    return None


def _tuned_socket(resource: pyvisa.resources.MessageBasedResource) -> socket.socket | None:
    """Make a pyvisa-py socket send at once (its VISA attribute raises) and receive in large pieces; None elsewhere."""
    session = getattr(resource.visalib, "sessions", {}).get(resource.session)
    interface = getattr(session, "interface", None)
    if session is None or not isinstance(interface, socket.socket) or interface.type != socket.SOCK_STREAM:
        return None
    interface.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    session.max_recv_size = READ_CHUNK
    return interface


def _empty(interface: socket.socket, name: str) -> None:
    """Drop what a socket holds; pyvisa-py's own clear never ends on a connection that the other side has closed."""
    while select.select([interface], [], [], 0)[0]:
        if not interface.recv(READ_CHUNK):
            raise ConnectionLostError(f"{name}: the instrument has closed the connection")


def _is_timeout(error: Exception) -> bool:
    if isinstance(error, pyvisa.errors.VisaIOError):
        return error.error_code == pyvisa.constants.StatusCode.error_timeout
    return isinstance(error, TimeoutError)


def _translated(error: Exception, name: str, command: str) -> Exception:
    """Return the typed error of ours that says what a failed exchange means."""
    if isinstance(error, (ReplyError, ConnectionLostError, InstrumentTimeoutError)):
        return error
    if _is_timeout(error):
        return InstrumentTimeoutError(f"{name}: no reply to {command!r} in time")
    return ConnectionLostError(f"{name}: {command!r} was not exchanged: {error}")
