"""The outputs of the QDAC-II, and how its settings are declared: a value a channel, channel lists, trigger sources."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sim_devices.instruments.cabling import Times, Values
from sim_devices.instruments.qdac2_waveforms import Piece, Signal, Track, ramp
from sim_devices.scpi import Boolean, ChannelList, Choice, DataFormat, Instrument, Numbers, Session, setting
from sim_devices.scpi.syntax import Data

CHANNELS = 24
INTERNAL, INPUTS, OUTPUTS = 14, 4, 5
"""Internal triggers, trigger inputs, trigger outputs."""
GENERATORS = ("dc", "squ", "sine", "tri", "awg")
"""What a channel adds up."""
SLOWEST, FASTEST = 0.01, 2e7
"""Bounds of a slew, V/s; infinite stands for the fastest."""
RANGES = {"LOW": 2.0, "HIGH": 10.0}
"""Largest voltage of each range, V."""
BANDWIDTHS = {"DC": 10.0, "MED": 10e3, "HIGH": 300e3}
"""Cut-off frequency of each filter, Hz."""


class ChannelOutput:
    """One output terminal; what it puts out is replaced as a whole, so that others may ask for it at any time."""

    def __init__(self) -> None:
        self.tracks: Mapping[str, Track] = {generator: Track.resting(0.0) for generator in GENERATORS}
        self.configure("HIGH", "HIGH")

    def configure(self, voltage_range: str, voltage_filter: str) -> None:
        """Take the range and the filter, by their words."""
        bound, time_constant = RANGES[voltage_range], 1 / (2 * math.pi * BANDWIDTHS[voltage_filter])
        self._signal = Signal(self._used(), bound, time_constant)

    def voltage(self, times: Times, /) -> Values:
        """Return the voltage, V, at each of the times."""
        return self._signal.voltage(times)

    def programmed(self, time: float) -> float:
        """Return the voltage before the filter, V."""
        return float(self._signal.programmed(np.array([time]))[0])

    def put(self, generator: str, *pieces: Piece) -> None:
        """Let a generator go on with some pieces from the start of the first on."""
        self.tracks = {**self.tracks, generator: self.tracks[generator].then(*pieces)}
        self._signal = Signal(self._used(), self._signal.bound, self._signal.time_constant)

    def _used(self) -> tuple[Track, ...]:
        """Return the tracks of the generators that have ever put out anything."""
        return tuple(track for track in self.tracks.values() if len(track.pieces) > 1)

    def ramp(self, generator: str, time: float, target: float, slew: float) -> None:
        """Let a generator go to a voltage, V, from `time` s on."""
        self.put(generator, ramp(self.tracks[generator].at(time), time, target, slew))


class channel_setting(setting):  # noqa: N801 -- reads as a declaration, like property
    """A setting of every channel; it may be set and asked for a list of channels: ``sens:rang low,(@1:3)``."""

    _channels = ChannelList(1, CHANNELS)

    def _set(self, instrument: Instrument, session: Session, suffixes: tuple[int, ...], data: Data) -> None:
        if isinstance(data, list) and len(data) > 1 and bytes(data[-1][:2]) == b"(@":
            for channel in self._channels.parse(data[-1], instrument):
                super()._set(instrument, session, (int(channel),), data[:-1])
        else:
            super()._set(instrument, session, suffixes, data)

    def _ask(self, instrument: Instrument, session: Session, suffixes: tuple[int, ...], data: Data) -> Any:
        if isinstance(data, list) and len(data) == 1 and bytes(data[0][:2]) == b"(@":
            channels = self._channels.parse(data[0], instrument)
            return [super(channel_setting, self)._ask(instrument, session, (int(n),), b"") for n in channels]
        return super()._ask(instrument, session, suffixes, data)


class Slew(channel_setting):
    """A slew in V/s, of which infinite stands for the fastest."""

    def from_wire(self, _: Instrument, value: Any) -> float:
        """Return the slew in V/s."""
        return FASTEST if value == "INF" else value


class Word(Choice):
    """A choice that is answered in lower case, as it is sent."""

    def response(self, value: Any) -> str:
        """Return the short form."""
        return str(value).lower()


class Switch(Boolean):
    """On or off, and answered so."""

    def response(self, value: Any) -> Any:
        """Return the word."""
        return "on" if value else "off"


class TriggerSource(Word):
    """What a generator waits for: ``imm``, ``bus``, ``hold``, ``int3``, ``ext1``."""

    def __init__(self, *words: str) -> None:
        super().__init__(*words)
        for long, short, count in (("INTERNAL", "INT", INTERNAL), ("EXTERNAL", "EXT", INPUTS)):
            for number in range(1, count + 1):
                self._spellings |= {f"{spelling}{number}": f"{short}{number}" for spelling in (long, short)}


class Floats(Numbers):
    """Voltages as text or as a block of 32-bit floats, least significant byte first."""

    def parse_all(self, data: Data, instrument: Instrument, _: DataFormat) -> np.ndarray:
        """Read all that is left of the parameters, as 64-bit floats."""
        return super().parse_all(data, instrument, DataFormat(swapped=True)).astype(float)
