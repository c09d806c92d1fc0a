"""What can go wrong between a program and an instrument."""

from __future__ import annotations

__all__ = ["ConnectionLostError", "InstrumentError", "InstrumentTimeoutError", "ReplyError"]


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
