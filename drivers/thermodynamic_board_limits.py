"""Limits of what a thermodynamic board is programmed with, met on the way to the wire."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pymeasure.adapters import Adapter

from drivers.errors import OutputLimitError
from drivers.thermodynamic_board_registers import ThermodynamicBoardRegisters

PARAMETERS = {
    "couplings": "MOD:COUP",
    "bias": "MOD:BIAS",
    "weights": "MOD:WEIG",
    "quadratic": "MOD:QUAD",
    "cubic": "MOD:CUB",
    "quartic": "MOD:QUAR",
}
"""Headers of the parameters of a program."""
FULL_SCALE: dict[str, tuple[float, float]] = {
    "couplings": (-8, 8),
    "bias": (-16, 16),
    "weights": (-8, 8),
    "quadratic": (-4, 4),
    "cubic": (-2, 2),
    "quartic": (0, 4),
}
"""Lowest and highest values of them in model units."""
HOTTEST = 4.0
"""Highest noise temperature in model units."""
ROUNDING = 1e-6
"""How far a value may be beyond a limit that was converted to other units, relative to it."""
_CHANGES_UNITS = re.compile(r"unit|\*rst|\*rcl", re.IGNORECASE)


def parameter_header(parameter: str) -> str:
    """Return the header of a parameter of a program.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if parameter not in PARAMETERS:
        raise ValueError(f"{parameter!r} is no parameter of a program; {', '.join(PARAMETERS)} are")
    return PARAMETERS[parameter]


class LimitedBoard(ThermodynamicBoardRegisters):
    """A board whose programs and noise temperature may be given limits; see `ThermodynamicBoard`."""

    def __init__(self, adapter: Adapter | str | int, name: str, **kwargs: Any) -> None:
        self._limits: dict[str, tuple[float, float]] = {}
        self._physical: bool | None = None  # not known yet
        super().__init__(adapter, name, **kwargs)

    def limits(self, parameter: str) -> tuple[float, float]:
        """Return the full scale (lowest, highest) of a program parameter, in the unit in force.

        Parameters
        ----------
        parameter : str
            "couplings", "bias", "weights", "quadratic", "cubic" or "quartic".
        """
        header = parameter_header(parameter)
        return self.values(f"{header}:LIM? MIN")[0], self.values(f"{header}:LIM? MAX")[0]

    def protect(self, **limits: tuple[float, float]) -> None:
        """Keep parameters of programs, and `temperature`, within limits from now on; nothing is sent.

        Parameters
        ----------
        **limits : (float, float)
            Lowest and highest value in model units, by the name of the parameter; in physical units, what they are
            there.
        """
        self._limits.update(limits)

    def admit(self, name: str, values: ArrayLike) -> None:
        """Let values pass that the limits allow.

        Raises
        ------
        OutputLimitError
            If they do not allow all of them.
        """
        if name not in self._limits:
            return
        if self._physical is None:
            self._physical = self.unit != "model"
        scale = self._scale(name) if self._physical else 1.0
        low, high = (limit * scale for limit in self._limits[name])
        array = np.asarray(values, dtype=float)
        rounding = ROUNDING * max(abs(low), abs(high)) if self._physical else 0.0
        if array.size and not (low - rounding <= array.min() and array.max() <= high + rounding):
            raise OutputLimitError(
                f"{self.name}: {name} from {array.min():g} to {array.max():g}; {low:g} to {high:g} is allowed"
            )

    def _scale(self, name: str) -> float:
        """Return what one model unit is in the unit in force."""
        if name == "temperature":
            return self.values("NOIS:TEMP? MAX")[0] / HOTTEST
        return self.limits(name)[1] / FULL_SCALE[name][1]

    @property
    def temperature(self) -> float:
        """Control the noise temperature kT in the unit in force (float from 0)."""
        return ThermodynamicBoardRegisters.temperature.__get__(self)

    @temperature.setter
    def temperature(self, value: float) -> None:
        self.admit("temperature", value)
        ThermodynamicBoardRegisters.temperature.__set__(self, value)

    def write(self, command: str, **kwargs: Any) -> None:
        """Write one message; of one that may change the units, these are asked for when they matter next."""
        self._mind_units(command)
        super().write(command, **kwargs)

    def write_bytes(self, content: bytes, **kwargs: Any) -> None:
        """Write bytes as they are; see `write`."""
        self._mind_units(content.partition(b"#")[0].decode("ascii", "replace"))
        super().write_bytes(content, **kwargs)

    def _mind_units(self, message: str) -> None:
        if _CHANGES_UNITS.search(message):
            self._physical = None

    def reconnected(self) -> None:
        """Ask for the unit when it matters next."""
        super().reconnected()
        self._physical = None
