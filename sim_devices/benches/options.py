"""Options of a bench as a station file gives them: nested tables of plain values that become dataclasses."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

__all__ = ["BenchOptionError", "check_names", "read_integer", "read_table"]

T = TypeVar("T")


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


def read_table(table: Any, where: str, cls: type[T]) -> T:
    """Make a dataclass of a table whose keys are its fields; fields left out keep their defaults.

    Raises
    ------
    BenchOptionError
        A key is no field, a value has another type than the default, or the dataclass refuses a value.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    check_names(table, where, list(defaults))
    values = {name: _like(defaults[name], value, _join(where, name)) for name, value in table.items()}
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise BenchOptionError(where, str(error)) from error


def _like(default: Any, value: Any, where: str) -> Any:
    if isinstance(default, str):
        if not isinstance(value, str):
            raise BenchOptionError(where, f"must be a text such as {default!r}, not {value!r}")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BenchOptionError(where, f"must be a finite number, not {value!r}")
    if isinstance(default, int) and isinstance(value, float) and not value.is_integer():
        raise BenchOptionError(where, f"must be a whole number, not {value!r}")
    return type(default)(value)


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
