"""What Keysight's meters and counters have in common: triggers, a memory of readings, and how it is read out."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymeasure.adapters import Adapter
from pymeasure.instruments.validators import strict_discrete_set

from drivers.arrays import element_type, elements
from drivers.errors import InstrumentTimeoutError, MemoryOverflowError, MissingReadingsError
from drivers.properties import boolean, choice, control, measurement, real, strict_integer
from drivers.replies import meant
from drivers.scpi import ScpiInstrument

Readings = NDArray[np.float64]

OVERLOAD, NOT_A_READING = 9.9e37, 9.91e37
"""Magnitudes that stand for a reading beyond the range and for one that was not taken."""
MEASURING, WAITING = 1 << 4, 1 << 5
"""Bits of the operation condition register."""
MEMORY_OVERFLOW = 1 << 14
"""Bit of the questionable condition register."""
SOURCES = {"immediate": "IMM", "external": "EXT", "bus": "BUS"}
FORMATS = {"ASCii": "ASC", "REAL,32": "REAL,32", "REAL,64": "REAL,64"}
SHORTEST_POLL, LONGEST_POLL = 1e-4, 2e-2


def is_reading(values: Any) -> Any:
    """Return which numbers from the instrument are readings, not signs of an overload or of a time-out."""
    return np.abs(values) < 0.999 * OVERLOAD


def _format_meant(reply: str) -> str:
    """Return which format a reply stands for; the digits of text, as in ``ASC,9``, do not matter."""
    kind = reply.partition(",")[0]
    return meant(kind if meant(kind, ["ASC"]) == "ASC" else reply, FORMATS.values())


def _trigger_count(value: Any, _: Any) -> str:
    return "INF" if value == math.inf else str(strict_integer(value, (1, 1_000_000)))


class KeysightReadings(ScpiInstrument):
    """An instrument that takes readings on triggers and keeps them in a memory.

    Parameters
    ----------
    adapter : str, int or pymeasure Adapter
        VISA resource name, or an adapter.
    name : str
        Name for messages.
    **kwargs
        Passed to `pymeasure.adapters.VISAAdapter`: `visa_library`, `timeout` in ms and the like.
    """

    def __init__(self, adapter: Adapter | str | int, name: str, **kwargs: Any) -> None:
        super().__init__(adapter, name, **kwargs)
        self._turn = threading.Condition(self.lock)

    # registers

    display_enabled = boolean("DISP", """Control whether the display is on (bool).""")
    trigger_source = choice("TRIG:SOUR", """Control what triggers (str, "immediate", "external" or "bus").""", SOURCES)
    trigger_count = control(
        "TRIG:COUN?",
        "TRIG:COUN %s",
        """Control the triggers of a measurement (int from 1 to 1000000, or inf).""",
        validator=_trigger_count,
        get_process=lambda count: int(count) if is_reading(count) else math.inf,
        preprocess_reply=lambda reply: "9.9E37" if reply.strip().upper().startswith("INF") else reply,
    )
    trigger_delay = real(
        "TRIG:DEL", """Control the time from a trigger to its first reading in s (0 to 3600).""", 0, 3600
    )
    trigger_slope = choice(
        "TRIG:SLOP",
        """Control which edge triggers (str, "positive" or "negative").""",
        {"positive": "POS", "negative": "NEG"},
    )
    points = measurement("DATA:POIN?", """Get the number of readings in memory (int).""", cast=lambda n: int(float(n)))
    last_reading = measurement(
        "DATA:LAST?",
        """Get the last reading, NaN for an overload and where there is none (float).""",
        cast=lambda reply: float(reply.split()[0]),
        get_process=lambda value: value if is_reading(value) else math.nan,
    )
    event_status = measurement(
        "*ESR?", """Get the standard event register and clear it (int); bit 0: operations complete.""", cast=int
    )
    operation_condition = measurement(
        "STAT:OPER:COND?",
        """Get the operation condition register (int); bit 4: measuring, bit 5: waiting for a trigger.""",
        cast=int,
    )
    questionable_condition = measurement(
        "STAT:QUES:COND?", """Get the questionable condition register (int); bit 14: memory overflow.""", cast=int
    )
    _format = control(
        "FORM?",
        "FORM %s",
        """Control how readings travel.""",
        validator=strict_discrete_set,
        values=FORMATS,
        map_values=True,
        cast=str,
        maxsplit=0,
        preprocess_reply=_format_meant,
    )

    @property
    def data_format(self) -> str:
        """Control how readings travel (str, one of ASCii; REAL,32; REAL,64)."""
        return self._format

    @data_format.setter
    def data_format(self, value: str) -> None:
        with self.lock:
            self.forget_encoding()
            self._format = value

    # measurements

    def initiate(self) -> None:
        """Begin a measurement; the readings in memory are dropped."""
        self.execute("INIT")

    def trigger(self) -> None:
        """Give the trigger that a measurement with trigger source "bus" waits for."""
        self.execute("*TRG")

    def abort(self) -> None:
        """End a measurement; what it has read stays in memory."""
        self.execute("ABOR")

    def readings(self, count: int, timeout: float = 60.0) -> Readings:
        """Wait for readings of the measurement and take them out of the memory.

        The lock is given up while waiting, so that another thread may abort. What keeps the readings from being taken
        aborts the measurement.

        Parameters
        ----------
        count : int
            How many.
        timeout : float
            Longest time to wait for them, s.

        Returns
        -------
        ndarray, shape (count,)
            NaN where the input was beyond the range, or the instrument gave up waiting.

        Raises
        ------
        InstrumentTimeoutError
            If they are not there in time.
        MissingReadingsError
            If the measurement has ended and they are not there.
        MemoryOverflowError
            If the memory was full, so that the oldest readings are lost.
        InstrumentError
            If the instrument reports an error.
        """
        values = self._collect(count, timeout)
        return np.where(is_reading(values), values, math.nan)

    def fetch(self) -> Readings:
        """Wait for the end of the measurement and return its readings, which stay in memory; NaN as in `readings`."""
        return self._as_text("FETC?")

    def acquire(self) -> Readings:
        """Make a measurement and return its readings, which stay in memory; NaN as in `readings`."""
        return self._as_text("READ?")

    def remove(self, count: int, *, wait: bool = False) -> Readings:
        """Take the oldest readings out of the memory, exactly `count` of them; NaN as in `readings`.

        Parameters
        ----------
        count : int
            How many.
        wait : bool
            Whether to wait until there are so many, no longer than the time-out of the connection.

        Raises
        ------
        InstrumentError
            If there are fewer.
        """
        return self._as_text(f"DATA:REM? {strict_integer(count, (1, 2_000_000))}" + (",WAIT" if wait else ""))

    def take(self, count: int | None = None) -> Readings:
        """Take the oldest readings out of the memory, at most `count` of them; NaN as in `readings`.

        Raises
        ------
        InstrumentError
            If nothing was measured.
        """
        with self.lock:
            values = self._take(None if count is None else strict_integer(count, (1, 2_000_000)))
            self.check_errors()
        return np.where(is_reading(values), values, math.nan)

    def _as_text(self, query: str) -> Readings:
        """Ask for readings in a form that every instrument can end: some send blocks of no stated length."""
        with self.lock:
            self.use_encoding("ASCii", self._encoding_in_force()[1])
            values = self.read_array(query)
        return np.where(is_reading(values), values, math.nan)

    def _take(self, count: int | None) -> Readings:
        """Take readings as a block, which holds text where that is the format in force."""
        with self.lock:
            data_format, byte_order = self._encoding_in_force()
            payload = self._ask_arrays(["R?" if count is None else f"R? {count}"], "u1")[0].tobytes()
            if data_format != "ASCii":
                return elements(payload, element_type(data_format, byte_order)).astype(float)
            try:
                return np.array([float(number) for number in payload.decode("ascii", "replace").split(",") if number])
            except ValueError as error:
                raise self.misunderstood(error) from error

    def _collect(self, count: int, timeout: float) -> Readings:
        """Return readings as `readings` does, but as the instrument sent them."""
        parts: list[Readings] = []
        deadline, interval = time.monotonic() + timeout, SHORTEST_POLL
        self.use_encoding("REAL,64", "little")
        try:
            while (missing := count - sum(part.size for part in parts)) > 0:
                part = self._ready(missing)
                parts.append(part)
                if part.size < missing:
                    if time.monotonic() > deadline:
                        found = f"{count - missing + part.size} of {count} readings"
                        raise InstrumentTimeoutError(f"{self.name}: {found} were there after {timeout:g} s; aborted")
                    with self._turn:
                        self._turn.wait(interval)
                    interval = min(1.25 * interval, LONGEST_POLL)
            with self.lock:
                if self.questionable_condition & MEMORY_OVERFLOW:
                    raise MemoryOverflowError(f"{self.name}: the memory was full, its oldest readings are lost")
                self.check_errors()
        except BaseException:
            with contextlib.suppress(Exception):
                self.abort()
            raise
        return np.concatenate(parts) if parts else np.zeros(0)

    def _ready(self, missing: int) -> Readings:
        """Take those of some missing readings that are in memory."""
        with self.lock:
            ended = not self.operation_condition & (MEASURING | WAITING)
            ready = min(self.points, missing)
            if ended and ready < missing:
                self.check_errors()
                raise MissingReadingsError(
                    f"{self.name}: the measurement has ended with {missing - ready} readings too few"
                )
            return self._take(ready) if ready else np.zeros(0)
