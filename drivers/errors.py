"""What can go wrong between a program and an instrument."""

from __future__ import annotations

__all__ = [
    "ConnectionLostError",
    "InstrumentError",
    "InstrumentTimeoutError",
    "MemoryOverflowError",
    "MissingReadingsError",
    "OutputLimitError",
    "OverloadError",
    "ReplyError",
]


class InstrumentError(RuntimeError):
    """An entry of the instrument's error queue.

    Parameters
    ----------
    code : int
        Number of the error; negative ones are SCPI's.
    text : str
        What the instrument says.
    command : str
        What was sent.
    instrument : str
        Name of the instrument.
    """

    def __init__(self, code: int, text: str, *, command: str = "", instrument: str = "instrument") -> None:
        super().__init__(f'{instrument}: {command.strip()!r} gave error {code}, "{text}"')
        self.code = code
        self.text = text
        self.command = command
        self.instrument = instrument


class InstrumentTimeoutError(TimeoutError):
    """No reply, or no end of an operation, within the time allowed."""


class ConnectionLostError(ConnectionError):
    """The connection broke, or something else answers at the address."""


class ReplyError(ValueError):
    """A reply that is not what the command's description says."""


class OverloadError(OverflowError):
    """A reading is beyond the range of the instrument."""


class MissingReadingsError(RuntimeError):
    """A measurement ended before it had taken the readings that were asked for."""


class MemoryOverflowError(MissingReadingsError):
    """The memory of the instrument was full, and its oldest readings are lost."""


class OutputLimitError(ValueError):
    """A setting would take an output beyond the limits of what hangs on it; it has not been sent."""
