"""The current sensors of the QDAC-II."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sim_devices.instruments.cabling import OPEN, SignalInput, Times
from sim_devices.instruments.qdac2_generators import Qdac2Generators
from sim_devices.instruments.qdac2_outputs import CHANNELS, Word, channel_setting
from sim_devices.instruments.qdac2_triggers import Marks, Unit, declare, trigger_declarations
from sim_devices.scpi import ChannelList, Integer, Real, ScpiError, Session, query

NODE = f"SENSe<1:{CHANNELS}>"
LINE_FREQUENCY = 50.0
"""Hz."""
FULL_SCALE = {"LOW": 200e-9, "HIGH": 10e-3}
"""Largest current of each range, A; one beyond it reads as infinite."""
SHORTEST, LONGEST_APERTURE = 3e-4, 2.0
"""Bounds of the aperture, s."""
_CHANNELS = ChannelList(1, CHANNELS, optional=True)


class Qdac2Current(Qdac2Generators):
    """Currents out of the channels.

    Parameters
    ----------
    *args
        As of the classes below.
    loads : mapping of int to SignalInput
        What the sensor of a channel sees, A, by its number; nothing where there is none.
    """

    def __init__(self, *args: Any, loads: Mapping[int, SignalInput] | None = None, **kwargs: Any) -> None:
        self.loads = dict(loads or {})
        self.acquisitions = 0
        self.readings: dict[int, list[float]] = {}
        super().__init__(*args, **kwargs)

    current_range = channel_setting(f"{NODE}:RANGe", Word(*FULL_SCALE), reset="HIGH")
    aperture = channel_setting(f"{NODE}:APERture", Real(SHORTEST, LONGEST_APERTURE, "s"), reset=1 / LINE_FREQUENCY)
    power_line_cycles = channel_setting(
        f"{NODE}:NPLCycles", Real(SHORTEST * LINE_FREQUENCY, LONGEST_APERTURE * LINE_FREQUENCY), reset=1.0
    )
    current_count = channel_setting(f"{NODE}:COUNt", Integer(1, 2**31 - 1), reset=1)

    @aperture.changed
    def _change_aperture(self, channel: int, seconds: float) -> None:
        self.power_line_cycles[channel] = seconds * LINE_FREQUENCY

    @power_line_cycles.changed
    def _change_cycles(self, channel: int, cycles: float) -> None:
        self.aperture[channel] = cycles / LINE_FREQUENCY

    @query(f"READ<1:{CHANNELS}>?", _CHANNELS)
    def _read(self, _: Session, channel: int, channels: tuple[int, ...] | None) -> list[float]:
        """Measure at once, several channels at the same time."""
        start = self.clock.now()
        currents = [self._measure(number, np.array([start])) for number in channels or (channel,)]
        for number, values in zip(channels or (channel,), currents, strict=True):
            self.readings[number] = list(values)
        self.acquisitions += 1
        self._let_pass(channels or (channel,), start)
        return [float(value) for values in currents for value in values]

    @query(f"FETCh<1:{CHANNELS}>?", _CHANNELS)
    def _fetch(self, _: Session, channel: int, channels: tuple[int, ...] | None) -> list[float]:
        """Return what has been measured, of several channels what came last."""
        if channels is None:
            return list(self._kept(channel))
        return [self._kept(number)[-1] for number in channels]

    @query(f"{NODE}:DATA:POINts?")
    def _ask_points(self, _: Session, channel: int) -> int:
        return len(self.readings.get(channel, ()))

    @query(f"{NODE}:DATA:LAST?")
    def _ask_newest(self, _: Session, channel: int) -> float:
        return self._kept(channel)[-1]

    @query(f"{NODE}:DATA:REMove?")
    def _take_readings(self, _: Session, channel: int) -> list[float]:
        readings = self._kept(channel)
        self.readings[channel] = []
        return readings

    @query(f"{NODE}:NCLeft?")
    def _ask_sensor_left(self, _: Session, channel: int) -> int:
        unit = Unit("sens", channel)
        return self.current_count[channel] if unit in self.armed else 0

    def _kept(self, channel: int) -> list[float]:
        readings = self.readings.get(channel)
        if not readings:
            raise ScpiError(-230, f"channel {channel} has no readings")
        return readings

    def start_sens(self, channel: int, times: Times) -> Marks:
        """Measure at each of some times; the clock moves on to the end."""
        self.readings.setdefault(channel, []).extend(self._measure(channel, times).tolist())
        self.acquisitions += 1
        self._let_pass((channel,), float(times[-1]))
        return []

    def abort(self, unit: Unit) -> None:
        """End what a unit does, and let it wait for nothing."""
        if unit.kind == "sens":
            self.disarm(unit)
        else:
            super().abort(unit)

    def _measure(self, channel: int, times: Times) -> np.ndarray:
        """Return the currents of a channel, as many from each of some times on as the count says."""
        aperture = self.aperture[channel]
        starts = (times[:, None] + np.arange(self.current_count[channel]) * aperture).ravel()
        currents = np.asarray(self.loads.get(channel, OPEN).mean(starts, aperture, self.acquisitions), float)
        full_scale = FULL_SCALE[self.current_range[channel]]
        return np.where(np.abs(currents) > full_scale, np.copysign(np.inf, currents), currents)

    def _let_pass(self, channels: Sequence[int], start: float) -> None:
        longest = max(self.aperture[number] * self.current_count[number] for number in channels)
        self.clock.sleep_until(start + longest)


declare(Qdac2Current, trigger_declarations("sens", NODE))
