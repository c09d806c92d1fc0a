"""The faults that a rehearsal may ask for by name, at the wire and in the physics, and what their rates mean."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from sim_devices.faults import Fault, FaultError, Kind

__all__ = ["FAULTS", "Choice", "KnownFault", "choose", "known"]

Rate = float | None


@dataclass(frozen=True)
class KnownFault:
    """A fault as it is asked for.

    Parameters
    ----------
    name
        Its name.
    meaning
        What goes wrong.
    unit
        What its rate is.
    default, largest
        The rate when none is given, and the largest.
    whole
        Whether the rate is a number of things.
    """

    name: str
    meaning: str
    unit: str
    default: float
    largest: float
    whole: bool = False

    @property
    def at_the_wire(self) -> bool:
        """Whether it strikes messages, and so may be asked for at one instrument."""
        return self.name in get_args(Kind)

    def checked(self, rate: Rate) -> float:
        """Return the rate in force.

        Raises
        ------
        FaultError
            It is out of range.
        """
        if rate is None:
            return self.default
        fits = math.isfinite(rate) and 0 <= rate <= self.largest and not (self.whole and rate != int(rate))
        if not fits:
            kind = "a whole number" if self.whole else "a number"
            raise FaultError(f"{self.name}: {rate!r} is not allowed; {kind} from 0 to {self.largest:g} ({self.unit})")
        return float(rate)


def _at_the_wire(name: str, meaning: str, default: float = 0.01) -> KnownFault:
    unit = "probability for each message"
    return KnownFault(name, meaning, unit, default, 1.0)


FAULTS = {
    fault.name: fault
    for fault in (
        _at_the_wire("mute", "a reply never comes"),
        _at_the_wire("slow", "a reply comes half a second late"),
        _at_the_wire("garbled", "a quarter of the bytes of a reply are wrong"),
        _at_the_wire("error", "a command is executed, and error -310 is queued"),
        _at_the_wire("dropped", "the connection is lost, and the command is not executed"),
        _at_the_wire("identity", "another instrument answers *IDN?, from the first connection on", 1.0),
        KnownFault(
            "drift",
            "forces on the cells of a board, voltages at the gates of a sample and the log of a detector's efficiency "
            "walk at random",
            "model units, mV or nepers after an hour of bench time; grows as its root",
            1.0,
            1e6,
        ),
        KnownFault("stuck_cell", "cells of a board stay at +1 or -1", "share of the cells", 0.1, 1.0),
        KnownFault("dead_gate", "gates of a sample have lost contact and stay at 0 V", "gates", 1, 24, whole=True),
        KnownFault("charge_jump", "charges near the gates of a sample jump, by 1 mV rms", "jumps per s", 0.1, 1000.0),
        KnownFault(
            "dark_count_burst", "a detector clicks 2 million times a second for 10 ms", "bursts per s", 10.0, 100.0
        ),
    )
}
"""All faults, by name."""


@dataclass(frozen=True)
class Choice:
    """Faults that were asked for, checked.

    Parameters
    ----------
    rates
        The rates in force by what was asked for: ``NAME`` or ``NAME@INSTRUMENT``.
    """

    rates: Mapping[str, float]

    @property
    def physical(self) -> dict[str, float]:
        """Rates of the faults of the physics."""
        return {name: rate for name, rate in self.rates.items() if "@" not in name and not FAULTS[name].at_the_wire}

    def at_the_wire(self, instrument: str, *, connecting: bool) -> list[Fault]:
        """Return the faults of one instrument: while it is connected, only that it is another one."""
        faults = []
        for asked, rate in self.rates.items():
            name, _, where = asked.partition("@")
            if FAULTS[name].at_the_wire and where in ("", instrument) and (name == "identity" or not connecting):
                faults.append(Fault(name, "*IDN?" if name == "identity" else "*", rate))  # type: ignore[arg-type]
        return faults

    def __str__(self) -> str:
        return ", ".join(f"{asked} {rate:g}" for asked, rate in self.rates.items())


def known(physical: Iterable[str]) -> list[KnownFault]:
    """Return the faults of the wire, and those of the physics named."""
    there = set(physical)
    return [fault for fault in FAULTS.values() if fault.at_the_wire or fault.name in there]


def choose(asked: Mapping[str, Rate], physical: Iterable[str], instruments: Iterable[str]) -> Choice:
    """Check the faults that were asked for.

    Parameters
    ----------
    asked
        Rates, or None for the default, by ``NAME`` or ``NAME@INSTRUMENT``.
    physical
        Names of the physical faults of the bench.
    instruments
        Names of the instruments of the station.

    Raises
    ------
    FaultError
        A fault is unknown on this bench, its rate is out of range, or it is asked for where it cannot be.
    """
    allowed = {fault.name: fault for fault in known(physical)}
    there = list(instruments)
    rates = {}
    for key, rate in asked.items():
        name, at, where = key.partition("@")
        if name not in allowed:
            raise FaultError(f"{name}: no such fault on this bench; allowed: {', '.join(allowed)}")
        if at and not allowed[name].at_the_wire:
            raise FaultError(f"{key}: {name} is a fault of the physics, not of an instrument; write {name}")
        if at and where not in there:
            raise FaultError(f"{key}: no instrument {where!r}; allowed: {', '.join(there)}")
        rates[key] = allowed[name].checked(rate)
    return Choice(rates)
