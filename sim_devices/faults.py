"""Faults of an instrument and of its wire: seeded, per command, the same over VISA and TCP."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

from sim_devices.scpi import Instrument, ScpiError
from sim_devices.scpi.session import REPLY_LIMIT
from sim_devices.scpi.status import MESSAGE_AVAILABLE
from sim_devices.scpi.syntax import Framer

__all__ = ["Fault", "FaultError", "FaultInjector", "FaultySession"]

_NEWLINE = ord("\n")

Kind = Literal["mute", "slow", "garbled", "error", "identity", "dropped"]


class FaultError(ValueError):
    """A fault is described wrongly."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong at some commands.

    Parameters
    ----------
    kind
        ``mute``: the reply never comes. ``slow``: it comes late by `delay`. ``garbled``: some of its bytes are wrong.
        ``error``: the command is executed, then error `code` is queued. ``identity``: the reply to ``*IDN?`` is
        `identity`. ``dropped``: the connection is lost and the command is not executed.
    command
        Header of the commands it strikes, in the notation of the manual (``SAMPle:COUNt?`` strikes ``samp:coun?`` and
        ``:SAMPLE:COUNT?``); ``*`` strikes every message. A header that leaves out the path it shares with the one
        before it, as in ``SAMP:TOBS 1;COUN 5``, is not found.
    rate
        Probability that it strikes, 0 to 1.
    count
        How many times it strikes at most; None for no limit.
    delay
        Delay of a slow reply in seconds of the user's time.
    code
        Number of the queued error.
    identity
        The wrong identity.

    Raises
    ------
    FaultError
        The kind is unknown or a number is out of range.
    """

    kind: Kind
    command: str = "*"
    rate: float = 1.0
    count: int | None = None
    delay: float = 0.5
    code: int = -310
    identity: str = "Unknown,Unknown,0,0"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise FaultError(f"no fault named {self.kind!r}; there are: {', '.join(get_args(Kind))}")
        if not self.command.strip():
            raise FaultError("command must be a header such as SAMPle:COUNt?, or * for every message")
        if not 0.0 <= self.rate <= 1.0:
            raise FaultError(f"rate must lie between 0 and 1, not {self.rate!r}")
        if self.count is not None and self.count < 0:
            raise FaultError(f"count must be 0 or more, or None, not {self.count!r}")
        if not 0.0 <= self.delay <= threading.TIMEOUT_MAX:
            raise FaultError(f"delay must be 0 s or more, not {self.delay!r}")
        if not self.code:
            raise FaultError("code must be an error number other than 0, which means no error")


class _ArmedFault:
    """A fault with its own stream of chances, so that other faults and other commands do not shift them."""

    def __init__(self, fault: Fault, seed: str) -> None:
        self.fault = fault
        self._pattern = _header_pattern(fault.command)
        self._chances = Random(seed)
        self._left = fault.count

    def strikes(self, message: bytes) -> bool:
        """Tell whether the fault happens at this message."""
        if self._pattern.search(message) is None or self._chances.random() >= self.fault.rate or self._left == 0:
            return False
        if self._left is not None:
            self._left -= 1
        return True


class FaultInjector:
    """The faults of one instrument, for all its clients.

    Attributes
    ----------
    armed : bool
        Whether anything can go wrong.
    """

    def __init__(self) -> None:
        self.armed = False
        self._lock = threading.Lock()
        self._faults: list[_ArmedFault] = []
        self._noise = Random(0)

    def arm(self, faults: Iterable[Fault], seed: str) -> None:
        """Replace the faults."""
        with self._lock:
            self._faults = [_ArmedFault(fault, f"{seed}/{index}") for index, fault in enumerate(faults)]
            self._noise = Random(seed)
            self.armed = bool(self._faults)

    def draw(self, message: bytes) -> list[Fault]:
        """Choose what goes wrong at a message."""
        with self._lock:
            return [armed.fault for armed in self._faults if armed.strikes(message)]

    def garble(self, reply: bytes) -> bytes:
        """Spoil about a quarter of the bytes of a reply, at least one, but not its end."""
        garbled = bytearray(reply)
        size = len(reply.rstrip(b"\n"))
        with self._lock:
            for position in self._noise.sample(range(size), min(size, 1 + size // 4)):
                wrong = self._noise.randrange(256)
                garbled[position] = garbled[position] ^ 0x80 if wrong in (garbled[position], _NEWLINE) else wrong
        return bytes(garbled)


class FaultySession:
    """A client's session to an instrument, over a wire that may have faults and may be cut.

    Without faults every call goes straight to the instrument's session.

    Parameters
    ----------
    instrument
        The instrument.
    client
        Who connects, as ``host:port``.
    injector
        The faults of the instrument.
    on_output
        Called, from any thread, when there is something to `take` or the connection is lost. It makes the session a
        stream, see :class:`sim_devices.scpi.Session`; without it replies wait for `read`.
    on_close
        Called with the session when it is closed.
    """

    def __init__(
        self,
        instrument: Instrument,
        client: str,
        injector: FaultInjector,
        *,
        on_output: Callable[[], None] | None = None,
        on_close: Callable[["FaultySession"], object] | None = None,
    ) -> None:
        self._instrument = instrument
        self._injector = injector
        self._on_output = on_output
        self._on_close = on_close
        self._framer = Framer()
        self._lock = threading.Lock()
        self._lost = threading.Event()
        self._fate: Sequence[Fault] = ()
        self._replies: deque[tuple[float, bytes]] = deque()
        self._session = instrument.open_session(client, on_output)

    def write(self, data: bytes, *, end: bool = False) -> None:
        """Send bytes; a message ends at a newline outside a block, or at `end`.

        Raises
        ------
        ConnectionResetError
            The connection is lost.
        """
        if self._framer.empty and not self._injector.armed:
            self._fate = ()
            self._session.write(data, end=end)
            return
        for message in self._framer.feed(data, end=end):
            if isinstance(message, ScpiError):
                self._report(message)
            else:
                self._execute(message, end)

    def read(self, count: int, timeout: float) -> tuple[bytes, bool]:
        """Read at most `count` bytes of a reply, and tell whether they reach its end.

        Raises
        ------
        TimeoutError
            No reply came within `timeout` seconds.
        ConnectionResetError
            The connection is lost.
        """
        if not self._diverted:
            return self._session.read(count, timeout)
        deadline = time.monotonic() + timeout
        if not self._replies:
            self._admit(self._read_reply(timeout))
        ready_at = self._replies[0][0] if self._replies else deadline
        if self._lost.wait(_seconds_until(min(ready_at, deadline))):
            raise ConnectionResetError
        with self._lock:
            if not self._replies or ready_at > deadline:
                raise TimeoutError
            _, reply = self._replies.popleft()
            if len(reply) > count:
                self._replies.appendleft((ready_at, reply[count:]))
        return reply[:count], len(reply) <= count

    def take(self) -> bytes:
        """Take everything that is ready, without waiting.

        Raises
        ------
        ConnectionResetError
            The connection is lost.
        """
        if self._session.closed:
            raise ConnectionResetError
        if not self._diverted:
            return self._session.take()
        self._admit(self._session.take())
        ready = []
        with self._lock:
            while self._replies and self._replies[0][0] <= time.monotonic():
                ready.append(self._replies.popleft()[1])
        return b"".join(ready)

    def read_stb(self) -> int:
        """Read the status byte."""
        if self._session.closed:
            raise ConnectionResetError
        return self._session.read_stb() | (MESSAGE_AVAILABLE if self._replies else 0)

    def clear(self) -> None:
        """Clear the device: its input, its output and what it was about to say."""
        if self._session.closed:
            raise ConnectionResetError
        self._forget()
        self._framer.reset()
        self._session.clear()

    def trigger(self) -> None:
        """Send a trigger."""
        self._session.trigger()

    def close(self) -> None:
        """Leave the instrument."""
        self._lost.set()
        self._forget()
        self._session.close()
        if self._on_close is not None:
            self._on_close(self)

    def hang_up(self) -> None:
        """Lose the connection, as if a cable was pulled."""
        self.close()
        if self._on_output is not None:
            self._on_output()

    @property
    def _diverted(self) -> bool:
        return bool(self._fate or self._replies or self._injector.armed)

    def _execute(self, message: bytes, end: bool) -> None:
        fate = self._injector.draw(message)
        if any(fault.kind == "dropped" for fault in fate):
            self.hang_up()
            raise ConnectionResetError
        if self._on_output is None:
            self._forget()
        self._fate = fate
        self._session.write(message, end=end)
        for fault in fate:
            if fault.kind == "error":
                self._report(ScpiError(fault.code, "an injected fault"))
        if self._on_output is not None:
            self._admit(self._session.take())

    def _report(self, error: ScpiError) -> None:
        with self._instrument.lock:
            self._session.report(error)

    def _read_reply(self, timeout: float) -> bytes:
        reply, end = self._session.read(REPLY_LIMIT, timeout)
        while not end:
            part, end = self._session.read(REPLY_LIMIT, timeout)
            reply += part
        return reply

    def _admit(self, reply: bytes) -> None:
        """Let a reply through the faults of its message."""
        faults = {fault.kind: fault for fault in self._fate}
        if not reply or "mute" in faults:
            return
        if "identity" in faults:
            reply = reply.replace(self._instrument.identity.encode(), faults["identity"].identity.encode())
        if "garbled" in faults:
            reply = self._injector.garble(reply)
        delay = faults["slow"].delay if "slow" in faults else 0.0
        with self._lock:
            earliest = self._replies[-1][0] if self._replies else 0.0
            self._replies.append((max(earliest, time.monotonic() + delay), reply))
        if delay and self._on_output is not None:
            timer = threading.Timer(delay, self._on_output)
            timer.daemon = True
            timer.start()

    def _forget(self) -> None:
        with self._lock:
            self._replies.clear()
            self._fate = ()


def _seconds_until(deadline: float) -> float:
    return min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)


def _header_pattern(command: str) -> re.Pattern[bytes]:
    """Compile a header in the manual's notation to what finds it, short or long, in a program message."""
    if command == "*":
        return re.compile(b"")
    spelled = command.strip().removeprefix(":")
    spelled = re.escape(spelled.upper() if spelled.islower() else spelled)
    spelled = spelled.replace(r"\[", "(?:").replace(r"\]", ")?")
    spelled = re.sub(r"([A-Z]+)([a-z]+)", r"\1(?:\2)?", spelled)
    return re.compile(rf"(?:\A|;)\s*:?{spelled}(?=[\s;]|\Z)".encode(), re.IGNORECASE)
