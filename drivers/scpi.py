"""The base of our SCPI drivers: the error queue raises, arrays go as blocks.

What pymeasure leaves open is closed in one place: errors are only logged there, and reading the error queue has no
bound.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument, SCPIMixin

from drivers.arrays import block, element_type, elements
from drivers.errors import ReplyError
from drivers.properties import choice
from drivers.replies import unquoted
from drivers.wire import WireInstrument

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

ERROR_QUEUE_LENGTH = 32
SHORT_FORMATS = {"ASCii": "ASC", "INTeger,16": "INT,16", "REAL,32": "REAL,32", "REAL,64": "REAL,64"}


def _of_encoding(header: str, docs: str, options: dict[str, str]) -> property:
    """Return a choice whose set makes the driver look up the encoding of arrays anew."""
    checked = choice(header, docs, options)

    def fset(self: ScpiInstrument, value: Any) -> None:
        with self.lock:
            self.forget_encoding()
            checked.__set__(self, value)

    return property(checked.fget, fset, doc=docs)


class ScpiInstrument(WireInstrument, SCPIMixin, Instrument):
    """A SCPI instrument whose errors raise and whose questions and answers stay together.

    Parameters
    ----------
    adapter : str, int or pymeasure Adapter
        VISA resource name, or an adapter.
    name : str
        Name for messages.
    **kwargs
        Passed to `pymeasure.adapters.VISAAdapter`: `visa_library`, `timeout` in ms and the like.
    """

    def __init__(self, adapter: Adapter | str | int, name: str = "SCPI instrument", **kwargs: Any) -> None:
        self._encoding: tuple[str, str] | None = None
        super().__init__(adapter, name, **kwargs)

    def resynchronise(self) -> list[tuple[int, str]]:
        """Do as `WireInstrument` does, and ask how arrays travel before the next one does."""
        self.forget_encoding()
        return super().resynchronise()

    # errors

    @property
    def next_error(self) -> tuple[int, str]:
        """Get the oldest entry of the error queue as (code, text); (0, "No error") when empty."""
        reply = self.ask("SYST:ERR?")
        code, _, text = reply.partition(",")
        try:
            return int(float(code)), unquoted(text)
        except ValueError:
            self._out_of_step = True
            raise ReplyError(f"{self.name}: {reply[:80]!r} is no entry of an error queue") from None

    def read_errors(self) -> list[tuple[int, str]]:
        """Empty the error queue and return its entries, at most as many as a queue holds."""
        entries = []
        with self.lock:
            for _ in range(ERROR_QUEUE_LENGTH + 1):
                entry = self.next_error
                if entry[0] == 0:
                    break
                entries.append(entry)
        return entries

    def reconnected(self) -> None:
        """Take nothing for granted that was set before."""
        super().reconnected()
        self.forget_encoding()

    def reset(self) -> None:
        """Set everything to its reset value (`*RST`)."""
        with self.lock:
            self._encoding = None
            self.execute("*RST")

    # arrays

    data_format = _of_encoding(
        "FORM",
        """Control how arrays travel (str, one of ASCii; INTeger,16; REAL,32; REAL,64).""",
        SHORT_FORMATS,
    )
    byte_order = _of_encoding(
        "FORM:BORD",
        """Control the byte order of blocks (str, "big" or "little").""",
        {"big": "NORM", "little": "SWAP"},
    )

    def forget_encoding(self) -> None:
        """Ask the instrument for format and byte order before the next array travels."""
        self._encoding = None

    def use_encoding(self, data_format: str = "REAL,32", byte_order: str = "little") -> None:
        """Set format and byte order of arrays, if they are not in force already."""
        with self.lock:
            if self._encoding_in_force() != (data_format, byte_order):
                self.data_format = data_format
                self.byte_order = byte_order
                self._encoding = (data_format, byte_order)

    def _encoding_in_force(self) -> tuple[str, str]:
        if self._encoding is None:
            self._encoding = (self.data_format, self.byte_order)
        return self._encoding

    def array_argument(self, values: ArrayLike) -> bytes:
        """Return an array as the argument of a command, in the format in force.

        Raises
        ------
        ValueError
            If a value is not finite or the format in force carries integers only.
        """
        array = np.asarray(values, dtype=np.float64)
        if not np.isfinite(array).all():
            raise ValueError("an array with values that are not finite numbers cannot be sent")
        data_format, byte_order = self._encoding_in_force()
        if data_format == "ASCii":
            return ",".join(f"{value:.9g}" for value in array.ravel()).encode()
        if data_format == "INTeger,16":
            raise ValueError("arrays cannot be sent while data_format is INTeger,16; use ASCii or REAL")
        return block(array.astype(element_type(data_format, byte_order)).tobytes())

    def write_arrays(self, *units: str | tuple[str, ArrayLike]) -> None:
        """Write one message of several commands, arrays among them, and raise what goes wrong.

        Parameters
        ----------
        *units
            Commands as they are, or pairs of header and array.
        """
        with self.lock:
            self.execute(self.message(*units) + b"\n")

    def message(self, *units: str | tuple[str, ArrayLike]) -> bytes:
        """Return commands, or pairs of header and array, as one message without terminator."""
        return b";:".join(
            unit.encode() if isinstance(unit, str) else unit[0].encode() + b" " + self.array_argument(unit[1])
            for unit in units
        )

    def read_arrays(self, *queries: str, dtype: str | None = None) -> list[NDArray[Any]]:
        """Ask for several arrays in one message and return them flat, in native byte order, if no error came with them.

        Parameters
        ----------
        *queries : str
            Queries without leading colon.
        dtype : str, optional
            Element type of the blocks, such as "u4", where a reply has its own and does not follow the format in force.
        """
        with self.lock:
            arrays = self._ask_arrays(queries, dtype)
            self.check_errors()
            return arrays

    def _ask_arrays(self, queries: Sequence[str], dtype: str | None = None) -> list[NDArray[Any]]:
        """Do as `read_arrays` does, but leave errors to the next command."""
        data_format, byte_order = self._encoding_in_force()
        self.write(";:".join(queries))
        if data_format == "ASCii" and dtype is None:
            return self._read_reply(lambda: [_decimals(reply) for reply in self.read().split(";")])
        element = element_type(data_format, byte_order, dtype)
        return self._read_reply(lambda: [elements(data, element) for data in self._read_blocks(len(queries))])

    def read_array(self, query: str, *, dtype: str | None = None) -> NDArray[Any]:
        """Ask for one array and return it flat."""
        return self.read_arrays(query, dtype=dtype)[0]

    def _read_blocks(self, count: int) -> list[bytes]:
        """Read `count` definite-length blocks separated by ``;`` and ended by a newline."""
        with self._whole_payloads():
            blocks = []
            for index in range(count):
                head = self._read_exactly(2)
                if head[:1] != b"#" or not head[1:].isdigit() or head[1:] == b"0":
                    raise ReplyError(f"{self.name}: {head!r} does not begin a definite-length block")
                digits = self._read_exactly(int(head[1:]))
                if not digits.isdigit():
                    raise ReplyError(f"{self.name}: {digits!r} is no block length")
                blocks.append(self._read_exactly(int(digits)))
                self._read_separator(b";" if index < count - 1 else b"\n")
            return blocks

    def _read_separator(self, expected: bytes) -> None:
        found = self._read_exactly(1)
        if found == b"\r":
            found = self._read_exactly(1)
        if found != expected:
            raise ReplyError(f"{self.name}: {found!r} follows a block; {expected!r} was expected")


def _decimals(reply: str) -> NDArray[np.float64]:
    return np.array([float(number) for number in reply.split(",")])
