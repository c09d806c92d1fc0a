"""The registers of a channel of the QDAC-II: one property per command."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.channel import InstrumentChannel
from drivers.properties import choice, integer, measurement, real
from drivers.qdevil_qdac2_generators import HIGHEST, SOURCES, admitted, harmless, marker, rate, switch

OVERLOAD = 9.9e37
"""What a current beyond the range reads as, A."""
MODES = {"fixed": "fix", "list": "list", "sweep": "swe"}


def _decimals(reply: str) -> NDArray[np.float64]:
    return np.array([float(number) for number in reply.split(",") if number.strip()])


class Qdac2ChannelRegisters(InstrumentChannel):
    """What a channel can be asked and told one value at a time.

    A property that could move the output asks `admit` first.
    """

    def admit(self, name: str, value: Any) -> None:
        """Raise OutputLimitError where a setting cannot be changed so."""
        raise NotImplementedError

    # ---- range and filter ------------------------------------------------------------------------------------------

    voltage_range = admitted(
        "voltage_range",
        choice("sour{ch}:rang", """Control the range (str, "low" or "high").""", {"low": "low", "high": "high"}),
    )
    filter = harmless(
        choice(
            "sour{ch}:filt",
            """Control the bandwidth (str, "dc": 10 Hz, "med": 10 kHz, "high": 300 kHz).""",
            {"dc": "dc", "med": "med", "high": "high"},
        )
    )

    # ---- fixed voltage

    actual_voltage = measurement("sour{ch}:volt:last?", """Get the DC voltage put out now in volts (float).""")
    triggered_voltage = admitted(
        "triggered_voltage",
        real(
            "sour{ch}:volt:trig", """Control the voltage that a trigger brings in volts (float).""", -HIGHEST, HIGHEST
        ),
    )
    slew_register = rate("sour{ch}:volt:slew", """Control the slew in V/s (float from 0.01, or infinite).""")
    mode_register = choice("sour{ch}:volt:mode", """Control the mode (str).""", MODES)
    level = measurement("sour{ch}:volt?", """Get the fixed voltage in volts (float).""")

    # ---- lists and sweeps

    list_dwell = harmless(
        real("sour{ch}:list:dwel", """Control the time of each value in s (float from 1e-6).""", 1e-6, 3600)
    )
    list_count = harmless(
        integer("sour{ch}:list:coun", """Control how often a list runs (int, -1 for no end).""", -1, 2**31 - 1)
    )
    list_direction = harmless(
        choice("sour{ch}:list:dir", """Control the order (str, "up" or "down").""", {"up": "up", "down": "down"})
    )
    list_trigger_mode = harmless(
        choice(
            "sour{ch}:list:tmod",
            """Control whether a trigger starts a list or goes one value on (str, "auto" or "step").""",
            {"auto": "auto", "step": "step"},
        )
    )
    list_points = measurement(
        "sour{ch}:list:poin?", """Get the length of the list (int).""", cast=float, get_process=int
    )
    list_cycles_left = measurement(
        "sour{ch}:list:ncl?", """Get how often the list still runs (int, -1 for no end).""", cast=float, get_process=int
    )
    list_values = measurement(
        "sour{ch}:list:volt?", """Get the list in volts (ndarray).""", cast=str, maxsplit=0, get_process=_decimals
    )
    sweep_start = admitted(
        "sweep_start",
        real("sour{ch}:swe:star", """Control where a sweep starts in volts (float).""", -HIGHEST, HIGHEST),
    )
    sweep_stop = admitted(
        "sweep_stop", real("sour{ch}:swe:stop", """Control where a sweep stops in volts (float).""", -HIGHEST, HIGHEST)
    )
    sweep_points = harmless(
        integer("sour{ch}:swe:poin", """Control the number of points (int from 2).""", 2, 2**31 - 1)
    )
    sweep_dwell = harmless(
        real("sour{ch}:swe:dwel", """Control the time of each point in s (float from 1e-6).""", 1e-6, 3600)
    )
    sweep_count = harmless(
        integer("sour{ch}:swe:coun", """Control how often it runs (int, -1 for no end).""", -1, 2**31 - 1)
    )
    sweep_direction = harmless(
        choice("sour{ch}:swe:dir", """Control the order (str, "up" or "down").""", {"up": "up", "down": "down"})
    )
    sweep_generation = harmless(
        choice(
            "sour{ch}:swe:gen", """Control the form (str, "step" or "analog").""", {"step": "step", "analog": "anal"}
        )
    )
    sweep_time = measurement("sour{ch}:swe:time?", """Get how long one sweep takes in s (float).""")
    sweep_cycles_left = measurement(
        "sour{ch}:swe:ncl?", """Get how often it still runs (int, -1 for no end).""", cast=float, get_process=int
    )

    # ---- triggers of the DC generator

    trigger_source = admitted(
        "trigger_source",
        choice("sour{ch}:dc:trig:sour", """Control what starts it: immediate, bus, hold, int1, ext1 (str).""", SOURCES),
    )
    continuous = harmless(switch("sour{ch}:dc:init:cont", """Control whether it waits for further triggers (bool)."""))
    delay = harmless(real("sour{ch}:dc:del", """Control the delay after the trigger in s (float from 0).""", 0, 3600))
    marker_start = marker("sour{ch}:dc:mark:star", "the start")
    marker_end = marker("sour{ch}:dc:mark:end", "the end")
    marker_step_start = marker("sour{ch}:dc:mark:sst", "the start of each step")
    marker_step_end = marker("sour{ch}:dc:mark:send", "the end of each step")

    # ---- currents, infinite beyond the range

    current_range = choice(
        "sens{ch}:rang", """Control the range (str, "low": 200 nA, or "high": 10 mA).""", {"low": "low", "high": "high"}
    )
    nplc = real("sens{ch}:nplc", """Control the aperture in power line cycles (float).""", 1e-3, 1000)
    aperture = real("sens{ch}:aper", """Control the aperture in s (float).""", 1e-6, 20)
    current_count = integer("sens{ch}:coun", """Control the readings of a measurement (int from 1).""", 1, 2**31 - 1)
    current_delay = real("sens{ch}:del", """Control the delay after the trigger in s (float from 0).""", 0, 3600)
    current_trigger_source = choice("sens{ch}:trig:sour", """Control what starts a measurement (str).""", SOURCES)
    current_continuous = switch("sens{ch}:init:cont", """Control whether it waits for further triggers (bool).""")
    readings_available = measurement(
        "sens{ch}:data:poin?", """Get the number of readings in the buffer (int).""", cast=float, get_process=int
    )

    @property
    def current(self) -> float:
        """Measure the current out of the channel in A (float); its last reading where it takes several."""
        return self.currents("read{ch}?")[-1]

    @property
    def last_current(self) -> float:
        """Get the newest reading in A (float)."""
        return self.currents("sens{ch}:data:last?")[-1]

    def currents(self, query: str) -> list[float]:
        """Ask for readings, A; beyond the range they are infinite."""
        return self.parent.read_currents(self.insert_id(query))

    def fetch_currents(self) -> list[float]:
        """Return the readings of the last measurement, A, which stay in the buffer."""
        return self.currents("fetc{ch}?")

    def take_currents(self) -> list[float]:
        """Return the readings in the buffer, A, and empty it."""
        with self.lock:
            return self.currents("sens{ch}:data:rem?") if self.readings_available else []

    def start_current(self) -> None:
        """Start a measurement, or wait for its trigger."""
        self.execute("sens{ch}:init")

    def abort_current(self) -> None:
        """End a measurement."""
        self.execute("sens{ch}:abor")


def overload(value: float) -> float:
    """Return a reading, infinite where it says that it is beyond the range."""
    return math.copysign(math.inf, value) if abs(value) >= OVERLOAD else value
