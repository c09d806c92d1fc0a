"""What instruments of a bench exchange over cables: voltages, what a meter sees of the sample, pulses, trigger edges.

A persona knows its cables only as these; a bench builds them from its description and its physics. Times are those of
the bench's clock, in s. Everything that hands out values may be called from any thread and takes no instrument's lock:
it works on state that is replaced, never changed.
"""

import threading
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]
Values = npt.NDArray[np.float64]

__all__ = ["OPEN", "Grounded", "Output", "PulseInput", "SignalInput", "Times", "TriggerLine", "Values"]


class Output(Protocol):
    """An output terminal of a source: what voltage it has had, has and, as far as it is programmed, will have."""

    def voltage(self, times: Times, /) -> Values:
        """Return the voltage in V at each of the times; of any shape, in any order."""


class SignalInput(Protocol):
    """What an input terminal sees, noise included: a voltage in V or a current in A, as the cable says."""

    def mean(self, starts: Times, aperture: float, acquisition: int, /) -> Values:
        """Return the mean over windows of `aperture` s that begin at each of `starts`.

        Parameters
        ----------
        starts
            Beginnings of the windows, s; shape (n,).
        aperture
            Length of every window, s.
        acquisition
            Number of the acquisition of the instrument, which addresses the noise together with the bench's seed.
        """

    def trace(self, start: float, interval: float, points: int, acquisition: int, /) -> Values:
        """Return the signal at ``start + k * interval`` for k from 0 to points - 1."""

    def phasor(self, frequency: float, amplitude: float, starts: Times, aperture: float, acquisition: int, /) -> Values:
        """Return the response to a sine of rms `amplitude` V that the instrument itself puts out.

        Returns
        -------
        ndarray, shape (n, 2)
            In-phase and quadrature part, rms, averaged over `aperture` s from each of `starts` on.
        """


class PulseInput(Protocol):
    """Pulses that arrive at a counter."""

    def count(self, starts: Times, gate: float, threshold: float, acquisition: int, /) -> npt.NDArray[np.int64]:
        """Return the pulses that cross `threshold` V within gates of `gate` s that open at each of `starts`."""


class Grounded:
    """An output or input that nothing is connected to: no voltage, no signal, no pulses."""

    def voltage(self, times: Times, /) -> Values:
        """Return zeros."""
        return np.zeros(np.shape(times))

    def mean(self, starts: Times, _aperture: float, _acquisition: int, /) -> Values:
        """Return zeros."""
        return np.zeros(len(starts))

    def trace(self, _start: float, _interval: float, points: int, _acquisition: int, /) -> Values:
        """Return zeros."""
        return np.zeros(points)

    def phasor(
        self, _frequency: float, _amplitude: float, starts: Times, _aperture: float, _acquisition: int, /
    ) -> Values:
        """Return zeros."""
        return np.zeros((len(starts), 2))

    def count(self, starts: Times, _gate: float, _threshold: float, _acquisition: int, /) -> npt.NDArray[np.int64]:
        """Return zeros."""
        return np.zeros(len(starts), np.int64)


OPEN = Grounded()
"""Stands where no cable is plugged in."""


class TriggerLine:
    """A trigger cable: one instrument sends edges, others take them.

    The sender announces all the edges it knows of at once, also those to come: a list of 200 steps is one call with 200
    times. It must have put its own outputs in place before. A listener does what the edges make it do, and moves the
    bench's clock to the end of that (``clock.sleep_until``). A sender that runs freely gives a schedule instead, out of
    which a listener takes as many edges as it waits for.
    """

    def __init__(self) -> None:
        self._listeners: tuple[tuple[Callable[[Times], None], Callable[[], None]], ...] = ()
        self._schedule: Schedule | None = None
        self._lock = threading.Lock()

    def listen(self, listener: Callable[[Times], None], begun: Callable[[], None] = lambda: None) -> None:
        """Call `listener` with the times of edges from now on, and `begun` when edges begin to come on their own.

        Both are called from the thread of the sender.
        """
        with self._lock:
            self._listeners = (*self._listeners, (listener, begun))

    def send(self, times: Times) -> None:
        """Announce edges at these times, in ascending order."""
        for listener, _ in self._listeners:
            listener(np.asarray(times, float))

    def run(self, schedule: "Schedule | None") -> None:
        """Let edges come on their own from now on, or no more.

        Parameters
        ----------
        schedule
            Returns the first edges, so many of them, at or after a time in s; None where no more come.
        """
        self._schedule = schedule
        if schedule is not None:
            for _, begun in self._listeners:
                begun()

    def upcoming(self, time: float, count: int) -> Times:
        """Return the next `count` edges, at or after a time in s, that come on their own; none where none do."""
        schedule = self._schedule
        return np.zeros(0) if schedule is None else schedule(time, count)


Schedule = Callable[[float, int], Times]
"""The first edges, so many of them, at or after a time in s."""
