"""The signals of gate-defined dots: gates that move together, a bias behind a divider, and what a sweep needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from lab.devices.activation_switch import HeldSignal
from lab.signals import ChoiceError, DriverSignal, LimitError, ValueTypeError

BIAS = "bias"
"""What a sweep calls the voltage between source and drain."""
MOST_POINTS = 65536
"""Values of a list of the DAC."""


class ShapeSignal(HeldSignal):
    """A held quantity on which the shape of the results depends."""

    def apply(self, value: Any) -> None:
        """Keep `value`; results in the shape before are forgotten."""
        super().apply(value)
        self.parent.forget_results()


class SweepSignal(ShapeSignal):
    """Voltages of a sweep."""

    def check_value(self, value: Any) -> None:
        """Raise if `value` is no sequence of finite numbers; the limits of the gate are met when it is swept."""
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError) as error:
            raise ValueTypeError(f"{self.name}: {type(value).__name__} is no array of numbers: {error}") from None
        if array.ndim != 1 or not 1 <= array.size <= MOST_POINTS:
            raise ValueTypeError(f"{self.name}: shape {array.shape}; a list of 1 to {MOST_POINTS} voltages is needed")
        if not np.isfinite(array).all():
            raise LimitError(f"{self.name}: holds values that are not finite")

    def apply(self, value: Any) -> None:
        """Keep the voltages."""
        super().apply(np.array(value, dtype=float))


class IntervalSignal(HeldSignal):
    """The time between samples of a trace: what the digitizer makes of it."""

    def apply(self, value: Any) -> None:
        """Keep the interval that the digitizer will use."""
        super().apply(self.parent.sample_interval(self.parent.trace_points.last, value))


class ApertureSignal(HeldSignal):
    """The time over which a reading is averaged: the nearest that both meters take."""

    def apply(self, value: Any) -> None:
        """Keep the aperture that the meters will use."""
        super().apply(self.parent.aperture(value))


class SweepGateSignal(HeldSignal):
    """The name of what a sweep steps."""

    def check_value(self, value: Any) -> None:
        """Raise if there is no such gate."""
        allowed = (*self.parent.gate_names, BIAS)
        if value not in allowed:
            raise ChoiceError(f"{self.name}: {value!r} is not one of {', '.join(allowed)}")


class GateSignal(DriverSignal):
    """The voltage of a gate or virtual gate: set is done when every gate that moves has arrived."""

    @property
    def limits(self) -> tuple[float, float]:
        """Voltages it can take while the other gates are where they are, V."""
        return self.parent.wiring.reach(self.attribute, self.parent.volts)

    @limits.setter
    def limits(self, limits: tuple[float, float]) -> None:
        raise LimitError(f"{self.name}: limits of {limits}; those of gates are limits of their wiring")

    def check_number(self, value: Any) -> None:
        """Raise if `value` is no number within the limits of every gate that moves."""
        self._limits = self.limits
        super().check_number(value)

    def fetch(self) -> float:
        """Ask where the gates are."""
        return self.parent.wiring.position(self.attribute, self.parent.actual_volts())

    def write(self, value: float) -> None:
        """Move the gates, and wait until they have arrived."""
        self.parent.move(self.attribute, value)


class BiasSignal(DriverSignal):
    """The voltage between source and drain."""

    def fetch(self) -> float:
        """Ask the source."""
        return float(self.parent.driver.bias_source.source_voltage) * self.parent.wiring.bias_attenuation

    def write(self, value: float) -> None:
        """Tell the source."""
        self.parent.driver.bias_source.source_voltage = value / self.parent.wiring.bias_attenuation
