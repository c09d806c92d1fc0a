"""Driver of the oscilloscopes Rigol DS1000Z, and of the DHO series as far as the two speak alike.

It serves as a digitizer: `record` takes so many samples at most so far apart, and returns times and voltages. What a
code means is asked of the instrument with every waveform.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument

from drivers.channel import InstrumentChannel
from drivers.errors import InstrumentTimeoutError, ReplyError
from drivers.properties import boolean, choice, control, integer, measurement, real, strict_integer
from drivers.replies import unquoted, whole
from drivers.scpi import ScpiInstrument

CHANNELS = (1, 2, 3, 4)
DEPTHS = {
    1: (12_000, 120_000, 1_200_000, 12_000_000, 24_000_000),
    2: (6_000, 60_000, 600_000, 6_000_000, 12_000_000),
    4: (3_000, 30_000, 300_000, 3_000_000, 6_000_000),
}
"""Points of a channel by the number of channels that share the memory."""
TIMEBASES = tuple(float(f"{step}e{power}") for power in range(-9, 2) for step in (1, 2, 5))[2:]
"""Settings of the timebase, s a division: 5 ns to 50 s."""
SCALES = tuple(float(f"{step}e{power}") for power in range(-4, 3) for step in (1, 2, 5))
"""Settings of the vertical scale, V a division."""
LARGEST_PIECE = {"byte": 250_000, "word": 125_000}
"""Points of one read by format."""
ELEMENTS = {"byte": "u1", "word": "<u2"}
STATES = {"TD": "triggered", "WAIT": "waiting", "RUN": "running", "AUTO": "auto", "STOP": "stopped"}
POLL_INTERVAL = 2e-3
"""s."""


class Preamble(NamedTuple):
    """What the codes of a waveform mean: sample i is at ``xorigin + (i - xreference) xincrement`` s.

    Its voltage is ``(code - yorigin - yreference) yincrement`` V.
    """

    encoding: int
    mode: int
    points: int
    averages: int
    xincrement: float
    xorigin: float
    xreference: float
    yincrement: float
    yorigin: float
    yreference: float


class Sampling(NamedTuple):
    """How samples are taken: timebase in s a division, points in memory, time between samples in s."""

    timebase: float
    depth: int
    interval: float


class RigolChannel(InstrumentChannel):
    """An input of the oscilloscope; voltages are those at the tip of the probe."""

    shown = boolean("CHAN{ch}:DISP", """Control whether the channel is recorded (bool).""")
    scale = real("CHAN{ch}:SCAL", """Control the volts a division (float from 1e-5 to 10000).""", 1e-5, 1e4)
    offset = real(
        "CHAN{ch}:OFFS",
        """Control the voltage that the trace is moved up by in V (float): minus that of the middle.""",
        -1e5,
        1e5,
    )
    coupling = choice(
        "CHAN{ch}:COUP", """Control the coupling (str: AC, DC or GND).""", {w: w for w in ("AC", "DC", "GND")}
    )
    probe = real("CHAN{ch}:PROB", """Control the attenuation of the probe (float from 0.01 to 1000).""", 0.01, 1000)
    bandwidth_limited = control(
        "CHAN{ch}:BWL?",
        "CHAN{ch}:BWL %s",
        """Control whether the bandwidth is limited to 20 MHz (bool).""",
        validator=lambda value, allowed: allowed[bool(value)],
        values={True: "20M", False: "OFF"},
        cast=str,
        get_process=lambda reply: unquoted(reply).upper() != "OFF",
    )


def _sources(*others: str) -> dict[str, str]:
    return {f"channel{number}": f"CHAN{number}" for number in CHANNELS} | {other: other.upper()[:3] for other in others}


class RigolDS1000Z(ScpiInstrument):
    """An oscilloscope with four inputs, `ch_1` to `ch_4`, and 8-bit converters.

    Parameters
    ----------
    adapter : str, int or pymeasure Adapter
        VISA resource name, or an adapter.
    name : str
        Name for messages.
    **kwargs
        Passed to `pymeasure.adapters.VISAAdapter`: `visa_library`, `timeout` in ms and the like.
    """

    divisions: ClassVar[int] = 12
    """Divisions of the screen along the time."""
    highest_rate: ClassVar[float] = 1e9
    """Sa/s, of one channel; more channels share it."""
    depths: ClassVar[Mapping[int, Sequence[int]]] = DEPTHS
    """Points of a channel by the number of channels that share the memory."""

    channels: dict[int, RigolChannel] = Instrument.MultiChannelCreator(RigolChannel, CHANNELS)

    def __init__(self, adapter: Adapter | str | int, name: str = "Oscilloscope", **kwargs: Any) -> None:
        super().__init__(adapter, name, **kwargs)
        self._forced = False
        self._points: int | None = None

    timebase = real("TIM:MAIN:SCAL", """Control the time a division in s (float from 5e-9 to 50).""", 5e-9, 50)
    delay = real(
        "TIM:MAIN:OFFS",
        """Control the time from the trigger to the middle of the record in s (float).""",
        -5000,
        5000,
    )
    memory_depth = control(
        "ACQ:MDEP?",
        "ACQ:MDEP %s",
        """Control the points in memory of a channel (int, one of `DEPTHS`, or None: the instrument chooses).""",
        validator=lambda value, _: "AUTO" if value is None else strict_integer(value, (1, 1_000_000_000)),
        cast=lambda reply: None if unquoted(reply).upper() == "AUTO" else whole(reply),
    )
    sample_rate = measurement("ACQ:SRAT?", """Get the rate of the samples in memory in Sa/s (float).""")

    trigger_mode = choice("TRIG:MODE", """Control what triggers (str, "edge").""", {"edge": "EDGE"})
    trigger_source = choice(
        "TRIG:EDGE:SOUR",
        """Control whose edges trigger (str, "channel1" to "channel4", or "external" where a model has the input).""",
        _sources("external"),
    )
    trigger_slope = choice(
        "TRIG:EDGE:SLOP",
        """Control which edges trigger (str, "rising", "falling" or "either").""",
        {"rising": "POS", "falling": "NEG", "either": "RFAL"},
    )
    trigger_level = real("TRIG:EDGE:LEV", """Control the level of the edge in V (float).""", -1e5, 1e5)
    trigger_sweep = choice(
        "TRIG:SWE",
        """Control what happens without a trigger (str): "auto" records anyway, "normal" and "single" wait.""",
        {"auto": "AUTO", "normal": "NORM", "single": "SING"},
    )
    trigger_status = measurement(
        "TRIG:STAT?",
        """Get what the trigger does (str: "triggered", "waiting", "running", "auto" or "stopped").""",
        cast=str,
        get_process=lambda reply: STATES[unquoted(reply).upper()],
    )

    waveform_source = choice(
        "WAV:SOUR", """Control whose waveform is read (str, "channel1" to "channel4").""", _sources()
    )
    waveform_mode = choice(
        "WAV:MODE",
        """Control what is read (str): the "screen", the "memory", or the "maximum": memory when stopped.""",
        {"screen": "NORM", "maximum": "MAX", "memory": "RAW"},
    )
    waveform_format = choice(
        "WAV:FORM",
        """Control how a waveform travels (str, "byte", "word" or "ascii").""",
        {"byte": "BYTE", "word": "WORD", "ascii": "ASC"},
    )
    waveform_start = integer("WAV:STAR", """Control the first point that is read (int from 1).""", 1, 1_000_000_000)
    waveform_stop = integer("WAV:STOP", """Control the last point that is read (int from 1).""", 1, 1_000_000_000)
    preamble = measurement(
        "WAV:PRE?",
        """Get what the codes of the waveform mean (Preamble).""",
        get_process_list=lambda numbers: Preamble(*(int(number) for number in numbers[:4]), *numbers[4:]),
    )

    def run(self) -> None:
        """Record one waveform after the other."""
        self.execute("RUN")

    def stop(self) -> None:
        """Stop recording."""
        self.execute("STOP")

    def single(self) -> None:
        """Record once, when the trigger comes."""
        with self.lock:
            self._points, self._forced = None, False
            self.execute("SING")

    def force_trigger(self) -> None:
        """Trigger now."""
        self.execute("TFOR")

    # recording

    def sampling(self, points: int, interval: float, channels: int = 1) -> Sampling:
        """Return how so many samples will be taken; nothing is sent.

        Of the settings whose samples are at most `interval` apart those with the smallest memory are chosen, and of
        these the longest time between samples.

        Parameters
        ----------
        points : int
            Samples that are needed of each channel.
        interval : float
            Longest time between samples, s.
        channels : int
            Number of channels recorded.

        Raises
        ------
        ValueError
            If the memory or the rate does not reach.
        """
        sharing = _sharing(channels)
        rate = self.highest_rate / sharing
        if not interval * rate >= 1 - 1e-9:
            raise ValueError(f"samples {interval:g} s apart; {1 / rate:g} s is the least for {channels} channels")
        depth = next((depth for depth in self.depths[sharing] if depth >= points), None)
        if points < 1 or depth is None:
            raise ValueError(f"{points} samples; 1 to {self.depths[sharing][-1]} of {channels} channels can be kept")
        fitting = [base for base in TIMEBASES if self.divisions * base / depth <= interval * (1 + 1e-9)]
        base = fitting[-1] if fitting else TIMEBASES[0]
        return Sampling(base, depth, min(max(self.divisions * base / depth, 1 / rate), interval))

    def sample_interval(self, points: int, interval: float, channels: int = 1) -> float:
        """Return the time in s between the samples that `record` will take; nothing is sent."""
        return self.sampling(points, interval, channels).interval

    def record(
        self,
        channel: int,
        points: int,
        interval: float,
        scale: float,
        offset: float = 0.0,
        source: str = "immediate",
        timeout: float = 10.0,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Record one channel from the trigger on.

        Parameters
        ----------
        channel : int
            Which channel, 1 to 4; the others are switched off.
        points : int
            Number of samples.
        interval : float
            Longest time between samples, s; `sample_interval` tells the real one.
        scale : float
            Volts a division: 8 divisions around the middle are sure to be converted.
        offset : float
            Minus the voltage in the middle, V.
        source : str
            "immediate", "external" or "channel1" to "channel4".
        timeout : float
            Longest time to wait for the end of the record, s.

        Returns
        -------
        times, volts : ndarray, shape (points,)
            Times since the trigger in s, and voltages in V.

        Raises
        ------
        ValueError
            If the memory, the rate or the scales do not reach; nothing has been sent then.
        InstrumentTimeoutError
            If the record does not end in time; it is stopped then.
        """
        self.arm([channel], points, interval, scale, offset, source)
        self.wait(timeout)
        return self.waveform(channel)

    def arm(
        self,
        channels: Sequence[int],
        points: int,
        interval: float,
        scale: float,
        offset: float = 0.0,
        source: str = "immediate",
        *,
        level: float = 0.0,
        slope: str = "rising",
        probe: float = 1.0,
    ) -> Sampling:
        """Begin to wait for the trigger of a record that starts with it; parameters are those of `record`.

        The instrument runs while it is set up, because its memory can be divided only then.

        Parameters
        ----------
        channels : sequence of int
            The channels recorded; the others are switched off.
        level, slope
            Of the edge that triggers, V, and "rising", "falling" or "either".
        probe : float
            Attenuation of the probes; voltages are those at their tips.

        Returns
        -------
        Sampling
            Timebase, points in memory, time between samples.
        """
        sampling = self.sampling(points, interval, len(channels))
        for number in channels:
            strict_integer(number, (CHANNELS[0], CHANNELS[-1]))
        step = next((step for step in SCALES if step >= scale * (1 - 1e-9)), None)
        if step is None or not scale > 0:
            raise ValueError(f"{scale:g} V a division; above 0 and up to {SCALES[-1]:g} V is allowed")
        with self.lock:
            self.run()
            for number, channel in self.channels.items():
                channel.shown = number in channels
            for number in channels:
                self._set_up(self.channels[number], step, offset, probe)
            self.timebase = sampling.timebase
            self.memory_depth = sampling.depth
            self.delay = sampling.depth * sampling.interval / 2
            self.trigger_mode = "edge"
            if source != "immediate":
                self.trigger_source = source
                self.trigger_slope = slope
                self.trigger_level = level
            self.single()
            self._points, self._forced = points, source == "immediate"
            if self._forced:
                self.force_trigger()
            return sampling

    @staticmethod
    def _set_up(channel: RigolChannel, scale: float, offset: float, probe: float) -> None:
        channel.probe = probe
        channel.coupling = "DC"
        channel.scale = scale
        channel.offset = offset

    def wait(self, timeout: float = 10.0) -> None:
        """Wait until a record has ended; an immediate one is triggered again if it was too early.

        The lock is given up between questions, so that another thread may stop the record.

        Raises
        ------
        InstrumentTimeoutError
            If it does not end in time; it is stopped then.
        """
        deadline = time.monotonic() + timeout
        pause = threading.Event()
        while (status := self.trigger_status) != "stopped":
            if time.monotonic() > deadline:
                self.stop()
                raise InstrumentTimeoutError(f"{self.name}: no record within {timeout:g} s, the trigger is {status}")
            if self._forced and status == "waiting":
                self.force_trigger()
            else:
                pause.wait(POLL_INTERVAL)

    def waveform(
        self, channel: int, points: int | None = None, encoding: str = "byte"
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Read the record of a channel out of the memory, in pieces.

        Parameters
        ----------
        channel : int
            Which channel.
        points : int, optional
            How many samples from the first one on; default those that `arm` was asked for, or all.
        encoding : str
            "byte", or "word" for converters of more than 8 bits.

        Returns
        -------
        times, volts : ndarray, shape (points,)
            Times since the trigger in s, and voltages in V.

        Raises
        ------
        ReplyError
            If the instrument sends less than was asked for.
        """
        with self.lock:
            self.waveform_source = f"channel{channel}"
            self.waveform_mode = "memory"
            self.waveform_format = encoding
            wanted = points or self._points or self.memory_points()
            codes = np.concatenate(
                [self._piece(first, min(first + LARGEST_PIECE[encoding] - 1, wanted), encoding)
                 for first in range(1, wanted + 1, LARGEST_PIECE[encoding])]
            )  # fmt: skip
            scale = self.preamble
            self.check_errors()
        volts = codes.astype(float)
        volts -= scale.yorigin + scale.yreference
        volts *= scale.yincrement
        return scale.xorigin + (np.arange(wanted) - scale.xreference) * scale.xincrement, volts

    def memory_points(self) -> int:
        """Return how many points of a channel are in memory."""
        with self.lock:
            return self.memory_depth or round(self.sample_rate * self.divisions * self.timebase)

    def _piece(self, first: int, last: int, encoding: str) -> NDArray[Any]:
        self.waveform_start = first
        self.waveform_stop = last
        self.write("WAV:DATA?")
        (data,) = self._read_reply(lambda: self._read_blocks(1))
        codes = np.frombuffer(data, ELEMENTS[encoding])
        if len(codes) != last - first + 1:
            raise ReplyError(f"{self.name}: {len(codes)} points came; those from {first} to {last} were asked for")
        return codes

    def shutdown(self) -> None:
        """Stop recording."""
        self.stop()
        super().shutdown()


def _sharing(channels: int) -> int:
    """Return by how many channels memory and rate are divided."""
    if channels not in CHANNELS:
        raise ValueError(f"{channels} channels; {CHANNELS[0]} to {CHANNELS[-1]} can be recorded")
    return channels if channels < 3 else 4
