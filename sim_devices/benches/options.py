"""Options of a bench as a station file gives them: nested tables of plain values that become dataclasses."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

__all__ = [
    "BenchOptionError",
    "QuantityReader",
    "check_names",
    "in_unit",
    "read_integer",
    "read_quantity",
    "read_table",
]

T = TypeVar("T")

QuantityReader = Callable[[object, str], float]
"""Reads a value with its unit, such as ``"40 kHz"``, in a unit, such as ``"Hz"``; raises ValueError where it cannot."""


class BenchOptionError(ValueError):
    """An option of a bench is unknown or has a wrong value.

    Attributes
    ----------
    key : str
        Where the option stands, such as ``board.imperfections.adc_bits``.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key


def check_names(table: Any, where: str, allowed: list[str]) -> Mapping[str, Any]:
    """Make sure that a value is a table of known names.

    Raises
    ------
    BenchOptionError
        It is no table, or a name in it is unknown.
    """
    if not isinstance(table, Mapping):
        raise BenchOptionError(where, f"must be a table, not {table!r}")
    for name in table:
        if name not in allowed:
            raise BenchOptionError(_join(where, str(name)), f"unknown option; allowed: {', '.join(allowed)}")
    return table


def read_integer(value: Any, where: str, low: int, high: int) -> int:
    """Take a whole number between two bounds.

    Raises
    ------
    BenchOptionError
        The value is no whole number or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BenchOptionError(where, f"must be a whole number from {low} to {high}, not {value!r}")
    return value


def read_quantity(value: object, unit: str) -> float:
    """Read a number followed by the very unit asked for.

    Raises
    ------
    ValueError
        If it is none.
    """
    text = value.removesuffix(unit).strip() if isinstance(value, str) and value.endswith(unit) else ""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'{value!r} is no quantity in {unit}; write one such as "5 {unit}"') from None


def in_unit(default: float, unit: str) -> Any:
    """Return a field of a dataclass that is a quantity in a unit."""
    return dataclasses.field(default=default, metadata={"unit": unit})


def read_table(table: Any, where: str, cls: type[T], quantity: QuantityReader = read_quantity) -> T:
    """Make a dataclass of a table whose keys are its fields; fields left out keep their defaults.

    A field is a number, a text, a tuple or mapping of numbers, or a dataclass of its own. One with a ``unit`` in its
    metadata may be given as a number in that unit, or as a text with any unit of that dimension.

    Raises
    ------
    BenchOptionError
        A key is no field, a value has another type than the default, or the dataclass refuses a value.
    """
    defaults = {field.name: _default(field) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    units = {field.name: field.metadata.get("unit", "") for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    check_names(table, where, list(defaults))
    values = {
        name: _Reader(units[name], quantity).read(defaults[name], value, _join(where, name))
        for name, value in table.items()
    }
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise BenchOptionError(where, str(error)) from error


def _default(field: Any) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Reads what a station file gives for one field, whose default says of what type it is."""

    unit: str
    quantity: QuantityReader

    def read(self, default: Any, value: Any, where: str) -> Any:
        """Return the value in the type of the default."""
        if dataclasses.is_dataclass(default):
            return read_table(value, where, type(default), self.quantity)
        if isinstance(default, Mapping):
            return self._mapping(default, value, where)
        if isinstance(default, tuple):
            return self._tuple(default, value, where)
        if isinstance(default, str):
            return _text(default, value, where)
        return self._number(default, value, where)

    def _mapping(self, default: Mapping[str, Any], value: Any, where: str) -> dict[str, Any]:
        check_names(value, where, list(default))
        given = {name: self.read(default[name], entry, _join(where, name)) for name, entry in value.items()}
        return {**default, **given}

    def _tuple(self, default: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(default):
            raise BenchOptionError(where, f"must be a list of {len(default)} values, not {value!r}")
        entries = zip(default, value, strict=True)
        return tuple(self.read(old, entry, f"{where}[{place}]") for place, (old, entry) in enumerate(entries))

    def _number(self, default: float, value: Any, where: str) -> float:
        if self.unit and isinstance(value, str):
            try:
                value = self.quantity(value, self.unit)
            except ValueError as error:
                raise BenchOptionError(where, str(error)) from error
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            with_unit = f" ({self.unit})" if self.unit else ""
            raise BenchOptionError(where, f"must be a finite number{with_unit}, not {value!r}")
        if isinstance(default, bool):
            raise BenchOptionError(where, f"must be true or false, not {value!r}")
        if isinstance(default, int) and isinstance(value, float) and not value.is_integer():
            raise BenchOptionError(where, f"must be a whole number, not {value!r}")
        return type(default)(value)


def _text(default: str, value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise BenchOptionError(where, f"must be a text such as {default!r}, not {value!r}")
    return value


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
