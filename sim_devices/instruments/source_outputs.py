"""Output terminals that hold a voltage between settings or put out a sine, as immutable records of what they did."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from sim_devices.instruments.cabling import Times, Values

REMEMBERED = 4096
"""Settings of an output that are remembered; before them it counts as having had the first of these for ever."""


@dataclass(frozen=True)
class HeldVoltage:
    """A voltage that is constant between settings.

    Parameters
    ----------
    times
        When it was set, s, ascending.
    voltages
        What it was set to, V; before the first time it was the first of them.
    """

    times: tuple[float, ...] = (0.0,)
    voltages: tuple[float, ...] = (0.0,)

    def voltage(self, times: Times, /) -> Values:
        """Return the voltage in V at each of the times."""
        index = np.searchsorted(self.times, times, side="right") - 1
        return np.asarray(self.voltages)[np.maximum(index, 0)]

    def then(self, time: float, voltage: float) -> "HeldVoltage":
        """Return the record with one more setting at a time in s, which replaces those that are not before it."""
        if voltage == self.voltages[-1] and time >= self.times[-1]:
            return self
        kept = int(np.searchsorted(self.times, time, side="left"))
        first = max(0, kept + 1 - REMEMBERED)
        return HeldVoltage((*self.times[first:kept], time), (*self.voltages[first:kept], voltage))


@dataclass(frozen=True)
class HeldSine:
    """A sine whose amplitude and frequency are constant between settings.

    Parameters
    ----------
    amplitudes
        Record of the rms amplitude, V.
    frequencies
        Record of the frequency, Hz.
    """

    amplitudes: HeldVoltage
    frequencies: HeldVoltage

    def voltage(self, times: Times, /) -> Values:
        """Return the voltage in V at each of the times; the phase counts from time 0."""
        times = np.asarray(times, float)
        phase = 2 * np.pi * self.frequencies.voltage(times) * times
        return np.sqrt(2) * self.amplitudes.voltage(times) * np.sin(phase)


RecordT = TypeVar("RecordT", HeldVoltage, HeldSine)


class Terminal(Generic[RecordT]):
    """An output that other instruments hold on to while its record is replaced by longer ones."""

    def __init__(self, record: RecordT) -> None:
        self.record: RecordT = record

    def voltage(self, times: Times, /) -> Values:
        """Return what the record says."""
        return self.record.voltage(times)
