"""What a gated double dot with a charge sensor is made of: dots, tunnel junctions, point contact and gate oxide.

The gates are named in `GATES`; every table with a column a gate has that order. Charges are counted in electrons,
energies given in eV, so that a lever arm has no unit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["BOLTZMANN", "CONDUCTANCE_QUANTUM", "DOTS", "ELEMENTARY_CHARGE", "GATES", "JUNCTIONS", "DoubleDot",
           "GateOxide", "Junctions", "PointContact"]  # fmt: skip

GATES = ("barrier_left", "plunger", "barrier_right", "barrier_2", "plunger_2", "sensor")
"""Of dot 1: its barriers to source and drain and its plunger; of dot 2: its barrier to the drain and its plunger; and
the gate of the point contact."""
DOTS = 2
JUNCTIONS = ("source", "drain", "reservoir", "interdot")
"""Dot 1 to source, dot 1 to drain, dot 2 to the drain, dot 1 to dot 2."""

ELEMENTARY_CHARGE = 1.602176634e-19
"""C"""
BOLTZMANN = 1.380649e-23 / ELEMENTARY_CHARGE
"""eV/K"""
CONDUCTANCE_QUANTUM = 2 * ELEMENTARY_CHARGE**2 / 6.62607015e-34
"""2 e^2 / h in S."""


def _in_unit(default: Any, unit: str) -> Any:
    return field(default=default, metadata={"unit": unit})


def _check(owner: str, name: str, value: Any, shape: tuple[int, ...], least: float = -math.inf) -> None:
    """Make sure that a value is a table of finite numbers of this shape, none below the least.

    Raises
    ------
    ValueError
        If it is not.
    """
    numbers = np.asarray(value, float)
    if numbers.shape != shape:
        raise ValueError(f"{owner}: {name} has shape {numbers.shape}; it must have {shape}")
    if not np.isfinite(numbers).all() or (numbers < least).any():
        bound = "finite" if least == -math.inf else f"finite and at least {least:g}"
        raise ValueError(f"{owner}: {name} is {value}; it must be {bound}")


@dataclass(frozen=True)
class DoubleDot:
    """Two capacitively coupled dots: what an electron costs, and what every voltage does to it.

    Parameters
    ----------
    charging_energies
        E_C of each dot, eV.
    mutual_energy
        What an electron on one dot adds to the cost of one on the other, eV.
    gate_lever_arms
        (dots, gates) energy gained by an electron on the dot per voltage of the gate, eV/V.
    source_lever_arms, drain_lever_arms
        (dots,) the same of source and drain.
    offset_energies
        (dots,) what background charges exert on each dot, eV, with the sign of a positive gate voltage.
    level_spacings
        (dots,) spacing of the orbitals, eV, added at every electron, or every second with spin.
    spin_degeneracies
        (dots,) 2 where each orbital takes an electron of either spin, else 1.
    temperature
        Temperature of the electrons, K.

    Raises
    ------
    ValueError
        If a table has another shape, a value is out of range, or the mutual energy reaches a charging energy.
    """

    charging_energies: tuple[float, ...] = _in_unit((2.0e-3, 2.2e-3), "eV")
    mutual_energy: float = _in_unit(0.2e-3, "eV")
    gate_lever_arms: tuple[tuple[float, ...], ...] = _in_unit(
        ((0.003, 0.1, 0.003, 0.001, 0.004, 0.001), (0.0005, 0.004, 0.002, 0.003, 0.09, 0.0015)), ""
    )
    source_lever_arms: tuple[float, ...] = _in_unit((0.35, 0.02), "")
    drain_lever_arms: tuple[float, ...] = _in_unit((0.30, 0.30), "")
    offset_energies: tuple[float, ...] = _in_unit((0.0, 0.0), "eV")
    level_spacings: tuple[float, ...] = _in_unit((0.0, 0.0), "eV")
    spin_degeneracies: tuple[int, ...] = _in_unit((1, 1), "")
    temperature: float = _in_unit(0.1, "K")

    def __post_init__(self) -> None:
        pair = (DOTS,)
        _check("dots", "charging_energies", self.charging_energies, pair, 1e-9)
        _check("dots", "mutual_energy", self.mutual_energy, (), 0.0)
        _check("dots", "gate_lever_arms", self.gate_lever_arms, (DOTS, len(GATES)))
        _check("dots", "source_lever_arms", self.source_lever_arms, pair, 0.0)
        _check("dots", "drain_lever_arms", self.drain_lever_arms, pair, 0.0)
        _check("dots", "offset_energies", self.offset_energies, pair)
        _check("dots", "level_spacings", self.level_spacings, pair, 0.0)
        _check("dots", "temperature", self.temperature, (), 1e-4)
        if self.mutual_energy >= min(self.charging_energies):
            raise ValueError(
                f"dots: mutual_energy is {self.mutual_energy} eV; it must be below the charging energies, "
                f"{min(self.charging_energies)} eV"
            )
        if len(self.spin_degeneracies) != DOTS or any(value not in (1, 2) for value in self.spin_degeneracies):
            raise ValueError(f"dots: spin_degeneracies is {self.spin_degeneracies}; it must be 1 or 2 for each dot")


def _own_gate(slope: float, gates: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(slope if gate == own else 0.0 for gate in GATES) for own in gates)


@dataclass(frozen=True)
class Junctions:
    """Tunnel junctions that gates open: rate = maximum (1 + tanh z) / 2 with z = sum_g slope_g V_g + offset.

    This is the pinch-off curve of Milburn and Basiri-Esfahani, eq. 42, with the full swing of eq. 81. A current limited
    by one junction, the other being open, is then (1 + tanh z) / (3 + tanh z) of its maximum, as from their eqs. 44
    and 45. The order is that of `JUNCTIONS`.

    Parameters
    ----------
    maximum_rates
        (junctions,) rates of the open junctions, 1/s; 0 for an interdot junction that does not conduct.
    slopes
        (junctions, gates) in 1/V.
    offsets
        (junctions,) z at 0 V.

    Raises
    ------
    ValueError
        If a table has another shape or a value is out of range.
    """

    maximum_rates: tuple[float, ...] = _in_unit((1e9, 1e9, 1e9, 0.0), "1/s")
    slopes: tuple[tuple[float, ...], ...] = _in_unit(
        _own_gate(20.0, ("barrier_left", "barrier_right", "barrier_2", "")), "1/V"
    )
    offsets: tuple[float, ...] = _in_unit((-10.0, -10.0, -10.0, -10.0), "")

    def __post_init__(self) -> None:
        count = len(JUNCTIONS)
        _check("junctions", "maximum_rates", self.maximum_rates, (count,), 0.0)
        _check("junctions", "slopes", self.slopes, (count, len(GATES)))
        _check("junctions", "offsets", self.offsets, (count,))
        for name, rate in zip(JUNCTIONS[:3], self.maximum_rates, strict=False):
            if rate < 1e-3:
                raise ValueError(f"junctions: maximum_rates is {rate} 1/s for the {name}; the least is 1e-3 1/s")


@dataclass(frozen=True)
class PointContact:
    """A quantum point contact beside the dots, as a saddle point with one channel: T = 1 / (1 + exp(-(V - V0) / w)).

    V is the voltage of all gates and of the charges on the dots as it acts at the constriction (Buettiker 1990).

    Parameters
    ----------
    bias
        Voltage across it, V.
    opening_voltage
        V0, V.
    opening_width
        w, V.
    gate_weights
        (gates,) of each gate in V, 1 for its own.
    electron_shifts
        (dots,) what an electron on each dot adds to V, V; negative, as electrons close it.

    Raises
    ------
    ValueError
        If a table has another shape, a value is not finite or the width not positive.
    """

    bias: float = _in_unit(0.5e-3, "V")
    opening_voltage: float = _in_unit(0.3, "V")
    opening_width: float = _in_unit(0.01, "V")
    gate_weights: tuple[float, ...] = _in_unit((0.03, 0.02, 0.025, 0.02, 0.015, 1.0), "")
    electron_shifts: tuple[float, ...] = _in_unit((-4.1e-4, -2.0e-4), "V")

    def __post_init__(self) -> None:
        _check("point contact", "bias", self.bias, ())
        _check("point contact", "opening_voltage", self.opening_voltage, ())
        _check("point contact", "opening_width", self.opening_width, (), 1e-9)
        _check("point contact", "gate_weights", self.gate_weights, (len(GATES),))
        _check("point contact", "electron_shifts", self.electron_shifts, (DOTS,))

    @property
    def open_current(self) -> float:
        """Current in A through the fully open channel, 2 e^2 / h times the bias."""
        return CONDUCTANCE_QUANTUM * self.bias


@dataclass(frozen=True)
class GateOxide:
    """The insulation of the gates: no current up to the breakdown voltage, beyond it that of a conductance.

    Parameters
    ----------
    breakdown_voltages
        (gates,) magnitudes in V.
    conductance
        Beyond breakdown, S.

    Raises
    ------
    ValueError
        If the table has another shape or a value is negative or not finite.
    """

    breakdown_voltages: tuple[float, ...] = _in_unit((1.8,) * len(GATES), "V")
    conductance: float = _in_unit(1e-6, "S")

    def __post_init__(self) -> None:
        _check("gate oxide", "breakdown_voltages", self.breakdown_voltages, (len(GATES),), 0.0)
        _check("gate oxide", "conductance", self.conductance, (), 0.0)
