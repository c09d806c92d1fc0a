"""The activation switch that is a photon detector: on if enough pulses of a shot click."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import betainc, betaincinv, expit, logit

from lab.devices.activation_switch import ActivationSwitch, Answers
from lab.devices.photon_kernel import MOST_ATTEMPTS, PhotonKernel
from lab.signals import AcquisitionStatus

WIDEST = 12.0
"""Largest nominal activation, either sign."""
SPAN = 7.0
"""Nominal activation at which the switch is nearly always on, or off."""


class PhotonSwitch(ActivationSwitch):
    """A train of single photons: the drive sets how much the read pulse overlaps with them, clicks are the outcome.

    A shot is a train of `pulses` attempts; it is +1 if at least `least_clicks` of them click. The overlap F is chosen
    so that a detector of the stated efficiency, without dark counts, is on with the probability 1/(1 + exp(-drive));
    what it is with this detector, a calibration says. (Milburn and Basiri-Esfahani, section 13: the click probability
    is linear in F.)

    Parameters
    ----------
    photon : PhotonKernel
        The kernel.
    name : str
        Name in the record.
    pulses, least_clicks : int
        Attempts of a shot, and the clicks it takes.
    efficiency : float
        Clicks per photon at full overlap, as far as it is known.
    memory : float
        Largest correlation between one shot and the next that is admitted.
    **kwargs
        As of `ActivationSwitch`.

    Raises
    ------
    ValueError
        If even full overlap leaves the switch nearly always off.
    """

    def __init__(
        self,
        photon: PhotonKernel,
        *,
        name: str,
        pulses: int,
        least_clicks: int,
        efficiency: float,
        memory: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.pulses = pulses
        self.least_clicks = least_clicks
        self.efficiency = efficiency
        most = min(WIDEST, float(logit(betainc(least_clicks, pulses - least_clicks + 1, efficiency))))
        if most <= -SPAN:
            raise ValueError(f"{name}: {least_clicks} clicks of {pulses} pulses hardly ever come; fewer are needed")
        super().__init__(
            photon,
            name=name,
            span=(-SPAN, min(SPAN, most)),
            drive_limits=(-WIDEST, most),
            units="",
            memory=memory,
            **kwargs,
        )

    def overlap(self, drive: float) -> float:
        """Return the overlap F, 0 to 1, of a nominal activation."""
        click = betaincinv(self.least_clicks, self.pulses - self.least_clicks + 1, expit(drive))
        return min(1.0, float(click) / self.efficiency)

    def ask(self, status: AcquisitionStatus) -> Answers:
        """Turn the read pulse to the overlap, send the trains, and see in which of them enough clicked."""
        photon: PhotonKernel = self.body
        angle = math.acos(math.sqrt(self.overlap(self.drive.last)))
        photon.inputs.apply([1.0, 0.0])
        photon.weights.apply([math.cos(angle), math.sin(angle)])
        photon.light.apply(True)
        photon.gate_time.apply(photon.timing.gate_time)
        shots, at_once = self.shots.last, MOST_ATTEMPTS // self.pulses
        on = []
        for first in range(0, shots, at_once):
            count = min(at_once, shots - first)
            clicked = photon.attempt(count * self.pulses) > 0
            on.append(clicked.reshape(count, self.pulses).sum(axis=1) >= self.least_clicks)
            self.go_on()
            status.report(first + count, shots)
        train = self.pulses * photon.timing.period
        return Answers(np.concatenate(on), np.arange(shots) * train, shots * train)
