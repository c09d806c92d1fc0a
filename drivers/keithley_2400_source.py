"""The source of a Keithley 2400: levels, ramps, and limits that hold for every message that is written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from pymeasure.adapters import Adapter
from pymeasure.instruments.keithley import Keithley2400 as PymeasureKeithley2400

from drivers.errors import OutputLimitError
from drivers.keithley_2400_limits import UNLIMITED, Effect, SourceLimits, effect, units
from drivers.properties import boolean, choice
from drivers.scpi import ScpiInstrument

LEVELS = {"voltage": ":SOUR:VOLT", "current": ":SOUR:CURR"}
COMPLIANCES = {"voltage": ":SENS:CURR:PROT", "current": ":SENS:VOLT:PROT"}
OTHER = {"voltage": "current", "current": "voltage"}
RAMP_INTERVAL = 0.02
"""Time between the steps of a ramp that a slew asks for, s."""
_RESETS = re.compile(r"\*RST|\*RCL|SYST(?!:ERR)", re.IGNORECASE)
_BUSY = re.compile(r":?INIT|\*TRG", re.IGNORECASE)


class Keithley2400Source(ScpiInstrument, PymeasureKeithley2400):
    """What a Keithley 2400 sources.

    Every command raises what it leaves in the error queue. What `protect` allows holds for every message that is
    written, whoever composed it; a front panel that is used meanwhile is not watched.

    Parameters
    ----------
    adapter : str, int or pymeasure Adapter
        VISA resource name, GPIB address, or an adapter.
    name : str
        Name for messages.
    **kwargs
        Passed to `pymeasure.adapters.VISAAdapter`: `visa_library`, `timeout` in ms and the like.
    """

    def __init__(self, adapter: Adapter | str | int, name: str = "Keithley 2400", **kwargs: Any) -> None:
        self.limits = SourceLimits()
        self._verified = False
        self._stepping = False
        super().__init__(adapter, name, **kwargs)

    # limits

    def protect(
        self,
        *,
        voltage: tuple[float, float] = UNLIMITED,
        current: tuple[float, float] = UNLIMITED,
        voltage_slew: float = float("inf"),
        current_slew: float = float("inf"),
    ) -> None:
        """Say what the output may be, from now on and on every path; nothing is sent.

        Parameters
        ----------
        voltage, current : tuple of float
            Lowest and highest level, V and A. A compliance counts with both signs.
        voltage_slew, current_slew : float
            Largest rates of change, V/s and A/s: levels are then reached by ramps.
        """
        with self.lock:
            self.limits = SourceLimits(voltage, current, voltage_slew, current_slew)
            self._verified = False

    def write(self, command: str, **kwargs: Any) -> None:
        """Write one message within the limits of the output, and raise the errors that commands leave.

        Raises
        ------
        OutputLimitError
            If it could take the output beyond its limits; nothing has been sent then.
        InstrumentError
            If the instrument refuses it.
        """
        with self.lock:
            if not self.limits.unlimited:
                self._admit(command)
            if _RESETS.search(command):
                self._verified = False
            super().write(command, **kwargs)
            if "?" not in command and not _BUSY.match(command):
                self.check_errors()

    def check_set_errors(self) -> list[tuple[int, str]]:
        """Do nothing: `write` has raised the errors of a property that was set."""
        return []

    def write_bytes(self, content: bytes, **kwargs: Any) -> None:
        """Write bytes as they are, within the limits of the output."""
        with self.lock:
            if not self.limits.unlimited:
                self._admit(content.decode("ascii", "replace"))
            super().write_bytes(content, **kwargs)

    def resynchronise(self) -> list[tuple[int, str]]:
        """Do as `ScpiInstrument` does, and look at the source again before a measurement."""
        self._verified = False
        return super().resynchronise()

    def _admit(self, message: str) -> None:
        """Raise OutputLimitError where a message could take the output beyond its limits."""
        effects = [effect(*unit) for unit in units(message)]
        for found in effects:
            self._admit_setting(found, message[:60])
        for found in effects:
            self._admit_state(found)

    def _admit_setting(self, found: Effect, message: str) -> None:
        """Check what a command itself says."""
        limits = self.limits
        if found.kind == "level" and not self._stepping:
            limits.check_level(found.quantity, found.value)
            if math.isfinite(limits.slew(found.quantity)):
                raise OutputLimitError(f"{self.name}: {message!r} is a step; the slew is limited, source_* ramps")
        elif found.kind == "compliance":
            limits.check_compliance(found.quantity, found.value)
        elif found.kind == "auto" and math.isfinite(min(limits.voltage_slew, limits.current_slew)):
            raise OutputLimitError(f"{self.name}: {message!r} makes the output jump; its slew is limited")
        elif found.kind in ("unknown", "ohms") or (found.kind == "mode" and not found.quantity):
            raise OutputLimitError(f"{self.name}: {message!r} may set the source in ways that the limits cannot follow")

    def _admit_state(self, found: Effect) -> None:
        """Check what is set in the instrument already, where a command would put it out."""
        if found.kind == "functions":
            self._check_ohms()
        elif found.kind == "mode":
            self._verify(found.quantity, jumps=self.source_enabled)
        elif found.kind in ("energise", "auto") or (found.kind == "begin" and not self._verified):
            self._verify(self.source_mode, jumps=not self.source_enabled)

    def _verify(self, quantity: str, *, jumps: bool) -> None:
        """Raise OutputLimitError unless level and compliance, as they are set, are within the limits."""
        level = self.values(f"{LEVELS[quantity]}?")[0]
        self.limits.check_level(quantity, level)
        self.limits.check_compliance(OTHER[quantity], self.values(f"{COMPLIANCES[quantity]}?")[0])
        if "RES" in self.ask(":SENS:FUNC?").upper():
            self._check_ohms()
        if jumps and level and math.isfinite(self.limits.slew(quantity)):
            raise OutputLimitError(
                f"{self.name}: the {quantity} would jump to {level:g}; its slew is limited, set 0 first"
            )
        self._verified = True

    def _check_ohms(self) -> None:
        if self.ask(":SENS:RES:MODE?").strip().upper().startswith("AUTO"):
            raise OutputLimitError(
                f"{self.name}: resistance would be measured with a source of the instrument's choice"
            )

    # source

    source_enabled = boolean(":OUTP", """Control whether the output is on (bool).""")
    source_mode = choice(
        ":SOUR:FUNC",
        """Control the source mode (str, "current" or "voltage").""",
        {"current": "CURR", "voltage": "VOLT"},
    )
    output_off_state = choice(
        ":OUTP:SMOD",
        """Control what the output is while it is off (str, "disconnected", "normal", "zero" or "guard").""",
        {"disconnected": "HIMP", "normal": "NORM", "zero": "ZERO", "guard": "GUAR"},
    )

    @property
    def source_voltage(self) -> float:
        """Control the source voltage in V (float from -210 to 210, within the limits); reached by a ramp if so set."""
        return self.values(":SOUR:VOLT?")[0]

    @source_voltage.setter
    def source_voltage(self, value: float) -> None:
        self._set_level("voltage", value, 210.0)

    @property
    def source_current(self) -> float:
        """Control the source current in A (float from -1.05 to 1.05, within the limits); by a ramp if so set."""
        return self.values(":SOUR:CURR?")[0]

    @source_current.setter
    def source_current(self, value: float) -> None:
        self._set_level("current", value, 1.05)

    def _set_level(self, quantity: str, value: float, largest: float) -> None:
        self._check_level(quantity, value, largest)
        slew = self.limits.slew(quantity)
        if math.isinf(slew):
            self.write(f"{LEVELS[quantity]} {value:.9g}")
            return
        distance = abs(value - self.values(f"{LEVELS[quantity]}?")[0])
        self._ramp(quantity, value, max(1, math.ceil(distance / (slew * RAMP_INTERVAL))), RAMP_INTERVAL)

    def _check_level(self, quantity: str, value: float, largest: float) -> None:
        if isinstance(value, (bool, str)) or not abs(value) <= largest:
            raise ValueError(f"a source {quantity} of {value!r}: numbers from {-largest:g} to {largest:g} are allowed")
        self.limits.check_level(quantity, value)

    def _ramp(self, quantity: str, target: float, steps: int, pause: float) -> None:
        """Go to a level that has been checked; the lock is given up between steps, so that another thread may act."""
        start = self.values(f"{LEVELS[quantity]}?")[0]
        if start != target:
            pause = max(pause, abs(target - start) / steps / self.limits.slew(quantity))
        for level in np.linspace(start, target, steps + 1)[1:]:
            with self._steps():
                self.write(f"{LEVELS[quantity]} {level:.9g}")
            self.pause(pause)

    @contextmanager
    def _steps(self) -> Iterator[None]:
        with self.lock:
            self._stepping = True
            try:
                yield
            finally:
                self._stepping = False

    def ramp_to_voltage(self, target_voltage: float, steps: int = 30, pause: float = 20e-3) -> None:
        """Ramp to a voltage in V in equal steps, with a pause in s after each, longer where the slew asks for it."""
        self._check_level("voltage", target_voltage, 210.0)
        self._ramp("voltage", target_voltage, steps, pause)

    def ramp_to_current(self, target_current: float, steps: int = 30, pause: float = 20e-3) -> None:
        """Ramp to a current in A in equal steps, with a pause in s after each, longer where the slew asks for it."""
        self._check_level("current", target_current, 1.05)
        self._ramp("current", target_current, steps, pause)

    def apply_voltage(self, voltage_range: float | None = None, compliance_current: float = 0.1) -> None:
        """Source voltage, in a range in V or automatically, within a compliance in A."""
        self.limits.check_compliance("current", compliance_current)
        self.compliance_current = compliance_current
        self.source_mode = "voltage"
        if voltage_range is None:
            self.source_voltage_range_auto_enabled = True
        else:
            self.source_voltage_range = voltage_range

    def apply_current(self, current_range: float | None = None, compliance_voltage: float = 0.1) -> None:
        """Source current, in a range in A or automatically, within a compliance in V."""
        self.limits.check_compliance("voltage", compliance_voltage)
        self.compliance_voltage = compliance_voltage
        self.source_mode = "current"
        if current_range is None:
            self.source_current_range_auto_enabled = True
        else:
            self.source_current_range = current_range

    def enable_source(self) -> None:
        """Switch the output on; where the slew is limited, at 0 and then by a ramp to the level that was set."""
        quantity = self.source_mode
        level = self.values(f"{LEVELS[quantity]}?")[0]
        if math.isinf(self.limits.slew(quantity)) or self.source_enabled or not level:
            self.source_enabled = True
            return
        self.limits.check_level(quantity, level)
        with self._steps():
            self.write(f"{LEVELS[quantity]} 0")
        self.source_enabled = True
        setattr(self, f"source_{quantity}", level)

    def shutdown(self) -> None:
        """Ramp to 0, or as near as the limits allow, and switch the output off, whatever happens before."""
        try:
            quantity = self.source_mode
            low, high = getattr(self.limits, quantity)
            if self.source_enabled:
                self._ramp(quantity, min(max(0.0, low), high), 30, RAMP_INTERVAL)
            self.stop_buffer()
        finally:
            self.disable_source()
        self.isShutdown = True
