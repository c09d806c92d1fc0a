"""Error numbers of SCPI-99 (volume 2, chapter 21) and the exception that carries them."""

from collections.abc import Mapping

QUERY_ERROR = 1 << 2
"""Standard event status bit of the numbers -400 to -499."""
DEVICE_ERROR = 1 << 3
"""Standard event status bit of the numbers -300 to -399 and of an instrument's own, positive numbers."""
EXECUTION_ERROR = 1 << 4
"""Standard event status bit of the numbers -200 to -299."""
COMMAND_ERROR = 1 << 5
"""Standard event status bit of the numbers -100 to -199."""

STANDARD_ERRORS: Mapping[int, str] = {
    0: "No error",
    -100: "Command error",
    -102: "Syntax error",
    -103: "Invalid separator",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -112: "Program mnemonic too long",
    -113: "Undefined header",
    -114: "Header suffix out of range",
    -121: "Invalid character in number",
    -123: "Exponent too large",
    -124: "Too many digits",
    -131: "Invalid suffix",
    -138: "Suffix not allowed",
    -141: "Invalid character data",
    -151: "Invalid string data",
    -161: "Invalid block data",
    -168: "Block data not allowed",
    -171: "Invalid expression",
    -200: "Execution error",
    -211: "Trigger ignored",
    -213: "Init ignored",
    -221: "Settings conflict",
    -222: "Data out of range",
    -223: "Too much data",
    -224: "Illegal parameter value",
    -225: "Out of memory",
    -230: "Data corrupt or stale",
    -240: "Hardware error",
    -241: "Hardware missing",
    -310: "System error",
    -313: "Calibration memory lost",
    -314: "Save/recall memory lost",
    -321: "Out of memory",
    -330: "Self-test failed",
    -340: "Calibration failed",
    -350: "Queue overflow",
    -363: "Input buffer overrun",
    -365: "Time out error",
    -410: "Query INTERRUPTED",
    -420: "Query UNTERMINATED",
    -430: "Query DEADLOCKED",
    -440: "Query UNTERMINATED after indefinite response",
}

CORE_ERRORS: Mapping[int, tuple[str, int]] = {110: ("Session does not own the lock", EXECUTION_ERROR)}
"""Errors beside the standard that every instrument has: their text and standard event status bit."""

_EVENT_BITS = {1: COMMAND_ERROR, 2: EXECUTION_ERROR, 3: DEVICE_ERROR, 4: QUERY_ERROR}


def event_bit(number: int) -> int:
    """Return the standard event status bit of an error number.

    Parameters
    ----------
    number : int
        Error number; a positive one is the instrument's own and counts as a device error.
    """
    return _EVENT_BITS.get(-number // 100, DEVICE_ERROR)


class ScpiError(RuntimeError):
    """A refusal that goes into the error queue of the session that asked.

    Parameters
    ----------
    number : int
        Error number: negative from SCPI-99, positive from the instrument's own table.
    detail : str
        What was wrong, where, and what is allowed; follows the standard text after a semicolon.
    """

    def __init__(self, number: int, detail: str = "") -> None:
        super().__init__(f"{number}, {STANDARD_ERRORS.get(number, 'instrument error')}: {detail}")
        self.number = number
        self.detail = detail
