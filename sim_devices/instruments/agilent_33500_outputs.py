"""The output stage of the waveform generator: levels, what load they are meant at, and the terminals.

Levels are kept as the instrument shows them, for a load of OUTPut:LOAD. What is at a terminal depends on the load that
hangs there.
"""

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from sim_devices.instruments.agilent_33500_memory import ArbitraryMemory
from sim_devices.instruments.agilent_33500_waveforms import NOISE_CREST, OutputTerminal, Pulse, pulse_of
from sim_devices.scpi import Boolean, Choice, Instrument, Real, ScpiError, Session, command, query, setting
from twin.clock import Clock
from twin.noise import stream_key

IDENTITY = "Agilent Technologies,33522B,MY52800001,3.03-1.19-2.00-52-00"
CHANNELS = (1, 2)
SOURCE = "[SOURce<1:2>]:"
OUTPUT_RESISTANCE = 50.0
"""Ohm."""
OPEN_CIRCUIT_PEAK = 10.0
"""Largest magnitude of the voltage of an open output, V."""
SMALLEST_OPEN_CIRCUIT_AMPLITUDE = 2e-3
"""V peak to peak."""
RMS = {"SIN": 1 / math.sqrt(8), "TRI": 1 / math.sqrt(12), "RAMP": 1 / math.sqrt(12), "NOIS": 0.5 / NOISE_CREST}
"""Root mean square over peak to peak; 1/2 for the others."""
RESET_LEVELS = (0.1, 0.0)
"""Amplitude and offset, V."""
ROUNDING = 1 + 1e-9


def share(load: float) -> float:
    """Return which part of the open-circuit voltage is at a load in ohm."""
    return 1.0 if math.isinf(load) else load / (load + OUTPUT_RESISTANCE)


class Agilent33500Outputs(Instrument):
    """The outputs of the generator.

    Parameters
    ----------
    clock
        Clock of the bench; a finite burst moves it to its end.
    worker
        The bench's single worker thread.
    name
        Name of the generator on its bench; with `seed` it addresses the noise that the outputs can give.
    loads
        Resistance in ohm of what hangs at an output, by channel; 50 where nothing is said, infinite for an open one.
    seed
        Seed of the bench.
    """

    shape: Any

    def __init__(self, clock: Clock, worker: Executor, name: str, loads: Mapping[int, float] | None, seed: int) -> None:
        self.clock = clock
        self.worker = worker
        self.name = name
        self.levels = dict.fromkeys(CHANNELS, RESET_LEVELS)
        self.memories_of_arbs = {channel: ArbitraryMemory() for channel in CHANNELS}
        self.noise_keys = {channel: stream_key(seed, name, channel, "noise output") for channel in CHANNELS}
        self._hanging = {channel: (loads or {}).get(channel, OUTPUT_RESISTANCE) for channel in CHANNELS}
        self._terminals = {channel: OutputTerminal() for channel in CHANNELS}
        super().__init__(IDENTITY)

    def output(self, channel: int) -> OutputTerminal:
        """Return an output for the cable that is plugged in."""
        return self._terminals[channel]

    def pulse(self, channel: int) -> Pulse:
        """Return the arbitrary waveform that an output gives now."""
        return pulse_of(self._terminals[channel].present)

    def at_terminal(self, channel: int) -> tuple[float, float]:
        """Return amplitude and offset at what hangs at an output, V."""
        scale = share(self._hanging[channel]) / share(self.load[channel])
        amplitude, offset = self.levels[channel]
        return scale * amplitude, scale * offset

    def update(self, channel: int) -> None:
        """Give the waveform that runs at the levels that are set."""
        raise NotImplementedError

    def points(self, channel: int) -> Any:
        """Return the points of the arbitrary waveform that is selected."""
        raise NotImplementedError

    # ---- output and load -------------------------------------------------------------------------------------------

    on = setting("OUTPut<1:2>[:STATe]", Boolean(), reset=False)
    load = setting("OUTPut<1:2>:LOAD", Real(1, 1e4, "OHM", also=("INFinity",)), reset=50.0)

    @on.changed
    def _switched(self, channel: int, _: bool) -> None:
        self.update(channel)

    @load.check
    def _rescaled(self, channel: int, load: float | str) -> float:
        """Show the levels at another load: the output itself stays as it is."""
        value = math.inf if load == "INF" else float(load)
        if math.isinf(value) and self.unit[channel] == "DBM":
            raise ScpiError(-221, "an amplitude in DBM needs a finite load")
        scale = share(value) / share(self.load[channel])
        amplitude, offset = self.levels[channel]
        self.levels[channel] = (scale * amplitude, scale * offset)
        return value

    # ---- levels ----------------------------------------------------------------------------------------------------

    unit = setting(f"{SOURCE}VOLTage:UNIT", Choice("VPP", "VRMS", "DBM"), reset="VPP")

    @unit.check
    def _unit_allowed(self, channel: int, unit: str) -> str:
        if unit == "DBM" and math.isinf(self.load[channel]):
            raise ScpiError(-221, "an amplitude in DBM needs a finite load")
        return unit

    @command(f"{SOURCE}VOLTage[:LEVel][:IMMediate][:AMPLitude]", Real(unit="V"))
    def _set_amplitude(self, _: Session, channel: int, value: float) -> None:
        unit = self.unit[channel]
        if unit == "DBM":
            value = math.sqrt(10 ** (min(value, 100.0) / 10) * 1e-3 * self.load[channel])
        if unit != "VPP":
            value /= self._rms(channel)
        self._take(channel, value, self.levels[channel][1])

    @query(f"{SOURCE}VOLTage[:LEVel][:IMMediate][:AMPLitude]?")
    def _ask_amplitude(self, _: Session, channel: int) -> float:
        unit, amplitude = self.unit[channel], self.levels[channel][0]
        if unit == "VPP":
            return amplitude
        rms = amplitude * self._rms(channel)
        return rms if unit == "VRMS" else 10 * math.log10(rms**2 / self.load[channel] / 1e-3)

    def _rms(self, channel: int) -> float:
        shape = self.shape[channel]
        if shape == "ARB":
            return 0.5 * math.sqrt(float((self.points(channel) ** 2).mean())) or 0.5
        return RMS.get(shape, 0.5)

    @command(f"{SOURCE}VOLTage[:LEVel][:IMMediate]:OFFSet", Real(unit="V"))
    def _set_offset(self, _: Session, channel: int, value: float) -> None:
        self._take(channel, self.levels[channel][0], value)

    @query(f"{SOURCE}VOLTage[:LEVel][:IMMediate]:OFFSet?")
    def _ask_offset(self, _: Session, channel: int) -> float:
        return self.levels[channel][1]

    @command(f"{SOURCE}VOLTage[:LEVel][:IMMediate]:HIGH", Real(unit="V"))
    def _set_high(self, _: Session, channel: int, high: float) -> None:
        low = min(self._edges(channel)[0], high - self._smallest(channel))
        self._take(channel, high - low, (high + low) / 2)

    @query(f"{SOURCE}VOLTage[:LEVel][:IMMediate]:HIGH?")
    def _ask_high(self, _: Session, channel: int) -> float:
        return self._edges(channel)[1]

    @command(f"{SOURCE}VOLTage[:LEVel][:IMMediate]:LOW", Real(unit="V"))
    def _set_low(self, _: Session, channel: int, low: float) -> None:
        high = max(self._edges(channel)[1], low + self._smallest(channel))
        self._take(channel, high - low, (high + low) / 2)

    @query(f"{SOURCE}VOLTage[:LEVel][:IMMediate]:LOW?")
    def _ask_low(self, _: Session, channel: int) -> float:
        return self._edges(channel)[0]

    def _edges(self, channel: int) -> tuple[float, float]:
        amplitude, offset = self.levels[channel]
        return offset - amplitude / 2, offset + amplitude / 2

    def _smallest(self, channel: int) -> float:
        return SMALLEST_OPEN_CIRCUIT_AMPLITUDE * share(self.load[channel])

    def _take(self, channel: int, amplitude: float, offset: float) -> None:
        self.require_levels(channel, amplitude, offset, self.shape[channel])
        self.levels[channel] = (amplitude, offset)
        self.update(channel)

    def require_levels(self, channel: int, amplitude: float, offset: float, shape: str) -> None:
        """Raise ScpiError unless the output can give these levels.

        Raises
        ------
        ScpiError
            -222 for an amplitude or an offset that is never allowed, -221 where the two do not fit together.
        """
        peak, smallest = OPEN_CIRCUIT_PEAK * share(self.load[channel]), self._smallest(channel)
        if not smallest <= amplitude * ROUNDING or amplitude > 2 * peak * ROUNDING:
            raise ScpiError(-222, f"{amplitude:g} V peak to peak is not within {smallest:g} to {2 * peak:g} V")
        if abs(offset) > peak * ROUNDING:
            raise ScpiError(-222, f"an offset of {offset:g} V is not within {-peak:g} to {peak:g} V")
        if shape != "DC" and abs(offset) + amplitude / 2 > peak * ROUNDING:
            raise ScpiError(-221, f"{offset:g} V and {amplitude:g} V peak to peak, the output gives {peak:g} V at most")
