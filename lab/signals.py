"""The signals our devices are made of: one bound to a driver property, one that holds a result.

This module and `lab.devices.driver_device` are the only ones to change should the device layer change.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from ophyd import Component, Kind
from ophyd.signal import Signal
from ophyd.status import DeviceStatus, Status
from ophyd.utils import LimitError, ReadOnlyError

__all__ = [
    "AcquisitionStatus",
    "ChoiceError",
    "DriverSignal",
    "LimitError",
    "ReadOnlyError",
    "ResultSignal",
    "ValueTypeError",
    "driver_signal",
    "result_signal",
]

NUMPY_TYPES = {"number": float, "integer": int, "boolean": bool}


class ChoiceError(ValueError):
    """A value that is none of the choices."""


class ValueTypeError(TypeError):
    """A value of the wrong type."""


class DriverSignal(Signal):
    """A quantity of a device, bound to a property of the device's driver.

    `get` asks the instrument; `set` checks the value, hands the write to the device's one worker thread and is done
    when the instrument has taken it without an error and has been read back; `describe` needs no instrument.

    Parameters
    ----------
    attribute : str
        Name of the driver's property.
    dtype : {"number", "integer", "boolean", "string"}
        Type of a value.
    units : str
        Units of a value.
    limits : (low, high), optional
        Lowest and highest value allowed.
    choices : sequence of str, optional
        Values allowed.
    dims : sequence of str
        Names of the axes of an array; empty for a scalar.
    **kwargs
        As of `ophyd.Signal`.
    """

    errors: tuple[int, ...] = ()
    """Errors by which the instrument reports that the signal is not as it must be."""
    clearing = ""
    """The driver's method that clears what has latched, once it may be cleared; empty where nothing latches."""
    of_last_run = False
    """Whether only another run can tell that the signal has changed."""

    def __init__(
        self,
        *,
        attribute: str,
        dtype: str = "number",
        units: str = "",
        limits: tuple[float, float] | None = None,
        choices: Sequence[str] = (),
        dims: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(timestamp=0.0, **kwargs)
        self.attribute = attribute
        self.dtype = dtype
        self.units = units
        self.choices = tuple(choices)
        self.dims = tuple(dims)
        self._limits = limits

    @property
    def limits(self) -> tuple[float, float] | None:
        """Lowest and highest value allowed, None where there are none."""
        return self._limits

    @limits.setter
    def limits(self, limits: tuple[float, float]) -> None:
        low, high = (float(edge) for edge in limits)
        if not low <= high:
            raise LimitError(f"{self.name}: limits {low:g} to {high:g} allow nothing")
        self._limits = (low, high)

    @property
    def last(self) -> Any:
        """The value seen last; the instrument is not asked."""
        return self._readback

    @property
    def seen(self) -> bool:
        """Whether a value has been seen."""
        return self.timestamp > 0.0

    def __repr__(self) -> str:
        """Name the signal; its value, which every status would print, may be large."""
        return f"{type(self).__name__}({self.name!r})"

    def get(self, **_: Any) -> Any:
        """Return the value in force, asked from the instrument."""
        value = self.parent.glance(self.fetch)
        self.store(value)
        return value

    def set(self, value: Any, *, timeout: float | None = None, settle_time: float | None = None, **_: Any) -> Status:
        """Begin to set `value`; the status is done when the instrument has taken it and has been read back.

        Raises
        ------
        LimitError, ChoiceError, ValueTypeError
            If the value is not allowed; nothing has been sent then.
        """
        self.check_value(value)
        return self.parent.submit(lambda: self._set(value), Status(self, timeout=timeout, settle_time=settle_time))

    def _set(self, value: Any) -> None:
        self.apply(value)
        self.parent.wanted.pop(self.attr_name, None)
        self.parent.wanted[self.attr_name] = value

    def put(self, value: Any, **_: Any) -> None:
        """Set `value` and wait until it is done."""
        self.set(value).wait()

    def apply(self, value: Any) -> None:
        """Write `value` and read it back, on the device's worker thread."""
        self.write(value)
        self.store(self.fetch())

    def fetch(self) -> Any:
        """Ask the instrument for the value."""
        return getattr(self.parent.driver, self.attribute)

    def write(self, value: Any) -> None:
        """Tell the instrument the value."""
        setattr(self.parent.driver, self.attribute, value)

    def store(self, value: Any) -> None:
        """Take `value` as the one seen last, now."""
        super().put(value, force=True, timestamp=time.time())

    def check_value(self, value: Any) -> None:
        """Raise if `value` is not allowed.

        Raises
        ------
        ValueTypeError
            If it is of the wrong type.
        LimitError
            If it is not finite or outside the limits.
        ChoiceError
            If it is none of the choices.
        """
        if self.choices:
            if value not in self.choices:
                raise ChoiceError(f"{self.name}: {value!r} is not one of {', '.join(self.choices)}")
        elif self.dtype in ("number", "integer"):
            self.check_number(value)

    def check_number(self, value: Any) -> None:
        """Raise if `value` is no number within the limits."""
        wanted: type = Integral if self.dtype == "integer" else Real
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, wanted):
            article = "a whole number" if self.dtype == "integer" else "a number"
            raise ValueTypeError(f"{self.name}: {value!r} is not {article}")
        low, high = self._limits or (-math.inf, math.inf)
        number = float(value)  # type: ignore[arg-type]
        if not (math.isfinite(number) and low <= number <= high):
            raise LimitError(f"{self.name}: {value!r} is outside {low:.9g} to {high:.9g} {self.units}".rstrip())

    def read(self) -> dict[str, Any]:
        """Return the value in force as a reading."""
        value = self.record(self.get())
        return {self.name: {"value": value, "timestamp": self.timestamp}}

    @property
    def hints(self) -> dict[str, Any]:
        """The field to plot against when the signal is read on its own, as the axis of a scan."""
        return {"fields": [] if self.dims or self.dtype == "string" else [self.name]}

    def record(self, value: Any) -> Any:
        """Return `value` as it stands in documents."""
        return list(value) if self.dims else value

    def describe(self) -> dict[str, Any]:
        """Return the schema of a reading; nothing is asked from the instrument."""
        key: dict[str, Any] = {
            "source": f"driver:{self.parent.name}.{self.attribute}",
            "dtype": "array" if self.dims else self.dtype,
            "shape": list(np.shape(self.record(self.last))) if self.dims else [],
            "dtype_numpy": self._numpy_type(),
            "units": self.units,
        }
        if self.dims:
            key["dims"] = list(self.dims)
        if self._limits is not None:
            low, high = self._limits
            key["limits"] = {"control": {"low": low, "high": high}}
        if self.choices:
            key["choices"] = list(self.choices)
        return {self.name: key}

    def _numpy_type(self) -> str:
        if self.dtype == "string":
            return f"<U{max((len(choice) for choice in self.choices), default=1)}"
        return np.dtype(NUMPY_TYPES[self.dtype]).str


class ResultSignal(Signal):
    """A result of the last acquisition, filled by the device.

    Until there is one, a reading is NaN in the shape that the next acquisition will have.

    Parameters
    ----------
    dims : sequence of str
        Names of the axes; the device says how long each is. Empty for a scalar.
    units : str
        Units of a value.
    numpy_type : dtype
        Type of a value.
    **kwargs
        As of `ophyd.Signal`.
    """

    def __init__(
        self,
        *,
        dims: Sequence[str] = (),
        units: str = "",
        numpy_type: Any = np.float64,
        **kwargs: Any,
    ) -> None:
        super().__init__(value=None, metadata={"write_access": False}, **kwargs)
        self.dims = tuple(dims)
        self.units = units
        self.numpy_type = np.dtype(numpy_type)

    def __repr__(self) -> str:
        """Name the signal; its value may be large."""
        return f"{type(self).__name__}({self.name!r})"

    @property
    def last(self) -> Any:
        """The result of the last acquisition, None if there is none."""
        return self._readback

    @property
    def seen(self) -> bool:
        """Whether there is a result."""
        return self._readback is not None

    def get(self, **_: Any) -> Any:
        """Return the result of the last acquisition."""
        if self._readback is not None:
            return self._readback
        filling = np.nan if self.numpy_type.kind == "f" else 0
        empty = np.full(self._shape(), filling, self.numpy_type)
        return empty if self.dims else empty.item()

    def set(self, value: Any, **_: Any) -> Status:
        """Refuse: a result is measured, not set."""
        raise ReadOnlyError(f"{self.name} is measured and cannot be set to {value!r}")

    def check_value(self, value: Any) -> None:
        """Refuse: a result is measured, not set."""
        raise ReadOnlyError(f"{self.name} is measured and cannot be set to {value!r}")

    def store(self, value: Any) -> None:
        """Take `value` as the result, now."""
        if self.dims:
            value = np.asarray(value, self.numpy_type)
        super().put(value, force=True, timestamp=time.time())

    def clear(self) -> None:
        """Forget the result."""
        self._readback = None

    def read(self) -> dict[str, Any]:
        """Return the result as a reading."""
        return {self.name: {"value": self.get(), "timestamp": self.timestamp}}

    def describe(self) -> dict[str, Any]:
        """Return the schema of a reading."""
        scalar = "integer" if self.numpy_type.kind in "iu" else "number"
        key: dict[str, Any] = {
            "source": f"measured:{self.parent.name}",
            "dtype": "array" if self.dims else scalar,
            "shape": list(self._shape()),
            "dtype_numpy": self.numpy_type.str,
            "units": self.units,
        }
        if self.dims:
            key["dims"] = list(self.dims)
        return {self.name: key}

    def _shape(self) -> tuple[int, ...]:
        if self._readback is not None:
            return np.shape(self._readback)
        return tuple(self.parent.length(dim) for dim in self.dims)


def driver_signal(
    attribute: str, *, cls: type[DriverSignal] = DriverSignal, kind: Kind = Kind.config, **options: Any
) -> Any:
    """Declare a quantity of a device: a `DriverSignal` on `attribute`, recorded as configuration unless told otherwise.

    Parameters
    ----------
    attribute : str
        Name of the driver's property.
    cls : type
        The class of the signal.
    kind : ophyd.Kind
        Where it is recorded.
    **options
        As of `cls`.
    """
    return Component(cls, attribute=attribute, kind=kind, **options)


def result_signal(*, kind: Kind = Kind.normal, **options: Any) -> Any:
    """Declare a result of a device: a `ResultSignal`, read in events unless told otherwise."""
    return Component(ResultSignal, kind=kind, **options)


class AcquisitionStatus(DeviceStatus):
    """The status of an acquisition, which tells its watchers how far it is."""

    def __init__(self, device: Any) -> None:
        self._begun = time.monotonic()
        self._watching = threading.Lock()
        super().__init__(device, call_stop_on_failure=False)

    def watch(self, func: Any) -> None:
        """Call `func` with the progress from now on."""
        with self._watching:
            self._watchers.append(func)

    def report(self, done: int, total: int) -> None:
        """Tell the watchers that `done` of `total` shots are there."""
        elapsed = time.monotonic() - self._begun
        with self._watching:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher(
                name=self.device.name,
                current=done,
                initial=0,
                target=total,
                unit="shots",
                precision=0,
                fraction=1.0 - done / total if total else 0.0,
                time_elapsed=elapsed,
                time_remaining=elapsed * (total - done) / done if done else None,
            )
