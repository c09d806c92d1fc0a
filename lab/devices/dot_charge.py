"""The activation switch that is the charge of a gate-defined dot, read by its point contact."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lab.devices.activation_switch import ActivationSwitch, Answers
from lab.devices.quantum_dot import QuantumDot, Trace
from lab.model import filter_occupation
from lab.signals import AcquisitionStatus

OVERSAMPLING = 8
"""Samples of the digitizer within one integration time."""
LONGEST_TRACE = 120_000
"""Samples of one trace; more shots than fit are taken in several. A digitizer fills all its memory, whose next size is
ten times as large."""
LEVEL_WINDOWS = 200
"""Integration times over which each level is measured."""
LEAST_CONTRAST = 4.0
"""Standard deviations of an integrated reading by which the levels must differ."""


class LevelsError(RuntimeError):
    """The point contact does not tell the empty dot from the occupied one."""


class DotChargeSwitch(ActivationSwitch):
    """The last electron of a dot: the drive is the voltage of a gate, the outcome +1 where the dot is occupied.

    At zero bias the dot is occupied with the probability 1/(1 + exp(-alpha (V - V0)/kT)) (Milburn and Basiri-Esfahani,
    section 4). A trigger records the point contact; every `shot_interval` one reading of `integration_time` is compared
    with the threshold between the two levels, or the exact filter of the record is asked. Staging brings the gates to
    the operating point and measures the levels at both ends of the span, where the dot is empty and occupied for sure.

    Parameters
    ----------
    dot : QuantumDot
        The dots.
    name : str
        Name in the record.
    gate : str
        The gate that drives the switch, physical or virtual.
    span : (low, high)
        Voltages between which the dot is filled, V.
    operating_point : mapping of str to float
        Voltages of other gates, V; those not named are at their safe ones.
    readout : {"threshold", "bayes"}
        How a record becomes outcomes.
    integration_time, shot_interval : float
        Time of one reading, and from one to the next, s.
    tunnel_rate : float
        Sum of the rates in and out, 1/s; the filter's prior.
    memory : float
        Largest correlation between one shot and the next that is admitted.
    **kwargs
        As of `ActivationSwitch`.
    """

    def __init__(
        self,
        dot: QuantumDot,
        *,
        name: str,
        gate: str,
        span: tuple[float, float],
        operating_point: Mapping[str, float],
        readout: Literal["threshold", "bayes"],
        integration_time: float,
        shot_interval: float,
        tunnel_rate: float,
        memory: float,
        **kwargs: Any,
    ) -> None:
        limits = dot.gate(gate).limits
        super().__init__(dot, name=name, span=span, drive_limits=limits, units="V", memory=memory, **kwargs)
        self.gate = gate
        self.operating_point = dict(operating_point)
        self.readout = readout
        self.integration_time = integration_time
        self.shot_interval = max(shot_interval, integration_time)
        self.tunnel_rate = tunnel_rate
        self.levels = (math.nan, math.nan)
        self.noise_density = math.nan

    def prepare_acquisition(self) -> None:
        """Stage the dots, bring them to the operating point and measure the levels."""
        super().prepare_acquisition()
        self.body.do(self._find_levels)

    def _find_levels(self) -> None:
        """Measure the current of the empty and of the occupied dot, and the noise of a reading.

        Raises
        ------
        LevelsError
            If the two cannot be told apart.
        """
        dot = self.body
        dot.place({**dot.safe_voltages, **self.operating_point})
        readings = []
        for edge in self.span:
            dot.place({self.gate: edge})
            trace = dot.record_trace(LEVEL_WINDOWS * OVERSAMPLING, self.integration_time / OVERSAMPLING)
            window = self._samples(self.integration_time, trace.interval)
            readings.append(_windows(trace.samples, window).mean(axis=1))
        empty, occupied = (float(np.median(reading)) for reading in readings)
        scatter = max(_scatter(reading) for reading in readings)
        if abs(occupied - empty) < LEAST_CONTRAST * scatter:
            raise LevelsError(
                f"{self.name}: {empty:.4g} A with the dot empty and {occupied:.4g} A with it occupied cannot be told "
                f"apart; a reading scatters by {scatter:.2g} A, {LEAST_CONTRAST:g} times that is needed"
            )
        self.levels = (empty, occupied)
        self.noise_density = 2 * scatter**2 * self.integration_time

    def ask(self, status: AcquisitionStatus) -> Answers:
        """Record the point contact at the drive, and read the dot at every shot."""
        self.body.place({self.gate: self.drive.last})
        shots, on, times, seconds = self.shots.last, [], [], 0.0
        taken = 0
        while taken < shots:
            here, starts, duration = self._record(shots - taken)
            on.append(here)
            times.append(seconds + starts)
            seconds += duration
            taken += len(here)
            self.go_on()
            status.report(taken, shots)
        return Answers(np.concatenate(on), np.concatenate(times), seconds)

    def _record(self, shots: int) -> tuple[NDArray[np.bool_], NDArray[np.float64], float]:
        """Record as many shots as fit into one trace; return outcomes, their times and the duration, s."""
        wanted = self.integration_time / OVERSAMPLING
        expected = self.body.sample_interval(LONGEST_TRACE, wanted)
        points = min(LONGEST_TRACE, math.ceil(shots * self.shot_interval / expected) + 1)
        trace = self.body.record_trace(points, wanted)
        samples, every = len(trace.samples), self._samples(self.shot_interval, trace.interval)
        places = np.arange(min(shots, max(1, samples // every))) * every
        window = min(self._samples(self.integration_time, trace.interval), samples)
        rest = max(0.0, self.shot_interval - trace.seconds)
        self.body.clock.sleep(rest)
        return self._outcomes(trace, places, window), places * trace.interval, trace.seconds + rest

    def _outcomes(self, trace: Trace, places: NDArray[np.int64], window: int) -> NDArray[np.bool_]:
        empty, occupied = self.levels
        if self.readout == "bayes":
            probability = filter_occupation(
                trace.samples,
                trace.interval,
                levels=self.levels,
                noise_density=self.noise_density,
                rates=(self.tunnel_rate / 2, self.tunnel_rate / 2),
                bandwidth=self.body.bandwidth.last,
            )
            return probability[places + window - 1] > 0.5
        sums = np.concatenate([[0.0], np.cumsum(trace.samples)])
        means = (sums[places + window] - sums[places]) / window
        return (means - (empty + occupied) / 2) * (occupied - empty) > 0

    @staticmethod
    def _samples(duration: float, interval: float) -> int:
        return max(1, round(duration / interval))


def _windows(samples: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the samples as rows of `window` each, the rest left out."""
    count = max(1, len(samples) // window)
    return samples[: count * window].reshape(count, -1)


def _scatter(readings: NDArray[np.float64]) -> float:
    """Return the standard deviation of normal readings by their median deviation, which a rare jump leaves alone."""
    return 1.4826 * float(np.median(np.abs(readings - np.median(readings))))
