"""How gate-defined dots are cabled: which gate hangs on which channel, what it bears, and which gates move together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_SINE = 0.004
"""Least amplitude of the lock-in's sine, which cannot be switched off, V rms."""

Array = NDArray[np.float64]


class WiringError(ValueError):
    """A wiring that contradicts itself.

    Attributes
    ----------
    key : str
        Where, such as ``gates.plunger.safe``.
    problem : str
        What is wrong, and what is allowed.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


@dataclass(frozen=True)
class DotInstruments:
    """The drivers below dots, by their task; `lock_in` may be left out."""

    dac: Any
    ammeter: Any
    sensor_meter: Any
    digitizer: Any
    bias_source: Any
    lock_in: Any = None

    @property
    def outputs_enabled(self) -> bool:
        """Whether the bias is on."""
        return bool(self.bias_source.source_enabled)


@dataclass(frozen=True)
class Gate:
    """A gate of the sample.

    Attributes
    ----------
    channel : int
        Channel of the DAC.
    limits : (low, high)
        Voltages it bears, V.
    slew : float
        Fastest it may be moved, V/s.
    safe : float
        Where it is left, V.
    """

    channel: int
    limits: tuple[float, float]
    slew: float
    safe: float = 0.0


@dataclass(frozen=True)
class VirtualGate:
    """A combination of gates that makes up for cross-talk.

    Its voltage is that of the gate `of` plus the sum of `cross_talk` times the voltages of other gates. Moving it
    leaves every other virtual gate where it is.
    """

    of: str
    cross_talk: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DotWiring:
    """The cables between instruments and sample.

    Attributes
    ----------
    gates, virtual_gates : mapping
        Gates by name.
    step_output : int
        Trigger output of the DAC that starts the readings of the meters.
    digitizer_channel : int
        Channel of the digitizer that sees the point contact.
    current_gain, sensor_gain : float
        Of the transimpedance amplifiers behind the dot and the point contact, V/A.
    current_range, sensor_range : float
        Largest currents, either sign, A.
    trace_range : float
        Span of a trace, A.
    sensor_bandwidth : float
        Bandwidth (-3 dB) of the amplifier of the point contact, Hz.
    bias_attenuation, excitation_attenuation : float
        What arrives at the sample of 1 V of the bias source, and of the lock-in.
    bias_limits : (low, high)
        Voltages between source and drain that the sample bears, V.

    excitation_limit : float or None
        Largest excitation at the sample, V rms; None for as much as the lock-in gives.

    Raises
    ------
    WiringError
        If it contradicts itself.
    """

    gates: Mapping[str, Gate]
    virtual_gates: Mapping[str, VirtualGate]
    step_output: int
    digitizer_channel: int
    current_gain: float
    current_range: float
    sensor_gain: float
    sensor_range: float
    trace_range: float
    sensor_bandwidth: float
    bias_attenuation: float
    bias_limits: tuple[float, float]
    excitation_attenuation: float = 1e-5
    excitation_limit: float | None = None

    def __post_init__(self) -> None:
        _check_gates(self.gates)
        _check_virtual_gates(self.gates, self.virtual_gates)
        if not self.bias_limits[0] <= 0.0 <= self.bias_limits[1]:
            raise WiringError("bias_limits", f"{list(self.bias_limits)} V leave out 0 V, which is the safe bias")
        least = LEAST_SINE * self.excitation_attenuation
        if self.excitation_limit is not None and self.excitation_limit < least:
            raise WiringError(
                "excitation_limit", f"{self.excitation_limit:g} V is less than {least:g} V, the least there can be"
            )
        if abs(np.linalg.det(self._matrix)) < 1e-6:
            raise WiringError("virtual_gates", "their cross-talk leaves no way to move one of them alone")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the gates, then of the virtual gates."""
        return (*self.gates, *self.virtual_gates)

    @cached_property
    def _matrix(self) -> Array:
        """Voltages of the virtual gates, one row each, and of the gates without one, by the voltages of the gates."""
        places = {name: place for place, name in enumerate(self.gates)}
        matrix = np.eye(len(places))
        for virtual in self.virtual_gates.values():
            for gate, share in virtual.cross_talk.items():
                matrix[places[virtual.of], places[gate]] += share
        return matrix

    @cached_property
    def _directions(self) -> Mapping[str, Array]:
        """How far every gate moves for 1 V of each name."""
        inverse = np.linalg.inv(self._matrix)
        places = {name: place for place, name in enumerate(self.gates)}
        own = {name: np.eye(len(places))[place] for name, place in places.items()}
        return {**own, **{name: inverse[:, places[virtual.of]] for name, virtual in self.virtual_gates.items()}}

    def position(self, name: str, volts: Mapping[str, float]) -> float:
        """Return the voltage of a gate or virtual gate, V, given those of all gates."""
        virtual = self.virtual_gates.get(name)
        if virtual is None:
            return volts[name]
        return volts[virtual.of] + sum(share * volts[gate] for gate, share in virtual.cross_talk.items())

    def moved(self, name: str, values: Sequence[float] | Array, volts: Mapping[str, float]) -> dict[str, Array]:
        """Return where the gates go that move when a gate or virtual gate takes values, from where they are.

        Parameters
        ----------
        name : str
            The gate or virtual gate.
        values : array_like, shape (points,)
            Its voltages, V.
        volts : mapping of str to float
            Where all gates are, V.

        Returns
        -------
        dict of str to ndarray, shape (points,)
            Voltages of every gate that moves, V.
        """
        way = np.asarray(values, dtype=float) - self.position(name, volts)
        shares = dict(zip(self.gates, self._directions[name], strict=True))
        return {gate: volts[gate] + share * way for gate, share in shares.items() if share}

    def reach(self, name: str, volts: Mapping[str, float]) -> tuple[float, float]:
        """Return the lowest and highest voltage a gate or virtual gate can take within all limits, V."""
        here = self.position(name, volts)
        low, high = -np.inf, np.inf
        for (gate, wired), share in zip(self.gates.items(), self._directions[name], strict=True):
            if share:
                edges = sorted((edge - volts[gate]) / share for edge in wired.limits)
                low, high = max(low, edges[0]), min(high, edges[1])
        return here + low, here + high


def _check_gates(gates: Mapping[str, Gate]) -> None:
    taken: dict[int, str] = {}
    for name, gate in gates.items():
        if not name.isidentifier():
            raise WiringError(f"gates.{name}", "no name for a gate; allowed: letters, digits and underscores")
        if gate.channel in taken:
            raise WiringError(f"gates.{name}.channel", f"{gate.channel} is that of {taken[gate.channel]!r} already")
        taken[gate.channel] = name
        low, high = gate.limits
        if not low <= gate.safe <= high:
            raise WiringError(f"gates.{name}.safe", f"{gate.safe:g} V is outside its limits, {low:g} to {high:g} V")


def _check_virtual_gates(gates: Mapping[str, Gate], virtual_gates: Mapping[str, VirtualGate]) -> None:
    moved: dict[str, str] = {}
    for name, virtual in virtual_gates.items():
        where = f"virtual_gates.{name}"
        if not name.isidentifier() or name in gates:
            raise WiringError(where, "no name for a virtual gate; allowed: one of its own of letters and digits")
        for key, gate in (("of", virtual.of), *((f"cross_talk.{gate}", gate) for gate in virtual.cross_talk)):
            if gate not in gates:
                raise WiringError(f"{where}.{key}", f"there is no gate {gate!r}; allowed: {', '.join(gates)}")
        if virtual.of in moved:
            raise WiringError(f"{where}.of", f"{virtual.of!r} is moved by {moved[virtual.of]!r} already")
        if virtual.of in virtual.cross_talk:
            raise WiringError(f"{where}.cross_talk.{virtual.of}", "is the gate it moves, which counts once")
        moved[virtual.of] = name
