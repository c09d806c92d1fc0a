"""The instruments of a bench on TCP sockets, one port each.

Every client has a thread and a session of its own. One that is slow, stalled, flooding or talking nonsense only harms
itself: the instrument bounds what it sends, its own connection bounds what it leaves unread, and when it takes nothing
for a while it is dropped.
"""

import contextlib
import errno
import functools
import logging
import selectors
import socket
import threading
from collections.abc import Callable, Mapping

from sim_devices.benches import Bench
from sim_devices.faults import FaultySession

__all__ = ["Server", "ServerAddressError", "serve"]

log = logging.getLogger(__name__)

#: Bytes received at a time, outside and inside long messages: a large buffer costs more than a short query takes.
_SHORT, _LONG = 1 << 12, 1 << 18
#: Pause in seconds before the next try when a client could not be accepted.
_RECOVERY = 0.1


class ServerAddressError(OSError):
    """The server cannot listen where it is told to."""


def serve(
    bench: Bench, host: str = "127.0.0.1", port: int = 5025, *, clients: int = 32, patience: float = 10.0
) -> "Server":
    """Serve every instrument of a bench on its own port.

    Parameters
    ----------
    bench
        The instruments; they stay open when the server closes.
    host
        Name or address of this machine to listen at. The default can only be reached from this machine.
    port
        Port of the first instrument; the next ones follow. 0 lets the system choose.
    clients
        How many clients may be connected at a time, all instruments together.
    patience
        After how many seconds a client that takes nothing of its replies is dropped.

    Returns
    -------
    Server
        Listening already; use it as a context manager or close it.

    Raises
    ------
    ServerAddressError
        The address is not one of this machine, or a port is taken, reserved or no port.
    """
    owners: dict[object, str] = {}
    for name, instrument in bench.instruments.items():
        owners.setdefault(instrument, name)
    listeners: dict[str, socket.socket] = {}
    try:
        for offset, name in enumerate(owners.values()):
            listeners[name] = _listen(host, port + offset if port else 0)
    except BaseException:
        for listener in listeners.values():
            listener.close()
        raise
    return Server(bench, listeners, clients=clients, patience=patience)


class Server:
    """Listens for clients until it is closed. Made by `serve`.

    Attributes
    ----------
    addresses : Mapping[str, tuple[str, int]]
        Host and port of every instrument, by resource name.
    bench : Bench
        The instruments.
    """

    def __init__(
        self, bench: Bench, listeners: Mapping[str, socket.socket], *, clients: int = 32, patience: float = 10.0
    ) -> None:
        self.addresses = {name: listener.getsockname()[:2] for name, listener in listeners.items()}
        self.bench = bench
        self._listeners = dict(listeners)
        self._limit = clients
        self._patience = patience
        self._clients: set[_Client] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, drop every client and wait for their threads. May be called twice."""
        self._closing.set()
        self._wake.close()
        self._thread.join()
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.stop()
        for client in clients:
            client.join()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            for name, listener in self._listeners.items():
                listener.setblocking(False)
                selector.register(listener, selectors.EVENT_READ, name)
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        self._stop_listening()
                        return
                    self._welcome(key.data, self._listeners[key.data])

    def _stop_listening(self) -> None:
        self._woken.close()
        for listener in self._listeners.values():
            listener.close()

    def _welcome(self, name: str, listener: socket.socket) -> None:
        try:
            connection, address = listener.accept()
            connection.setblocking(False)
            open_session = functools.partial(self.bench.connect, name, f"{address[0]}:{address[1]}")
            client = _Client(connection, open_session, self._forget, self._patience)
        except OSError as error:
            log.warning("could not accept a client of %s: %s", name, error)
            self._closing.wait(_RECOVERY)
            return
        with self._lock:
            full = len(self._clients) >= self._limit
            if not full:
                self._clients.add(client)
        if full:
            log.warning("turned %s:%s away: %d clients are connected", *address[:2], self._limit)
            client.discard()
        else:
            client.start()

    def _forget(self, client: "_Client") -> None:
        with self._lock:
            self._clients.discard(client)


class _Client:
    """One connection and its thread."""

    def __init__(
        self,
        connection: socket.socket,
        open_session: Callable[..., FaultySession],
        on_end: Callable[["_Client"], object],
        patience: float,
    ) -> None:
        self._socket = connection
        self._patience = patience
        self._open_session = open_session
        self._on_end = on_end
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="client", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def discard(self) -> None:
        """Close the connection and what belongs to it."""
        for end in (self._socket, self._wake, self._woken):
            end.close()

    def stop(self) -> None:
        """Cut the connection, whatever its thread is doing."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def _notice(self) -> None:
        if threading.current_thread() is not self._thread:
            with contextlib.suppress(OSError):
                self._wake.send(b"\0")

    def _run(self) -> None:
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            with contextlib.closing(self._open_session(on_output=self._notice)) as session:
                self._serve(session)
        except OSError as error:
            log.debug("lost a client: %s", error)
        finally:
            self.discard()
            self._on_end(self)

    def _serve(self, session: FaultySession) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            size = _SHORT
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(size)  # type: ignore[union-attr]
                    if not data:
                        return
                    size = _LONG if len(data) >= _SHORT else _SHORT
                    if key.fileobj is self._socket:
                        session.write(data)
                    replies = session.take()
                    if replies:
                        self._send(replies)

    def _send(self, replies: bytes) -> None:
        with memoryview(replies) as view:
            sent = 0
            while sent < len(view):
                try:
                    sent += self._socket.send(view[sent:])
                except BlockingIOError:
                    self._wait_for_room()

    def _wait_for_room(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_WRITE)
            if not selector.select(self._patience):
                raise TimeoutError(f"the client has taken nothing for {self._patience} s")


def _listen(host: str, port: int) -> socket.socket:
    where = f"{host} port {port}"
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ServerAddressError(errno.EINVAL, f"a port is a whole number from 0 to 65535, not {port!r}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ServerAddressError(errno.EADDRNOTAVAIL, f"{host!r} is no address: {error}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
        listener.setsockopt(socket.SOL_SOCKET, exclusive or socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        reason = _REASONS.get(error.errno or 0, error.strerror)
        raise ServerAddressError(error.errno, f"cannot listen on {where}: {reason}") from error
    return listener


_REASONS = {
    errno.EADDRINUSE: "another program listens there; choose another port, or 0 for any free one",
    errno.EACCES: "ports below 1024 are reserved; choose a higher one",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}
