"""The volatile memory of one channel of the waveform generator, and the parameters that waveforms arrive in."""

import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sim_devices.scpi import DataFormat, Numbers, Parameter, Quoted, ScpiError
from sim_devices.scpi.parameters import unquoted
from sim_devices.scpi.syntax import Data, Token, excerpt

if TYPE_CHECKING:
    from sim_devices.scpi.instrument import Instrument

DEFAULT = "INT:\\BUILTIN\\EXP_RISE.arb"
"""The waveform that is always there."""
CAPACITY = 1_000_000
"""Points of one channel."""
FEWEST_POINTS = 8
FULL_SCALE = 32767

_USER_NAME = re.compile(r"[A-Za-z]\w{0,11}", re.ASCII)


class Name(Parameter):
    """The name of a waveform, with or without quotes."""

    def parse(self, token: Token, _: "Instrument") -> str:
        """Read a name."""
        if type(token) is not bytes or not token:
            raise ScpiError(-104, "the name of a waveform is missing")
        return unquoted(token) if token[:1] in b"\"'" else token.decode("latin-1")

    def response(self, value: str) -> Quoted:
        """Return the name in quotes."""
        return Quoted(value)


class Codes(Numbers):
    """Codes of the converter: 16-bit integers in a block, whatever FORMat says, or numbers as text."""

    def __init__(self) -> None:
        super().__init__(-FULL_SCALE, FULL_SCALE)

    def parse_all(self, data: Data, instrument: "Instrument", data_format: DataFormat) -> npt.NDArray[np.float64]:
        """Read everything that is left of the parameters."""
        return super().parse_all(data, instrument, DataFormat("INT,16", data_format.swapped)) / FULL_SCALE


class Fractions(Numbers):
    """Points from -1 to 1: single precision in a block, whatever FORMat says, or numbers as text."""

    def __init__(self) -> None:
        super().__init__(-1, 1)

    def parse_all(self, data: Data, instrument: "Instrument", data_format: DataFormat) -> npt.NDArray[np.float64]:
        """Read everything that is left of the parameters."""
        return super().parse_all(data, instrument, DataFormat("REAL,32", data_format.swapped)).astype(float)


class ArbitraryMemory:
    """Waveforms by name; the built-in exponential rise takes no room."""

    def __init__(self) -> None:
        self._waveforms: dict[str, npt.NDArray[np.float64]] = {}
        self.clear()

    def clear(self) -> None:
        """Keep nothing but the built-in waveform."""
        self._waveforms = {DEFAULT: 1 - 2 * np.exp(-np.arange(410) / 82)}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the waveforms in the order they came."""
        return tuple(self._waveforms)

    @property
    def free(self) -> int:
        """Points there is room for."""
        return CAPACITY - sum(len(points) for name, points in self._waveforms.items() if name != DEFAULT)

    def add(self, name: str, points: npt.NDArray[np.float64]) -> None:
        """Keep a waveform.

        Raises
        ------
        ScpiError
            -224 for what is no name, -221 for one that is taken, -222 for too few points, -225 without room for them.
        """
        if not _USER_NAME.fullmatch(name):
            raise ScpiError(-224, f"{excerpt(name.encode('latin-1'))} is no name of up to 12 letters, digits and _")
        if name in self._waveforms:
            raise ScpiError(-221, f"the waveform {name} is in memory already, DATA:VOLatile:CLEar removes it")
        if len(points) < FEWEST_POINTS:
            raise ScpiError(-222, f"{len(points)} points, at least {FEWEST_POINTS} are needed")
        if len(points) > self.free:
            raise ScpiError(-225, f"{len(points)} points, there is room for {self.free}")
        points.setflags(write=False)
        self._waveforms[name] = points

    def find(self, name: str) -> npt.NDArray[np.float64]:
        """Return the points of a waveform.

        Raises
        ------
        ScpiError
            -224 if there is none of this name.
        """
        if name not in self._waveforms:
            raise ScpiError(-224, f"no waveform {excerpt(name.encode('latin-1'))}; there are {', '.join(self.names)}")
        return self._waveforms[name]
