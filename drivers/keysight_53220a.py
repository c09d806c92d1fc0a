"""Driver of the Keysight 53220A counter: pulses totalised within gates, and frequencies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymeasure.adapters import Adapter
from pymeasure.instruments.validators import strict_discrete_set

from drivers.channel import InstrumentChannel
from drivers.errors import InstrumentTimeoutError
from drivers.keysight_readings import KeysightReadings, is_reading
from drivers.properties import boolean, choice, control, integer, measurement, real, strict_integer, strict_real
from drivers.replies import meant, unquoted

FUNCTIONS = {"totalize": "TOT", "frequency": "FREQ"}
GATE_SOURCES = {"time": "TIME", "external": "EXT", "input1": "INP1", "input2": "INP2", "advanced": "ADV"}
SLOPES = {"positive": "POS", "negative": "NEG"}
GATE_TIMES = (100e-6, 1000.0)
"""Shortest and longest gate, s."""
LARGEST_LEVEL = 51.25
"""V."""


def _timeout(value: Any, limits: tuple[float, float]) -> str:
    return "INF" if value == math.inf else f"{strict_real(value, limits):.9g}"


class CounterInput(InstrumentChannel):
    """One of the two inputs of the counter."""

    threshold = real(
        "INP{ch}:LEV",
        """Control the level in V that a pulse has to cross (float from -51.25 to 51.25); ends the automatic level.""",
        -LARGEST_LEVEL,
        LARGEST_LEVEL,
    )
    relative_threshold = integer(
        "INP{ch}:LEV:REL",
        """Control the automatic level in percent of the signal's height (int from 10 to 90).""",
        10,
        90,
    )
    automatic_threshold = boolean(
        "INP{ch}:LEV:AUTO", """Control whether the level follows signals of at least 50 Hz (bool)."""
    )
    slope = choice(
        "INP{ch}:SLOP", """Control which crossing of the level counts (str, "positive" or "negative").""", SLOPES
    )
    coupling = choice("INP{ch}:COUP", """Control the coupling (str, "ac" or "dc").""", {"ac": "AC", "dc": "DC"})
    impedance = control(
        "INP{ch}:IMP?",
        "INP{ch}:IMP %g",
        """Control the impedance in Ohm (50 or 1e6).""",
        validator=strict_discrete_set,
        values=(50, 1e6),
    )
    range = control(
        "INP{ch}:RANG?",
        "INP{ch}:RANG %g",
        """Control the range in V (5 or 50).""",
        validator=strict_discrete_set,
        values=(5, 50),
    )
    low_pass_enabled = boolean("INP{ch}:FILT", """Control whether the low-pass filter of 100 kHz is in (bool).""")
    noise_rejection_enabled = boolean("INP{ch}:NREJ", """Control whether the hysteresis is wide (bool).""")


class Keysight53220A(KeysightReadings):
    """A universal counter with two inputs.

    Parameters
    ----------
    adapter : str, int or pymeasure Adapter
        VISA resource name, or an adapter.
    name : str
        Name for messages.
    **kwargs
        Passed to `pymeasure.adapters.VISAAdapter`: `visa_library`, `timeout` in ms and the like.

    Attributes
    ----------
    inputs : dict of int to CounterInput
        Inputs 1 and 2.
    """

    def __init__(self, adapter: Adapter | str | int, name: str = "Keysight 53220A", **kwargs: Any) -> None:
        super().__init__(adapter, name, **kwargs)
        self.inputs = {number: CounterInput(self, number) for number in (1, 2)}

    # function and gate

    function = control(
        "FUNC?",
        'FUNC "%s"',
        """Control what is measured (str, "totalize" or "frequency").""",
        validator=strict_discrete_set,
        values=FUNCTIONS,
        map_values=True,
        cast=str,
        maxsplit=0,
        preprocess_reply=lambda reply: meant(unquoted(reply).split(" ")[0], FUNCTIONS.values()),
    )
    configuration = measurement(
        "CONF?",
        """Get function, parameters and channel, as in TOT +1.0E-001,(@1) (str).""",
        cast=str,
        maxsplit=0,
        preprocess_reply=unquoted,
    )
    gate_source = choice(
        "SENS:TOT:GATE:SOUR",
        """Control what opens the gate (str, "time", "external", "input1", "input2" or "advanced").""",
        GATE_SOURCES,
    )
    gate_time = real(
        "SENS:TOT:GATE:TIME", """Control the time of a gate in s (float from 100e-6 to 1000).""", *GATE_TIMES
    )
    gate_polarity = choice(
        "SENS:TOT:GATE:POL",
        """Control the state of a gate signal that counts (str, "positive" or "negative").""",
        SLOPES,
    )
    frequency_gate_time = real(
        "SENS:FREQ:GATE:TIME", """Control the gate of a frequency in s (float from 100e-6 to 1000).""", *GATE_TIMES
    )
    gate_output_enabled = boolean(
        "OUTP", """Control whether the gate connector puts the gate out, not takes it in (bool)."""
    )
    reading_timeout = control(
        "SYST:TIM?",
        "SYST:TIM %s",
        """Control after what time in s a reading is given up (float from 0.01 to 2000, or inf).""",
        validator=_timeout,
        values=(0.01, 2000),
        get_process=lambda value: value if is_reading(value) else math.inf,
        preprocess_reply=lambda reply: "9.9E37" if reply.strip().upper().startswith("INF") else reply,
    )
    sample_count = integer("SAMP:COUN", """Control the readings per trigger (int from 1 to 1000000).""", 1, 1_000_000)

    # measurements

    def arm_totalise(
        self,
        *,
        gates: int,
        threshold: float,
        gate_time: float | None = None,
        channel: int = 1,
        source: str = "time",
    ) -> None:
        """Begin to count pulses within gates, for `counts` to take.

        The level is set after the configuration, which makes it automatic.

        Parameters
        ----------
        gates : int
            Number of gates, 1 to 1000000.
        threshold : float
            Level that a pulse has to cross, V.
        gate_time : float, optional
            Time of a gate, s; needed where gates are timed.
        channel : int
            Input, 1 or 2.
        source : str
            "time" for gates one after the other, "external" for gates while the signal at the gate connector is high.

        Raises
        ------
        ValueError
            If an argument is not allowed; nothing has been sent then.
        InstrumentError
            If the counter refuses one; nothing is counted then.
        """
        external = strict_discrete_set(source, ("time", "external")) == "external"
        if gate_time is None and not external:
            raise ValueError("gate_time is missing; timed gates need it")
        timed = GATE_TIMES[0] if external else strict_real(gate_time, GATE_TIMES)
        commands = [
            f"CONF:TOT:TIM {timed:.9g},(@{strict_integer(channel, (1, 2))})",
            _level(channel, threshold),
            f"SAMP:COUN {strict_integer(gates, (1, 1_000_000))}",
            f"SENS:TOT:GATE:SOUR {GATE_SOURCES[source]}",
            "SYST:TIM INF",
        ]
        if external:
            commands += ["SENS:TOT:GATE:POL POS", "OUTP 0"]
        self._begin(commands)

    def counts(self, gates: int, timeout: float = 60.0) -> NDArray[np.int64]:
        """Wait for the pulses counted within gates and take them out of the memory.

        Parameters
        ----------
        gates : int
            How many.
        timeout : float
            Longest time to wait for them, s.

        Returns
        -------
        ndarray of int64, shape (gates,)

        Raises
        ------
        InstrumentTimeoutError
            If they are not there in time, or the counter gave up waiting for one.
        MissingReadingsError
            If the measurement has ended and they are not there.
        MemoryOverflowError
            If the memory was full, so that the oldest counts are lost.
        """
        values = self._collect(gates, timeout)
        given_up = np.flatnonzero(~is_reading(values))
        if given_up.size:
            raise InstrumentTimeoutError(
                f"{self.name}: the counter gave up {given_up.size} gates, first {given_up[0] + 1}"
            )
        return np.rint(values).astype(np.int64)

    def measure_frequency(
        self, channel: int = 1, *, threshold: float, gate_time: float = 0.1, timeout: float = 60.0
    ) -> float:
        """Measure the frequency at an input, Hz.

        Parameters
        ----------
        channel : int
            Input, 1 or 2.
        threshold : float
            Level that the signal has to cross, V.
        gate_time : float
            Time over which it is averaged, s.
        timeout : float
            Longest time to wait for it, s.

        Raises
        ------
        InstrumentTimeoutError
            If no signal comes in time.
        """
        with self.lock:
            self._begin(
                [
                    f"CONF:FREQ (@{strict_integer(channel, (1, 2))})",
                    _level(channel, threshold),
                    f"SENS:FREQ:GATE:TIME {strict_real(gate_time, GATE_TIMES):.9g}",
                    f"SYST:TIM {_timeout(gate_time + 1.0, (0.01, 2000))}",
                ]
            )
            (value,) = self._collect(1, timeout)
        if not is_reading(value):
            raise InstrumentTimeoutError(f"{self.name}: no signal crossed {threshold:g} V at input {channel}")
        return float(value)

    def _begin(self, commands: list[str]) -> None:
        """Carry out a configuration, and begin the measurement if it was not refused."""
        with self.lock:
            self.execute(";:".join(["ABOR", *commands]))
            self.initiate()


def _level(channel: int, threshold: float) -> str:
    return f"INP{channel}:LEV {strict_real(threshold, (-LARGEST_LEVEL, LARGEST_LEVEL)):.9g}"
