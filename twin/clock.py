"""Clocks: one that a simulated bench moves by hand, one on the wall; both with the same face."""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What an instrument needs of a clock."""

    def now(self) -> float:
        """Return the time in s."""
        ...

    def advance(self, duration: float) -> None:
        """Let a duration in s pass."""
        ...

    def sleep(self, duration: float) -> None:
        """Let a duration in s pass."""
        ...


def _checked(duration: float) -> float:
    if not 0 <= duration < float("inf"):
        raise ValueError(f"a duration of {duration} s cannot pass; it must be finite and not negative")
    return float(duration)


class VirtualClock:
    """A clock that stands still until it is moved; safe to use from several threads.

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

    def advance(self, duration: float) -> None:
        """Move on by a duration in s at once.

        Raises
        ------
        ValueError
            If the duration is negative or not finite.
        """
        duration = _checked(duration)
        with self._lock:
            self._now += duration

    def sleep(self, duration: float) -> None:
        """Do what `advance` does: nobody has to wait for virtual time."""
        self.advance(duration)


class WallClock:
    """Real time in s since the clock was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def now(self) -> float:
        """Return the time in s."""
        return time.monotonic() - self._start

    def advance(self, duration: float) -> None:
        """Wait for a duration in s.

        Raises
        ------
        ValueError
            If the duration is negative or not finite.
        """
        threading.Event().wait(_checked(duration))

    def sleep(self, duration: float) -> None:
        """Do what `advance` does."""
        self.advance(duration)
