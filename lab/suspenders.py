"""Suspenders: a plan waits at its checkpoint while a signal of the station is not as it must be.

The conditions stand in the station file, ``[suspenders.NAME]``; bluesky does the waiting and the going on.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from bluesky import RunEngine
from bluesky.suspenders import SuspendBoolLow, SuspenderBase, SuspendWhenOutsideBand
from ophyd import Signal

from drivers.errors import InstrumentError
from lab.signals import DriverSignal
from lab.station_tables import SuspenderTable

if TYPE_CHECKING:
    from lab.station import Station

__all__ = ["Suspenders", "watched_signal"]

log = logging.getLogger(__name__)


class Suspenders:
    """The suspenders of a station, and what asks for their signals while plans run.

    A plan is suspended by bluesky at what it does next. What an instrument refuses or breaks off because it is not as
    it must be is repeated by the device, see `lab.devices.driver_device.Condition`.

    Parameters
    ----------
    station : Station
        Whose file names them.
    engine : bluesky.RunEngine
        Whose plans wait.
    """

    def __init__(self, station: "Station", engine: RunEngine) -> None:
        conditions = [Awaited(name, table, station) for name, table in station.suspenders.items()]
        for device in station.values():
            device.conditions = [each for each in conditions if each.instrument in device.instruments()]
        self._polled = [each for each in conditions if not each.of_last_run]
        for condition in self._polled:
            condition.ask()
            engine.install_suspender(condition.suspender)

    @contextmanager
    def asking(self, _engine: RunEngine) -> Iterator[None]:
        """Ask for the signals, each at its interval, as long as the context lasts."""
        over = threading.Event()
        threads = [threading.Thread(target=each.ask_until, args=[over], daemon=True) for each in self._polled]
        for condition, thread in zip(self._polled, threads, strict=True):
            condition.ask()
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


class Awaited:
    """One suspender: the signal it is about, as it was seen last, and what is allowed.

    Attributes
    ----------
    suspender : bluesky.suspenders.SuspenderBase
        What suspends plans.
    instrument : object
        The driver that is asked.
    of_last_run : bool
        Whether only what is done next can tell that it is otherwise now.
    message : str
        What is waited for.
    interval, resume_after : float
        Time between two questions, and from when it is so until work goes on, s.
    """

    def __init__(self, name: str, table: SuspenderTable, station: "Station") -> None:
        self._signal = watched_signal(station, table.signal)
        self._table = table
        self._seen = Signal(name=table.signal, value=None)
        self.instrument = self._signal.parent.driver
        self.of_last_run = self._signal.of_last_run
        self.interval, self.resume_after = table.poll, table.resume_after
        wait = f"suspender {name}: the plan waits until {table.signal} is"
        self.suspender: SuspenderBase
        if isinstance(table.allowed, bool):
            self.message = f"{wait} true"
            self.suspender = _plain(SuspendBoolLow, name, self.message)(self._seen, sleep=table.resume_after)
        else:
            low, high = table.allowed
            self.message = f"{wait} within {low:g} to {high:g} {self._signal.units}".rstrip()
            self.suspender = _plain(SuspendWhenOutsideBand, name, self.message)(
                self._seen, low, high, sleep=table.resume_after
            )

    def explains(self, error: BaseException) -> bool:
        """Whether by an error the instrument says that the signal is not as it must be."""
        return (
            isinstance(error, InstrumentError)
            and error.instrument == self.instrument.name
            and error.code in self._signal.errors
        )

    def met(self) -> bool:
        """Whether the signal is as it must be, as far as it can tell."""
        return self.of_last_run or (self.ask() and not self.suspender.tripped)

    def ask(self) -> bool:
        """Ask for the signal, and return whether it answered; what does not answer now is asked again later."""
        try:
            value = self._signal.get()
            if self._table.clear and not value:
                value = self._cleared()
            self._seen.put(value, force=True)
        except Exception as error:  # noqa: BLE001 - that an instrument is away is told where it is used
            log.warning("%s could not be asked for: %s", self._seen.name, error)
            return False
        return True

    def _cleared(self) -> bool:
        """Clear what has latched, if that may be done by now; return the signal."""
        with self.instrument.aside(), suppress(InstrumentError):
            getattr(self.instrument, self._signal.clearing)()
        return bool(self._signal.get())

    def ask_until(self, over: threading.Event) -> None:
        """Ask for the signal at its interval until it is over."""
        while not over.wait(self.interval):
            self.ask()


def _plain(kind: type[SuspenderBase], name: str, message: str) -> Any:
    """Return a kind of suspender that bluesky calls by a name, and that gives a message as its reason."""
    words = {"__repr__": lambda _suspender: name, "_get_justification": lambda _suspender: message}
    return type(kind.__name__, (kind,), words)


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
