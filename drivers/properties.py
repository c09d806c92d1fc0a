"""How properties of our drivers are declared: pymeasure's, with values checked, errors raised, replies understood."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pymeasure.instruments import Instrument
from pymeasure.instruments.validators import strict_discrete_set, strict_range

from drivers.arrays import parse_list, short_list
from drivers.errors import ReplyError
from drivers.replies import meant, on_or_off, whole

if TYPE_CHECKING:
    from drivers.wire import WireInstrument


def control(query: str, command: str, docs: str, **options: Any) -> property:
    """Return a pymeasure property whose set raises the instrument's errors and is one exchange under its lock.

    Parameters
    ----------
    query, command : str
        What asks for the value, and what sets it with one ``%`` field.
    docs : str
        Docstring beginning with "Control", with unit and range.
    **options
        As of `pymeasure.instruments.Instrument.control`.
    """
    checked = Instrument.control(query, command, docs, check_set_errors=True, **options)

    def fset(self: WireInstrument, value: Any) -> None:
        with self.lock:
            checked.__set__(self, value)

    return property(_understood(checked), fset, doc=docs)


def measurement(query: str, docs: str, **options: Any) -> property:
    """Return a pymeasure property that is only read; `docs` begins with "Get" or "Measure"."""
    return property(_understood(Instrument.measurement(query, docs, **options)), doc=docs)


def _understood(reading: property) -> Callable[[WireInstrument], Any]:
    """Return how a property is read, with a reply of no meaning raised as a ReplyError."""

    def fget(self: WireInstrument) -> Any:
        with self.lock:
            try:
                return reading.__get__(self)
            except ReplyError:
                raise
            except (ValueError, LookupError, TypeError, ArithmeticError) as error:
                raise self.misunderstood(error) from error

    return fget


def boolean(header: str, docs: str) -> property:
    """Return a property that is on or off."""
    return control(
        f"{header}?",
        f"{header} %d",
        docs,
        validator=strict_discrete_set,
        values={True: 1, False: 0},
        map_values=True,
        cast=on_or_off,
        maxsplit=0,
    )


def integer(header: str, docs: str, low: int, high: int) -> property:
    """Return a property that is a whole number from `low` to `high`."""
    return control(
        f"{header}?", f"{header} %d", docs, validator=strict_integer, values=(low, high), cast=whole, maxsplit=0
    )


def real(header: str, docs: str, low: float, high: float = float("inf")) -> property:
    """Return a property that is a finite number from `low` to `high`."""
    return control(f"{header}?", f"{header} %.9g", docs, validator=strict_real, values=(low, high), maxsplit=0)


def choice(header: str, docs: str, options: Mapping[Any, str]) -> property:
    """Return a property that is one of the keys of `options`, sent as the short forms they map to.

    A reply may be in short or long form, in any case, with or without quotes.
    """
    return control(
        f"{header}?",
        f"{header} %s",
        docs,
        validator=strict_discrete_set,
        values=options,
        map_values=True,
        cast=str,
        maxsplit=0,
        preprocess_reply=lambda reply: meant(reply, options.values()),
    )


def channels(header: str, docs: str, low: int, high: int) -> property:
    """Return a property that is a channel list: a sequence of whole numbers from `low` to `high`, in order."""
    return control(
        f"{header}?",
        f"{header} %s",
        docs,
        validator=lambda value, limits: [strict_integer(number, limits) for number in value],
        values=(low, high),
        set_process=short_list,
        cast=str,
        maxsplit=0,
        get_process=parse_list,
    )


def strict_integer(value: Any, limits: tuple[int, int]) -> int:
    """Return `value` as an int if it is a whole number within `limits`, raise ValueError otherwise."""
    if isinstance(value, (bool, np.bool_, str)) or int(value) != value:
        raise ValueError(f"{value!r} is not a whole number")
    return int(strict_range(value, limits))


def strict_real(value: Any, limits: tuple[float, float]) -> float:
    """Return `value` as a float if it is a finite number within `limits`, raise ValueError otherwise."""
    if isinstance(value, (bool, np.bool_, str)) or not np.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(strict_range(value, limits))
