"""Station files: which instruments there are, how they are reached, and which devices they make."""

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pyvisa import rname

QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-zµμΩ°%][\w/*^.\-µμΩ°%]*)\s*")
LARGEST_FILE = 1_000_000  # bytes


class StationError(ValueError):
    """A station file is missing or wrong; the message says where and what is allowed."""


@cache
def _units() -> Any:
    import pint

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


def quantity(text: object, unit: str) -> float:
    """Return the magnitude of a quantity in a unit.

    Parameters
    ----------
    text : str
        A number and its unit, such as ``"20 ms"``.
    unit : str
        The unit of the result, such as ``"s"``.

    Raises
    ------
    ValueError
        If it is no finite number with a unit of that dimension.
    """
    import pint

    match = QUANTITY.fullmatch(text) if isinstance(text, str) and len(text) < 100 else None
    if match is None:
        raise ValueError(f'{text!r} is no quantity; write a number and its unit in quotes, such as "5 {unit}"')
    try:
        magnitude = float(_units().Quantity(float(match[1]), match[2]).to(unit).magnitude)
    except pint.DimensionalityError as error:
        raise ValueError(f"{text!r} is not a quantity in {unit}") from error
    except (pint.PintError, ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{text!r} has an unknown unit {match[2]!r}; allowed: {unit} and its multiples") from error
    if not math.isfinite(magnitude):
        raise ValueError(f"{text!r} is not finite")
    return magnitude


def _timeout(value: object) -> float:
    seconds = quantity(value, "s")
    if not 1e-3 <= seconds <= 3600:
        raise ValueError(f"{value!r} is out of range; allowed: 1 ms to 1 h")
    return seconds


def _resource(value: object) -> object:
    if isinstance(value, str):
        try:
            rname.parse_resource_name(value)
        except (rname.InvalidResourceName, ValueError) as error:
            example = "TCPIP0::192.168.0.5::5025::SOCKET or GPIB0::24::INSTR"
            raise ValueError(f"{value!r} is no VISA resource name such as {example}") from error
    return value


def _limits(value: object) -> object:
    numbers = isinstance(value, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
    if not isinstance(value, list) or not numbers or len(value) != 2 or not -math.inf < value[0] <= value[1] < math.inf:
        raise ValueError(f"{value!r} are no limits; write two numbers, the lower first, such as [0.0, 1.0]")
    return [float(x) for x in value]


class Table(BaseModel):
    """A table of a station file: its keys are these fields and no others."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StationTable(Table):
    """``[station]``: how the instruments are reached."""

    description: str = ""
    library: str = Field(description='"twin", "py", "sim", "" for the vendor\'s VISA, or the path of a VISA library')
    bench: str | None = None


class InstrumentTable(Table):
    """``[instruments.NAME]``: one instrument and its driver."""

    resource: Annotated[str, BeforeValidator(_resource)]
    driver: Literal["thermodynamic_board"]
    identity: str = ""
    timeout: Annotated[float, BeforeValidator(_timeout)] = 5.0


class BoardTable(Table):
    """``[devices.NAME]`` of a thermodynamic board."""

    role: Literal["thermodynamic_board"]
    instrument: str
    limits: dict[str, Annotated[list[float], BeforeValidator(_limits)]] = {}


class BoardCellTable(Table):
    """``[devices.NAME]`` of an activation switch that is one bistable cell of a board."""

    role: Literal["board_cell"]
    instrument: str = Field(description="name of the board's device")
    cell: int = Field(default=1, ge=1)


DeviceTable = Annotated[BoardTable | BoardCellTable, Field(discriminator="role")]
ROLES: dict[str, type[Table]] = {"thermodynamic_board": BoardTable, "board_cell": BoardCellTable}


class StationFile(Table):
    """A whole station file."""

    station: StationTable
    bench: dict[str, Any] = {}
    instruments: dict[str, InstrumentTable] = Field(min_length=1)
    devices: dict[str, DeviceTable] = {}


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


def _table(location: list[str], role: str) -> type[Table]:
    if len(location) == 1:
        return StationFile
    sections: dict[str, type[Table]] = {"station": StationTable, "instruments": InstrumentTable}
    return ROLES[role] if role else sections[location[0]]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_references(definition: StationDefinition) -> None:
    tables = definition.tables
    if tables.station.library != "twin" and (tables.bench or tables.station.bench is not None):
        raise definition.error("bench", f'allowed only with library = "twin", not {tables.station.library!r}')
    taken: dict[str, str] = {}
    for name, instrument in tables.instruments.items():
        resource = rname.to_canonical_name(instrument.resource).upper()
        if resource in taken:
            raise definition.error(f"instruments.{name}.resource", f"is that of {taken[resource]!r} already")
        taken[resource] = name
    boards = {name for name, device in tables.devices.items() if device.role == "thermodynamic_board"}
    for name, device in tables.devices.items():
        allowed = set(tables.instruments) if device.role == "thermodynamic_board" else boards
        kind = "instrument" if device.role == "thermodynamic_board" else "board device"
        if device.instrument not in allowed:
            listed = ", ".join(sorted(allowed)) or "none"
            raise definition.error(
                f"devices.{name}.instrument", f"there is no {kind} {device.instrument!r}; allowed: {listed}"
            )
    _check_names(definition, "instruments", tables.instruments)
    _check_names(definition, "devices", tables.devices)


def _check_names(definition: StationDefinition, section: str, names: Mapping[str, object]) -> None:
    for name in names:
        if not name.isidentifier():
            allowed = "letters, digits and underscores, not beginning with a digit"
            raise definition.error(f"{section}.{name}", f"no name for a device or instrument; allowed: {allowed}")
