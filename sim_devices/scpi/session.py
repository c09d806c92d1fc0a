"""One client of an instrument: its input, output, errors, status and data format (IEEE 488.2, chapters 6 and 11)."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sim_devices.scpi.errors import CORE_ERRORS, STANDARD_ERRORS, ScpiError, event_bit
from sim_devices.scpi.operation import Suspension
from sim_devices.scpi.program import Unit
from sim_devices.scpi.response import INDEFINITE, DataFormat, encode
from sim_devices.scpi.status import (
    EVENT_SUMMARY,
    MASTER_SUMMARY,
    MESSAGE_AVAILABLE,
    OPERATION_COMPLETE,
    ErrorQueue,
    EventRegister,
)
from sim_devices.scpi.syntax import MESSAGE_LIMIT, Framer

if TYPE_CHECKING:
    from sim_devices.scpi.instrument import Instrument

REPLY_LIMIT = (1 << 29) + (1 << 20)
"""Largest reply, and largest unread output of a session, in bytes."""
ERROR_TEXT_LENGTH = 255
"""Longest text of an error queue entry (SCPI-99, volume 2, 21.8.1)."""


class Session:
    """One client's conversation with an instrument.

    Clients open sessions with :meth:`Instrument.open_session` and do not share anything that a session holds: input,
    output, error queue, status registers and data format. All methods may be called from any thread; none waits for an
    overlapped operation except :meth:`read`, and none raises because of what was written.

    Parameters
    ----------
    instrument : Instrument
        The instrument.
    name : str
        Who the client is, as ``SYSTem:LOCK:OWNer?`` tells others: ``"host:port"``.
    on_output : callable, optional
        Called without arguments, from whichever thread, whenever output has become ready; it must neither block nor
        write. A session that has it is a stream: replies queue up for :meth:`take` instead of being interrupted (-410).

    Attributes
    ----------
    data_format : DataFormat
        How arrays are read and written.
    event_status, event_enable, service_enable : int
        The registers ``*ESR?``, ``*ESE`` and ``*SRE``.
    operation, questionable : EventRegister
        The registers ``STATus:OPERation`` and ``STATus:QUEStionable``.
    errors : ErrorQueue
        The error queue.
    """

    def __init__(self, instrument: "Instrument", name: str, on_output: Callable[[], None] | None = None) -> None:
        self.instrument = instrument
        self.name = name
        self.on_output = on_output
        self.data_format = DataFormat()
        self.event_status = 0
        self.event_enable = 0
        self.service_enable = 0
        self.power_on_clear = True
        self.operation = EventRegister(instrument.conditions["operation"])
        self.questionable = EventRegister(instrument.conditions["questionable"])
        self.errors = ErrorQueue()
        self.closed = False
        self._input = threading.Lock()
        self._ready = threading.Condition(instrument.lock)
        self._framer = Framer()
        self._backlog: deque[tuple[tuple[Unit, ...], int]] = deque()
        self._backlog_size = 0
        self._program: Iterator[Unit] | None = None
        self._suspension: Suspension | None = None
        self._replies: list[bytes] = []
        self._reply_size = 0
        self._output: deque[bytes] = deque()
        self._output_size = 0
        self._offset = 0
        self._completion_armed = False
        self._announced = 0

    # ---- the wire --------------------------------------------------------------------------------------------------

    def write(self, data: bytes, *, end: bool = False) -> None:
        """Take bytes from the client; complete messages are carried out at once.

        Parameters
        ----------
        data : bytes
            Any part of a message, or several messages. A newline outside a definite-length block ends a message.
        end : bool
            Whether END came with the last byte, which ends the message as well.

        Raises
        ------
        ConnectionResetError
            If the session is closed.
        """
        with self._input:
            self._require_open()
            instrument = self.instrument
            instrument.hear(self)
            program = instrument.known_program(data) if self._framer.empty else None
            if program is not None and (end or data[-1] == 10):
                instrument.execution.run(self, program, len(data))
                return
            data = bytes(data)
            for message in self._framer.feed(data, end=end):
                if isinstance(message, ScpiError):
                    with instrument.lock:
                        self.report(message)
                else:
                    instrument.execution.run(self, instrument.compile(message), len(message))

    def read(self, count: int, timeout: float | None) -> tuple[bytes, bool]:
        """Return output, waiting for it where there is none yet.

        Parameters
        ----------
        count : int
            Largest number of bytes to return.
        timeout : float or None
            Longest time to wait, s; None waits for ever.

        Returns
        -------
        data : bytes
            At most ``count`` bytes, of one reply.
        end : bool
            Whether they end the reply.

        Raises
        ------
        TimeoutError
            If no output became ready; -420 is queued then, unless an operation is still being waited for.
        ConnectionResetError
            If the session is closed.
        """
        with self._ready:
            if not self._output:
                self._ready.wait_for(lambda: bool(self._output) or self.closed, timeout)
            self._require_open()
            if self._output:
                return self._take(count)
        self._unterminated()
        raise TimeoutError(f"{self.name}: no reply within {timeout} s")

    def take(self) -> bytes:
        """Return all output that is ready, without waiting."""
        with self.instrument.lock:
            if self._offset:
                self._output[0] = self._output[0][self._offset :]
            output = b"".join(self._output) if len(self._output) != 1 else self._output[0]
            self._discard_output()
            return output

    def read_stb(self) -> int:
        """Return the status byte as a serial poll does: bit 6 is the request for service, which it withdraws."""
        with self.instrument.lock:
            status = self.status_byte()
            requested = status & self.service_enable & ~self._announced & ~MASTER_SUMMARY
            self._announced |= requested
            return (status & ~MASTER_SUMMARY) | (MASTER_SUMMARY if requested else 0)

    def clear(self) -> None:
        """Clear the device (IEEE 488.2, 5.8): forget input, output and waiting messages; settings and status stay."""
        with self._input, self.instrument.lock:
            self._framer.reset()
            self._abandon()
            self._discard_output()
            self.cancel_completion()

    def trigger(self) -> None:
        """Carry out a group execute trigger, as ``*TRG`` does."""
        self._require_open()
        self.instrument.execution.run(self, self.instrument.compile(b"*TRG"), 4)

    def close(self) -> None:
        """End the conversation and release the lock; operations that were started go on."""
        self.instrument.close_session(self)
        with self._ready:
            self.closed = True
            self._abandon()
            self._discard_output()
            self._ready.notify_all()

    def _require_open(self) -> None:
        if self.closed:
            raise ConnectionResetError(f"{self.name}: the session with the instrument is closed")

    # ---- called by the instrument, which holds its lock ------------------------------------------------------------

    @property
    def suspended(self) -> bool:
        """Whether a message waits for an overlapped operation."""
        return self._suspension is not None

    def submit(self, program: tuple[Unit, ...], size: int) -> None:
        """Carry a message out, or keep it for later while an earlier one waits."""
        if self.closed:
            return
        if self._suspension is None:
            self._begin(program)
            self._run()
        elif self._backlog_size + size > MESSAGE_LIMIT:
            self.report(ScpiError(-363, f"more than {MESSAGE_LIMIT} bytes wait for an operation to complete"))
        else:
            self._backlog.append((program, size))
            self._backlog_size += size

    def resume(self) -> bool:
        """Go on with a message that has waited long enough; return whether there was one."""
        suspension = self._suspension
        if suspension is None or not suspension.ready():
            return False
        self._suspension = None
        if suspension.reply is not None:
            self._carry_out(Unit(lambda *_: suspension.reply(), (), b"", ""))  # type: ignore[misc]
        if self._suspension is None:
            self._run()
        return True

    def report(self, error: ScpiError, header: str = "") -> None:
        """Queue an error and set its bit in the standard event status register."""
        number = error.number
        standard = STANDARD_ERRORS.get(number, "Instrument error"), event_bit(number)
        text, bit = self.instrument.errors.get(number) or CORE_ERRORS.get(number) or standard
        detail = ": ".join(part for part in (header, error.detail) if part)
        full = f"{text};{detail}" if detail else text
        printable = "".join(char if " " <= char <= "~" else "?" for char in full[:ERROR_TEXT_LENGTH])
        self.errors.push(number, printable.replace('"', "'"))
        self.event_status |= bit

    def status_byte(self) -> int:
        """Return the status byte with the master summary in bit 6."""
        status = (
            self.instrument.summary_bits(self)
            | (MESSAGE_AVAILABLE if self._output or (self._replies and self._suspension is None) else 0)
            | (EVENT_SUMMARY if self.event_status & self.event_enable else 0)
        )
        return status | MASTER_SUMMARY if status & self.service_enable else status

    def arm_completion(self) -> None:
        """Set the operation complete bit when no operation is pending any more (``*OPC``)."""
        self._completion_armed = True
        self.complete()

    def cancel_completion(self) -> None:
        """Forget an earlier ``*OPC``."""
        self._completion_armed = False

    def complete(self) -> None:
        """Set the operation complete bit if ``*OPC`` asked for it and nothing is pending."""
        if self._completion_armed and not self.instrument.pending:
            self._completion_armed = False
            self.event_status |= OPERATION_COMPLETE

    def clear_status(self) -> None:
        """Clear events and errors (``*CLS``)."""
        self.event_status = 0
        self.operation.event = 0
        self.questionable.event = 0
        self.errors.clear()
        self.cancel_completion()

    # ---- message exchange ------------------------------------------------------------------------------------------

    def _begin(self, program: tuple[Unit, ...]) -> None:
        if self._output and self.on_output is None:
            self._discard_output()
            self.report(ScpiError(-410, "a new message came before the reply to the last one was read"))
        self._replies = []
        self._reply_size = 0
        self._program = iter(program)

    def _run(self) -> None:
        """Carry out units, and then the messages that have waited, until one waits for an operation."""
        while True:
            program = self._program
            for unit in program or ():
                self._carry_out(unit)
                if self._suspension is not None:
                    self.instrument.execution.suspend(self)
                    return
                if self._program is not program:
                    break
            self._finish()
            if not self._backlog:
                return
            following, size = self._backlog.popleft()
            self._backlog_size -= size
            self._begin(following)

    def _carry_out(self, unit: Unit) -> None:
        try:
            answer = unit.action(self.instrument, self, unit.suffixes, unit.data)
            if answer is None:
                return
            if type(answer) is Suspension:
                self._suspension = answer
                return
            self._reply(encode(answer, self.data_format))
        except ScpiError as error:
            self.report(error, unit.header)
        except MemoryError:
            self.report(ScpiError(-321, "not enough memory"), unit.header)
        except Exception as error:  # noqa: BLE001 -- an instrument answers its own faults with an error number
            self.report(ScpiError(-310, f"{type(error).__name__}: {error}"), unit.header)

    def _reply(self, reply: bytes) -> None:
        if self._replies and self._replies[-1].startswith(INDEFINITE):
            raise ScpiError(-440, "a block of no stated length ends the reply")
        if self._reply_size + self._output_size + len(reply) > REPLY_LIMIT:
            self._replies.clear()
            self._reply_size = 0
            self._program = None
            self._discard_output()
            raise ScpiError(-430, f"more than {REPLY_LIMIT} bytes of output were not read")
        self._replies.append(reply)
        self._reply_size += len(reply)

    def _finish(self) -> None:
        self._program = None
        if self._replies:
            output = self.instrument.response_message(self._replies)
            self._replies = []
            self._reply_size = 0
            self._output.append(output)
            self._output_size += len(output)
            self._ready.notify_all()
            if self.on_output is not None:
                self.instrument.execution.announce(self)
        self._withdraw_service()

    def _take(self, count: int) -> tuple[bytes, bool]:
        reply = self._output[0]
        offset = self._offset
        data = reply if offset == 0 and count >= len(reply) else reply[offset : offset + max(count, 0)]
        self._offset = offset + len(data)
        end = self._offset == len(reply)
        if end:
            self._output.popleft()
            self._output_size -= len(reply)
            self._offset = 0
            self._withdraw_service()
        return data, end

    def _discard_output(self) -> None:
        self._output.clear()
        self._output_size = 0
        self._offset = 0
        self._withdraw_service()

    def _withdraw_service(self) -> None:
        """Let a reason for service that has gone away count as new when it comes back."""
        if self._announced:
            self._announced &= self.status_byte()

    def _abandon(self) -> None:
        """Drop the message that is being carried out or waits, and those behind it."""
        self._program = None
        self._suspension = None
        self._replies.clear()
        self._reply_size = 0
        self._backlog.clear()
        self._backlog_size = 0

    def _unterminated(self) -> None:
        """Queue -420 for a read that nothing answers, and forget the message that was left incomplete."""
        with self._input, self.instrument.lock:
            if not self._output and self._suspension is None and not self.closed:
                self._framer.reset()
                self.report(ScpiError(-420, "a reply was read and nothing was asked"))
