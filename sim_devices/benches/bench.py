"""A bench: instruments cabled to one physical object, their clock, and the thread their long operations run on."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

from pyvisa import rname

from sim_devices.faults import Fault, FaultInjector, FaultySession
from sim_devices.scpi import Instrument
from twin import compute

__all__ = ["Bench", "BenchStateError", "ResourceError", "ResourceNameError"]

log = logging.getLogger(__name__)

COUNTER = "acquisitions"
"""Where an instrument counts its acquisitions since it was switched on, if its noise is addressed by them."""


class ResourceError(LookupError):
    """No instrument of the bench has this resource name, or it is taken."""


class BenchStateError(ValueError):
    """A state that is not one of this bench."""


class ResourceNameError(ResourceError, ValueError):
    """A text is not a VISA resource name."""


class Bench:
    """Instruments by resource name. Two benches share nothing.

    Parameters
    ----------
    name
        What the bench is called.
    clock
        The clock of the bench, with ``now()`` in seconds.
    executor
        Where long operations are computed, by default on the threads of this machine; closed with the bench.
    faults
        Rates of what is wrong in the physics, by the names in `sim_devices.known_faults`.
    """

    def __init__(
        self,
        name: str,
        clock: Any,
        executor: compute.Executor | None = None,
        faults: Mapping[str, float] | None = None,
    ) -> None:
        self.name = name
        self.clock = clock
        self.faults = dict(faults or {})
        self._executor = executor or compute.open_executor()
        self.worker = ThreadPoolExecutor(
            1, thread_name_prefix=f"bench {name}", initializer=compute.choose, initargs=(self._executor,)
        )
        self.instruments: dict[str, Instrument] = {}
        self._injectors: dict[Instrument, FaultInjector] = {}
        self._sessions: set[FaultySession] = set()
        self._cold: dict[Instrument, Callable[[], None]] = {}
        self._physics: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._closed = False

    @property
    def computing(self) -> str:
        """What long operations are computed with, in words."""
        return self._executor.description

    def place(self, instrument: Instrument, *resource_names: str, physics: Callable[[], None] = lambda: None) -> None:
        """Put an instrument on the bench, reachable under one or several VISA resource names.

        What would make its first measurement slow is done on the worker thread as soon as somebody connects; nobody
        waits for it.

        Parameters
        ----------
        instrument
            The instrument.
        *resource_names
            Its names.
        physics
            Compiles what its first measurement waits for; only `warm_up` does so, for clients without that patience.

        Raises
        ------
        ResourceError
            A name is not a VISA resource name, or is taken.
        """
        names = [_canonical(name) for name in resource_names]
        for name in names:
            if name in self.instruments:
                raise ResourceError(f"{name} is already on the bench {self.name}")
        self.instruments.update(dict.fromkeys(names, instrument))
        if instrument not in self._injectors:
            self._injectors[instrument] = FaultInjector()
            self._cold[instrument] = instrument.warm_up
            self._physics.append(physics)

    def find(self, resource_name: str) -> str:
        """Give the spelling under which an instrument is on the bench.

        Raises
        ------
        ResourceError
            No instrument has this name.
        """
        wanted = _canonical(resource_name).upper()
        for name in self.instruments:
            if name.upper() == wanted:
                return name
        raise ResourceError(f"no {resource_name} on the bench {self.name}; there are: {', '.join(self.instruments)}")

    def connect(self, resource_name: str, client: str, on_output: Callable[[], None] | None = None) -> FaultySession:
        """Open a session to an instrument.

        Parameters
        ----------
        resource_name
            Which instrument.
        client
            Who connects, as ``host:port``; what ``SYSTem:LOCK:OWNer?`` answers.
        on_output
            Called, from any thread, when a reply is ready to be taken or the connection is lost.

        Raises
        ------
        ResourceError
            No instrument has this name.
        ConnectionResetError
            The bench is closed.
        """
        instrument = self.instruments[self.find(resource_name)]
        with self._lock:
            if self._closed:
                raise ConnectionResetError(f"the bench {self.name} is closed")
            session = FaultySession(
                instrument, client, self._injectors[instrument], on_output=on_output, on_close=self._sessions.discard
            )
            self._sessions.add(session)
        self._warm(instrument)
        return session

    def warm_up(self) -> None:
        """Do all that would make first measurements slow, and wait until it is done."""
        for instrument in self._injectors:
            self._warm(instrument)
        for compile_physics in self._physics:
            self.worker.submit(compile_physics).result()

    def _warm(self, instrument: Instrument) -> None:
        with self._lock:
            warm_up = self._cold.pop(instrument, None)
        if warm_up is not None:
            self.worker.submit(warm_up).add_done_callback(_report)

    def inject(self, resource_name: str, faults: Iterable[Fault], seed: int = 0) -> None:
        """Make an instrument misbehave from now on, for all its clients; no faults make it sound again.

        Parameters
        ----------
        resource_name
            Which instrument.
        faults
            What goes wrong, and at which commands.
        seed
            Equal seeds give equal faults for equal commands.

        Raises
        ------
        ResourceError
            No instrument has this name.
        """
        name = self.find(resource_name)
        self._injectors[self.instruments[name]].arm(faults, f"{seed}/{name}")

    def state(self) -> dict[str, Any]:
        """Return what addresses the noise of what is measured next: the time, and the acquisitions of each instrument.

        Returns
        -------
        dict
            ``time`` in s, and the number of the next acquisition by resource name in ``acquisitions``.
        """
        counters = {name: instrument for name, instrument in self._first_names() if hasattr(instrument, COUNTER)}
        return {
            "time": self.clock.now(),
            "acquisitions": {name: getattr(instrument, COUNTER) for name, instrument in counters.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken, on this bench or on an equal one; settings stay as they are.

        Raises
        ------
        BenchStateError
            The bench has other instruments.
        """
        there = self.state()["acquisitions"]
        if there.keys() != state["acquisitions"].keys():
            here, wanted = (", ".join(names) or "none" for names in (there, state["acquisitions"]))
            raise BenchStateError(f"the bench {self.name} counts acquisitions of {here}; the state is one of {wanted}")
        for name, count in state["acquisitions"].items():
            setattr(self.instruments[name], COUNTER, int(count))
        self.clock.set(float(state["time"]))

    def _first_names(self) -> Iterator[tuple[str, Instrument]]:
        """Yield each instrument once, under its first name."""
        seen: set[Instrument] = set()
        for name, instrument in self.instruments.items():
            if instrument not in seen:
                seen.add(instrument)
                yield name, instrument

    def close(self) -> None:
        """Cut every connection, stop every operation, let the worker thread end and leave the place of computing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            sessions = list(self._sessions)
        for session in sessions:
            session.hang_up()
        for instrument in self._injectors:
            instrument.close()
        self.worker.shutdown(wait=False, cancel_futures=True)
        self._executor.close()

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Bench {self.name}: {', '.join(self.instruments)}>"


def _canonical(resource_name: str) -> str:
    try:
        return rname.to_canonical_name(resource_name)
    except rname.InvalidResourceName as error:
        raise ResourceNameError(f"{resource_name!r} is not a VISA resource name") from error


def _report(future: "Future[None]") -> None:
    try:
        future.result()
    except CancelledError:
        pass
    except Exception:
        log.exception("the bench could not be warmed up")
