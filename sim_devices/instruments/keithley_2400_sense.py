"""What the Keithley 2400 measures and how: functions, ranges, integration, filter, elements of a reading."""

from dataclasses import dataclass

import numpy as np

from sim_devices.instruments.keithley_2400_source import (
    CURRENT_RANGES,
    VOLTAGE_RANGES,
    Drive,
    OperatingPoint,
    Source,
    smallest_range,
)
from sim_devices.scpi import (
    Boolean,
    Choice,
    Integer,
    Quoted,
    Real,
    ScpiError,
    Session,
    String,
    command,
    query,
    setting,
)

ELEMENTS = ("VOLT", "CURR", "RES", "TIME", "STAT")
NOT_A_NUMBER, OVERFLOW = 9.91e37, 9.9e37
OVERHEAD = 12e-3
"""Time in s that a reading takes beside its integration: 35 readings a second at 1 line cycle."""
AUTO_DELAY = 1e-3
"""Source delay in s where it is automatic."""
TEST_CURRENTS = {21.0: 0.1, 210.0: 1e-2, 2.1e3: 1e-3, 2.1e4: 1e-4, 2.1e5: 1e-5, 2.1e6: 1e-6, 2.1e7: 1e-6, 2.1e8: 1e-7}
"""Current in A that each range of the resistance, in Ohm, is measured with where that is automatic."""
WORDS = {"VOLT": "VOLT:DC", "CURR": "CURR:DC", "RES": "RES"}
_SPELLINGS = {"VOLTAGE": "VOLT", "VOLT": "VOLT", "CURRENT": "CURR", "CURR": "CURR", "RESISTANCE": "RES", "RES": "RES"}
OVER_RANGE, FILTERED, FRONT, HELD_BACK = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MEASURED = {"VOLT": 1 << 11, "CURR": 1 << 12, "RES": 1 << 13}
SOURCED = {"VOLT": 1 << 14, "CURR": 1 << 15}
RANGE_HELD_BACK, FOUR_WIRES = 1 << 16, 1 << 22
"""Bits of the status word of a reading."""


@dataclass(frozen=True)
class Reading:
    """One reading: V, A, Ohm, s since power-on, status word; what was not measured is NOT_A_NUMBER."""

    voltage: float
    current: float
    resistance: float
    time: float
    status: int

    def elements(self, names: tuple[str, ...]) -> list[float]:
        """Return the elements asked for, in the order of the instrument."""
        values = (self.voltage, self.current, self.resistance, self.time, float(self.status))
        return [value for name, value in zip(ELEMENTS, values, strict=True) if name in names]


def _function(text: str) -> str:
    name = _SPELLINGS.get(text.upper().removesuffix(":DC").removesuffix("[:DC]"))
    if name is None:
        raise ScpiError(-224, f"{text[:20]} is not VOLTage, CURRent or RESistance")
    return name


def _rounded(value: float, ranges: tuple[float, ...], steps: float) -> float:
    """Round to the resolution of the range that takes a value: its full scale over some number of steps."""
    if abs(value) > ranges[-1]:
        return OVERFLOW
    step = smallest_range(ranges, value) / steps
    return round(value / step) * step


class Sense(Source):
    """Commands of SENSe, and one measurement."""

    functions: frozenset[str] = frozenset({"CURR"})
    elements: tuple[str, ...] = ELEMENTS
    time_zero = 0.0
    """Time of the bench at which the time stamps count from 0, s."""

    concurrent = setting("SENSe:FUNCtion:CONCurrent", Boolean(), reset=True)
    current_range = setting("SENSe:CURRent[:DC]:RANGe[:UPPer]", Real(-1.05, 1.05, "A"), reset=1.05e-4)
    voltage_range = setting("SENSe:VOLTage[:DC]:RANGe[:UPPer]", Real(-210, 210, "V"), reset=21.0)
    resistance_range = setting("SENSe:RESistance:RANGe[:UPPer]", Real(0, 2.1e8, "OHM"), reset=2.1e5)
    current_auto = setting("SENSe:CURRent[:DC]:RANGe:AUTO", Boolean(), reset=True)
    voltage_auto = setting("SENSe:VOLTage[:DC]:RANGe:AUTO", Boolean(), reset=True)
    resistance_auto = setting("SENSe:RESistance:RANGe:AUTO", Boolean(), reset=True)
    resistance_mode = setting("SENSe:RESistance:MODE", Choice("AUTO", "MANual"), reset="AUTO")
    current_nplc = setting("SENSe:CURRent[:DC]:NPLCycles", Real(0.01, 10), reset=1.0)
    voltage_nplc = setting("SENSe:VOLTage[:DC]:NPLCycles", Real(0.01, 10), reset=1.0)
    resistance_nplc = setting("SENSe:RESistance:NPLCycles", Real(0.01, 10), reset=1.0)
    filter_on = setting("SENSe:AVERage[:STATe]", Boolean(), reset=False)
    filter_type = setting("SENSe:AVERage:TCONtrol", Choice("REPeat", "MOVing"), reset="REP")
    filter_count = setting("SENSe:AVERage:COUNt", Integer(1, 100), reset=10)
    line_frequency = setting("SYSTem:LFRequency", Integer(50, 60), reset=60)
    line_auto = setting("SYSTem:LFRequency:AUTO", Boolean(), reset=True)
    four_wires = setting("SYSTem:RSENse", Boolean(), reset=False)
    terminals = setting("ROUTe:TERMinals", Choice("FRONt", "REAR"), reset="FRON")

    @current_range.check
    def _check_measured_current(self, value: float) -> float:
        return smallest_range(CURRENT_RANGES, value)

    @voltage_range.check
    def _check_measured_voltage(self, value: float) -> float:
        return smallest_range(VOLTAGE_RANGES, value)

    @resistance_range.check
    def _check_measured_resistance(self, value: float) -> float:
        return smallest_range(tuple(TEST_CURRENTS), value)

    @current_range.changed
    def _measured_current_changed(self, _: float) -> None:
        self.current_auto = False
        self.update()

    @voltage_range.changed
    def _measured_voltage_changed(self, _: float) -> None:
        self.voltage_auto = False
        self.update()

    @resistance_range.changed
    def _measured_resistance_changed(self, _: float) -> None:
        self.resistance_auto = False

    @current_nplc.changed
    def _current_nplc_changed(self, value: float) -> None:
        self._set_nplc(value)

    @voltage_nplc.changed
    def _voltage_nplc_changed(self, value: float) -> None:
        self._set_nplc(value)

    @resistance_nplc.changed
    def _resistance_nplc_changed(self, value: float) -> None:
        self._set_nplc(value)

    def _set_nplc(self, value: float) -> None:
        self.current_nplc = self.voltage_nplc = self.resistance_nplc = value

    @line_frequency.check
    def _check_line_frequency(self, value: int) -> int:
        if value not in (50, 60):
            raise ScpiError(-224, f"{value} Hz is not 50 or 60 Hz")
        return value

    @line_frequency.changed
    def _line_frequency_changed(self, _: int) -> None:
        self.line_auto = False

    # ---- functions and elements ------------------------------------------------------------------------------------

    @command("SENSe:FUNCtion[:ON]", String(), String(optional=True), String(optional=True))
    def _switch_functions_on(self, _: Session, *texts: str | None) -> None:
        wanted = {_function(text) for text in texts if text is not None}
        if not self.concurrent and len(wanted) > 1:
            raise ScpiError(-221, "several functions are measured at once only while SENSe:FUNCtion:CONCurrent is ON")
        self.functions = frozenset(self.functions | wanted if self.concurrent else wanted)

    @command("SENSe:FUNCtion:OFF", String(), String(optional=True), String(optional=True))
    def _switch_functions_off(self, _: Session, *texts: str | None) -> None:
        self.functions = self.functions - {_function(text) for text in texts if text is not None}

    @command("SENSe:FUNCtion[:ON]:ALL")
    def _switch_all_functions_on(self, _: Session) -> None:
        if not self.concurrent:
            raise ScpiError(-221, "several functions are measured at once only while SENSe:FUNCtion:CONCurrent is ON")
        self.functions = frozenset(WORDS)

    @command("SENSe:FUNCtion:OFF:ALL")
    def _switch_all_functions_off(self, _: Session) -> None:
        self.functions = frozenset()

    @query("SENSe:FUNCtion[:ON]?")
    def _ask_functions(self, _: Session) -> tuple[Quoted, ...]:
        return tuple(Quoted(word) for name, word in WORDS.items() if name in self.functions) or (Quoted(""),)

    @command(
        "FORMat:ELEMents[:SENSe]",
        *(Choice("VOLTage", "CURRent", "RESistance", "TIME", "STATus", optional=place > 0) for place in range(5)),
    )
    def _set_elements(self, _: Session, *names: str | None) -> None:
        self.elements = tuple(name for name in ELEMENTS if name in names)

    @query("FORMat:ELEMents[:SENSe]?")
    def _ask_elements(self, _: Session) -> str:
        return ",".join(self.elements)

    @query("SENSe:CURRent[:DC]:PROTection:TRIPped?")
    def _ask_current_tripped(self, _: Session) -> bool:
        return self.source_mode == "VOLT" and self.held_back

    @query("SENSe:VOLTage[:DC]:PROTection:TRIPped?")
    def _ask_voltage_tripped(self, _: Session) -> bool:
        return self.source_mode == "CURR" and self.held_back

    # ---- one measurement -------------------------------------------------------------------------------------------

    def drive(self) -> Drive:
        """Return what the source is told to do; a fixed range of the measurement holds it back as the compliance."""
        told = super().drive()
        return Drive(told.mode, told.level, min(told.limit, self._range_limit()))

    def _range_limit(self) -> float:
        if self.source_mode == "VOLT":
            return float("inf") if self.current_auto else self.current_range
        return float("inf") if self.voltage_auto else self.voltage_range

    @property
    def aperture(self) -> float:
        """Integration time in s."""
        return self.current_nplc / self.line_frequency

    def measure(self) -> Reading:
        """Let the source settle, integrate and return the reading; the bench's clock moves on meanwhile."""
        self.clock.sleep(AUTO_DELAY if self.source_delay_auto else self.source_delay)
        if "RES" in self.functions and self.resistance_mode == "AUTO":
            self._find_test_current()
        count = self.filter_count if self.filter_on else 1
        begin, interval = self.clock.now(), self.aperture + OVERHEAD
        point = self.operate(begin + interval * np.arange(count), self.aperture)
        self.held_back = point.held_back
        self.clock.sleep_until(begin + count * interval)
        return self._reading(point)

    def _find_test_current(self) -> None:
        """Source the current of the resistance range; where that is automatic, of the smallest that takes the load."""
        if not self.resistance_auto:
            self._source_test_current(self.resistance_range)
            return
        self._source_test_current(max(TEST_CURRENTS))
        point = self.operate(np.array([self.clock.now()]), self.aperture)
        self.clock.sleep(self.aperture + OVERHEAD)
        if not point.held_back and self._ratio(point) != OVERFLOW:
            self._source_test_current(smallest_range(tuple(TEST_CURRENTS), self._ratio(point)))

    def _source_test_current(self, scale: float) -> None:
        self.source_mode = "CURR"
        self.resistance_range, self.source_current = scale, TEST_CURRENTS[scale]

    @staticmethod
    def _ratio(point: OperatingPoint) -> float:
        """Return the resistance in Ohm, OVERFLOW beyond the largest range."""
        ratio = point.voltage / point.current if point.current else float("inf")
        return ratio if abs(ratio) <= max(TEST_CURRENTS) else OVERFLOW

    def _reading(self, point: OperatingPoint) -> Reading:
        voltage = _rounded(point.voltage, VOLTAGE_RANGES, 2.1e5)
        current = _rounded(point.current, CURRENT_RANGES, 1.05e5)
        known = self.functions | {self.source_mode}
        if self.source_mode == "VOLT" and "VOLT" not in self.functions:
            voltage = self.source_voltage
        if self.source_mode == "CURR" and "CURR" not in self.functions:
            current = self.source_current
        return Reading(
            voltage if "VOLT" in known else NOT_A_NUMBER,
            current if "CURR" in known else NOT_A_NUMBER,
            self._ratio(point) if "RES" in self.functions else NOT_A_NUMBER,
            self.clock.now() - self.time_zero,
            self._status(point, OVERFLOW in (voltage, current)),
        )

    def _status(self, point: OperatingPoint, over_range: bool) -> int:
        by_range = point.held_back and self._range_limit() < super().drive().limit
        flags = {
            OVER_RANGE: over_range,
            FILTERED: self.filter_on,
            FRONT: self.terminals == "FRON",
            HELD_BACK: point.held_back and not by_range,
            RANGE_HELD_BACK: by_range,
            SOURCED[self.source_mode]: True,
            FOUR_WIRES: self.four_wires,
        }
        flags |= {bit: name in self.functions for name, bit in MEASURED.items()}
        return sum(bit for bit, up in flags.items() if up)
