"""Time of a simulated bench: a clock that is moved, so that nobody waits."""

import threading
from time import monotonic
from typing import Protocol


class Clock(Protocol):
    """What an instrument needs of a clock."""

    def now(self) -> float:
        """Return the time in s."""
        ...

    def sleep(self, duration: float) -> None:
        """Let a duration in s pass."""
        ...

    def sleep_until(self, time: float) -> None:
        """Let time pass until a time in s, unless it has passed already."""
        ...


class VirtualClock:
    """A clock that stands still until somebody sleeps on it; safe to use from several threads.

    Parameters
    ----------
    start
        Time in s to start from.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = float(start)
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the time in s."""
        with self._lock:
            return self._now

    def sleep(self, duration: float) -> None:
        """Move on by a duration in s at once.

        Raises
        ------
        ValueError
            If the duration is negative or not finite.
        """
        if not 0 <= duration < float("inf"):
            raise ValueError(f"a duration of {duration} s cannot pass; it must be finite and not negative")
        with self._lock:
            self._now += float(duration)

    def sleep_until(self, time: float) -> None:
        """Move on to a time in s at once, unless it has passed already.

        Raises
        ------
        ValueError
            If the time is not finite.
        """
        if not abs(time) < float("inf"):
            raise ValueError(f"a time of {time} s never comes; it must be finite")
        with self._lock:
            self._now = max(self._now, float(time))

    def set(self, time: float) -> None:
        """Make it this time in s, be it later or earlier.

        Raises
        ------
        ValueError
            If the time is not finite.
        """
        if not abs(time) < float("inf"):
            raise ValueError(f"it cannot be {time} s; a time must be finite")
        with self._lock:
            self._now = float(time)


class FlowingClock(VirtualClock):
    """A virtual clock that also goes as fast as the clock on the wall, for clients that wait on clocks of their own."""

    def __init__(self) -> None:
        super().__init__()
        self._started = monotonic()

    def now(self) -> float:
        """Return the time in s: what has gone by, and what was slept on top of it."""
        return super().now() + monotonic() - self._started

    def sleep_until(self, time: float) -> None:
        """Move on to a time in s at once, unless it has passed already."""
        super().sleep_until(time - (monotonic() - self._started))

    def set(self, time: float) -> None:
        """Make it this time in s, be it later or earlier."""
        super().set(time - (monotonic() - self._started))
