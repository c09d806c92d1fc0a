"""What the outputs of the waveform generator give: waveforms, bursts of them, and the history of an output.

Everything here is immutable, so that other instruments may look at an output from any thread. Times are those of the
bench, in s; voltages are those at the terminal.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from sim_devices.instruments.cabling import Schedule, Times, Values
from twin.kernels.philox import words_at

Floats = npt.NDArray[np.float64]

HISTORY = 256
"""Number of changes of an output that are remembered."""
NOISE_CREST = 3.3
"""Half the amplitude of noise over its standard deviation; noise is clipped there."""
PRBS_ORDER, PRBS_TAP = 7, 6
"""The bit sequence x^7 + x^6 + 1 of 127 bits."""


def bit_sequence() -> Floats:
    """Return one period of the pseudo-random bit sequence as -1 and 1."""
    state, bits = (1 << PRBS_ORDER) - 1, []
    for _ in range((1 << PRBS_ORDER) - 1):
        bit = (state >> (PRBS_ORDER - 1) ^ state >> (PRBS_TAP - 1)) & 1
        state = (state << 1 | bit) & ((1 << PRBS_ORDER) - 1)
        bits.append(2.0 * bit - 1.0)
    return np.array(bits)


def edge_length(edge: float) -> float:
    """Return how long a linear edge takes that is at 10 % and 90 % an `edge` apart, s."""
    return edge / 0.8


@dataclass(frozen=True, eq=False)
class Waveform:
    """One waveform between -1 and 1, and the voltages that these stand for.

    Parameters
    ----------
    shape
        SIN, SQU, TRI, RAMP, PULS, NOIS, DC, or ARB and PRBS, which are `samples`.
    amplitude
        Voltage at 1 less that at -1, V.
    offset
        Voltage at 0, V.
    period
        Length of one cycle, s.
    phase
        Where in a cycle the waveform begins, as a fraction of it.
    share
        The high part of a square, or the rising part of a ramp, as a fraction of the period.
    width, edge
        Width at half height and time of an edge (10 to 90 %) of pulses, s.
    samples
        The points of one cycle, -1 to 1.
    bandwidth
        Bandwidth of noise, Hz.
    key
        Address of the noise.
    """

    shape: str
    amplitude: float
    offset: float
    period: float
    phase: float = 0.0
    share: float = 0.5
    width: float = 0.0
    edge: float = 0.0
    samples: Floats | None = None
    bandwidth: float = 1e5
    key: tuple[int, int] = (0, 0)

    def voltage(self, elapsed: Times) -> Values:
        """Return the voltage at times since the beginning of the first cycle."""
        return self.offset + 0.5 * self.amplitude * self._unit(elapsed)

    def _unit(self, elapsed: Times) -> Values:
        if self.shape == "DC":
            return np.zeros(np.shape(elapsed))
        if self.shape == "NOIS":
            return self._noise(elapsed)
        cycle = np.mod(elapsed / self.period + self.phase, 1.0)
        if self.samples is not None:
            return self.samples[np.minimum((cycle * len(self.samples)).astype(np.int64), len(self.samples) - 1)]
        return {"SIN": self._sine, "SQU": self._square, "RAMP": self._ramp, "TRI": self._ramp, "PULS": self._pulse}[
            self.shape
        ](cycle)

    @staticmethod
    def _sine(cycle: Floats) -> Floats:
        return np.sin(2 * math.pi * cycle)

    def _square(self, cycle: Floats) -> Floats:
        return np.where(cycle < self.share, 1.0, -1.0)

    def _ramp(self, cycle: Floats) -> Floats:
        return np.interp(cycle, [0.0, self.share, 1.0], [-1.0, 1.0, -1.0])

    def _pulse(self, cycle: Floats) -> Floats:
        full = edge_length(self.edge)
        corners = np.array([0.0, full, self.width, self.width + full, self.period])
        return np.interp(cycle * self.period, corners, [-1.0, 1.0, 1.0, -1.0, -1.0])

    def _noise(self, elapsed: Times) -> Floats:
        step = np.floor(np.asarray(elapsed) * (2 * self.bandwidth)).astype(np.int64)
        steps, inverse = np.unique(step, return_inverse=True)
        counters = np.zeros((len(steps), 4), np.uint32)
        counters[:, 0], counters[:, 1] = steps & 0xFFFFFFFF, steps >> 32 & 0xFFFFFFFF
        words = words_at(counters, *(np.uint32(word) for word in self.key))
        radius = np.sqrt(-2 * np.log((words[:, 0] + 0.5) / 2**32))
        normal = radius * np.cos(2 * math.pi * words[:, 1] / 2**32)
        return np.clip(normal / NOISE_CREST, -1, 1)[inverse].reshape(step.shape)


@dataclass(frozen=True, eq=False)
class Bursts:
    """When a waveform runs: for some cycles from each start on, and rests at its beginning otherwise.

    Parameters
    ----------
    duration
        Length of a burst, s; infinite for one that does not end.
    interval
        Time from one burst to the next, s; infinite where only triggers start them.
    starts
        When triggers started one, s, ascending.
    """

    duration: float
    interval: float = math.inf
    starts: Floats = field(default_factory=lambda: np.zeros(0))

    def elapsed(self, times: Times, begin: float) -> Times:
        """Return the time since the beginning of the burst that runs; 0 between bursts."""
        if math.isfinite(self.interval):
            since = np.mod(times - begin, self.interval)
        elif not self.starts.size:
            return np.zeros(np.shape(times))
        else:
            index = np.searchsorted(self.starts, times, side="right") - 1
            since = np.where(index < 0, 0.0, times - self.starts[np.maximum(index, 0)])
        return np.where(since < self.duration, since, 0.0)

    def triggered(self, times: Times) -> "tuple[Bursts, Times]":
        """Return the bursts with those that triggers start, and when these start.

        A trigger while a burst runs starts none.
        """
        end = self.starts[-1] + self.duration if self.starts.size else -math.inf
        started = []
        for time in times.tolist():
            if time >= end:
                started.append(time)
                end = time + self.duration
        new = np.array(started)
        return replace(self, starts=np.concatenate((self.starts[-HISTORY:], new))), new


@dataclass(frozen=True, eq=False)
class Stretch:
    """What an output does from some time on.

    Parameters
    ----------
    begin
        From when on, s.
    on
        Whether the output is on.
    waveform
        The waveform.
    start
        When its first cycle began, s; for bursts of the internal timer the first burst.
    bursts
        When it runs; None for always.
    """

    begin: float
    on: bool
    waveform: Waveform
    start: float
    bursts: Bursts | None = None

    def voltage(self, times: Times) -> Values:
        """Return the voltage at some times."""
        if not self.on:
            return np.zeros(np.shape(times))
        if self.bursts is None:
            return self.waveform.voltage(times - self.start)
        return self.waveform.voltage(self.bursts.elapsed(times, self.start))

    def schedule(self) -> Schedule | None:
        """Return when cycles or bursts begin on their own; None where they do not."""
        if self.bursts is not None:
            interval = self.bursts.interval
        else:
            interval = math.inf if self.waveform.shape in ("DC", "NOIS") else self.waveform.period
        if math.isinf(interval):
            return None

        def edges(time: float, count: int) -> Times:
            first = max(0, math.ceil((time - self.start) / interval - 1e-9))
            return np.asarray(self.start + interval * np.arange(first, first + count), float)

        return edges


class OutputTerminal:
    """An output of the generator for the cable that is plugged in."""

    def __init__(self) -> None:
        self._history: tuple[Stretch, ...] = ()

    @property
    def present(self) -> Stretch:
        """What the output does now."""
        return self._history[-1]

    def program(self, stretch: Stretch) -> None:
        """Do something else from its beginning on."""
        kept = tuple(past for past in self._history[1 - HISTORY :] if past.begin < stretch.begin)
        self._history = (*kept, stretch)

    def voltage(self, times: Times, /) -> Values:
        """Return the voltage in V at each of the times; 0 before the generator was there."""
        times = np.asarray(times, float)
        history = self._history
        last = np.searchsorted(np.array([stretch.begin for stretch in history]), times, side="right") - 1
        voltage = np.zeros(times.shape)
        for index in np.unique(last[last >= 0]):
            here = last == index
            voltage[here] = history[index].voltage(times[here])
        return voltage


@dataclass(frozen=True, eq=False)
class Pulse:
    """The arbitrary waveform that an output gives, for what modulates light with it.

    Parameters
    ----------
    on
        Whether the output is on and gives an arbitrary waveform.
    values
        Its voltages, V, shape (n,).
    interval
        Time from point to point, s.
    period
        Time from one repetition to the next, s; infinite where triggers start it.
    start
        When a repetition began, s; that of the last trigger where triggers start it, NaN before the first.
    """

    on: bool
    values: Values
    interval: float
    period: float
    start: float


def pulse_of(stretch: Stretch) -> Pulse:
    """Return the arbitrary waveform of a stretch; one that is not on where there is none."""
    waveform, bursts = stretch.waveform, stretch.bursts
    if waveform.shape != "ARB" or waveform.samples is None:
        return Pulse(on=False, values=np.zeros(0), interval=math.nan, period=math.inf, start=math.nan)
    values = waveform.offset + 0.5 * waveform.amplitude * waveform.samples
    values.setflags(write=False)
    period, start = waveform.period, stretch.start
    if bursts is not None:
        period = bursts.interval
        if math.isinf(period):
            start = float(bursts.starts[-1]) if bursts.starts.size else math.nan
    return Pulse(stretch.on, values, waveform.period / len(values), period, start)
