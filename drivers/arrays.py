"""Arrays and lists as they travel: definite-length blocks, channel lists, triangles of symmetric matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers.errors import ReplyError

DTYPES = {"INTeger,16": "i2", "REAL,32": "f4", "REAL,64": "f8"}


def block(payload: bytes) -> bytes:
    """Return `payload` as an IEEE 488.2 definite-length block.

    Raises
    ------
    ValueError
        If the payload has 10^9 bytes or more, which no header can say.
    """
    length = str(len(payload)).encode()
    if len(length) > 9:
        raise ValueError(f"a block of {len(payload)} bytes is too long; less than 10^9 is allowed")
    return b"#" + str(len(length)).encode() + length + payload


def element_type(data_format: str, byte_order: str, element: str | None = None) -> np.dtype[Any]:
    """Return the NumPy type of a block's elements, of `element` where the block has its own."""
    return np.dtype((">" if byte_order == "big" else "<") + (element or DTYPES[data_format]))


def elements(data: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the elements of a block's payload in native byte order."""
    if len(data) % dtype.itemsize:
        raise ReplyError(f"{len(data)} bytes are not a whole number of {dtype.itemsize}-byte values")
    array = np.frombuffer(data, dtype)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def short_list(numbers: Sequence[int]) -> str:
    """Return a channel list, ascending runs as ranges: (1, 2, 3, 7) gives ``(@1:3,7)``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "(@" + ",".join(str(a) if a == b else f"{a}:{b}" for a, b in runs) + ")"


def parse_list(reply: str) -> tuple[int, ...]:
    """Return the numbers of a channel list such as ``(@1:3,7)``."""
    inside = reply.strip().removeprefix("(@").removesuffix(")")
    numbers: list[int] = []
    for part in filter(None, inside.split(",")):
        first, _, last = part.partition(":")
        low, high = int(first), int(last or first)
        numbers.extend(range(low, high + 1) if low <= high else range(low, high - 1, -1))
    return tuple(numbers)


def symmetric(upper: ArrayLike) -> NDArray[np.float64]:
    """Return the symmetric matrix with zero diagonal whose upper triangle, row by row, is given."""
    values = np.asarray(upper, dtype=float).ravel()
    cells = round((1 + np.sqrt(1 + 8 * values.size)) / 2)
    i, j = np.triu_indices(cells, 1)
    if len(i) != values.size:
        raise ValueError(f"{values.size} values are not the upper triangle of a matrix")
    matrix = np.zeros((cells, cells))
    matrix[i, j] = matrix[j, i] = values
    return matrix


def upper_triangle(couplings: ArrayLike) -> NDArray[np.float64]:
    """Return the upper triangle, row by row, of a symmetric matrix, or the values already given so."""
    array = np.asarray(couplings, dtype=float)
    if array.ndim != 2:
        return array.ravel()
    if array.shape[0] != array.shape[1] or not np.array_equal(array, array.T) or np.any(np.diagonal(array)):
        raise ValueError(f"couplings of shape {array.shape} are no symmetric matrix with zero diagonal")
    return array[np.triu_indices(len(array), 1)]


def reshaped(values: NDArray[Any], shape: tuple[int, ...], what: str) -> NDArray[Any]:
    """Return `values` in `shape`, raise ReplyError if their number does not fit."""
    if values.size != np.prod(shape, dtype=int):
        raise ReplyError(f"{values.size} values of {what} came; shape {shape} was expected")
    return values.reshape(shape)
