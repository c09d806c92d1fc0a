"""Driver of the Keithley 2400 source meter: pymeasure's, with errors that raise, limits, and readings that set nothing.

pymeasure's own class writes when it is constructed, takes `voltage` and `current` with ``MEASure``, which configures
the meter anew and switches its output on, and knows no limits. The source is in `keithley_2400_source`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymeasure.adapters import Adapter

from drivers.errors import InstrumentTimeoutError
from drivers.keithley_2400_source import Keithley2400Source
from drivers.properties import choice, measurement
from drivers.replies import meant

ELEMENTS = {"VOLT": "voltage", "CURR": "current", "RES": "resistance", "TIME": "time", "STAT": "status"}
NOT_A_NUMBER, OVERFLOW = 9.91e37, 9.9e37
MEASUREMENT_SUMMARY = 1 << 0
_SWITCH = re.compile(r"\b(ON|OFF)\b", re.IGNORECASE)
_RESETS = re.compile(r"\*RST|\*RCL|SYST(?!:ERR)|FORM", re.IGNORECASE)


class Keithley2400(Keithley2400Source):
    """A Keithley 2400.

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
        self._elements: tuple[str, ...] | None = None
        super().__init__(adapter, name, **kwargs)

    def reset_data_format(self) -> None:
        """Leave the elements of a reading as they are: readings are understood with whichever are in force."""

    def write(self, command: str, **kwargs: Any) -> None:
        """Write one message, as `Keithley2400Source` does."""
        if _RESETS.search(command):
            self._elements = None
        super().write(command, **kwargs)

    def resynchronise(self) -> list[tuple[int, str]]:
        """Do as `Keithley2400Source` does, and ask for the elements of readings before they are used."""
        self._elements = None
        return super().resynchronise()

    # readings

    data_elements = measurement(
        ":FORM:ELEM?",
        """Get the elements of a reading (tuple of str): voltage, current, resistance, time, status.""",
        cast=str,
        get_process=lambda word: (_element(word),),
        get_process_list=lambda words: tuple(_element(word) for word in words),
    )

    def use_elements(self, *names: str) -> None:
        """Set the elements of a reading: some of voltage, current, resistance, time and status."""
        short = {name: word for word, name in ELEMENTS.items()}
        self.write(":FORM:ELEM " + ",".join(short[name] for name in names))

    def readings(self) -> dict[str, NDArray[np.float64]]:
        """Trigger and return the readings of one cycle, as configured, by element.

        Returns
        -------
        dict of str to ndarray
            V, A, Ohm, s and the status word, one value a reading; not-a-number where something was not measured,
            infinite beyond the range.
        """
        with self.lock:
            numbers = self.values(":READ?")
            self.check_errors()
            return self._by_element(numbers)

    def _by_element(self, numbers: list[float]) -> dict[str, NDArray[np.float64]]:
        if self._elements is None:
            self._elements = self.data_elements
        values = np.array(numbers, float)
        if values.size % len(self._elements):
            raise self.misunderstood(ValueError(f"{values.size} numbers are no readings of {len(self._elements)}"))
        values[np.isclose(values, NOT_A_NUMBER, rtol=1e-4)] = np.nan
        beyond = np.isclose(np.abs(values), OVERFLOW, rtol=1e-4)
        values[beyond] = np.copysign(np.inf, values[beyond])
        return dict(zip(self._elements, values.reshape(-1, len(self._elements)).T, strict=True))

    def _element_of_reading(self, name: str) -> float:
        readings = self.readings()
        if name not in readings:
            raise self.misunderstood(LookupError(f"no {name} among the elements {', '.join(readings)}"))
        return float(readings[name][0])

    @property
    def voltage(self) -> float:
        """Measure the voltage in V, with everything as it is configured (float)."""
        return self._element_of_reading("voltage")

    @property
    def current(self) -> float:
        """Measure the current in A, with everything as it is configured (float)."""
        return self._element_of_reading("current")

    @property
    def resistance(self) -> float:
        """Measure the resistance in Ohm, with everything as it is configured (float)."""
        return self._element_of_reading("resistance")

    def measure_all(self) -> dict[str, float]:
        """Measure voltage, current and manual resistance at once; return them with time and status."""
        self.resistance_mode_auto_enabled = False
        self.write(":SENS:FUNC:ALL")
        reading = {name: float(values[0]) for name, values in self.readings().items()}
        return reading | {"status": int(reading["status"])} if "status" in reading else reading

    def measure_current(self, nplc: float = 1, current: float = 1.05e-4, auto_range: bool = True) -> None:
        """Measure the current as well, over some line cycles, in a range in A or automatically."""
        self.write(":SENS:FUNC 'CURR'")
        self.current_nplc = nplc
        if auto_range:
            self.current_range_auto_enabled = True
        else:
            self.current_range = current

    def measure_voltage(self, nplc: float = 1, voltage: float = 21.0, auto_range: bool = True) -> None:
        """Measure the voltage as well, over some line cycles, in a range in V or automatically."""
        self.write(":SENS:FUNC 'VOLT'")
        self.voltage_nplc = nplc
        if auto_range:
            self.voltage_range_auto_enabled = True
        else:
            self.voltage_range = voltage

    repeat_filter_enabled = choice(
        ":SENS:AVER:TCON",
        """Control whether the filter is a repeating one (bool); a moving one otherwise.""",
        {True: "REP", False: "MOV"},
    )
    filter_type = choice(
        ":SENS:AVER:TCON",
        """Control the filter (str, "REP" for repeating or "MOV" for moving).""",
        {"REP": "REP", "MOV": "MOV"},
    )
    resistance_mode_auto_enabled = choice(
        ":SENS:RES:MODE",
        """Control whether the instrument chooses its source where it measures resistance (bool).""",
        {True: "AUTO", False: "MAN"},
    )
    front_terminals_enabled = choice(
        ":ROUT:TERM",
        """Control whether the front terminals are connected (bool); the rear ones otherwise.""",
        {True: "FRON", False: "REAR"},
    )

    # triggers and the buffer

    trigger_source = choice(
        ":TRIG:SOUR",
        """Control what the trigger layer waits for (str, "immediate" or "trigger_link").""",
        {"immediate": "IMM", "trigger_link": "TLIN"},
    )
    arm_source = choice(
        ":ARM:SOUR",
        """Control what the arm layer waits for (str, one of immediate, trigger_link, timer, manual, bus).""",
        {"immediate": "IMM", "trigger_link": "TLIN", "timer": "TIM", "manual": "MAN", "bus": "BUS"},
    )
    trigger_output_event = choice(
        ":TRIG:OUTP",
        """Control after what the trigger layer sends an edge (str, "source", "delay", "sense" or "none").""",
        {"source": "SOUR", "delay": "DEL", "sense": "SENS", "none": "NONE"},
    )
    arm_output_event = choice(
        ":ARM:OUTP",
        """Control when the arm layer sends an edge (str, "trigger_enter", "trigger_exit" or "none").""",
        {"trigger_enter": "TENT", "trigger_exit": "TEX", "none": "NONE"},
    )

    def is_buffer_full(self) -> bool:
        """Return whether the buffer is full, by a serial poll, which is answered also while a cycle goes on."""
        return bool(self.status_byte() & MEASUREMENT_SUMMARY)

    def wait_for_buffer(
        self, should_stop: Callable[[], bool] = lambda: False, timeout: float = 60, interval: float = 0.1
    ) -> None:
        """Wait until the buffer is full or `should_stop` says so.

        Raises
        ------
        InstrumentTimeoutError
            If it is not full after `timeout` s.
        InstrumentError
            If an error was queued meanwhile.
        """
        deadline = time.monotonic() + timeout
        while not self.is_buffer_full():
            if should_stop():
                return
            if time.monotonic() > deadline:
                raise InstrumentTimeoutError(f"{self.name}: the buffer was not full after {timeout:g} s")
            self.pause(interval)
        self.check_errors()

    def buffer_readings(self) -> dict[str, NDArray[np.float64]]:
        """Return the readings of the buffer by element, as `readings` does."""
        with self.lock:
            return self._by_element(self.buffer_data.tolist())

    # replies

    def values(
        self,
        command: str,
        separator: str = ",",
        cast: Callable[[str], Any] = float,
        preprocess_reply: Callable[[str], str] | None = None,
        maxsplit: int = -1,
        **kwargs: Any,
    ) -> list[Any]:
        """Ask for values as `WireInstrument` does; ON and OFF count as 1 and 0."""
        return super().values(command, separator, cast, preprocess_reply or _switched, maxsplit, **kwargs)


def _switched(reply: str) -> str:
    return _SWITCH.sub(lambda match: str(int(match[0].upper() == "ON")), reply)


def _element(word: str) -> str:
    """Return the name of an element of a reading that the instrument tells in short or long form."""
    return ELEMENTS[meant(word, ELEMENTS)]
