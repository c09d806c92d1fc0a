"""Voltages of the QDAC-II as exact functions of time: what follows its target no faster than its slew.

Every piece is immutable. A track is what one generator has put out, puts out and, as far as it is programmed, will put
out; another track is made where something changes it.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol

import numpy as np

from sim_devices.instruments.cabling import Times, Values

UPDATE = 1e-6
"""Time from one update of an output to the next, s."""
HISTORY = 4096
"""Pieces of a track that are remembered."""
SINE_BREAKS = 64
"""Breakpoints of a period of a sine, where a filter takes it for a polyline."""
REMEMBERED = 16.0
"""Time constants that a filter looks back."""
MEETING = 1e-12
"""Relative uncertainty of the time at which an output joins a sine."""
UNROLLED = 1 << 16
"""Largest number of segments of a pattern that differs from cycle to cycle."""


class UnsettledError(ValueError):
    """A repeated pattern that its slew does not let settle within one cycle."""


class Piece(Protocol):
    """A part of a track, from its start until the next part begins."""

    @property
    def start(self) -> float:
        """When it begins, s."""

    @property
    def end(self) -> float:
        """When it comes to rest, s; infinite where it never does."""

    def voltage(self, times: Times) -> Values:
        """Return the voltage, V; constant before the start and after the end."""

    def breaks(self, low: float, high: float) -> Times:
        """Return the breakpoints within a span of time, s."""


@dataclass(frozen=True, eq=False)
class Polyline:
    """A voltage that is linear from breakpoint to breakpoint."""

    times: Times
    values: Values

    @property
    def start(self) -> float:
        """The first breakpoint, s."""
        return float(self.times[0])

    @property
    def end(self) -> float:
        """The last breakpoint, s."""
        return float(self.times[-1])

    def voltage(self, times: Times) -> Values:
        """Return the voltage, V."""
        return np.interp(times, self.times, self.values)

    def breaks(self, low: float, high: float) -> Times:
        """Return the breakpoints within a span of time, s."""
        first, last = np.searchsorted(self.times, (low, high))
        return self.times[first:last]


@dataclass(frozen=True, eq=False)
class Cycles:
    """A polyline that comes again every `period` s; its first cycle may differ, since it begins anywhere.

    Parameters
    ----------
    first, rest : Polyline
        The first cycle and any later one, in s since the beginning of the cycle.
    start : float
        When the first cycle begins, s.
    period : float
        Length of a cycle, s.
    count : float
        Number of cycles, infinite for no end.
    """

    first: Polyline
    rest: Polyline
    start: float
    period: float
    count: float

    @property
    def end(self) -> float:
        """When the last cycle ends, s."""
        return self.start + self.count * self.period

    def voltage(self, times: Times) -> Values:
        """Return the voltage, V."""
        since = np.asarray(times) - self.start
        cycle = np.clip(np.floor(since / self.period), 0, self.count - 1)
        within = since - cycle * self.period
        return np.where(cycle == 0, self.first.voltage(within), self.rest.voltage(within))

    def breaks(self, low: float, high: float) -> Times:
        """Return the breakpoints within a span of time, s."""
        first = max(0, math.floor((low - self.start) / self.period))
        last = min(self.count - 1, math.floor((high - self.start) / self.period))
        parts = [self.first.times + self.start] if first == 0 else []
        later = np.arange(max(first, 1), last + 1)
        parts.append((self.start + later[:, None] * self.period + self.rest.times).ravel())
        times = np.concatenate(parts)
        return times[(times >= low) & (times < high)]


@dataclass(frozen=True)
class Sine:
    """A sine about an offset, with phase 0 at `origin`.

    Parameters
    ----------
    start, origin : float
        When the output is on the sine, and when the sine began, s.
    frequency : float
        Frequency, Hz.
    amplitude, offset : float
        Signed amplitude and offset, V.
    count : float
        Number of periods, infinite for no end.
    """

    start: float
    origin: float
    frequency: float
    amplitude: float
    offset: float
    count: float

    @property
    def end(self) -> float:
        """When the last period ends, s."""
        return self.origin + self.count / self.frequency

    def voltage(self, times: Times) -> Values:
        """Return the voltage, V."""
        since = np.clip(np.asarray(times), self.start, self.end) - self.origin
        return self.offset + self.amplitude * np.sin(2 * np.pi * self.frequency * since)

    def breaks(self, low: float, high: float) -> Times:
        """Return points close enough to each other for a polyline, within a span of time, s."""
        step = 1 / (SINE_BREAKS * self.frequency)
        return np.arange(max(low, self.start), min(high, self.end), step)


@dataclass(frozen=True, eq=False)
class Targets:
    """What an output is told to follow: segments that begin at `values` and rise by `rates`.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Target at the beginning of each segment, V.
    durations : ndarray, shape (n,)
        Length of each segment, s.
    rates : ndarray, shape (n,)
        Slope of the target within each segment, V/s.
    """

    values: Values
    durations: Times
    rates: Values

    @property
    def period(self) -> float:
        """Length of all segments, s."""
        return float(np.sum(self.durations))

    def repeated(self, count: int) -> "Targets":
        """Return the segments `count` times over."""
        return Targets(*(np.tile(part, count) for part in (self.values, self.durations, self.rates)))

    def merged(self) -> "Targets":
        """Return the same with neighbours that hold one value as one segment."""
        if self.rates.any():
            return self
        first = np.flatnonzero(np.diff(self.values, prepend=math.nan))
        return Targets(self.values[first], np.add.reduceat(self.durations, first), self.rates[first])


def steps(values: Sequence[float] | Values, dwell: float) -> Targets:
    """Return targets that hold each of some values, V, for `dwell` s."""
    array = np.asarray(values, float)
    return Targets(array, np.full(array.shape, dwell), np.zeros(array.shape))


def follow(level: float, start: float, targets: Targets, slew: float) -> Polyline:
    """Return how an output at `level` V follows its targets from `start` s on, no faster than `slew` V/s.

    It moves towards the target at the slew until it meets it, and then stays on it as far as the slew allows.
    """
    targets = targets.merged()
    begins = np.concatenate([[0.0], np.cumsum(targets.durations)])
    jumps = np.diff(targets.values, prepend=level)
    if not targets.rates.any() and np.all(np.abs(jumps) <= slew * targets.durations):
        times = np.stack([begins[:-1], begins[:-1] + np.abs(jumps) / slew], axis=1).ravel()
        values = np.stack([targets.values - jumps, targets.values], axis=1).ravel()
        return Polyline(start + np.append(times, begins[-1]), np.append(values, values[-1]))
    points = [(start, level)]
    columns = (begins[:-1], targets.values, targets.durations, targets.rates)
    for begin, target, duration, rate in zip(*(column.tolist() for column in columns), strict=True):
        segment = _segment(points[-1][1], target, duration, rate, slew)
        points += [(start + begin + after, value) for after, value in segment]
    return Polyline(*np.array(points).T)


def _segment(level: float, target: float, duration: float, rate: float, slew: float) -> tuple[tuple[float, float], ...]:
    """Return the breakpoints that one segment of targets adds, in s since it begins and V."""
    direction = math.copysign(1.0, target - level)
    closing = slew - direction * rate
    meeting = 0.0 if target == level else abs(target - level) / closing if closing > 0 else math.inf
    if meeting >= duration:
        return ((duration, level + direction * slew * duration),)
    met = target + rate * meeting
    on = target + rate * duration if abs(rate) <= slew else met + math.copysign(slew, rate) * (duration - meeting)
    return (meeting, met), (duration, on)


def ramp(level: float, start: float, target: float, slew: float) -> Polyline:
    """Return how an output at `level` V goes to a target, V, from `start` s on, and stays there."""
    arrival = start + abs(target - level) / slew
    return Polyline(np.array([start, arrival]), np.array([level, target]))


def cycles(level: float, start: float, targets: Targets, slew: float, count: float) -> Piece:
    """Return how an output at `level` V follows targets that come again `count` times.

    Raises
    ------
    UnsettledError
        If the slew is so low that later cycles differ from the second one, and there are too many of them.
    """
    if count == 1:
        return follow(level, start, targets, slew)
    first = follow(level, 0.0, targets, slew)
    rest = follow(float(first.values[-1]), 0.0, targets, slew)
    if rest.values[-1] != first.values[-1]:
        if count * len(targets.values) <= UNROLLED:
            return follow(level, start, targets.repeated(int(count)), slew)
        raise UnsettledError(f"at {slew:.6g} V/s the pattern does not settle within its {targets.period:.6g} s")
    return Cycles(first, rest, start, targets.period, count)


def sine(level: float, start: float, wave: Sine, slew: float) -> tuple[Piece, ...]:
    """Return how an output at `level` V joins a sine from `start` s on, where the slew is faster than the sine."""
    gap = float(wave.voltage(np.array([start]))[0]) - level
    direction = math.copysign(1.0, gap)
    low, high = 0.0, (direction * (wave.offset - level) + abs(wave.amplitude)) / slew
    while gap and high - low > MEETING * high:
        middle = (low + high) / 2
        ahead = float(wave.voltage(np.array([start + middle]))[0]) - level - direction * slew * middle
        low, high = (middle, high) if ahead * direction > 0 else (low, middle)
    met = start + (high if gap else 0.0)
    if met >= wave.end:
        return (ramp(level, start, level + direction * slew * (wave.end - start), slew),)
    joined = replace(wave, start=met)
    return (joined,) if not gap else (ramp(level, start, float(joined.voltage(np.array([met]))[0]), slew), joined)


def _start(piece: Piece) -> float:
    return piece.start


@dataclass(frozen=True)
class Track:
    """Pieces one after the other; each lasts until the next begins."""

    pieces: tuple[Piece, ...]

    @staticmethod
    def resting(level: float) -> "Track":
        """Return a track that has always been at `level` V."""
        return Track((Polyline(np.array([-math.inf]), np.array([level])),))

    @property
    def end(self) -> float:
        """When everything programmed has come to rest, s."""
        return self.pieces[-1].end

    def then(self, *pieces: Piece) -> "Track":
        """Return the track with what comes from the start of the first of some pieces on replaced by them."""
        kept = self.pieces[: bisect_left(self.pieces, pieces[0].start, key=_start)]
        return Track((*kept, *pieces)[-HISTORY:])

    def _within(self, low: float, high: float) -> tuple[Piece, ...]:
        """Return the pieces that last at some time from `low` to `high`, s."""
        begun, ended = (bisect_right(self.pieces, time, key=_start) for time in (low, high))
        return self.pieces[max(begun - 1, 0) : max(ended, 1)]

    def at(self, time: float) -> float:
        """Return the voltage at one time, V."""
        return float(self.voltage(np.array([time]))[0])

    def voltage(self, times: Times) -> Values:
        """Return the voltage at any times, V."""
        times = np.asarray(times, float)
        pieces = self._within(times.min(), times.max()) if times.size else self.pieces[:1]
        if len(pieces) == 1:
            return pieces[0].voltage(times)
        index = np.clip(np.searchsorted([piece.start for piece in pieces], times, side="right") - 1, 0, None)
        values = np.empty(times.shape)
        for number in np.unique(index):
            chosen = index == number
            values[chosen] = pieces[number].voltage(times[chosen])
        return values

    def breaks(self, low: float, high: float) -> Times:
        """Return the breakpoints within a span of time, s."""
        pieces = self._within(low, high)
        ends = [piece.start for piece in pieces[1:]] + [math.inf]
        spans = ((max(low, piece.start), min(high, end)) for piece, end in zip(pieces, ends, strict=True))
        parts = [piece.breaks(*span) for piece, span in zip(pieces, spans, strict=True) if span[0] < span[1]]
        return np.concatenate([*parts, [start for start in ends[:-1] if low <= start < high]])


@dataclass(frozen=True)
class Signal:
    """What an output terminal carries: the sum of its generators within the range, behind the filter.

    Parameters
    ----------
    tracks : tuple of Track
        One for each generator.
    bound : float
        Largest voltage of the range, V.
    time_constant : float
        Time constant of the filter, s; one faster than an update is none.
    """

    tracks: tuple[Track, ...]
    bound: float
    time_constant: float

    def programmed(self, times: Times) -> Values:
        """Return the voltage before the filter, V."""
        total = np.zeros(np.shape(times))
        for track in self.tracks:
            total += track.voltage(times)
        return np.clip(total, -self.bound, self.bound)

    def voltage(self, times: Times) -> Values:
        """Return the voltage behind the filter, V: exact for what is linear between breakpoints."""
        times = np.asarray(times, float)
        if self.time_constant < UPDATE or not times.size:
            return self.programmed(times)
        low, high = times.min() - REMEMBERED * self.time_constant, times.max()
        breaks = np.unique(np.concatenate([[low, high], *(track.breaks(low, high) for track in self.tracks)]))
        return self._filtered(times, breaks, self.programmed(breaks))

    def _filtered(self, times: Times, breaks: Times, values: Values) -> Values:
        if len(breaks) == 1:
            return np.full(times.shape, values[0])
        tau, lengths = self.time_constant, np.diff(breaks)
        slopes = np.append(np.diff(values) / lengths, 0.0)
        decays, rises = np.exp(-lengths / tau), slopes[:-1] * tau
        lag = accumulate(
            zip(decays, rises, strict=True), lambda lag, part: (lag + part[1]) * part[0] - part[1], initial=0.0
        )
        lags = np.fromiter(lag, float, len(breaks))
        index = np.clip(np.searchsorted(breaks, times, side="right") - 1, 0, None)
        since, lagging = times - breaks[index], slopes[index] * tau
        return values[index] + slopes[index] * since - lagging + (lags[index] + lagging) * np.exp(-since / tau)
