"""What may reach the output of a Keithley 2400: limits, and which messages could pass them.

Messages are read here as the instrument reads them: headers in short or long form, relative ones after a semicolon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from drivers.errors import OutputLimitError

UNLIMITED = (-float("inf"), float("inf"))
UNITS = {"voltage": "V", "current": "A"}
MODES = {"VOLT": "voltage", "CURR": "current"}

_QUANTITY = r"(VOLT|CURR)(?:AGE|ENT)?"
_SOURCE = r"SOUR(?:CE)?1?"
_SENSE = r"(?:SENS(?:E)?1?:)?"
_STEP = r"(?::LEV(?:EL)?)?(?::(?:IMM(?:EDIATE)?|TRIG(?:GERED)?))?(?::AMPL(?:ITUDE)?)?"
_LEVEL = re.compile(rf"{_SOURCE}:{_QUANTITY}{_STEP}")
_COMPLIANCE = re.compile(rf"{_SENSE}{_QUANTITY}(?::DC)?:PROT(?:ECTION)?(?::LEV(?:EL)?)?")
_HARMLESS = re.compile(
    rf"{_SOURCE}:(?:{_QUANTITY}:RANG(?:E)?(?::AUTO)?|{_QUANTITY}:PROT(?:ECTION)?|DEL(?:AY)?(?::AUTO)?"
    r"|CLE(?:AR)?(?::IMM(?:EDIATE)?)?|CLE(?:AR)?:AUTO:MODE)"
)
_FIXED = re.compile(rf"{_SOURCE}:{_QUANTITY}:MODE")
_MODE = re.compile(rf"{_SOURCE}:FUNC(?:TION)?(?::MODE)?")
_OUTPUT = re.compile(r"OUTP(?:UT)?1?(?::STAT(?:E)?)?")
_AUTO_OFF = re.compile(rf"{_SOURCE}:CLE(?:AR)?:AUTO")
_BEGIN = re.compile(r"INIT(?:IATE)?(?::IMM(?:EDIATE)?)?|\*TRG|READ\?")
_ONE_SHOT = re.compile(r"MEAS(?:URE)?(?::.*)?\?|CONF(?:IGURE)?:.*")
_OHMS = re.compile(rf"(?:MEAS(?:URE)?:RES(?:ISTANCE)?\?|CONF(?:IGURE)?:RES(?:ISTANCE)?|{_SENSE}RES(?:ISTANCE)?:MODE)")
_FUNCTIONS = re.compile(rf"{_SENSE}FUNC(?:TION)?(?::ON)?(?::ALL)?")
_RECALL = re.compile(r"\*RCL|SOUR(?:CE)?1?:MEM.*")


@dataclass(frozen=True)
class SourceLimits:
    """What the output may be.

    Parameters
    ----------
    voltage
        Lowest and highest voltage, V.
    current
        Lowest and highest current, A.
    voltage_slew, current_slew
        Largest rates of change, V/s and A/s.
    """

    voltage: tuple[float, float] = UNLIMITED
    current: tuple[float, float] = UNLIMITED
    voltage_slew: float = float("inf")
    current_slew: float = float("inf")

    def __post_init__(self) -> None:
        for quantity, unit in UNITS.items():
            low, high = getattr(self, quantity)
            if not low <= high:
                raise ValueError(f"limits of the {quantity} are {low} to {high} {unit}; the first must not be higher")
            slew = self.slew(quantity)
            if not slew > 0:
                raise ValueError(f"the largest slew of the {quantity} is {slew} {unit}/s; it must be positive")

    @property
    def unlimited(self) -> bool:
        """Whether everything is allowed."""
        return self == SourceLimits()

    def slew(self, quantity: str) -> float:
        """Return the largest rate of change of a quantity."""
        return getattr(self, f"{quantity}_slew")

    def check_level(self, quantity: str, value: float) -> None:
        """Raise OutputLimitError unless a level is within its limits."""
        low, high = getattr(self, quantity)
        if not low <= value <= high:
            unit = UNITS[quantity]
            raise OutputLimitError(f"a source {quantity} of {value:g} {unit}: {low:g} to {high:g} {unit} are allowed")

    def check_compliance(self, quantity: str, value: float) -> None:
        """Raise OutputLimitError unless both signs of a compliance are within the limits."""
        low, high = getattr(self, quantity)
        if not (low <= -abs(value) and abs(value) <= high):
            unit = UNITS[quantity]
            raise OutputLimitError(
                f"a compliance {quantity} of {value:g} {unit}: at most {max(0.0, min(-low, high)):g} {unit} are allowed"
            )


def units(message: str) -> Iterator[tuple[str, str]]:
    """Yield header, absolute and in capitals, and argument of every command and query of a message."""
    path = ""
    for unit in filter(None, (part.strip() for part in message.split(";"))):
        header, _, argument = unit.partition(" ")
        header = header.upper()
        if header[0] == "*":
            yield header, argument.strip()
            continue
        absolute = header.removeprefix(":") if header[0] == ":" or not path else f"{path}:{header}"
        path = absolute.rpartition(":")[0]
        yield absolute, argument.strip()


def _number(argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        raise OutputLimitError(
            f"{argument!r} cannot be compared with the limits of the output; send a number"
        ) from None


@dataclass(frozen=True)
class Effect:
    """What a command could do to the output.

    Parameters
    ----------
    kind
        ``level``, ``compliance``, ``mode``, ``energise`` (switches the output on), ``begin`` (a measurement), ``auto``
        (the output switches itself), ``ohms`` (the source sets itself), ``functions``, ``unknown``, or "" for nothing.
    quantity
        ``voltage`` or ``current``, where it is about one of them.
    value
        The number sent with it.
    """

    kind: str = ""
    quantity: str = ""
    value: float = 0.0


def effect(header: str, argument: str) -> Effect:
    """Return what a command or query could do to the output."""
    for pattern, kind in ((_LEVEL, "level"), (_COMPLIANCE, "compliance")):
        if match := pattern.fullmatch(header):
            return Effect(kind, MODES[match[1]], _number(argument))
    if _MODE.fullmatch(header):
        return Effect("mode", MODES.get(argument.upper()[:4], ""))
    return Effect(_kind(header, argument.upper()))


def _kind(header: str, argument: str) -> str:
    off = argument in ("0", "OFF")
    kinds = (
        (_OUTPUT, "" if off else "energise"),
        (_AUTO_OFF, "" if off else "auto"),
        (_OHMS, "" if argument.startswith("MAN") else "ohms"),
        (_FUNCTIONS, "functions" if header.endswith(":ALL") or "RES" in argument else ""),
        (_ONE_SHOT, "energise"),
        (_BEGIN, "begin"),
    )
    for pattern, kind in kinds:
        if pattern.fullmatch(header):
            return kind
    return "unknown" if _unknown(header, argument) else ""


def _unknown(header: str, argument: str) -> bool:
    """Whether a command sets something of the source that these limits cannot follow: sweeps, lists, memories."""
    if _RECALL.fullmatch(header):
        return True
    if not re.match(_SOURCE, header) or header.endswith("?") or _HARMLESS.fullmatch(header):
        return False
    return not (_FIXED.fullmatch(header) and argument.startswith("FIX"))
