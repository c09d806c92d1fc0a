"""Stations: named devices on instruments that are reached one way, opened from a station file.

The only module that knows of simulated instruments: a station on the twin, on the datasheets or on hardware differs
in its VISA library and its resource names, and in nothing else.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Self

import pyvisa
from pymeasure.instruments import Instrument

from drivers.errors import InstrumentError, ReplyError
from lab.arguments import LARGEST_SEED
from lab.clock import Clock, WallClock
from lab.faults import arm, chosen, resolve
from lab.ownership import OwnedError, own
from lab.station_file import StationDefinition, StationError, quantity, read_station, station_names
from lab.station_tables import DRIVERS, CatalogTable, InstrumentTable, SuspenderTable

if TYPE_CHECKING:
    from ophyd import Device

    from sim_devices.benches import Bench
    from sim_devices.server import Server

__all__ = [
    "CommunicationError",
    "InstrumentConnectionError",
    "SafeStateError",
    "Station",
    "StationError",
    "open_definition",
    "open_station",
    "serve_bench",
    "station_names",
]

log = logging.getLogger(__name__)

COMMUNICATION = (OSError, InstrumentError, ReplyError, pyvisa.errors.Error)
Mode = Literal["twin", "sim", "hardware"]


class InstrumentConnectionError(ConnectionError):
    """An instrument does not answer, is another one, or is held by somebody else."""


class _Failures(ExceptionGroup):
    """Several failures at once; the text names each with its notes, those that say the same once."""

    def derive(self, excs: Sequence[Exception]) -> Self:  # type: ignore[override]
        return type(self)(self.message, excs)

    def __str__(self) -> str:
        failures: dict[str, list[str]] = {}
        for text, notes in _plain_words(self):
            failures.setdefault(text, []).extend(notes)
        listed = (" - ".join([text, ", ".join(notes)] if notes else [text]) for text, notes in failures.items())
        return "\n  ".join([f"{self.message}:", *listed])


def _plain_words(error: BaseException, notes: Sequence[str] = ()) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the text of every failure in a group of groups, and the notes on the way to it."""
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _plain_words(member, getattr(member, "__notes__", ()))
    else:
        yield str(error) or type(error).__name__, notes


class CommunicationError(_Failures):
    """Instruments of a station could not be opened: one `InstrumentConnectionError` each."""


class SafeStateError(_Failures):
    """Devices of a station could not be brought to their safe state."""


class Station(Mapping[str, "Device"]):
    """Devices by name, with the clock they share.

    Made by :func:`open_station`; a context manager that closes itself.

    Attributes
    ----------
    name, description : str
        From the station file.
    path : pathlib.Path
        The station file.
    mode : {"twin", "sim", "hardware"}
        What answers: simulated physics in this process, datasheets, or instruments at their addresses.
    clock : Clock
        Virtual on the twin, where waiting takes no time.
    seed : int or None
        Seed of the twin; on other stations what was asked for, for the record.
    identities : dict
        What each instrument answered to ``*IDN?``.
    bench : sim_devices.benches.Bench or None
        What a twin consists of; None on other stations.
    faults : dict
        Rates of the faults that a twin is made to have, by name.
    """

    def __init__(
        self,
        definition: StationDefinition,
        devices: Mapping[str, "Device"],
        *,
        mode: Mode,
        clock: Clock,
        seed: int | None,
        identities: Mapping[str, str],
        bench: "Bench | None",
        faults: Mapping[str, float],
        closing: ExitStack,
    ) -> None:
        self.name = definition.name
        self.description = definition.tables.station.description
        self.path = definition.path
        self.mode: Mode = mode
        self.clock = clock
        self.seed = seed
        self.identities = dict(identities)
        self.bench = bench
        self.faults = dict(faults)
        self._definition = definition
        self._devices = dict(devices)
        self._closing = closing

    def __getitem__(self, name: str) -> "Device":
        try:
            return self._devices[name]
        except KeyError:
            known = ", ".join(self._devices) or "none"
            raise KeyError(f"station {self.name} has no device {name!r}; it has: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._devices)

    def __len__(self) -> int:
        return len(self._devices)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Station {self.name} ({self.mode}): {', '.join(self._devices) or 'no devices'}>"

    @property
    def suspenders(self) -> dict[str, SuspenderTable]:
        """What plans wait for, by name, from the station file."""
        return self._definition.tables.suspenders

    @property
    def catalog(self) -> CatalogTable | None:
        """The Tiled server that gets a copy of every run, from the station file."""
        return self._definition.tables.catalog

    @property
    def computing(self) -> str | None:
        """What a twin computes with; None on other stations."""
        return None if self.bench is None else self.bench.computing

    def metadata(self) -> dict[str, Any]:
        """Return what the start document of every run says about the station.

        Returns
        -------
        dict
            ``station``, ``station_file``, ``station_description``, ``station_mode``, ``station_seed``,
            ``instruments`` (resource and identity by name), ``devices`` (role by name) and, on the twin, ``bench`` with
            its options and ``computing``, and ``faults`` (rate by name) if it is made to have some.
        """
        tables = self._definition.tables
        bench = {"name": tables.station.bench, **tables.bench}
        return {
            "station": self.name,
            "station_file": str(self.path),
            "station_description": self.description,
            "station_mode": self.mode,
            "station_seed": self.seed,
            "instruments": {
                name: {"resource": table.resource, "identity": self.identities[name]}
                for name, table in tables.instruments.items()
            },
            "devices": {name: table.role for name, table in tables.devices.items()},
            **({"bench": bench, "computing": self.computing} if self.mode == "twin" else {}),
            **({"faults": dict(self.faults)} if self.faults else {}),
        }

    def safe(self) -> dict[str, list[str]]:
        """Bring every device to its safe state: runs aborted, noise and outputs off.

        Returns
        -------
        dict
            What was done, by device.

        Raises
        ------
        SafeStateError
            If a device refused; the others have been brought to safety all the same.
        """
        done: dict[str, list[str]] = {}
        failures: list[Exception] = []
        for name, device in self._devices.items():
            try:
                done[name] = list(device.safe())
            except Exception as error:  # noqa: BLE001 - the other devices come first
                error.add_note(f"device {name}")
                failures.append(error)
        if failures:
            message = f"{len(failures)} of {len(self)} devices could not be brought to their safe state"
            raise SafeStateError(message, failures)
        return done

    def close(self) -> None:
        """Close every device and connection; more than once does no harm."""
        self._closing.close()


def open_station(
    name_or_path: str | os.PathLike = "twin",
    *,
    seed: int | None = None,
    devices: Sequence[str] | None = None,
    compute: str | None = None,
    faults: Mapping[str, float | None] | None = None,
) -> Station:
    """Open a station: connect its instruments and make sure who they are. Nothing is changed in any of them.

    Parameters
    ----------
    name_or_path : str or path
        A station that comes with the package (twin, tcp, sim), or a station file.
    seed : int, optional
        Seed of the twin, from 0; equal seeds give equal data. 0 if not given.
    devices : sequence of str, optional
        Names of the devices wanted: only they, what they stand on and their instruments are opened. All by default.
    compute : str, optional
        Where the physics of a twin is computed: ``threads`` of this machine (default), ``gpu``, or the address of the
        scheduler of a Dask cluster, such as ``tcp://10.0.0.1:8786``.
    faults : mapping of str to float or None, optional
        What goes wrong on a twin beside what its file says: rates, or None for the default, by the names of
        :func:`lab.faults.known_faults`, or NAME@INSTRUMENT. Faults of the wire begin once the station is open.

    Returns
    -------
    Station

    Raises
    ------
    StationError
        If there is no such station, its file or a fault is wrong, or it is no twin and ``compute`` says where it
        computes, or ``faults`` what goes wrong.
    ValueError, ImportError, ConnectionError, RuntimeError
        If ``compute`` is no place to compute at, its library is not installed, the cluster does not answer, or there
        is no GPU.
    CommunicationError
        If instruments do not answer, are others than the file says, or are held by another session; all of them are
        named.
    """
    seed = _checked_seed(seed)
    definition = resolve(read_station(os.fspath(name_or_path)), faults)
    if devices is not None:
        definition = definition.needed_for(devices)
    return open_definition(definition, seed=seed, compute=compute)


def open_definition(definition: StationDefinition, *, seed: int | None = None, compute: str | None = None) -> Station:
    """Open a station whose file has been read, as :func:`open_station` does."""
    with ExitStack() as opening:
        library, mode, clock, bench = _open_library(definition, seed or 0, compute, opening)
        instruments = _connect(definition, library, clock, opening)
        devices = _make_devices(definition, instruments, clock, opening)
        identities = {name: instrument.id for name, instrument in instruments.items()}
        arm(definition, bench, seed or 0)
        return Station(
            definition,
            devices,
            mode=mode,
            clock=clock,
            seed=(seed or 0) if mode == "twin" else seed,
            identities=identities,
            bench=bench,
            faults=chosen(definition).rates if bench is not None else {},
            closing=opening.pop_all(),
        )


def _checked_seed(seed: int | None) -> int | None:
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED):
        raise StationError(f"seed: {seed!r} is not allowed; a whole number from 0 to {LARGEST_SEED}")
    return seed


def _open_library(
    definition: StationDefinition, seed: int, compute: str | None, opening: ExitStack
) -> tuple[Any, Mode, Clock, "Bench | None"]:
    """Open what answers on a station: a VISA library, its kind, its clock and, on the twin, the bench."""
    library = definition.tables.station.library
    if compute is not None and library != "twin":
        raise definition.error("station.library", f'only "twin" computes, so it cannot on {compute}')
    if library == "twin":
        from sim_devices import visa

        bench = opening.enter_context(_open_bench(definition, seed, compute))
        arm(definition, bench, seed, connecting=True)
        return visa.open_library(bench), "twin", bench.clock, bench
    if library == "sim":
        from lab.datasheets import open_datasheets

        return open_datasheets(), "sim", WallClock(), None
    try:
        visa_library = pyvisa.ResourceManager("@py" if library == "py" else library).visalib
    except (OSError, ValueError, pyvisa.errors.Error) as error:
        allowed = '"twin", "py", "sim", "" for the VISA of a vendor, or the path of a VISA library'
        raise definition.error(
            "station.library", f"{library!r} cannot be loaded ({error}); allowed: {allowed}"
        ) from error
    return visa_library, "hardware", WallClock(), None


def _open_bench(definition: StationDefinition, seed: int, compute: str | None, *, flowing: bool = False) -> Any:
    from sim_devices import benches

    tables = definition.tables
    try:
        return benches.open(
            tables.station.bench or benches.DEFAULT,
            seed=seed,
            options=tables.bench,
            quantity=quantity,
            flowing=flowing,
            compute=compute or "threads",
            faults=chosen(definition).physical,
        )
    except benches.BenchNameError as error:
        raise definition.error("station.bench", str(error)) from error
    except benches.BenchOptionError as error:
        raise StationError(f"{definition.path}: bench.{error}") from error


def _connect(definition: StationDefinition, library: Any, clock: Clock, opening: ExitStack) -> dict[str, Any]:
    instruments: dict[str, Any] = {}
    failures: list[Exception] = []
    tables = definition.tables.instruments
    shared = definition.tables.station.library not in ("twin", "sim")
    for name, table in tables.items():
        try:
            instruments[name] = _open_instrument(name, table, library, opening, shared=shared)
            instruments[name].pause = clock.sleep
        except Exception as error:  # noqa: BLE001 - a VISA library raises what it likes
            failures.append(_connection_error(f"instrument {name} at {table.resource}", error))
    if failures:
        raise CommunicationError(f"{len(failures)} of {len(tables)} instruments could not be opened", failures)
    return instruments


def _open_instrument(
    name: str, table: InstrumentTable, library: Any, opening: ExitStack, *, shared: bool
) -> Instrument:
    """Open an instrument and own it: by its own lock where it has one, else, if others can reach it, by a file."""
    milliseconds = max(1, round(table.timeout * 1000))
    driver = _driver(table.driver)
    locks = hasattr(driver, "lock_granted") and table.resource.upper().startswith("TCPIP")
    if shared and not locks:
        opening.callback(own(table.resource))
    instrument = driver(
        table.resource, name=name, visa_library=library, timeout=milliseconds, open_timeout=milliseconds
    )
    instrument.patience = table.patience
    opening.callback(_quietly, instrument.adapter.close)
    identity = instrument.id
    if not identity.startswith(table.identity):
        raise InstrumentConnectionError(f"it says it is {identity[:80]!r}, not {table.identity!r}...")
    if locks:
        _claim(instrument, opening)
    return instrument


def _claim(instrument: Any, opening: ExitStack) -> None:
    """Take the lock of an instrument; asking for it is a query."""
    if not instrument.claim():
        raise OwnedError(f"it is held by {instrument.lock_owner}; one session owns an instrument")
    opening.callback(_quietly, instrument.release_lock)


def _connection_error(where: str, error: Exception) -> InstrumentConnectionError:
    failure = error if isinstance(error, InstrumentConnectionError) else InstrumentConnectionError(_reason(error))
    if failure is not error:
        failure.__cause__ = error
    failure.add_note(where)
    return failure


def _reason(error: Exception) -> str:
    if isinstance(error, pyvisa.errors.VisaIOError):
        return f"no connection: {error.description.rstrip('.')} ({error.abbreviation})"
    if isinstance(error.__cause__, ConnectionRefusedError):
        return "nothing listens there (connection refused); is it switched on, or served by `lab serve`?"
    return str(error) or type(error).__name__


def _driver(name: str) -> type[Any]:
    return getattr(import_module(f"drivers.{name}"), DRIVERS[name])


def _make_devices(
    definition: StationDefinition, instruments: Mapping[str, Any], clock: Clock, opening: ExitStack
) -> dict[str, "Device"]:
    from lab.roles import make_device

    tables = definition.tables.devices
    devices: dict[str, Device] = {}
    failures: list[Exception] = []
    for name, table in sorted(tables.items(), key=lambda item: item[1].body is not None):
        if table.body is not None and table.body not in devices:
            continue  # what this switch stands on has failed
        try:
            devices[name] = device = make_device(definition, name, instruments, devices, clock)
        except COMMUNICATION as error:
            on = table.body or ", ".join(instrument for _, instrument in table.instruments())
            failures.append(_connection_error(f"device {name} on {on}", error))
        else:
            opening.callback(_quietly, device.close)
            opening.callback(_quietly, device.unstage)
    if failures:
        raise CommunicationError(f"{len(failures)} of {len(tables)} devices could not be read", failures)
    _check_suspenders(definition, devices)
    return {name: devices[name] for name in tables}


def _check_suspenders(definition: StationDefinition, devices: Mapping[str, "Device"]) -> None:
    if not definition.tables.suspenders:
        return
    from lab.suspenders import watched_signal

    for name, table in definition.tables.suspenders.items():
        try:
            signal = watched_signal(devices, table.signal)
        except LookupError as error:
            raise definition.error(f"suspenders.{name}.signal", str(error)) from error
        if table.clear and not signal.clearing:
            raise definition.error(f"suspenders.{name}.clear", f"nothing of {table.signal} latches")


def _quietly(close: Callable[[], object]) -> None:
    try:
        close()
    except Exception as error:  # noqa: BLE001 - whatever one connection does, the others are closed
        log.warning("while closing: %s", error)


@contextmanager
def serve_bench(
    name_or_path: str | os.PathLike = "twin",
    *,
    address: str = "127.0.0.1",
    port: int = 5025,
    seed: int = 0,
    compute: str | None = None,
    faults: Mapping[str, float | None] | None = None,
) -> "Iterator[Server]":
    """Offer the simulated instruments of a station on TCP sockets, for stations like ``tcp``.

    Their clock goes with the one on the wall, on which the clients wait for ramps and settling.

    Parameters
    ----------
    name_or_path : str or path
        A station whose library is the twin.
    address : str
        Where to listen; loopback unless another address of this machine is given.
    port : int
        Port of the first instrument, counted up for the others; 0 lets the system choose.
    seed : int
        Seed of the bench.
    compute : str, optional
        Where its physics is computed, see :func:`open_station`.
    faults : mapping of str to float or None, optional
        What goes wrong, see :func:`open_station`; faults of the wire strike clients that connect, too.

    Yields
    ------
    sim_devices.server.Server
        Listening, with the ``addresses`` of the instruments by resource name; its ``bench.warm_up()`` compiles their
        physics, which clients may not have the patience for.

    Raises
    ------
    StationError
        If there is no such station, or it is not one of the twin.
    sim_devices.server.ServerAddressError
        If the address is not one of this machine, or the port cannot be had; an OSError.
    """
    from sim_devices.server import serve

    definition = resolve(read_station(os.fspath(name_or_path)), faults)
    if definition.tables.station.library != "twin":
        raise definition.error("station.library", 'only a station with library = "twin" can be served')
    with (
        _open_bench(definition, _checked_seed(seed) or 0, compute, flowing=True) as bench,
        serve(bench, address, port) as server,
    ):
        arm(definition, bench, _checked_seed(seed) or 0)
        yield server
