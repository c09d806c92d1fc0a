"""What is to go wrong on a station of the twin: asked for by name, checked, and let loose on its bench."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lab.station_file import StationDefinition, read_station

if TYPE_CHECKING:
    from sim_devices.benches import Bench
    from sim_devices.known_faults import Choice

__all__ = ["arm", "chosen", "known_faults", "resolve"]


def known_faults(name_or_path: str | os.PathLike = "twin") -> list[dict[str, Any]]:
    """Return what may be made to go wrong on a station of the twin.

    Returns
    -------
    list of dict
        ``fault`` (its name), ``what goes wrong``, ``rate`` (its unit), ``default`` and ``largest``.

    Raises
    ------
    StationError
        If there is no such station, or it is not one of the twin.
    """
    from sim_devices import benches
    from sim_devices.known_faults import known

    definition = resolve(read_station(os.fspath(name_or_path)), {})
    if definition.tables.station.library != "twin":
        raise definition.error("station.library", 'only a station with library = "twin" can be made to fail')
    return [
        {
            "fault": fault.name,
            "what goes wrong": fault.meaning,
            "rate": fault.unit,
            "default": fault.default,
            "largest": fault.largest,
        }
        for fault in known(benches.physical_faults(definition.tables.station.bench or benches.DEFAULT))
    ]


def resolve(definition: StationDefinition, faults: Mapping[str, float | None] | None) -> StationDefinition:
    """Return the station with its own and these faults checked, their rates those in force.

    Raises
    ------
    StationError
        If a fault is unknown, its rate is out of range, or the station is not one of the twin.
    """
    definition = definition.with_faults(faults or {})
    return definition.with_faults(chosen(definition).rates) if definition.tables.faults else definition


def chosen(definition: StationDefinition) -> "Choice":
    """Return the faults of a station, checked."""
    from sim_devices import benches
    from sim_devices.faults import FaultError
    from sim_devices.known_faults import Choice, choose

    tables = definition.tables
    if not tables.faults:
        return Choice({})
    try:
        physical = benches.physical_faults(tables.station.bench or benches.DEFAULT)
        return choose(tables.faults, physical, tables.instruments)
    except benches.BenchNameError as error:
        raise definition.error("station.bench", str(error)) from error
    except FaultError as error:
        raise definition.error("faults", str(error)) from error


def arm(definition: StationDefinition, bench: "Bench | None", seed: int, *, connecting: bool = False) -> None:
    """Let the faults of the wire strike from now on; while instruments are connected, only wrong identities."""
    if bench is None or not definition.tables.faults:
        return
    choice = chosen(definition)
    for name, table in definition.tables.instruments.items():
        if faults := choice.at_the_wire(name, connecting=connecting):
            bench.inject(table.resource, faults, seed)
