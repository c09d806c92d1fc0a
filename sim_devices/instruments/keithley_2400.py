"""The persona of the Keithley 2400 source meter: its commands on one side, what is connected to it on the other.

The command tree is spread over the subsystems that the class is built from: the source (`keithley_2400_source`), what
is measured (`keithley_2400_sense`) and when (`keithley_2400_trigger`). Readings, the buffer and status are here.
Sweeps, limit tests and the math of readings are not simulated.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from sim_devices.instruments.keithley_2400_sense import ELEMENTS, NOT_A_NUMBER, WORDS, Reading
from sim_devices.instruments.keithley_2400_trigger import MOST_READINGS, TriggerModel
from sim_devices.scpi import (
    Boolean,
    Choice,
    Integer,
    Operation,
    Quoted,
    Real,
    ScpiError,
    Session,
    command,
    query,
    setting,
)
from sim_devices.scpi.status import EventRegister

READING_AVAILABLE, BUFFER_AVAILABLE, BUFFER_FULL, OUTPUT_ENABLED, COMPLIANCE = 6, 8, 9, 11, 14
"""Bits of the measurement event register."""
MEASUREMENT_SUMMARY = 1 << 0
_STATISTICS: dict[str, Callable[..., Any]] = {
    "MEAN": np.mean,
    "SDEV": lambda values: np.std(values, ddof=1) if len(values) > 1 else 0.0,
    "MAX": np.max,
    "MIN": np.min,
    "PKPK": np.ptp,
}


class Keithley2400(TriggerModel):
    """A source meter: sources voltage or current within a compliance and measures both.

    Readings move the bench's clock by the source delay, the integration time and 12 ms each.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.measurement = EventRegister()
        self.measurement.condition = 1 << OUTPUT_ENABLED
        self.buffer: tuple[Reading, ...] = ()
        self.statistic = "MEAN"
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        """Go to idle with the output off; the buffer keeps its readings."""
        self.end_cycle()
        self.functions = frozenset({"CURR"})
        self.elements = ELEMENTS
        self.statistic = "MEAN"
        self.update()

    def recall_state(self, _: Any) -> None:
        """Go to idle and put out what the recalled settings say."""
        self.end_cycle()
        self.update()

    # ---- readings --------------------------------------------------------------------------------------------------

    @query("READ?", owner=True)
    def _read(self, _: Session) -> Any:
        self.end_cycle()
        return self._reply(self.begin_cycle())

    @query("FETCh?")
    def _fetch(self, _: Session) -> Any:
        return self.numbers(self.readings)

    @command("CONFigure:VOLTage[:DC]")
    def _configure_voltage(self, _: Session) -> None:
        self.configure("VOLT")

    @command("CONFigure:CURRent[:DC]")
    def _configure_current(self, _: Session) -> None:
        self.configure("CURR")

    @command("CONFigure:RESistance")
    def _configure_resistance(self, _: Session) -> None:
        self.configure("RES")

    @query("CONFigure?")
    def _ask_configuration(self, _: Session) -> tuple[Quoted, ...]:
        return tuple(Quoted(WORDS[name]) for name in WORDS if name in self.functions) or (Quoted(""),)

    @query("MEASure?", owner=True)
    def _measure(self, _: Session) -> Any:
        return self._one_shot(None)

    @query("MEASure:VOLTage[:DC]?", owner=True)
    def _measure_voltage(self, _: Session) -> Any:
        return self._one_shot("VOLT")

    @query("MEASure:CURRent[:DC]?", owner=True)
    def _measure_current(self, _: Session) -> Any:
        return self._one_shot("CURR")

    @query("MEASure:RESistance?", owner=True)
    def _measure_resistance(self, _: Session) -> Any:
        return self._one_shot("RES")

    def _one_shot(self, function: str | None) -> Any:
        self.configure(function)
        return self._reply(self.begin_cycle())

    def configure(self, function: str | None) -> None:
        """Set up for one reading of a function, None for those that are on; the output goes on."""
        self.end_cycle()
        if function is not None:
            self.functions = self.functions | {function} if self.concurrent else frozenset({function})
            self._set_nplc(1.0)
            self.settings |= {f"{'current' if function == 'CURR' else 'voltage'}_auto": True}
            self.settings |= {"resistance_auto": True, "resistance_mode": "AUTO"} if function == "RES" else {}
        self.settings |= {"arm_count": 1, "trigger_count": 1, "arm_source": "IMM", "trigger_source": "IMM"}
        self.settings |= {"trigger_delay": 0.0, "feed_control": "NEV"}
        self.switch(True)

    def _reply(self, done: "Future[None]") -> Any:
        def reply() -> Any:
            return self.numbers(self.readings)

        return reply() if done.done() else Operation(done, reply=reply)

    def numbers(self, readings: tuple[Reading, ...]) -> np.ndarray:
        """Return the elements of some readings, one after the other.

        Raises
        ------
        ScpiError
            -230 if there are none.
        """
        if not readings:
            raise ScpiError(-230, "there are no readings")
        numbers = [number for reading in readings for number in reading.elements(self.elements)]
        return np.array(numbers, np.float32)

    # ---- buffer ----------------------------------------------------------------------------------------------------

    buffer_points = setting(
        "TRACe:POINts", Integer(1, MOST_READINGS), reset=lambda self: self.kept("buffer_points", 100)
    )
    feed = setting("TRACe:FEED", Choice("SENSe"), reset="SENS")
    feed_control = setting("TRACe:FEED:CONTrol", Choice("NEXT", "NEVer"), reset="NEV")
    stamps = setting("TRACe:TSTamp:FORMat", Choice("ABSolute", "DELTa"), reset="ABS")

    def kept(self, name: str, first: Any) -> Any:
        """Return a value that ``*RST`` leaves as it is, and its first one at power-on."""
        return self.settings.get(name, first)

    @feed_control.changed
    def _feed_control_changed(self, value: str) -> None:
        if value == "NEXT":
            self._forget_readings()

    @query("TRACe:POINts:ACTual?")
    def _ask_points(self, _: Session) -> int:
        return len(self.buffer)

    @query("TRACe:DATA?")
    def _ask_data(self, _: Session) -> np.ndarray:
        return self.numbers(self.buffer)

    @command("TRACe:CLEar")
    def _clear_buffer(self, _: Session) -> None:
        if self.feed_control == "NEXT":
            raise ScpiError(800, "TRACe:FEED:CONTrol NEVer comes first")
        self._forget_readings()

    def _forget_readings(self) -> None:
        self.buffer = ()
        self.measurement.set_condition(BUFFER_AVAILABLE, False)
        self.measurement.set_condition(BUFFER_FULL, False)

    def store(self, reading: Reading) -> None:
        """Note that there is a reading, and keep it in the buffer where that is being filled."""
        self.measurement.set_condition(READING_AVAILABLE, False)
        self.measurement.set_condition(READING_AVAILABLE, True)
        self.measurement.set_condition(COMPLIANCE, self.held_back)
        if self.feed_control != "NEXT":
            return
        self.buffer = (*self.buffer, reading)
        self.measurement.set_condition(BUFFER_AVAILABLE, len(self.buffer) > 1)
        if len(self.buffer) >= self.buffer_points:
            self.measurement.set_condition(BUFFER_FULL, True)
            self.feed_control = "NEV"

    @command("CALCulate<3:3>:FORMat", Choice("MEAN", "SDEViation", "MAXimum", "MINimum", "PKPK"))
    def _set_statistic(self, _: Session, __: int, name: str) -> None:
        self.statistic = name

    @query("CALCulate<3:3>:FORMat?")
    def _ask_statistic(self, _: Session, __: int) -> str:
        return self.statistic

    @query("CALCulate<3:3>:DATA?")
    def _ask_statistics(self, _: Session, __: int) -> tuple[float, ...]:
        """Answer a statistic of the voltages, currents and resistances in the buffer, those that were measured."""
        columns = np.array([(entry.voltage, entry.current, entry.resistance) for entry in self.buffer]).T
        if not columns.size:
            raise ScpiError(-230, "the buffer is empty")
        calculate = _STATISTICS[self.statistic]
        return tuple(NOT_A_NUMBER if NOT_A_NUMBER in column else float(calculate(column)) for column in columns)

    # ---- status ----------------------------------------------------------------------------------------------------

    def summary_bits(self, session: Session) -> int:
        """Return the instrument's own bits of the status byte, the measurement summary among them."""
        return super().summary_bits(session) | (MEASUREMENT_SUMMARY if self.measurement.summary else 0)

    @query("STATus:MEASurement[:EVENt]?")
    def _ask_measurement_event(self, _: Session) -> int:
        return self.measurement.read_event()

    @query("STATus:MEASurement:CONDition?")
    def _ask_measurement_condition(self, _: Session) -> int:
        return self.measurement.condition

    @command("STATus:MEASurement:ENABle", Integer(0, 0x7FFF), owner=False)
    def _set_measurement_enable(self, _: Session, value: int) -> None:
        self.measurement.enable = value

    @query("STATus:MEASurement:ENABle?")
    def _ask_measurement_enable(self, _: Session) -> int:
        return self.measurement.enable

    @command("STATus:PRESet", owner=False)
    def _common_preset_status(self, session: Session) -> None:
        session.operation.preset()
        session.questionable.preset()
        self.measurement.preset()

    @command("*CLS", owner=False)
    def _common_clear_status(self, session: Session) -> None:
        session.clear_status()
        self.measurement.event = 0

    # ---- system ----------------------------------------------------------------------------------------------------

    auto_zero = setting("SYSTem:AZERo[:STATe]", Boolean(), reset=True)
    beeper = setting("SYSTem:BEEPer:STATe", Boolean(), reset=True)
    display = setting("DISPlay:ENABle", Boolean(), reset=lambda self: self.kept("display", True))

    @command("SYSTem:BEEPer[:IMMediate]", Real(65, 2e6, "Hz"), Real(0, 7.9, "s"))
    def _beep(self, _: Session, frequency: float, duration: float) -> None:
        """Sound; nobody hears it."""

    @command("SYSTem:TIME:RESet")
    def _reset_time(self, _: Session) -> None:
        self.time_zero = self.clock.now()

    @command("SYSTem:PRESet")
    def _preset(self, _: Session) -> None:
        self.reset_settings()
        self.reset()
