"""What keeps an output of the Agilent 33500 within the limits of what hangs on it.

Limits are host-side: every setting that changes the levels says which ones it leads to, and is refused before it is
sent where they are not allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from drivers.channel import InstrumentChannel
from drivers.errors import OutputLimitError
from drivers.properties import strict_real

OUTPUT_RESISTANCE = 50.0
"""Ohm."""
SMALLEST_SPAN = 1e-3
"""Least distance of the high level from the low one, V; the instrument moves the other level to keep it."""
ROUNDING = 1e-9
"""By how much a level may exceed a limit, V: what is lost where numbers travel as text."""


_MOVES = re.compile(
    r"(?:^|[;:\s])(?:VOLT(?:AGE)?(?::[A-Z:]*)?\s+\S|FUNC(?:TION)?(?::ARB(?:ITRARY)?)?\s+\S|APPL(?:Y)?|\*RCL"
    r"|MEM(?:ORY)?:STAT(?:E)?:REC"
    r"|OUTP(?:UT)?\d?(?::STAT(?:E)?)?\s+(?:ON|0*1)|OUTP(?:UT)?\d?:LOAD\s)",
    re.IGNORECASE,
)
"""Commands that change what an output gives: levels, waveforms, stored set-ups, switching on."""


def may_move(message: str) -> bool:
    """Whether a message may change what an output gives."""
    return _MOVES.search(message) is not None


class LimitedOutput(InstrumentChannel):
    """An output with limits.

    Attributes
    ----------
    limits : (float, float) or None
        Lowest and highest voltage in V that the output may give at a load of `output_load`.
    """

    limits: tuple[float, float] | None = None
    voltage_low: Any
    voltage_high: Any
    amplitude_unit: Any
    output: Any
    output_load: Any

    @property
    def label(self) -> str:
        """Name of the output for messages."""
        return f"{self.parent.name}, output {self.id}"

    def protect(self, limits: tuple[float, float] | None) -> None:
        """Keep the output within limits from now on; nothing is sent, and what it gives now stays.

        Parameters
        ----------
        limits : (float, float) or None
            Lowest and highest voltage, V; None for no limits.

        Raises
        ------
        ValueError
            If they are not two finite numbers, the lower one first.
        """
        if limits is not None:
            low, high = (strict_real(limit, (-20, 20)) for limit in limits)
            if low >= high:
                raise ValueError(f"{self.label}: limits of {low:g} to {high:g} V leave nothing between them")
            limits = low, high
        self.limits = limits

    @property
    def levels(self) -> tuple[float, float]:
        """Get the low and the high level in V: offset minus and plus half the amplitude (two floats)."""
        with self.lock:
            return self.voltage_low, self.voltage_high

    @levels.setter
    def levels(self, levels: tuple[float, float]) -> None:
        low, high = (strict_real(level, (-10, 10)) for level in levels)
        if high - low < SMALLEST_SPAN:
            raise ValueError(f"{self.label}: levels of {low:g} and {high:g} V; the second is to be above the first")
        with self.lock:
            self.require(low, high)
            if low < self.voltage_high:
                self.voltage_low, self.voltage_high = low, high
            else:
                self.voltage_high, self.voltage_low = high, low

    def require(self, *voltages: float) -> None:
        """Raise OutputLimitError unless the limits allow all of some voltages."""
        if self.limits is None:
            return
        low, high = self.limits
        for voltage in voltages:
            if not low - ROUNDING <= voltage <= high + ROUNDING:
                raise OutputLimitError(f"{self.label} would give {voltage:g} V; {low:g} to {high:g} V are allowed")

    def confine(self) -> None:
        """Switch the output off if its levels are not allowed, and raise OutputLimitError."""
        try:
            self.require(*self.levels)
        except OutputLimitError:
            self.output = False
            raise


Edges = Callable[[Any, Any], tuple[float, ...]]
"""Levels in V that a channel will have when it is set to a value, as far as they change."""


def guarded(checked: property, edges: Edges, *, adjusts_levels: bool = False) -> property:
    """Return a property that refuses what takes a limited output beyond its limits, before anything is sent.

    Parameters
    ----------
    checked : property
        What is set.
    edges : callable
        Returns the levels that a value leads to.
    adjusts_levels : bool
        Whether the instrument may choose other levels than that, be it with an error: they are read back then, and the
        output is switched off where they are not allowed.
    """

    def fset(self: LimitedOutput, value: Any) -> None:
        with self.lock:
            if self.limits is not None:
                self.require(*edges(self, value))
            try:
                with self.parent.permitted():
                    checked.__set__(self, value)
            finally:
                if adjusts_levels and self.limits is not None:
                    self.confine()

    return property(checked.fget, fset, doc=checked.__doc__)


def _around(centre: float, span: float) -> tuple[float, float]:
    return centre - span / 2, centre + span / 2


def levels_of_amplitude(channel: LimitedOutput, value: float) -> tuple[float, ...]:
    """Return the levels of an amplitude at the present offset."""
    if channel.amplitude_unit != "VPP":
        raise OutputLimitError(f"{channel.label} has limits: its amplitude can be set in VPP only")
    low, high = channel.levels
    return _around((low + high) / 2, value)


def levels_of_unit(channel: LimitedOutput, value: str) -> tuple[float, ...]:
    """Refuse a unit in which amplitudes cannot be told from levels."""
    if value != "VPP":
        raise OutputLimitError(f"{channel.label} has limits: its amplitude can be set in VPP only")
    return ()


def levels_of_offset(channel: LimitedOutput, value: float) -> tuple[float, ...]:
    """Return the levels of an offset at the present amplitude."""
    low, high = channel.levels
    return _around(value, high - low)


def levels_of_high(channel: LimitedOutput, value: float) -> tuple[float, ...]:
    """Return the high level, and the low one if it has to give way."""
    return (value,) if value - SMALLEST_SPAN >= channel.levels[0] else (value, value - SMALLEST_SPAN)


def levels_of_low(channel: LimitedOutput, value: float) -> tuple[float, ...]:
    """Return the low level, and the high one if it has to give way."""
    return (value,) if value + SMALLEST_SPAN <= channel.levels[1] else (value, value + SMALLEST_SPAN)


def levels_of_output(channel: LimitedOutput, value: Any) -> tuple[float, ...]:
    """Return the levels that appear when the output is switched on."""
    return () if str(value).upper() in ("FALSE", "OFF", "0") else channel.levels


def levels_unchanged(channel: LimitedOutput, _: Any) -> tuple[float, ...]:
    """Return the present levels."""
    return channel.levels


def levels_of_load(channel: LimitedOutput, value: Any) -> tuple[float, ...]:
    """Return the levels as they will be shown for another load."""
    scale = _share(strict_load(value)) / _share(channel.output_load)
    return tuple(scale * level for level in channel.levels)


def _share(load: float) -> float:
    """Return which part of the open-circuit voltage is at a load."""
    return 1.0 if math.isinf(load) else load / (load + OUTPUT_RESISTANCE)


def strict_load(value: Any, _: Any = None) -> float:
    """Return a load in ohm if it is one, infinity also as a word; raise ValueError otherwise."""
    if isinstance(value, str):
        value = math.inf if value.upper() in ("INF", "INFINITY") else float(value)
    return math.inf if value == math.inf else strict_real(value, (1, 1e4))
