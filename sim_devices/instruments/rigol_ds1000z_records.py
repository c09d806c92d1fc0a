"""What the oscilloscope keeps of an acquisition: codes of its 8-bit converter, and what they stand for."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_devices.instruments.cabling import Values

CODES_PER_DIVISION = 25
MIDDLE_CODE = 127
"""Code in the middle of the screen where the offset is 0."""
LARGEST_CODE = 255
_PIECE = 1 << 18


@dataclass(frozen=True)
class Channel:
    """How a channel shows its input.

    Parameters
    ----------
    increment
        Voltage of one code, V.
    origin
        Codes by which the offset moves the trace up.
    probe
        What is shown over what is at the input.
    coupling
        DC, AC or GND.
    """

    increment: float
    origin: int
    probe: float
    coupling: str

    def digitise(self, volts: Values) -> npt.NDArray[np.uint8]:
        """Return the codes of an input voltage; what is off the range of the converter is clipped."""
        codes = np.empty(len(volts), np.uint8)
        if self.coupling == "GND":
            codes[:] = min(max(MIDDLE_CODE + self.origin, 0), LARGEST_CODE)
            return codes
        middle = float(volts.mean()) if self.coupling == "AC" else 0.0
        gain = self.probe / self.increment
        for first in range(0, len(volts), _PIECE):
            piece = (volts[first : first + _PIECE] - middle) * gain
            np.rint(piece, out=piece)
            piece += MIDDLE_CODE + self.origin
            codes[first : first + _PIECE] = np.clip(piece, 0, LARGEST_CODE, out=piece)
        return codes

    def volts(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Return what codes stand for, V."""
        return (codes.astype(float) - self.origin - MIDDLE_CODE) * self.increment


@dataclass(frozen=True, eq=False)
class Record:
    """One acquisition.

    Parameters
    ----------
    channels
        How each recorded channel was shown.
    codes
        What was recorded of it.
    interval
        Time from sample to sample, s.
    origin
        Time of the first sample since the trigger, s.
    """

    channels: dict[int, Channel]
    codes: dict[int, npt.NDArray[np.uint8]]
    interval: float
    origin: float


def first_edge(volts: Values, level: float, slope: str, begin: int) -> int | None:
    """Return the index of the first sample after an edge through a level, from `begin` on; None where there is none.

    Parameters
    ----------
    volts
        The signal.
    level
        The level, V.
    slope
        POS, NEG or RFAL for either.
    begin
        First index that may be returned.
    """
    above = volts[max(begin - 1, 0) :] >= level
    rising, falling = above[1:] & ~above[:-1], above[:-1] & ~above[1:]
    found = np.flatnonzero({"POS": rising, "NEG": falling}.get(slope, rising | falling))
    return int(found[0]) + max(begin, 1) if found.size else None
