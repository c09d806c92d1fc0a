"""Response data of IEEE 488.2 (chapter 8): how a value is written into a reply."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sim_devices.scpi.errors import ScpiError

ASCII_VALUES = 1 << 20
"""Largest number of array elements that are written as text."""

INDEFINITE = b"#0"
"""How a block of no stated length begins."""

_BLOCK_TYPES = {"INT,16": "i2", "INT,32": "i4", "REAL,32": "f4", "REAL,64": "f8"}


@dataclass(frozen=True)
class Quoted:
    """A string that a reply carries in double quotes.

    Parameters
    ----------
    text : str
        The string without its quotes.
    """

    text: str


@dataclass(frozen=True)
class Block:
    """Data that a reply carries as a block whatever ``FORMat`` says.

    Parameters
    ----------
    data : bytes or numpy.ndarray
        Raw bytes, or an array whose own type is kept and whose byte order follows ``FORMat:BORDer``.
    definite : bool
        Whether the block says its length; one that does not (IEEE 488.2, 8.7.10) lasts to the end of the reply.
    """

    data: bytes | np.ndarray
    definite: bool = True


@dataclass(frozen=True)
class DataFormat:
    """How a session reads and writes arrays.

    Parameters
    ----------
    name : str
        ``ASC``, or the type of the elements of a block: ``INT,16``, ``INT,32``, ``REAL,32`` or ``REAL,64``.
    swapped : bool
        Whether the least significant byte comes first (``FORMat:BORDer SWAPped``).
    """

    name: str = "ASC"
    swapped: bool = False

    @property
    def order(self) -> Literal["<", ">"]:
        """NumPy's sign of the byte order."""
        return "<" if self.swapped else ">"

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements of a block that a client sends; 32-bit floats while ``FORMat`` is ASCii."""
        return np.dtype(self.order + _BLOCK_TYPES.get(self.name, "f4"))


def encode(value: Any, data_format: DataFormat) -> bytes:
    """Write a value as response data.

    Parameters
    ----------
    value : bool, int, float, str, bytes, Quoted, Block, numpy.ndarray, tuple or list
        Booleans are written as 0 and 1, integers as NR1, floats as NR3, strings and bytes as they are, arrays as the
        session's ``FORMat`` asks, tuples and lists with commas between their elements.
    data_format : DataFormat
        The session's ``FORMat``.

    Raises
    ------
    TypeError
        If the value has no form as response data.
    ScpiError
        -223 if an array is too long to be written as text.
    """
    encoder = _ENCODERS.get(type(value))
    return encoder(value, data_format) if encoder is not None else _encode_other(value, data_format)


def nr3(value: float) -> str:
    """Write a float as NR3, with as few of 7, 9 or 17 digits as give the same number back."""
    return _nr3(value, float)


def _nr3(value: float, kind: Callable[[str], Any]) -> str:
    if not math.isfinite(value):
        return "+9.91E+37" if math.isnan(value) else "+9.9E+37" if value > 0 else "-9.9E+37"
    text = f"{value:+.6E}"
    if kind(text) == value:
        return text
    text = f"{value:+.8E}"
    return text if kind(text) == value else f"{value:+.16E}"


def block(payload: memoryview) -> bytes:
    """Write bytes as a definite-length block with nine digits of length."""
    return b"".join((b"#9%09d" % payload.nbytes, payload))


def channel_list(channels: tuple[int, ...]) -> str:
    """Write channel numbers as a SCPI channel list, neighbours as ranges."""
    ranges: list[list[int]] = []
    for channel in channels:
        if ranges and channel == ranges[-1][1] + 1:
            ranges[-1][1] = channel
        else:
            ranges.append([channel, channel])
    return "(@" + ",".join(str(low) if low == high else f"{low}:{high}" for low, high in ranges) + ")"


def _encode_other(value: Any, data_format: DataFormat) -> bytes:
    if isinstance(value, np.generic):
        if isinstance(value, np.float32):
            return _nr3(float(value), np.float32).encode()
        return encode(value.item(), data_format)
    for base, encoder in _ENCODERS.items():
        if isinstance(value, base):
            return encoder(value, data_format)
    raise TypeError(f"a {type(value).__name__} cannot be written as response data")


def _encode_quoted(value: Quoted, _: DataFormat) -> bytes:
    return b'"' + value.text.encode("ascii", "replace").replace(b'"', b'""') + b'"'


def _encode_block(value: Block, data_format: DataFormat) -> bytes:
    if isinstance(value.data, np.ndarray):
        payload = _payload(value.data, value.data.dtype.newbyteorder(data_format.order))
    else:
        payload = memoryview(value.data)
    return block(payload) if value.definite else b"".join((INDEFINITE, payload))


def _encode_array(value: np.ndarray, data_format: DataFormat) -> bytes:
    name = data_format.name
    if name == "ASC":
        return _array_text(value)
    dtype = np.dtype(data_format.order + _BLOCK_TYPES[name])
    if dtype.kind == "i" and value.dtype.kind != "i":
        limits = np.iinfo(dtype)
        value = np.clip(np.rint(np.nan_to_num(value)), limits.min, limits.max)
    return block(_payload(value, dtype))


def _payload(value: np.ndarray, dtype: np.dtype) -> memoryview:
    return np.ascontiguousarray(value, dtype=dtype).reshape(-1).view(np.uint8).data


def _array_text(value: np.ndarray) -> bytes:
    if value.size > ASCII_VALUES:
        raise ScpiError(
            -223, f"{value.size} values: at most {ASCII_VALUES} are written as text, ask for FORMat REAL,32"
        )
    if value.dtype.kind in "biu":
        return ",".join(map(str, value.astype(int).reshape(-1).tolist())).encode()
    flat = np.asarray(value, dtype=value.dtype if value.dtype == np.float32 else float).reshape(-1)
    texts = np.full(flat.shape, "", dtype=object)
    left = np.arange(flat.size)
    for digits in (6, 8, 16):
        numbers = flat[left]
        texts[left] = (f"%+.{digits}E " * left.size % tuple(numbers.tolist())).split()
        with np.errstate(over="ignore"):
            read_back = np.fromiter(map(float, texts[left]), float, left.size).astype(flat.dtype)
        left = left[(read_back != numbers) & np.isfinite(numbers)]
    for index in np.flatnonzero(~np.isfinite(flat)):
        texts[index] = nr3(float(flat[index]))
    return ",".join(texts.tolist()).encode()


def _encode_sequence(value: tuple | list, data_format: DataFormat) -> bytes:
    return b",".join([encode(element, data_format) for element in value])


_ENCODERS: dict[type, Callable[[Any, DataFormat], bytes]] = {
    str: lambda value, _: value.encode("ascii", "replace"),
    bytes: lambda value, _: value,
    bool: lambda value, _: b"1" if value else b"0",
    int: lambda value, _: b"%d" % value,
    float: lambda value, _: nr3(value).encode(),
    Quoted: _encode_quoted,
    Block: _encode_block,
    np.ndarray: _encode_array,
    tuple: _encode_sequence,
    list: _encode_sequence,
}
