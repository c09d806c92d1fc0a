"""Arguments of plans are checked before the first message: what was wrong, where, and what is allowed."""

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

from protocols.ports import Device

SLOTS = 64
"""Program slots of a board."""

LARGEST_SHOTS = 2**24
"""Shots of one row that a board counts."""

LARGEST_RECORD = 2**26
"""Raw values (slots x rows x shots x cells) that one run may keep."""

LARGEST_SEED = 2**32 - 1


class ArgumentError(ValueError):
    """An argument of a plan is not allowed."""


def one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    """Return a word out of a list.

    Raises
    ------
    ArgumentError
        The word is none of the list.
    """
    words = list(allowed)
    if value not in words:
        raise ArgumentError(f"{name}: {value!r} is not known; allowed: {', '.join(words)}")
    return value


def whole(name: str, value: Any, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`.

    Raises
    ------
    ArgumentError
        It is no whole number, or out of range.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
        raise ArgumentError(f"{name}: {value!r} is not allowed; a whole number from {low} to {high}")
    return int(value)


def number(name: str, value: Any, low: float, high: float, *, unit: str = "", above: bool = False) -> float:
    """Return a finite number from `low` (or above it) to `high`.

    Raises
    ------
    ArgumentError
        It is no finite number, or out of range.
    """
    real = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not real or not low <= value <= high or (above and value == low):
        allowed = f"above {low:g} and up to {high:g}" if above else f"from {low:g} to {high:g}"
        raise ArgumentError(f"{name}: {value!r} is not allowed; a number {allowed}{unit and ' ' + unit}")
    return float(value)


def numbers(name: str, values: Any, low: float, high: float, *, length: int | None = None) -> tuple[float, ...]:
    """Return a list of finite numbers from `low` to `high`, of a given length or at least one.

    Raises
    ------
    ArgumentError
        It is no list, of the wrong length, or one of the numbers is not allowed.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ArgumentError(f"{name}: {values!r} is not a list of numbers")
    checked = tuple(number(name, value.item() if hasattr(value, "item") else value, low, high) for value in values)
    if not checked or (length is not None and len(checked) != length):
        raise ArgumentError(f"{name}: {len(checked)} numbers given; {length or 'at least one'} needed")
    return checked


def layer_sizes(name: str, values: Sequence[int] | None, default: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of layers, or the default for None.

    Raises
    ------
    ArgumentError
        A size is no whole number from 1 to 256, or they add up to none or to more than 256.
    """
    sizes = default if values is None else tuple(whole(name, value, 1, 256) for value in values)
    if not 1 <= sum(sizes) <= 256:
        raise ArgumentError(f"{name}: {len(sizes)} layers of {sum(sizes)} cells; allowed: from 1 to 256 cells in all")
    return sizes


def allowed_by(device: Device, **settings: Any) -> None:
    """Ask a device, without sending anything, whether it takes each setting.

    Raises
    ------
    ArgumentError
        The device refuses a value; the message says which and why.
    """
    for name, value in settings.items():
        try:
            getattr(device, name).check_value(value)
        except (ValueError, TypeError) as refusal:
            raise ArgumentError(f"{name}: {device.name} refuses {value!r}: {refusal}") from refusal
