"""Driver of the SR830 lock-in amplifier: pymeasure's, with errors that raise, a limited sine, and fast buffers.

The instrument has no error queue: bits of its status bytes stand for it. What pymeasure gets wrong is set right here:
values beyond their range are refused rather than truncated, the expansion of `set_scaling` is sent as its index, the
displays are read by name, buffers come in one transfer, and nothing waits for ever.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymeasure.adapters import Adapter
from pymeasure.instruments import srs

from drivers.errors import InstrumentError, InstrumentTimeoutError, OutputLimitError, OverloadError
from drivers.properties import control, integer, real, strict_real
from drivers.wire import WireInstrument

REFUSALS = {
    1 << 0: "input queue overflow",
    1 << 2: "output queue overflow",
    1 << 4: "a value is not allowed, or the command cannot be carried out",
    1 << 5: "unknown command",
}
"""Bits of the standard event status byte that are errors; the others are a key, power-on, or unused."""
FAULTS = {
    1 << 1: "battery backup failed",
    1 << 2: "memory test failed",
    1 << 4: "program memory test failed",
    1 << 5: "fast transfer aborted",
    1 << 6: "signal processor test failed",
    1 << 7: "internal calculation failed",
}
"""Bits of the error status byte."""
OVERLOADS = {1 << 0: "input", 1 << 1: "filter", 1 << 2: "output"}
UNLOCKED = 1 << 3
"""Bits of the LIA status byte."""
READY = 1 << 1
"""Bit of the serial poll status byte: no command is being carried out."""
STANDARD_SINE = 1.0
"""Amplitude of the sine after a reset, V rms."""
_SINE = re.compile(r"SLVL\s*([^;?]+)", re.IGNORECASE)
_AUX = re.compile(r"AUXV\s*\d\s*,\s*([^;?]+)", re.IGNORECASE)
_RESET, _RECALL = re.compile(r"\*RST", re.IGNORECASE), re.compile(r"RSET", re.IGNORECASE)


def _reading(query: str, docs: str) -> property:
    """Return a property that is read only where nothing is overloaded."""
    return property(lambda self: self.trusted(lambda: self.values(query)[0]), doc=docs)


def _display(channel: int, names: Sequence[str]) -> property:
    return control(
        f"DDEF? {channel}",
        f"DDEF {channel},%d,0",
        f"""Control what display {channel} shows (str, one of {", ".join(names)}).""",
        validator=lambda name, allowed: _index(name, allowed),
        values=names,
        get_process_list=lambda values: names[int(values[0])],
    )


def _index(name: Any, allowed: Sequence[Any]) -> int:
    if name not in allowed:
        raise ValueError(f"{name!r} is none of {', '.join(map(str, allowed))}")
    return list(allowed).index(name)


def _aux_out(number: int) -> property:
    return control(
        f"AUXV? {number}",
        f"AUXV {number},%.9g",
        f"""Control the voltage of auxiliary output {number} in V (float from -10.5 to 10.5, within `aux_limits`).""",
        validator=strict_real,
        values=(-10.5, 10.5),
    )


class SR830(WireInstrument, srs.SR830):
    """An SR830.

    Every command raises the errors it leaves in the status bytes, and readings raise while they are overloaded. An
    InstrumentError has the weight of the status bit as its code.

    Parameters
    ----------
    adapter : str, int or pymeasure Adapter
        VISA resource name, GPIB address, or an adapter.
    name : str
        Name for messages.
    **kwargs
        Passed to `pymeasure.adapters.VISAAdapter`: `visa_library`, `timeout` in ms and the like.

    Attributes
    ----------
    sine_limit : float
        Largest rms amplitude in V of the sine output.
    aux_limits : tuple of float
        Lowest and highest voltage in V of the auxiliary outputs.
    """

    def __init__(self, adapter: Adapter | str | int, name: str = "SR830", **kwargs: Any) -> None:
        self.sine_limit = 5.0
        self.aux_limits = (-10.5, 10.5)
        super().__init__(adapter, name, **kwargs)

    # one exchange

    def write(self, command: str, **kwargs: Any) -> None:
        """Write one message within the limits of the outputs, and raise the errors that commands leave.

        Raises
        ------
        OutputLimitError
            If it would take an output beyond its limits; nothing has been sent then.
        InstrumentError
            If the instrument refuses it.
        """
        self._admit(command)
        with self.lock:
            super().write(command, **kwargs)
            if "?" not in command:
                self.check_errors()

    def write_bytes(self, content: bytes, **kwargs: Any) -> None:
        """Write bytes as they are, within the limits of the outputs."""
        self._admit(content.decode("ascii", "replace"))
        super().write_bytes(content, **kwargs)

    def _admit(self, message: str) -> None:
        low, high = self.aux_limits
        for argument in _SINE.findall(message):
            self._check("sine amplitude", argument, 0.0, self.sine_limit)
        for argument in _AUX.findall(message):
            self._check("auxiliary voltage", argument, low, high)
        if _RESET.search(message):
            self._check("sine amplitude after a reset", str(STANDARD_SINE), 0.0, self.sine_limit)
            self._check("auxiliary voltage after a reset", "0", low, high)
        if _RECALL.search(message) and (self.sine_limit < 5 or low > -10.5 or high < 10.5):
            raise OutputLimitError(f"{self.name}: what a stored set-up puts out is not known; the outputs are limited")

    def _check(self, what: str, argument: str, low: float, high: float) -> None:
        try:
            allowed = low <= float(argument) <= high
        except ValueError:
            allowed = False
        if not allowed:
            raise OutputLimitError(f"{self.name}: a {what} of {argument.strip()} V: {low:g} to {high:g} V are allowed")

    def read_errors(self) -> list[tuple[int, str]]:
        """Return the errors in the standard event and error status bytes, which this clears, as (weight, text)."""
        with self.lock:
            found = []
            for query, meanings in (("*ESR?", REFUSALS), ("ERRS?", FAULTS)):
                status = int(float(self.ask(query)))
                found += [(bit, f"{query}: {text}") for bit, text in meanings.items() if status & bit]
            return found

    def check_set_errors(self) -> list[tuple[int, str]]:
        """Do nothing: `write` has raised the errors of a property that was set."""
        return []

    def trusted(self, read: Callable[[], Any]) -> Any:
        """Return what `read` reads, unless it is overloaded; an overload that is over makes it read again.

        Raises
        ------
        OverloadError
            If input, filter or output are overloaded.
        InstrumentError
            If the reference is not locked.
        """
        with self.lock:
            for _ in range(2):
                value = read()
                status = int(float(self.ask("LIAS?")))
                if not status & (sum(OVERLOADS) | UNLOCKED):
                    return value
        if status & UNLOCKED:
            raise InstrumentError(UNLOCKED, "LIAS?: the reference is not locked", command="LIAS?", instrument=self.name)
        places = " and ".join(text for bit, text in OVERLOADS.items() if status & bit)
        raise OverloadError(f"{self.name}: {places} overloaded; choose a larger sensitivity")

    def complete(self, command: str, deadline: float = 60.0) -> None:
        """Write a command that takes its time, wait until it is carried out, and raise what it leaves.

        Raises
        ------
        InstrumentTimeoutError
            If it takes longer than `deadline` s.
        """
        end = time.monotonic() + deadline
        with self.lock:
            super().write(command)
        while not self._ready():
            if time.monotonic() > end:
                raise InstrumentTimeoutError(f"{self.name}: {command!r} was not complete after {deadline:g} s")
            self.pause(0.02)
        with self.lock:
            self._command = command
            self.check_errors()

    def _ready(self) -> bool:
        return bool(self.status_byte() & READY)

    # readings

    x = _reading("OUTP? 1", """Measure X in V, or A (float).""")
    y = _reading("OUTP? 2", """Measure Y in V, or A (float).""")
    magnitude = _reading("OUTP? 3", """Measure the magnitude in V, or A (float).""")
    theta = _reading("OUTP? 4", """Measure the phase in degrees (float).""")

    def snap(self, val1: str = "X", val2: str = "Y", *vals: str) -> list[float]:
        """Measure two to six quantities at one instant.

        Parameters
        ----------
        val1, val2, *vals : str
            X, Y, R, Theta, Aux In 1 to Aux In 4, Frequency, CH1 or CH2.
        """
        return self.trusted(lambda: super(SR830, self).snap(val1, val2, *vals))

    # settings

    sine_voltage = real(
        "SLVL", """Control the rms amplitude of the sine output in V (float from 0.004 to 5).""", 0.004, 5
    )
    frequency = real("FREQ", """Control the reference frequency in Hz (float from 0.001 to 102000).""", 0.001, 102e3)
    phase = real("PHAS", """Control the reference phase in degrees (float from -360 to 729.99).""", -360, 729.99)
    harmonic = integer("HARM", """Control which harmonic is detected (int from 1 to 19999).""", 1, 19999)
    channel1 = _display(1, ("X", "R", "X Noise", "Aux In 1", "Aux In 2"))
    channel2 = _display(2, ("Y", "Theta", "Y Noise", "Aux In 3", "Aux In 4"))
    aux_out_1 = dac1 = _aux_out(1)
    aux_out_2 = dac2 = _aux_out(2)
    aux_out_3 = dac3 = _aux_out(3)
    aux_out_4 = dac4 = _aux_out(4)

    def set_scaling(self, channel: str, precent: float, expand: int = 1) -> None:
        """Set the offset of X, Y or R in percent of full scale (-105 to 105) and its expansion (1, 10 or 100)."""
        number = _index(channel, self.CHANNELS) + 1
        percent = strict_real(precent, (-105, 105))
        self.write(f"OEXP {number},{percent:.2f},{_index(expand, self.EXPANSION_VALUES)}")

    # automatic functions

    def auto_gain(self) -> None:
        """Choose the sensitivity by the instrument's own means and wait until it has."""
        self.complete("AGAN")

    def auto_reserve(self) -> None:
        """Choose the reserve by the instrument's own means and wait until it has."""
        self.complete("ARSV")

    def auto_phase(self) -> None:
        """Turn the reference so that the phase becomes 0 and wait until the instrument has."""
        self.complete("APHS")

    def quick_range(self) -> None:
        """Choose the smallest sensitivity that takes the magnitude.

        Raises
        ------
        OverloadError
            If even the largest does not.
        """
        largest = len(self.SENSITIVITIES) - 1
        index = int(self.values("SENS?")[0])
        while self.is_out_of_range() and self.is_out_of_range():
            if index >= largest:
                raise OverloadError(f"{self.name}: the output is overloaded at the largest sensitivity")
            index += 1
            self.write(f"SENS {index}")
            self.pause(5 * self.time_constant)
        unit = 1e6 if self.input_config in self.INPUT_CONFIGS[2:] else 1.0
        self.sensitivity = min(1.15 * abs(self.magnitude) * unit, self.SENSITIVITIES[-1])

    # buffers

    @property
    def buffer_count(self) -> int:
        """Get the number of points stored in each buffer (int)."""
        return int(self.values("SPTS?")[0])

    def start_buffer(self, fast: bool = False) -> None:
        """Start storing; in the fast mode, half a second later, the instrument also sends what it stores."""
        self.write("FAST2;STRD" if fast else "FAST0;STRT")

    def get_buffer(self, channel: int = 1, start: int = 0, end: int | None = None) -> NDArray[np.float32]:
        """Return the points from `start` to before `end` of buffer 1 or 2, in one transfer."""
        with self.lock:
            count = (self.buffer_count if end is None else end) - start
            if count <= 0:
                return np.zeros(0, np.float32)
            return np.frombuffer(self.ask_bytes(f"TRCB? {channel:d},{start:d},{count:d}", 4 * count), "<f4")

    def wait_for_buffer(
        self, count: int, has_aborted: Callable[[], bool] = lambda: False, timeout: float = 60, timestep: float = 0.01
    ) -> bool:
        """Wait until so many points are stored, then pause; return whether they are, False where aborted.

        Raises
        ------
        InstrumentTimeoutError
            If they are not after `timeout` s.
        """
        end = time.monotonic() + timeout
        while self.buffer_count < count:
            if has_aborted():
                return False
            if time.monotonic() > end:
                raise InstrumentTimeoutError(f"{self.name}: {count} points were not stored after {timeout:g} s")
            self.pause(timestep)
        self.pause_buffer()
        return True

    def fill_buffer(
        self, count: int, has_aborted: Callable[[], bool] = lambda: False, delay: float = 0.001, timeout: float = 60
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Wait until so many points are stored, and return both buffers; what there is where aborted."""
        if not self.wait_for_buffer(count, has_aborted, timeout, delay):
            self.pause_buffer()
            count = min(count, self.buffer_count)
        return self.get_buffer(1, 0, count), self.get_buffer(2, 0, count)

    def buffer_measure(
        self, count: int, stopRequest: threading.Event | None = None, delay: float = 1e-3
    ) -> tuple[float, float, float, float]:
        """Store so many points and return mean and deviation of buffer 1, then of buffer 2; zeros where stopped."""
        self.start_buffer()
        stopped = stopRequest.is_set if stopRequest is not None else lambda: False
        first, second = self.fill_buffer(count, stopped, delay)
        if stopped():
            return 0.0, 0.0, 0.0, 0.0
        first, second = first.astype(float), second.astype(float)
        return float(first.mean()), float(first.std()), float(second.mean()), float(second.std())
