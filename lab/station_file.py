"""Station files: which instruments there are, how they are reached, and which devices they make."""

import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pyvisa import rname

from lab.station_tables import ROLES, StandingTable, StationFile, SuspenderTable, Table, quantity

__all__ = ["StationDefinition", "StationError", "quantity", "read_station", "station_names"]

LARGEST_FILE = 1_000_000
"""Bytes of a station file."""


class StationError(ValueError):
    """A station file is missing or wrong; the message says where and what is allowed."""


@dataclass(frozen=True)
class StationDefinition:
    """A station as its file describes it.

    Attributes
    ----------
    name : str
        Name of the station: the file's base name.
    path : pathlib.Path
        The file.
    tables : StationFile
        What it says.
    """

    name: str
    path: Path
    tables: StationFile

    def error(self, key: str, problem: str) -> StationError:
        """Return the error that names the file, the key and what is wrong there."""
        return StationError(f"{self.path}: {key}: {problem}")

    def device_for(self, name: str, port: str) -> str:
        """Return the device of a name that keeps a port, or else the one of that port that stands on it.

        Parameters
        ----------
        name : str
            Name of a device: a switch, for instance, or the board that it is a cell of.
        port : str
            Name of a port in `protocols.ports`.

        Raises
        ------
        StationError
            If there is no such device, or several of that port stand on it; those there are are named.
        """
        devices = self.tables.devices
        if name in devices and devices[name].port == port:
            return name
        standing = [other for other, table in devices.items() if table.port == port and table.body == name]
        if len(standing) == 1:
            return standing[0]
        fitting = ", ".join(other for other, table in devices.items() if table.port == port) or "none"
        problem = f"{', '.join(standing)} stand on it" if standing else f"is no {port}"
        raise self.error(f"devices.{name}", f"{problem}; allowed: {fitting}")

    def with_faults(self, faults: Mapping[str, float | None]) -> "StationDefinition":
        """Return the station with these faults too, by name, each with its rate or None for the default."""
        both = {**self.tables.faults, **faults}
        definition = replace(self, tables=self.tables.model_copy(update={"faults": both}))
        _check_references(definition)
        return definition

    def needed_for(self, names: Sequence[str]) -> "StationDefinition":
        """Return the station with these devices only, what they stand on, and the instruments of all of them."""
        devices: dict[str, Any] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            devices[name] = self.tables.devices[name]
            if (body := devices[name].body) is not None:
                waiting.append(body)
        kept = {name: table for name, table in self.tables.devices.items() if name in devices}
        used = {instrument for table in kept.values() for _, instrument in table.instruments()}
        instruments = {name: table for name, table in self.tables.instruments.items() if name in used}
        suspenders = {key: table for key, table in self.tables.suspenders.items() if _device_of(table) in kept}
        faults = {key: rate for key, rate in self.tables.faults.items() if key.partition("@")[2] in {"", *used}}
        tables = self.tables.model_copy(
            update={"devices": kept, "instruments": instruments, "suspenders": suspenders, "faults": faults}
        )
        return replace(self, tables=tables)


def station_names() -> list[str]:
    """Return the names of the stations that come with the package."""
    names = (Path(entry.name) for entry in _stations().iterdir())
    return sorted(path.stem for path in names if path.suffix == ".toml" and not path.stem.endswith(".example"))


def read_station(name_or_path: str | Path) -> StationDefinition:
    """Read and check a station file.

    Parameters
    ----------
    name_or_path : str or path
        One of :func:`station_names`, or the path of a file.

    Raises
    ------
    StationError
        If there is no such station, or the file is wrong; every wrong key is named.
    """
    path = _find(name_or_path)
    text = _text(path)
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise StationError(f"{path}: not a TOML file: {error}") from error
    try:
        tables = StationFile.model_validate(content)
    except ValidationError as error:
        problems = [_problem(dict(entry)) for entry in error.errors()]
        raise StationError(f"{path}: {'; also '.join(problems)}") from None
    definition = StationDefinition(path.stem, path, tables)
    _check_references(definition)
    return definition


def _stations() -> Any:
    return resources.files("lab") / "stations"


def _find(name_or_path: str | Path) -> Path:
    name = str(name_or_path)
    if name in station_names():
        return Path(str(_stations() / f"{name}.toml"))
    try:
        if name and Path(name).is_file():
            return Path(name)
    except (OSError, ValueError):
        pass
    known = ", ".join(station_names())
    raise StationError(f"no station {name!r}; allowed: {known}, or the path of a station file")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise StationError(f"{path}: longer than {LARGEST_FILE} bytes; not a station file")
        return content.decode("utf-8-sig")  # some editors write a mark in front
    except UnicodeDecodeError as error:
        raise StationError(f"{path}: not a text file in UTF-8") from error
    except OSError as error:
        raise StationError(f"{path}: cannot be read: {error.strerror}") from error


def _problem(error: dict[str, Any]) -> str:
    """Say in plain words what pydantic found."""
    location = [str(part) for part in error["loc"]]
    in_device = location[0] == "devices" and len(location) > 2 and location[2] in ROLES
    role = location.pop(2) if in_device else ""  # pydantic names the member of the union, a file does not
    key = ".".join(location)
    value, context = error.get("input"), error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; allowed: {', '.join(_table(location, role).model_fields)}"
        case "missing":
            return f"{key}: missing; it must be given"
        case "union_tag_invalid":
            return f"{key}.role: unknown role {context['tag']!r}; allowed: {', '.join(ROLES)}"
        case "union_tag_not_found":
            return f"{key}.role: missing; allowed: {', '.join(ROLES)}"
        case "literal_error":
            return f"{key}: {value!r} is not known; allowed: {context['expected']}"
        case "value_error":
            return f"{key}: {context['error']}"
    return f"{key}: {error['msg'].lower()}, not {_short(value)}"


def _table(location: Sequence[str], role: str) -> type[Table]:
    """Return the table that the last part of a location is a key of."""
    table: type[Table] = StationFile
    for part in location[:-1]:
        annotation = table.model_fields[part].annotation if part in table.model_fields else None
        if annotation is None:
            continue  # a name that the file gave: of an instrument, a device, a gate
        members = [annotation, *typing.get_args(annotation)]
        tables = [member for member in members if isinstance(member, type) and issubclass(member, Table)]
        table = ROLES[role] if part == "devices" else tables[0]
    return table


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_references(definition: StationDefinition) -> None:
    tables = definition.tables
    if tables.station.library != "twin" and (tables.bench or tables.station.bench is not None):
        raise definition.error("bench", f'allowed only with library = "twin", not {tables.station.library!r}')
    if tables.station.library != "twin" and tables.faults:
        raise definition.error("faults", f'allowed only with library = "twin", not {tables.station.library!r}')
    taken: dict[str, str] = {}
    for name, instrument in tables.instruments.items():
        resource = rname.to_canonical_name(instrument.resource).upper()
        if resource in taken:
            raise definition.error(f"instruments.{name}.resource", f"is that of {taken[resource]!r} already")
        taken[resource] = name
    for name, table in tables.devices.items():
        for key, wanted in table.instruments():
            if wanted not in tables.instruments:
                raise _missing(definition, f"devices.{name}.{key}", "instrument", wanted, tables.instruments)
        if isinstance(table, StandingTable):
            bodies = {other: body for other, body in tables.devices.items() if body.role == table.stands_on}
            if table.instrument not in bodies:
                raise _missing(
                    definition,
                    f"devices.{name}.instrument",
                    f"device of role {table.stands_on}",
                    table.instrument,
                    bodies,
                )
    _check_suspenders(definition)
    _check_names(definition, "instruments", tables.instruments)
    _check_names(definition, "devices", tables.devices)


def _check_suspenders(definition: StationDefinition) -> None:
    devices = definition.tables.devices
    for name, suspender in definition.tables.suspenders.items():
        if (device := _device_of(suspender)) not in devices:
            raise _missing(definition, f"suspenders.{name}.signal", "device", device, devices)


def _device_of(suspender: SuspenderTable) -> str:
    return suspender.signal.partition(".")[0]


def _check_names(definition: StationDefinition, section: str, names: Mapping[str, object]) -> None:
    for name in names:
        if not name.isidentifier():
            allowed = "letters, digits and underscores, not beginning with a digit"
            raise definition.error(f"{section}.{name}", f"no name for a device or instrument; allowed: {allowed}")


def _missing(
    definition: StationDefinition, key: str, kind: str, name: str, there: Mapping[str, object]
) -> StationError:
    return definition.error(key, f"there is no {kind} {name!r}; allowed: {', '.join(sorted(there)) or 'none'}")
