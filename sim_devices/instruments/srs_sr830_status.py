"""How the SR830 is spoken to: four letters, numbers behind them, and four status bytes instead of an error queue."""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from sim_devices.scpi import Instrument, Integer, Session, command, query
from sim_devices.scpi.program import Unit

INPUT_OVERLOAD, FILTER_OVERLOAD, OUTPUT_OVERLOAD, UNLOCKED, RANGE_CHANGED, TIME_CONSTANT_CHANGED, TRIGGERED = range(7)
"""Bits of the LIA status byte."""
NO_SCAN, READY, ERROR_SUMMARY, LIA_SUMMARY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
"""The instrument's own bits of the serial poll status byte."""

_UNIT = re.compile(rb"\s*(\*?[A-Za-z]{3,4})\s*(\??)(.*)", re.DOTALL)
_BIT = Integer(0, 7, optional=True)


class Binary(bytes):
    """A reply that nothing ends but END."""


def _spaced(unit: bytes) -> bytes:
    """Write ``SNAP?1,2`` as ``SNAP? 1,2``; there are no colons in the language."""
    match = _UNIT.fullmatch(unit.replace(b":", b" "))
    return b"%s%s %s" % match.groups() if match else unit


class SR830Status(Instrument):
    """Syntax and status bytes.

    An unknown command sets bit 5 and a value that is not allowed bit 4 of the standard event status byte; there is no
    error queue to ask.
    """

    errors: ClassVar[Mapping[int, tuple[str, int]]] = {-410: ("Query INTERRUPTED", 0), -420: ("Query UNTERMINATED", 0)}
    _common_set_format = None
    _common_format = None
    lia_status = 0
    lia_enable = 0
    error_status = 0
    error_enable = 0

    def compile(self, message: bytes) -> tuple[Unit, ...]:
        """Return the units of a message."""
        return super().compile(b";".join(_spaced(unit) for unit in message.split(b";")))

    def response_message(self, replies: Sequence[bytes]) -> bytes:
        """Return every reply with its own newline, binary ones without."""
        return b"".join(reply if isinstance(reply, Binary) else reply + b"\n" for reply in replies)

    @property
    def scanning(self) -> bool:
        """Whether data are being stored."""
        raise NotImplementedError

    def catch_up(self) -> None:
        """Do what has become due by now."""
        raise NotImplementedError

    def summary_bits(self, _: Session) -> int:
        """Return the instrument's own bits of the serial poll status byte."""
        return (
            (0 if self.scanning else NO_SCAN)
            | READY
            | (ERROR_SUMMARY if self.error_status & self.error_enable else 0)
            | (LIA_SUMMARY if self.lia_status & self.lia_enable else 0)
        )

    def note(self, bit: int, happened: bool = True) -> None:
        """Set a bit of the LIA status byte, which stays until it is read, if something has happened."""
        self.lia_status |= happened << bit

    @command("*CLS", owner=False)
    def _common_clear_status(self, session: Session) -> None:
        session.clear_status()
        self.lia_status = self.error_status = 0

    @query("*STB?", _BIT)
    def _common_status_byte(self, session: Session, bit: int | None) -> int:
        self.catch_up()
        status = session.status_byte()
        return status if bit is None else status >> bit & 1

    @query("*ESR?", _BIT)
    def _common_event_status(self, session: Session, bit: int | None) -> int:
        status, session.event_status = session.event_status, _left(session.event_status, bit)
        return status if bit is None else status >> bit & 1

    @query("LIAS?", _BIT)
    def _ask_lia_status(self, _: Session, bit: int | None) -> int:
        self.catch_up()
        status, self.lia_status = self.lia_status, _left(self.lia_status, bit)
        return status if bit is None else status >> bit & 1

    @query("ERRS?", _BIT)
    def _ask_error_status(self, _: Session, bit: int | None) -> int:
        status, self.error_status = self.error_status, _left(self.error_status, bit)
        return status if bit is None else status >> bit & 1

    @command("LIAE", Integer(0, 255), Integer(0, 1, optional=True), owner=False)
    def _set_lia_enable(self, _: Session, value: int, state: int | None) -> None:
        self.lia_enable = _enabled(self.lia_enable, value, state)

    @query("LIAE?", _BIT)
    def _ask_lia_enable(self, _: Session, bit: int | None) -> int:
        return self.lia_enable if bit is None else self.lia_enable >> bit & 1

    @command("ERRE", Integer(0, 255), Integer(0, 1, optional=True), owner=False)
    def _set_error_enable(self, _: Session, value: int, state: int | None) -> None:
        self.error_enable = _enabled(self.error_enable, value, state)

    @query("ERRE?", _BIT)
    def _ask_error_enable(self, _: Session, bit: int | None) -> int:
        return self.error_enable if bit is None else self.error_enable >> bit & 1


def _left(status: int, bit: int | None) -> int:
    """Return what is left of a status byte after it, or one bit of it, has been read."""
    return 0 if bit is None else status & ~(1 << bit)


def _enabled(enable: int, value: int, state: int | None) -> int:
    """Return an enable byte after ``LIAE value``, or after ``LIAE bit,state``."""
    if state is None:
        return value
    return enable | 1 << value if state else enable & ~(1 << value)
