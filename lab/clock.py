"""The time of a station: virtual on the twin, that of the laboratory elsewhere."""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """The time of a station."""

    def now(self) -> float:
        """Return the time in s."""

    def sleep(self, seconds: float) -> None:
        """Let time pass, s."""


class WallClock:
    """The time of the laboratory."""

    def now(self) -> float:
        """Return the POSIX time in s."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait, s."""
        threading.Event().wait(seconds)
