"""The persona of the oscilloscope Rigol DS1104Z: its commands, its memory, and when it is triggered.

A record is taken when its trigger comes: the signal is asked of the inputs at once, and the clock of the bench moves to
the end of the record. While an edge of a channel is waited for, every question about the state of the trigger looks at
the next stretch of the signal. The limit of the bandwidth is kept and not modelled. EXT as the source of the trigger is
that of models with such an input.
"""

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_devices.instruments.cabling import OPEN, SignalInput, Times, TriggerLine
from sim_devices.instruments.rigol_ds1000z_records import (
    CODES_PER_DIVISION,
    MIDDLE_CODE,
    Channel,
    Record,
    first_edge,
)
from sim_devices.scpi import (
    Block,
    Boolean,
    Choice,
    Instrument,
    Integer,
    Real,
    ScpiError,
    Session,
    command,
    query,
    setting,
)
from twin.clock import Clock

IDENTITY = "RIGOL TECHNOLOGIES,DS1104Z,DS1ZA000000001,00.04.04.SP4"
CHANNELS = (1, 2, 3, 4)
DIVISIONS = 12
SCREEN_POINTS = 1200
HIGHEST_RATE = 1e9
"""Sa/s, of one channel; more channels share it."""
DEPTHS = {
    1: (12_000, 120_000, 1_200_000, 12_000_000, 24_000_000),
    2: (6_000, 60_000, 600_000, 6_000_000, 12_000_000),
    4: (3_000, 30_000, 300_000, 3_000_000, 6_000_000),
}
"""Points of a channel by the number of channels that share the memory."""
PIECES = {"BYTE": 250_000, "WORD": 125_000, "ASC": 15_625}
"""Points of one read by format."""
FORMAT_NUMBERS = {"BYTE": 0, "WORD": 1, "ASC": 2}
MODE_NUMBERS = {"NORM": 0, "MAX": 1, "RAW": 2}
TIMEBASES = tuple(float(f"{step}e{power}") for power in range(-9, 2) for step in (1, 2, 5))[2:]
"""Seconds a division."""
VERTICAL_LIMITS = (1e-3, 10.0)
"""Volts a division at a probe of 1."""
LARGEST_EXTERNAL_LEVEL = 5.0
"""V."""
ROUNDING = 1e-9
"""V."""
SEARCH = 6_000_000
"""Points beyond a record that are looked through for an edge at a time."""


class Source(Choice):
    """A channel such as CHANnel2, or another source."""

    def __init__(self, *others: str) -> None:
        super().__init__(*(f"CHAN{channel}" for channel in CHANNELS), *others)
        self._spellings |= {f"CHANNEL{channel}": f"CHAN{channel}" for channel in CHANNELS}


class RigolDS1000Z(Instrument):
    """The oscilloscope as its clients see it.

    Parameters
    ----------
    clock
        Clock of the bench, which every record moves to its end.
    worker
        The bench's worker thread; nothing here runs on it.
    name
        Name of the oscilloscope on its bench.
    inputs
        Cables at the inputs by channel, voltages in V; an open input where nothing is said.
    trigger
        Cable at the trigger input.
    """

    def __init__(
        self,
        clock: Clock,
        worker: Executor,
        name: str = "scope",
        *,
        inputs: Mapping[int, SignalInput] | None = None,
        trigger: TriggerLine | None = None,
    ) -> None:
        self.clock = clock
        self.worker = worker
        self.name = name
        self.acquisitions = 0
        self._inputs: dict[int, SignalInput] = dict.fromkeys(CHANNELS, OPEN) | dict(inputs or {})
        self._record: Record | None = None
        self._running = True
        self._single = False
        self._triggered = False
        self._armed = 0.0
        super().__init__(IDENTITY)
        self._trigger = trigger or TriggerLine()
        self._trigger.listen(self._take_edges, self._take_next_edge)
        self.reset()

    # ---- vertical --------------------------------------------------------------------------------------------------

    shown = setting("CHANnel<1:4>:DISPlay", Boolean(), reset=False)
    scale = setting("CHANnel<1:4>:SCALe", Real(unit="V"), reset=1.0)
    offset = setting("CHANnel<1:4>:OFFSet", Real(unit="V"), reset=0.0)
    coupling = setting("CHANnel<1:4>:COUPling", Choice("AC", "DC", "GND"), reset="DC")
    probe = setting("CHANnel<1:4>:PROBe", Real(0.01, 1000), reset=10.0)
    bandwidth_limit = setting("CHANnel<1:4>:BWLimit", Choice("20M", "OFF"), reset="OFF")

    @scale.check
    def _scale_allowed(self, channel: int, scale: float) -> float:
        low, high = (self.probe[channel] * limit for limit in VERTICAL_LIMITS)
        if not low * (1 - ROUNDING) <= scale <= high * (1 + ROUNDING):
            raise ScpiError(-222, f"{scale:g} V a division is not within {low:g} to {high:g} V")
        return scale

    @offset.check
    def _offset_allowed(self, channel: int, offset: float) -> float:
        probe = self.probe[channel]
        largest = probe * (100.0 if self.scale[channel] >= 0.5 * probe else 2.0)
        if abs(offset) > largest:
            raise ScpiError(-222, f"an offset of {offset:g} V is not within {-largest:g} to {largest:g} V")
        return offset

    @probe.check
    def _probe_rescales(self, channel: int, probe: float) -> float:
        """Show the same picture with other numbers."""
        ratio = probe / self.probe[channel]
        self.scale[channel] *= ratio
        self.offset[channel] *= ratio
        return probe

    def _channel(self, channel: int) -> Channel:
        increment = self.scale[channel] / CODES_PER_DIVISION
        return Channel(increment, round(self.offset[channel] / increment), self.probe[channel], self.coupling[channel])

    def _recorded(self) -> tuple[int, ...]:
        return tuple(channel for channel in CHANNELS if self.shown[channel])

    # ---- horizontal ------------------------------------------------------------------------------------------------

    timebase = setting("TIMebase[:MAIN]:SCALe", Real(TIMEBASES[0], TIMEBASES[-1], "S"), reset=1e-6)
    delay = setting("TIMebase[:MAIN]:OFFSet", Real(-5000, 5000, "S"), reset=0.0)
    memory_depth = setting("ACQuire:MDEPth", Integer(1, 24_000_000, also=("AUTO",)), reset="AUTO")

    @timebase.check
    def _timebase_taken(self, scale: float) -> float:
        """Take the nearest setting of the knob that is not below."""
        return next(step for step in TIMEBASES if step >= scale * (1 - 1e-9))

    @memory_depth.check
    def _depth_allowed(self, depth: int | str) -> int | str:
        if depth != "AUTO" and depth not in self._depths():
            raise ScpiError(-224, f"{depth} points; AUTO, {', '.join(map(str, self._depths()))} are possible now")
        return depth

    @shown.check
    def _share_memory(self, channel: int, shown: bool) -> bool:
        """Give every channel its share of the memory anew."""
        if shown != self.shown[channel] and self.memory_depth != "AUTO":
            channels = len(self._recorded()) + (1 if shown else -1)
            self.memory_depth = DEPTHS[self._sharing(channels)][self._depths().index(self.memory_depth)]
        return shown

    @staticmethod
    def _sharing(channels: int) -> int:
        return 1 if channels <= 1 else 2 if channels == 2 else 4

    def _depths(self) -> tuple[int, ...]:
        return DEPTHS[self._sharing(len(self._recorded()))]

    def points(self) -> int:
        """Return the points of a record; AUTO is the fewest that allow the highest rate."""
        if self.memory_depth != "AUTO":
            return self.memory_depth
        wanted = DIVISIONS * self.timebase * self._highest_rate() * (1 - 1e-9)
        return next((depth for depth in self._depths() if depth >= wanted), self._depths()[-1])

    def _highest_rate(self) -> float:
        return HIGHEST_RATE / self._sharing(len(self._recorded()))

    def sample_rate(self) -> float:
        """Return the rate of the samples in memory, Sa/s."""
        return min(self._highest_rate(), self.points() / (DIVISIONS * self.timebase))

    @query("ACQuire:SRATe?")
    def _ask_sample_rate(self, _: Session) -> float:
        return self.sample_rate()

    # ---- trigger ---------------------------------------------------------------------------------------------------

    trigger_mode = setting("TRIGger:MODE", Choice("EDGE"), reset="EDGE")
    trigger_source = setting("TRIGger:EDGe:SOURce", Source("EXT"), reset="CHAN1")
    trigger_slope = setting("TRIGger:EDGe:SLOPe", Choice("POSitive", "NEGative", "RFALl"), reset="POS")
    trigger_level = setting("TRIGger:EDGe:LEVel", Real(unit="V"), reset=0.0)
    sweep = setting("TRIGger:SWEep", Choice("AUTO", "NORMal", "SINGle"), reset="AUTO")

    @trigger_level.check
    def _level_allowed(self, level: float) -> float:
        """Take a level within five divisions of the middle of the screen."""
        low, high = -LARGEST_EXTERNAL_LEVEL, LARGEST_EXTERNAL_LEVEL
        if self.trigger_source != "EXT":
            source = int(self.trigger_source[-1])
            low, high = (side * self.scale[source] - self.offset[source] for side in (-5, 5))
        if not low - ROUNDING <= level <= high + ROUNDING:
            raise ScpiError(-222, f"a level of {level:g} V is not within {low:g} to {high:g} V")
        return level

    @sweep.changed
    def _sweep_changed(self, sweep: str) -> None:
        self._single = sweep == "SING"

    @query("TRIGger:STATus?")
    def _ask_status(self, _: Session) -> str:
        if self._waiting() and self.trigger_source != "EXT":
            self._look_for_edge()
        if not self._running:
            return "STOP"
        if self.sweep == "AUTO":
            return "AUTO"
        return "TD" if self._triggered else "WAIT"

    def _waiting(self) -> bool:
        return self._running and self.sweep != "AUTO"

    @command("RUN")
    def _run(self, _: Session) -> None:
        if self.sweep == "SING":
            self.sweep = "AUTO"
        self._arm(single=False)

    @command("SINGle")
    def _run_once(self, _: Session) -> None:
        self.sweep = "SING"
        self._arm(single=True)

    def _arm(self, *, single: bool) -> None:
        self._running, self._single, self._triggered = True, single, False
        self._record = None
        self._armed = self.clock.now()
        self._take_next_edge()

    @command("STOP")
    def _stop(self, _: Session) -> None:
        if self._running and self.sweep == "AUTO":
            self._take(self.clock.now() - self._origin())
        self._running = False

    @command("TFORce")
    def _force(self, _: Session) -> None:
        """Trigger now: the record begins at once."""
        if self._waiting():
            self._take(self.clock.now() - self._origin())

    @command("CLEar")
    def _clear(self, _: Session) -> None:
        self._record = None

    def _origin(self) -> float:
        """Return the time from the trigger to the first sample of a record, s."""
        return self.delay - self.points() / self.sample_rate() / 2

    def _take_edges(self, times: Times) -> None:
        """Take a record at the first edge at the trigger input that comes after arming, and at the following ones."""
        with self.lock:
            for time in times.tolist():
                if self._waiting() and self.trigger_source == "EXT" and time >= self._armed:
                    self._take(time)

    def _take_next_edge(self) -> None:
        """Take a record at the next of the edges that come to the trigger input on their own."""
        self._take_edges(self._trigger.upcoming(self._armed, 1))

    def _take(self, trigger: float) -> None:
        """Take a record around a trigger."""
        interval, points = 1 / self.sample_rate(), self.points()
        begin, acquisition = trigger + self._origin(), self._next_acquisition()
        traces = {
            channel: self._inputs[channel].trace(begin, interval, points, acquisition) for channel in self._recorded()
        }
        self._keep(traces, interval, begin + points * interval)

    def _next_acquisition(self) -> int:
        self.acquisitions += 1
        return self.acquisitions - 1

    def _keep(self, traces: Mapping[int, npt.NDArray[np.float64]], interval: float, end: float) -> None:
        channels = {channel: self._channel(channel) for channel in traces}
        codes = {channel: channels[channel].digitise(trace) for channel, trace in traces.items()}
        self._record = Record(channels, codes, interval, self._origin())
        self._triggered = True
        self._running = not self._single
        self.clock.sleep_until(end)
        self._armed = self.clock.now()

    def _look_for_edge(self) -> None:
        """Take a record at the first edge of the channel in the next stretch of signal, if there is one."""
        source, points, interval = int(self.trigger_source[-1]), self.points(), 1 / self.sample_rate()
        before = max(0, round(-self._origin() / interval))
        begin, acquisition = self.clock.now(), self._next_acquisition()
        length = points + min(points, SEARCH)
        stretches = {
            channel: self._inputs[channel].trace(begin, interval, length, acquisition)
            for channel in {source, *self._recorded()}
        }
        level = self.trigger_level / self.probe[source]
        edge = first_edge(stretches[source], level, self.trigger_slope, before)
        first = None if edge is None else edge + round(self._origin() / interval)
        if first is None or first + points > length:
            self.clock.sleep_until(begin + (length - points) * interval)
            return
        traces = {channel: stretches[channel][first : first + points] for channel in self._recorded()}
        self._keep(traces, interval, begin + (first + points) * interval)

    # ---- waveform --------------------------------------------------------------------------------------------------

    waveform_source = setting("WAVeform:SOURce", Source(), reset="CHAN1")
    waveform_mode = setting("WAVeform:MODE", Choice("NORMal", "MAXimum", "RAW"), reset="NORM")
    waveform_format = setting("WAVeform:FORMat", Choice("BYTE", "WORD", "ASCii"), reset="BYTE")
    waveform_start = setting("WAVeform:STARt", Integer(1, lambda scope: scope.readable()), reset=1)
    waveform_stop = setting("WAVeform:STOP", Integer(1, lambda scope: scope.readable()), reset=SCREEN_POINTS)

    def _from_memory(self) -> bool:
        return self.waveform_mode == "RAW" or (self.waveform_mode == "MAX" and not self._running)

    def readable(self) -> int:
        """Return the points that can be read: those of the screen, or those in memory."""
        if not self._from_memory():
            return SCREEN_POINTS
        return self.points() if self._record is None else max(map(len, self._record.codes.values()), default=0)

    @query("WAVeform:PREamble?")
    def _ask_preamble(self, _: Session) -> tuple[float, ...]:
        channel, codes, interval, origin = self._waveform()
        numbers = FORMAT_NUMBERS[self.waveform_format], MODE_NUMBERS[self.waveform_mode], len(codes), 1
        return (*numbers, interval, origin, 0, channel.increment, channel.origin, MIDDLE_CODE)

    @query("WAVeform:DATA?")
    def _ask_data(self, _: Session) -> Block:
        channel, codes, _interval, _origin = self._waveform()
        start, stop = self.waveform_start, min(self.waveform_stop, len(codes))
        most = PIECES[self.waveform_format]
        if not start <= stop:
            raise ScpiError(-221, f"the waveform starts at {start} and stops at {stop}")
        if stop - start + 1 > most:
            raise ScpiError(-222, f"{stop - start + 1} points; one read gives at most {most}")
        piece = codes[start - 1 : stop]
        if self.waveform_format == "WORD":
            return Block(piece.astype("<u2").tobytes())
        if self.waveform_format == "ASC":
            return Block(",".join(f"{volts:.6e}" for volts in channel.volts(piece).tolist()).encode())
        return Block(piece.tobytes())

    def _waveform(self) -> tuple[Channel, npt.NDArray[np.uint8], float, float]:
        """Return how the source is shown, its codes, the time between them and that of the first one.

        Raises
        ------
        ScpiError
            -221 for the memory of a running oscilloscope, -230 where nothing was recorded.
        """
        if self._running and self.waveform_mode == "RAW":
            raise ScpiError(-221, "the memory can be read while stopped only, STOP or SINGle come first")
        if self._running and self.sweep == "AUTO":
            self._take(self.clock.now() - self._origin())
        source = int(self.waveform_source[-1])
        record = self._record
        if record is None or source not in record.codes:
            raise ScpiError(-230, f"nothing was recorded of channel {source}")
        codes = record.codes[source]
        if self._from_memory():
            return record.channels[source], codes, record.interval, record.origin
        return self._screen(record, source)

    def _screen(self, record: Record, source: int) -> tuple[Channel, npt.NDArray[np.uint8], float, float]:
        """Return the points of the screen: those in memory that are nearest."""
        interval = DIVISIONS * self.timebase / SCREEN_POINTS
        origin = self.delay - DIVISIONS * self.timebase / 2
        codes = record.codes[source]
        index = np.rint((origin + interval * np.arange(SCREEN_POINTS) - record.origin) / record.interval)
        return record.channels[source], codes[np.clip(index.astype(int), 0, len(codes) - 1)], interval, origin

    # ---- reset -----------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Take the rest of the state that ``*RST`` asks for: channel 1 runs, nothing is recorded."""
        self.shown[1] = True
        self._arm(single=False)

    def recall_state(self, _: Any) -> None:
        """Run with the settings that were recalled."""
        self._arm(single=self.sweep == "SING")
