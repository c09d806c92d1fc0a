"""Numbers in the units of `MODel:UNIT`: model units or volts and seconds on the wire, model units inside."""

from collections.abc import Callable, Sequence
from typing import Any

from sim_devices.scpi import Parameter, Real, ScpiError, setting

SUFFIXES = {"signal": "V", "bias": "V", "weight": "V", "time": "S", "temperature": "K"}
"""Unit suffixes by kind of quantity, where a number in physical units may have one."""
ROUNDING = 1e-6
"""Relative excess over a limit that is taken as rounding of single precision or of a unit conversion."""


def suffix(kind: str) -> Callable[[Any], str]:
    """Return which unit suffix a number of some kind may have, as a function of the board: none in model units."""
    return lambda board: SUFFIXES.get(kind, "") if board.unit == "PHYS" else ""


def scaled(value: Any, factor: float) -> Any:
    """Return numbers times `factor`, element by element in tuples; words as they are."""
    if isinstance(value, tuple):
        return tuple(scaled(element, factor) for element in value)
    return value if isinstance(value, str) else value * factor


class UnitReal(Real):
    """A number in the units in force.

    Parameters
    ----------
    kind : str
        Kind of quantity, see `twin.models.thermodynamic_board.Circuit.factor`.
    low : float or callable
        Least value in model units, or a function of the board.
    high, default : float
        Largest value and default in model units.
    also : sequence of str
        Words allowed beside numbers.
    """

    def __init__(
        self,
        kind: str,
        low: float | Callable[[Any], float],
        high: float,
        *,
        default: float | None = None,
        also: Sequence[str] = (),
    ) -> None:
        super().__init__(
            lambda board: (low(board) if callable(low) else low) * board.factor(kind),
            lambda board: high * board.factor(kind),
            suffix(kind),
            default=default if default is None else lambda board: default * board.factor(kind),
            also=also,
        )

    def _checked(self, value: float, instrument: Any) -> float:
        for limit in (self.low(instrument), self.high(instrument)):  # type: ignore[operator, misc]
            if abs(value - limit) <= ROUNDING * abs(limit):
                return limit
        return super()._checked(value, instrument)


class ObservationTime(UnitReal):
    """A time of at least one period of the sampling clock."""

    def _checked(self, value: float, instrument: Any) -> float:
        shortest_time = self.low(instrument)  # type: ignore[operator, misc]
        if value < shortest_time * (1 - ROUNDING):
            raise ScpiError(231, f"{value:.6g} is less than {shortest_time:.6g}")
        return super()._checked(value, instrument)


class unit_setting(setting):  # noqa: N801 -- reads as a declaration, like setting
    """A setting of one kind of quantity: in the units in force on the wire, in model units as an attribute.

    Parameters
    ----------
    header : str
        The header.
    kind : str
        Kind of quantity, see `twin.models.thermodynamic_board.Circuit.factor`.
    *parameters : Parameter
        What follows the header.
    reset : object
        Value after ``*RST``, in model units.
    guards : sequence of str
        Methods of the instrument that raise ScpiError where setting is refused now.
    """

    def __init__(self, header: str, kind: str, *parameters: Parameter, reset: Any, guards: Sequence[str] = ()) -> None:
        super().__init__(header, *parameters, reset=reset, guards=guards)
        self.kind = kind

    def from_wire(self, instrument: Any, value: Any) -> Any:
        """Return a value in model units."""
        return scaled(value, 1.0 / instrument.factor(self.kind))

    def to_wire(self, instrument: Any, value: Any) -> Any:
        """Return a value in the units in force."""
        return scaled(value, instrument.factor(self.kind))
