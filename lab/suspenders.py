"""Suspenders: a plan waits at its checkpoint while a signal of the station is not as it must be.

The conditions stand in the station file, ``[suspenders.NAME]``; bluesky does the waiting and the going on.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bluesky import RunEngine
from bluesky.suspenders import SuspendBoolLow, SuspenderBase, SuspendWhenOutsideBand
from ophyd import Signal

from lab.signals import DriverSignal
from lab.station_tables import SuspenderTable

if TYPE_CHECKING:
    from lab.station import Station

__all__ = ["Suspenders", "watched_signal"]

log = logging.getLogger(__name__)


class Suspenders:
    """The suspenders of a station, and what asks for their signals while plans run.

    Parameters
    ----------
    station : Station
        Whose file names them.
    engine : bluesky.RunEngine
        Whose plans wait.
    """

    def __init__(self, station: "Station", engine: RunEngine) -> None:
        self._conditions = [_Condition(name, table, station) for name, table in station.suspenders.items()]
        for condition in self._conditions:
            condition.ask()
            engine.install_suspender(condition.suspender)

    @contextmanager
    def asking(self, _engine: RunEngine) -> Iterator[None]:
        """Ask for the signals, each at its interval, as long as the context lasts."""
        over = threading.Event()
        threads = [threading.Thread(target=each.ask_until, args=[over], daemon=True) for each in self._conditions]
        for condition, thread in zip(self._conditions, threads, strict=True):
            condition.ask()
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


class _Condition:
    """One suspender: the signal it is about, as it was seen last, and what is allowed."""

    def __init__(self, name: str, table: SuspenderTable, station: "Station") -> None:
        self._signal = watched_signal(station, table.signal)
        self._interval = table.poll
        self._seen = Signal(name=table.signal, value=None)
        self.suspender: SuspenderBase
        if isinstance(table.allowed, bool):
            message = f"suspender {name}: the plan waits until {table.signal} is true"
            self.suspender = SuspendBoolLow(self._seen, sleep=table.resume_after, tripped_message=message)
        else:
            low, high = table.allowed
            units = f" {self._signal.units}".rstrip()
            message = f"suspender {name}: the plan waits until {table.signal} is within {low:g} to {high:g}{units}"
            self.suspender = SuspendWhenOutsideBand(
                self._seen, low, high, sleep=table.resume_after, tripped_message=message
            )

    def ask(self) -> None:
        """Ask for the signal; what does not answer now is asked again later."""
        try:
            self._seen.put(self._signal.get(), force=True)
        except Exception as error:  # noqa: BLE001 - that an instrument is away is told where it is used
            log.warning("%s could not be asked for: %s", self._seen.name, error)

    def ask_until(self, over: threading.Event) -> None:
        """Ask for the signal at its interval until it is over."""
        while not over.wait(self._interval):
            self.ask()


def watched_signal(devices: Mapping[str, Any], path: str) -> DriverSignal:
    """Return a signal of a station by ``device.signal``.

    Raises
    ------
    LookupError
        If there is none that can be asked for; the message says which there are.
    """
    device, _, key = path.partition(".")
    there = {
        name: signal
        for name in devices[device].component_names
        if isinstance(signal := getattr(devices[device], name), DriverSignal) and signal.dtype in _TYPES
    }
    if key not in there:
        raise LookupError(f"{device} has no signal {key!r} to watch; allowed: {', '.join(there)}")
    return there[key]


_TYPES = ("number", "integer", "boolean")
