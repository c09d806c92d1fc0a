"""The source of the Keithley 2400: level, ranges, compliance, the output, and the operating point at its load."""

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import brentq

from sim_devices.instruments.cabling import OPEN, Output, SignalInput, Times, TriggerLine
from sim_devices.instruments.source_outputs import HeldVoltage, Terminal
from sim_devices.scpi import (
    EXECUTION_ERROR,
    Boolean,
    Choice,
    Instrument,
    Real,
    ScpiError,
    Session,
    command,
    setting,
)
from twin.clock import Clock

IDENTITY = "KEITHLEY INSTRUMENTS INC.,MODEL 2400,1234567,C30   Mar 17 2006 09:29:29/A02  /K/J"
VOLTAGE_RANGES = (0.21, 2.1, 21.0, 210.0)
"""Full scales, V."""
CURRENT_RANGES = (1.05e-6, 1.05e-5, 1.05e-4, 1.05e-3, 1.05e-2, 0.105, 1.05)
"""Full scales, A."""
SETTLED = 1 / 60
"""Window in s over which the load is looked at when the source is set."""
MEASUREMENT_ERRORS: Mapping[int, tuple[str, int]] = {
    802: ("OUTPUT blocked by output enable", EXECUTION_ERROR),
    803: ("Not permitted with OUTPUT off", EXECUTION_ERROR),
}


def smallest_range(ranges: tuple[float, ...], value: float) -> float:
    """Return the smallest full scale that takes a value."""
    return next(scale for scale in ranges if scale >= abs(value) * (1 - 1e-9))


@dataclass(frozen=True)
class Drive:
    """What the source is told to do.

    Parameters
    ----------
    mode
        ``VOLT`` or ``CURR``: what is sourced.
    level
        Its level, V or A.
    limit
        Compliance, A where voltage is sourced and V where current is.
    """

    mode: str
    level: float
    limit: float


@dataclass(frozen=True)
class OperatingPoint:
    """Where source and load meet: voltage in V, current in A, and whether the compliance holds the source back."""

    voltage: float
    current: float
    held_back: bool


class Regulator:
    """Finds the voltage at which the load takes what the source gives.

    Parameters
    ----------
    load
        Current in A that flows into what is connected.

    Attributes
    ----------
    terminal : Terminal
        The voltage of the output.
    """

    def __init__(self, load: SignalInput) -> None:
        self.load = load
        self.terminal = Terminal(HeldVoltage())

    def release(self, time: float) -> None:
        """Put 0 V out from a time in s on."""
        self.terminal.record = self.terminal.record.then(time, 0.0)

    def operate(self, drive: Drive, starts: Times, aperture: float, acquisition: int) -> OperatingPoint:
        """Put out what the drive asks, within its compliance, and return the point where the load then is.

        Parameters
        ----------
        drive
            What is sourced.
        starts, aperture, acquisition
            Windows over which the current is averaged, as `SignalInput.mean` takes them; the voltage is put out from
            the first of them on.
        """
        before = self.terminal.record

        def current(voltage: float) -> float:
            self.terminal.record = before.then(float(starts[0]), voltage)
            return float(np.mean(self.load.mean(starts, aperture, acquisition)))

        return _from_voltage(drive, current) if drive.mode == "VOLT" else _from_current(drive, current)


def _from_voltage(drive: Drive, current: Callable[[float], float]) -> OperatingPoint:
    taken = current(drive.level)
    if abs(taken) <= drive.limit:
        return OperatingPoint(drive.level, taken, held_back=False)
    return _between(current, drive.level, math.copysign(drive.limit, taken))


def _from_current(drive: Drive, current: Callable[[float], float]) -> OperatingPoint:
    idle = current(0.0)
    if idle == drive.level:
        return OperatingPoint(0.0, idle, held_back=False)
    farthest = math.copysign(drive.limit, drive.level - idle)
    most = current(farthest)
    if (most - drive.level) * (idle - drive.level) > 0:
        return OperatingPoint(farthest, most, held_back=True)
    point = _between(current, farthest, drive.level)
    return OperatingPoint(point.voltage, point.current, held_back=False)


def _between(current: Callable[[float], float], farthest: float, target: float) -> OperatingPoint:
    """Return the point between 0 V and `farthest` at which the target current flows; 0 V where more flows even then."""
    idle = current(0.0)
    if (idle - target) * (current(farthest) - target) >= 0:
        return OperatingPoint(0.0, current(0.0), held_back=True)
    voltage = float(brentq(lambda volts: current(volts) - target, 0.0, farthest, xtol=1e-12, rtol=1e-12))
    return OperatingPoint(voltage, current(voltage), held_back=True)


class Source(Instrument):
    """Commands of SOURce, OUTPut and the two compliances.

    Parameters
    ----------
    clock
        Clock of the bench.
    worker
        The bench's worker thread; what this instrument does is short and runs where it is asked.
    name
        Name of the instrument on its bench.
    load
        Current in A into what is connected to the output.
    trigger_in, trigger_out
        Trigger link: where edges come from and go to.
    """

    errors: ClassVar[Mapping[int, tuple[str, int]]] = MEASUREMENT_ERRORS
    formats: ClassVar[tuple[str, ...]] = ("ASC", "REAL,32")
    scpi_version: ClassVar[str] = "1996.0"

    def __init__(
        self,
        clock: Clock,
        worker: Executor,
        name: str = "keithley_2400",
        *,
        load: SignalInput = OPEN,
        trigger_in: TriggerLine | None = None,
        trigger_out: TriggerLine | None = None,
    ) -> None:
        self.clock = clock
        self.worker = worker
        self.name = name
        self.acquisitions = 0
        self.regulator = Regulator(load)
        self.held_back = False
        self.trigger_out = trigger_out or TriggerLine()
        super().__init__(IDENTITY)
        (trigger_in or TriggerLine()).listen(self.take_edges)

    def take_edges(self, times: Times) -> None:
        """Do what edges of the trigger link ask for."""
        raise NotImplementedError

    def output(self) -> Output:
        """Return the output terminal; 0 V while the output is off."""
        return self.regulator.terminal

    # ---- levels ----------------------------------------------------------------------------------------------------

    source_mode = setting("SOURce:FUNCtion[:MODE]", Choice("VOLTage", "CURRent"), reset="VOLT")
    source_voltage = setting(
        "SOURce:VOLTage[:LEVel][:IMMediate][:AMPLitude]", Real(-VOLTAGE_RANGES[-1], VOLTAGE_RANGES[-1], "V"), reset=0.0
    )
    source_current = setting(
        "SOURce:CURRent[:LEVel][:IMMediate][:AMPLitude]", Real(-CURRENT_RANGES[-1], CURRENT_RANGES[-1], "A"), reset=0.0
    )
    voltage_fixed = setting("SOURce:VOLTage:MODE", Choice("FIXed"), reset="FIX")
    current_fixed = setting("SOURce:CURRent:MODE", Choice("FIXed"), reset="FIX")
    source_voltage_range = setting(
        "SOURce:VOLTage:RANGe", Real(-VOLTAGE_RANGES[-1], VOLTAGE_RANGES[-1], "V"), reset=21.0
    )
    source_current_range = setting(
        "SOURce:CURRent:RANGe", Real(-CURRENT_RANGES[-1], CURRENT_RANGES[-1], "A"), reset=1.05e-4
    )
    source_voltage_auto = setting("SOURce:VOLTage:RANGe:AUTO", Boolean(), reset=True)
    source_current_auto = setting("SOURce:CURRent:RANGe:AUTO", Boolean(), reset=True)
    source_delay = setting("SOURce:DELay", Real(0, 999.9999, "s"), reset=0.0)
    source_delay_auto = setting("SOURce:DELay:AUTO", Boolean(), reset=True)
    auto_off = setting("SOURce:CLEar:AUTO", Boolean(), reset=False)
    current_limit = setting("SENSe:CURRent[:DC]:PROTection[:LEVel]", Real(-1.05, 1.05, "A"), reset=1.05e-4)
    voltage_limit = setting("SENSe:VOLTage[:DC]:PROTection[:LEVel]", Real(-210, 210, "V"), reset=21.0)

    @source_voltage_range.check
    def _check_voltage_range(self, value: float) -> float:
        return smallest_range(VOLTAGE_RANGES, value)

    @source_current_range.check
    def _check_current_range(self, value: float) -> float:
        return smallest_range(CURRENT_RANGES, value)

    @source_voltage_range.changed
    def _voltage_range_changed(self, _: float) -> None:
        self.source_voltage_auto = False

    @source_current_range.changed
    def _current_range_changed(self, _: float) -> None:
        self.source_current_auto = False

    @source_voltage.check
    def _check_voltage(self, value: float) -> float:
        if not self.source_voltage_auto and abs(value) > self.source_voltage_range:
            raise ScpiError(-221, f"{value:g} V is beyond the fixed range of {self.source_voltage_range:g} V")
        return value

    @source_current.check
    def _check_current(self, value: float) -> float:
        if not self.source_current_auto and abs(value) > self.source_current_range:
            raise ScpiError(-221, f"{value:g} A is beyond the fixed range of {self.source_current_range:g} A")
        return value

    @source_voltage.changed
    def _voltage_changed(self, value: float) -> None:
        if self.source_voltage_auto:
            self.settings["source_voltage_range"] = smallest_range(VOLTAGE_RANGES, value)
        self.update()

    @source_current.changed
    def _current_changed(self, value: float) -> None:
        if self.source_current_auto:
            self.settings["source_current_range"] = smallest_range(CURRENT_RANGES, value)
        self.update()

    @source_mode.changed
    def _mode_changed(self, _: str) -> None:
        self.update()

    @current_limit.check
    def _check_current_limit(self, value: float) -> float:
        return abs(value)

    @voltage_limit.check
    def _check_voltage_limit(self, value: float) -> float:
        return abs(value)

    @current_limit.changed
    def _current_limit_changed(self, _: float) -> None:
        self.update()

    @voltage_limit.changed
    def _voltage_limit_changed(self, _: float) -> None:
        self.update()

    @source_delay.changed
    def _delay_changed(self, _: float) -> None:
        self.source_delay_auto = False

    # ---- output ----------------------------------------------------------------------------------------------------

    output_on = setting("OUTPut[:STATe]", Boolean(), reset=False)
    off_mode = setting("OUTPut:SMODe", Choice("HIMPedance", "NORMal", "ZERO", "GUARd"), reset="NORM")

    @output_on.changed
    def _output_changed(self, on: bool) -> None:
        if not on:
            self.end_cycle()
        self.update()

    @command("SOURce:CLEar[:IMMediate]")
    def _clear_source(self, _: Session) -> None:
        self.switch(False)

    def switch(self, on: bool) -> None:
        """Switch the output."""
        self.output_on = on
        self._output_changed(on)

    def end_cycle(self) -> None:
        """End measurements that go on."""
        raise NotImplementedError

    def drive(self) -> Drive:
        """Return what the source is told to do."""
        if self.source_mode == "VOLT":
            return Drive("VOLT", self.source_voltage, self.current_limit)
        return Drive("CURR", self.source_current, self.voltage_limit)

    def update(self) -> None:
        """Bring the output to where the settings and the load want it from now on."""
        now = self.clock.now()
        if self.output_on:
            self.held_back = self.operate(np.array([now]), SETTLED).held_back
        else:
            self.held_back = False
            self.regulator.release(now)

    def operate(self, starts: Times, aperture: float) -> OperatingPoint:
        """Return the operating point over some windows, under the next acquisition number."""
        number = self.acquisitions
        self.acquisitions += 1
        return self.regulator.operate(self.drive(), starts, aperture, number)
