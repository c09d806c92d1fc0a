"""Calibration of an activation switch: which drive gives which activation, ``beta A``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from protocols.arguments import ArgumentError
from protocols.binomial_fit import DEGREE, fit_counts
from protocols.ports import ActivationSwitch

Array = NDArray[np.float64]


class CalibrationError(RuntimeError):
    """A switch whose transition cannot be found or measured."""


SUMMARY = ("beta", "beta_standard_error", "offset", "offset_standard_error", "degree", "floor", "loss", "p_value")
"""What a result says of a calibration."""


def allowed_drives(switch: ActivationSwitch) -> tuple[float, float]:
    """Return the lowest and the highest drive a switch may be given."""
    low, high = switch.drive.limits or switch.span
    return float(low), float(high)


@dataclass(frozen=True)
class CurvePoint:
    """A drive and what a switch gave there.

    Attributes
    ----------
    drive : float
        The drive in force, in its unit.
    probability, probability_standard_error : float
        Fraction of +1, and its standard error.
    on_count, shots : int
        Outcomes +1, and all outcomes.
    correlation : float
        Shots of the switch that tell as much as one independent one: 1 without memory.
    """

    drive: float
    probability: float
    probability_standard_error: float
    on_count: int
    shots: int
    correlation: float


@dataclass(frozen=True)
class SwitchCalibration:
    """The activation of a switch against its drive, fitted to counts.

    The probability of +1 is ``floor + (1 - floor - loss) sigma(a)``; the activation ``a = beta A`` is a polynomial of
    ``z = (drive - centre)/half_width`` over the fitted drives, where z goes from -1 to 1, and goes on as a straight
    line beyond them. Floor and loss belong to the read-out, not to the activation.

    Attributes
    ----------
    switch : str
        Name of the switch.
    unit : str
        Unit of its drive.
    centre, half_width : float
        Middle, and half the width, of the fitted drives, in that unit.
    degree : int
        Degree of the polynomial.
    coefficients : sequence of float
        Of the powers 0, 1, ... of z; zero above the degree.
    floor, loss : float
        Probability of +1 far below the transition, and of -1 far above it.
    covariance : sequence of sequence of float
        Of the coefficients, the floor and the loss.
    deviance : float
        Of the fit.
    p_value : float
        Probability of counts that are at least as far from the curve.
    drive_limits : sequence of float
        Lowest and highest drive allowed.
    uid : str
        Unique identifier of the run that measured it; empty for the present one.
    """

    switch: str
    unit: str
    centre: float
    half_width: float
    degree: int
    coefficients: Sequence[float]
    floor: float
    loss: float
    covariance: Sequence[Sequence[float]]
    deviance: float
    p_value: float
    drive_limits: Sequence[float]
    uid: str = ""

    @classmethod
    def fitted(cls, switch: ActivationSwitch, points: Sequence[CurvePoint]) -> "SwitchCalibration":
        """Fit the curve that a switch has shown.

        Raises
        ------
        CalibrationError
            The points determine no curve.
        """
        drives = np.array([point.drive for point in points])
        centre, half_width = (drives.max() + drives.min()) / 2.0, np.ptp(drives) / 2.0
        on = np.array([point.on_count / point.correlation for point in points])
        shots = np.array([point.shots / point.correlation for point in points])
        fit = fit_counts((drives - centre) / half_width, on, shots) if half_width > 0 else None
        if fit is None:
            raise CalibrationError(
                f"{switch.name}: {len(points)} drives from {drives.min():g} to {drives.max():g} {switch.drive.units} "
                "determine no rising curve; more drives, or more shots, within the transition are needed"
            )
        return cls(
            switch=switch.name,
            unit=switch.drive.units,
            centre=float(centre),
            half_width=float(half_width),
            degree=fit.degree,
            coefficients=tuple(fit.coefficients.tolist()),
            floor=fit.floor,
            loss=fit.loss,
            covariance=tuple(map(tuple, fit.covariance.tolist())),
            deviance=fit.deviance,
            p_value=fit.p_value,
            drive_limits=allowed_drives(switch),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SwitchCalibration":
        """Take a calibration from what `as_dict` gave, or from an event that holds it among other values.

        Raises
        ------
        ArgumentError
            Something is missing.
        """
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in values and name != "uid"]
        if missing:
            raise ArgumentError(
                f"calibration: {', '.join(missing)} missing; allowed: finished runs of switch_curve and learn_gate"
            )
        return cls(**{name: _plain(values[name]) for name in names if name in values})

    @classmethod
    def from_event(cls, start: Mapping[str, Any], data: Mapping[str, Any]) -> "SwitchCalibration":
        """Take a calibration from the documents of the run that measured it.

        Parameters
        ----------
        start : mapping
            The start document.
        data : mapping
            The data of an event of the stream "calibration".

        Raises
        ------
        ArgumentError
            The run holds no calibration.
        """
        return cls.from_dict({**data, "uid": str(start.get("uid", ""))})

    def as_dict(self) -> dict[str, Any]:
        """Return everything as numbers, words and lists, which JSON knows."""
        return {name: _listed(value) for name, value in asdict(self).items()}

    def activation(self, drive: float) -> tuple[float, float]:
        """Return the activation ``beta A`` at a drive, and its standard error."""
        z = (drive - self.centre) / self.half_width
        return self._logit(z), self._error(self._powers(z))

    def probability(self, activation: float) -> float:
        """Return the probability of +1 at an activation, with floor and loss."""
        return self.floor + (1.0 - self.floor - self.loss) * float(expit(activation))

    def drive(self, activation: float) -> float:
        """Return the drive of an activation ``beta A``, or the nearest drive that is allowed."""
        low, high = self.drive_limits
        return min(max(self.centre + self.half_width * self._position(activation), low), high)

    def reached(self, activation: float) -> float:
        """Return the activation that the allowed drives reach of a wanted one."""
        low, high = (self._logit((limit - self.centre) / self.half_width) for limit in self.drive_limits)
        return min(max(activation, low), high)

    @property
    def offset(self) -> float:
        """Drive at which the activation is zero."""
        return self.centre + self.half_width * self._position(0.0)

    @property
    def offset_standard_error(self) -> float:
        """Standard error of the offset."""
        z = self._position(0.0)
        return self.half_width * self._error(self._powers(z)) / self._slope(z)

    @property
    def beta(self) -> float:
        """Slope of the activation by the drive where it is zero, in one over the unit of the drive."""
        return self._slope(self._position(0.0)) / self.half_width

    @property
    def beta_standard_error(self) -> float:
        """Standard error of the slope; that of the place where it is taken is included."""
        z = self._position(0.0)
        curvature = self._derivative(z, 2) if abs(z) < 1.0 else 0.0
        return self._error(self._slopes(z) - curvature / self._slope(z) * self._powers(z)) / self.half_width

    def summary(self) -> dict[str, float]:
        """Return what a result says of it, by the names of `SUMMARY`."""
        return {name: getattr(self, name) for name in SUMMARY}

    def _logit(self, z: float) -> float:
        inner = min(max(z, -1.0), 1.0)
        return self._derivative(inner, 0) + self._slope(inner) * (z - inner)

    def _slope(self, z: float) -> float:
        return self._derivative(min(max(z, -1.0), 1.0), 1)

    def _derivative(self, z: float, order: int) -> float:
        """Return a derivative of the polynomial by Horner's rule."""
        value = 0.0
        for power in range(self.degree, order - 1, -1):
            value = value * z + self.coefficients[power] * math.perm(power, order)
        return value

    def _position(self, activation: float) -> float:
        """Return z of an activation."""
        for end in (-1.0, 1.0):
            beyond = (activation - self._derivative(end, 0)) / self._derivative(end, 1)
            if end * beyond >= 0.0:
                return end + beyond
        return float(brentq(lambda z: self._derivative(z, 0) - activation, -1.0, 1.0, xtol=1e-14))

    def _powers(self, z: float) -> Array:
        """Return the derivative of the activation by the coefficients."""
        inner = min(max(z, -1.0), 1.0)
        return inner ** np.arange(DEGREE + 1.0) + self._slopes(inner) * (z - inner)

    def _slopes(self, z: float) -> Array:
        """Return the derivative of the slope by the coefficients."""
        powers = np.arange(DEGREE + 1.0)
        return powers * min(max(z, -1.0), 1.0) ** np.maximum(powers - 1.0, 0.0)

    def _error(self, by_coefficients: Array) -> float:
        covariance = np.asarray(self.covariance)[: DEGREE + 1, : DEGREE + 1]
        return float(np.sqrt(max(by_coefficients @ covariance @ by_coefficients, 0.0)))


def _plain(value: Any) -> Any:
    """Return arrays and lists as tuples, and numbers and words as Python's own."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _listed(value: Any) -> Any:
    return [_listed(element) for element in value] if isinstance(value, (list, tuple)) else value
