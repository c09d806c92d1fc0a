"""The parameter that is many numbers: a definite-length block or a list, read into one array."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sim_devices.scpi.errors import ScpiError
from sim_devices.scpi.parameters import Integer, Limit, Parameter, Real, allowed_range, limit_word, stripped
from sim_devices.scpi.response import DataFormat
from sim_devices.scpi.syntax import Data, Token

if TYPE_CHECKING:
    from sim_devices.scpi.instrument import Instrument

LIST_LENGTH = 1 << 20
"""Largest number of values of a list that is sent as text."""

_PLAIN_LIST = re.compile(rb"[-+0-9.eE,\x00-\x20]*")


class Numbers(Parameter):
    """Many numbers, as a definite-length block in the session's ``FORMat`` or as text; the last parameter of a command.

    The value is a one-dimensional array: as a block arrives, with 32 or 64-bit floats (a read-only view of the message
    where no conversion is needed), and 64-bit floats from text and from integers.

    Parameters
    ----------
    low, high : float or callable, optional
        Smallest and largest value allowed.
    unit : str or callable, optional
        Unit whose suffix may follow a number that is sent as text.
    default : array_like, optional
        What ``DEFault`` alone stands for.
    integer : bool
        Whether the values are integers (64 bits).
    record : numpy.dtype or callable, optional
        Type of the elements of a block instead of the session's, byte order aside; or a function of the instrument
        that returns it, or None for numbers. The fields of a record may also be sent as text, one after the other.
    optional : bool
        Whether the parameter may be left out.
    """

    def __init__(
        self,
        low: Limit = None,
        high: Limit = None,
        unit: str | Callable[[Any], str] | None = None,
        *,
        default: Any = None,
        integer: bool = False,
        record: np.dtype | Callable[[Any], np.dtype | None] | None = None,
        optional: bool = False,
    ) -> None:
        super().__init__(optional=optional, default=default)
        self._element = (Integer if integer else Real)(low, high, unit)
        self.low = low
        self.high = high
        self.integer = integer
        self.record = record

    def parse_all(self, data: Data, instrument: "Instrument", data_format: DataFormat) -> np.ndarray:
        """Read everything that is left of the parameters of a command."""
        record = self.record(instrument) if callable(self.record) else self.record
        if type(data) is bytes and limit_word(data) == "DEF":
            return np.asarray(self.limit("DEF", instrument), dtype=self._dtype).reshape(-1)
        if isinstance(data, list) and len(data) == 1 and isinstance(data[0], memoryview):
            values = self._from_block(data[0], record, data_format)
        else:
            values = self._from_text(data, record, instrument)
        if values.dtype.names is None:
            self._check(values, instrument)
        return values

    @property
    def _dtype(self) -> type:
        return int if self.integer else float

    def _from_block(self, payload: memoryview, record: np.dtype | None, data_format: DataFormat) -> np.ndarray:
        dtype = data_format.dtype if record is None else np.dtype(record).newbyteorder(data_format.order)
        if payload.nbytes % dtype.itemsize:
            raise ScpiError(-161, f"a block of {payload.nbytes} bytes does not hold elements of {dtype.itemsize} bytes")
        values = np.frombuffer(payload, dtype=dtype)
        if record is not None:
            return values.astype(dtype.newbyteorder("="), copy=False)
        if not self.integer:
            return values.astype(float if dtype.kind == "i" else dtype.newbyteorder("="), copy=False)
        if dtype.kind == "f" and not np.isfinite(values).all():
            raise ScpiError(-224, "the block holds values that are not finite")
        return np.rint(np.clip(values, -(2.0**62), 2.0**62)).astype(int)

    def _from_text(self, data: Data, record: np.dtype | None, instrument: "Instrument") -> np.ndarray:
        tokens: Sequence[Token] = data.split(b",", LIST_LENGTH) if isinstance(data, bytes) else data
        if len(tokens) > LIST_LENGTH:
            raise ScpiError(-223, f"more than {LIST_LENGTH} values as text, send a block")
        values = None
        if isinstance(data, bytes) and not self.integer and _PLAIN_LIST.fullmatch(data):
            values = _decimals(tokens)
        if values is None:
            parse = self._element.parse
            values = np.array([parse(stripped(token), instrument) for token in tokens], dtype=self._dtype)
        return values if record is None else _records(values, np.dtype(record))

    def _check(self, values: np.ndarray, instrument: "Instrument") -> None:
        low = self.low(instrument) if callable(self.low) else self.low
        high = self.high(instrument) if callable(self.high) else self.high
        if not values.size:
            return
        smallest, largest = values.min(), values.max()
        if not (np.isfinite(smallest) and np.isfinite(largest)):
            index = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ScpiError(-224, f"value {index + 1} is not finite")
        if (low is not None and smallest < low) or (high is not None and largest > high):
            outside = values < low if low is not None and smallest < low else values > high
            index = int(np.flatnonzero(outside)[0])
            raise ScpiError(-222, f"value {index + 1}: {values[index]:.9g} is not {allowed_range(low, high)}")

    def _limit(self, word: str) -> Any:
        return {"MIN": self.low, "MAX": self.high, "DEF": self.default}[word]

    def response(self, value: Any) -> np.ndarray:
        """Return an array."""
        return np.asarray(value)


def _decimals(tokens: Sequence[Token]) -> np.ndarray | None:
    """Convert decimal numbers; None where there is anything else among them."""
    try:
        return np.array([float(token) for token in tokens])
    except ValueError:
        return None


def _records(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    names = dtype.names
    if names is None:
        return values.astype(dtype)
    if values.size % len(names):
        raise ScpiError(-109, f"{values.size} values are not groups of {len(names)} ({', '.join(names)})")
    columns = values.reshape(-1, len(names))
    records = np.zeros(len(columns), dtype=dtype)
    for column, name in zip(columns.T, names, strict=True):
        kind = dtype[name]
        if kind.kind in "iu" and columns.size:
            limits = np.iinfo(kind)
            if column.min() < limits.min or column.max() > limits.max:
                raise ScpiError(-222, f"{name} is not within {limits.min} to {limits.max}")
        records[name] = column
    return records
