"""Time of a simulated bench: a clock that is moved, so that nobody waits."""

import threading
from typing import Protocol


class Clock(Protocol):
    """What an instrument needs of a clock."""

    def now(self) -> float:
        """Return the time in s."""
        ...

    def sleep(self, duration: float) -> None:
        """Let a duration in s pass."""
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
