"""Single photons in a superposition of temporal modes, read through another superposition by a counting detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Kind

from lab.devices.activation_switch import HeldSignal, fraction
from lab.devices.driver_device import DriverDevice, take_every_step
from lab.signals import AcquisitionStatus, LimitError, ValueTypeError, driver_signal, result_signal

MOST_ATTEMPTS = 1_000_000
"""Attempts that the counter keeps apart."""
PATIENCE = 5.0
"""Seconds, beyond the time they take, that counts are waited for."""
WRITE, READ = 1, 2
"""Channels of the AWG that shape the photon and the read-out."""
NAMES = {WRITE: "WRITE", READ: "READ"}
LEAST_POINTS = 8
"""Samples that a waveform of the AWG has at least."""
SHORTEST_GATE = 1e-4
"""Shortest gate that the counter times itself, s."""
IDLE = 2e-6
"""Time that the AWG needs between two bursts, s."""


class TimingError(ValueError):
    """Pulses that do not fit into their period.

    Attributes
    ----------
    key : str
        Where, such as ``gate_time``.
    problem : str
        What is wrong, and what is allowed.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


@dataclass(frozen=True)
class PhotonInstruments:
    """The drivers below a photon kernel."""

    awg: Any
    counter: Any

    @property
    def outputs_enabled(self) -> bool:
        """Whether pulses go out."""
        return any(bool(self.awg.channels[channel].output) for channel in (WRITE, READ))


@dataclass(frozen=True)
class PulseTiming:
    """When pulses come and how long they are.

    Attributes
    ----------
    modes : int
        Largest number of modes, which are time bins one after the other.
    bin_time : float
        Duration of a mode, s.
    period : float
        From one attempt to the next, s.
    amplitude : float
        Largest voltage of a pulse, V.
    gate_time : float
        How long the counter's gate stays open at each attempt, s.

    Raises
    ------
    TimingError
        If modes or gate do not fit into a period, or the amplitude is not positive.
    """

    modes: int
    bin_time: float
    period: float
    amplitude: float
    gate_time: float

    def __post_init__(self) -> None:
        if (least := self.points * self.bin_time + IDLE) > self.period:
            raise TimingError("period", f"{self.period:g} s is too short for the modes; at least {least:g} s is needed")
        if self.gate_time > self.period:
            raise TimingError("gate_time", f"{self.gate_time:g} s is too long; up to a period is allowed")
        if not self.amplitude > 0:
            raise TimingError("amplitude", f"{self.amplitude:g} V is not allowed; above 0 V")

    @property
    def points(self) -> int:
        """Samples of a pulse: one a mode, none of the light before and after."""
        return max(LEAST_POINTS, self.modes + 2)

    def waveform(self, amplitudes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a pulse with these amplitudes, the largest of which is 1; shape (points,).

        It begins with 0, which is what the AWG puts out between bursts.
        """
        wave = np.zeros(self.points)
        wave[1 : 1 + len(amplitudes)] = amplitudes / np.abs(amplitudes).max()
        return wave


class VectorSignal(HeldSignal):
    """Amplitudes over the modes."""

    def check_value(self, value: Any) -> None:
        """Raise if `value` is no vector over the modes, or all zero."""
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError) as error:
            raise ValueTypeError(f"{self.name}: {type(value).__name__} is no array of numbers: {error}") from None
        most = self.parent.modes
        if array.ndim != 1 or not 1 <= array.size <= most:
            raise ValueTypeError(f"{self.name}: shape {array.shape}; a list of 1 to {most} amplitudes is needed")
        if not np.isfinite(array).all() or not array.any():
            raise LimitError(f"{self.name}: {array.tolist()} is no direction; finite amplitudes, not all 0, are needed")

    def apply(self, value: Any) -> None:
        """Keep the amplitudes; a pulse that has changed is shaped at the next trigger."""
        amplitudes = np.array(value, dtype=float)
        if not np.array_equal(amplitudes, self.last):
            self.parent.unshaped.add(self.attribute)
        super().apply(amplitudes)


class LightSignal(HeldSignal):
    """Whether pulses go out."""

    def check_value(self, value: Any) -> None:
        """Raise if `value` is no truth value."""
        if not isinstance(value, (bool, np.bool_)):
            raise ValueTypeError(f"{self.name}: {value!r} is neither True nor False")


class GateTimeSignal(HeldSignal):
    """How long the gate stays open: that of the pulses, or one that the counter times."""

    def check_number(self, value: Any) -> None:
        """Raise if there is no such gate."""
        super().check_number(value)
        if (pulsed := self.parent.timing.gate_time) != value < SHORTEST_GATE:
            raise LimitError(
                f"{self.name}: {value:g} s is neither {pulsed:g} s, with the pulses, nor {SHORTEST_GATE:g} s or more"
            )


class ShotsSignal(HeldSignal):
    """The attempts of a trigger, on which the shape of the results depends."""

    def apply(self, value: Any) -> None:
        """Keep the number; counts in the shape before are forgotten."""
        super().apply(value)
        self.parent.counts.clear()


class PhotonKernel(DriverDevice):
    """A photon kernel: two channels of an AWG shape the photon and its read-out, a counter sees the clicks.

    The photon carries `inputs`, the read-out `weights`, both over time bins one after the other; the probability of a
    click is linear in their overlap F = (w.x)^2/(|w|^2 |x|^2) (Milburn and Basiri-Esfahani, section 13). One `trigger`
    makes `shots` attempts; the AWG's trigger opens the counter's gate at each. With another `gate_time` than that gate
    the counter times its gates itself, one after the other, whenever pulses come: for dark counts.

    Parameters
    ----------
    driver : PhotonInstruments
        The drivers.
    timing : PulseTiming
        When pulses come.
    name : str
        Name in the record.
    counter_channel : int
        Input of the counter the detector is on.
    threshold : float
        Level of the discriminator to begin with, V.
    """

    inputs = driver_signal("inputs", cls=VectorSignal, dims=("mode",))
    weights = driver_signal("weights", cls=VectorSignal, dims=("mode",))
    light = driver_signal("light", cls=LightSignal, dtype="boolean")
    shots = driver_signal("shots", cls=ShotsSignal, dtype="integer", limits=(1, MOST_ATTEMPTS))
    gate_time = driver_signal("gate_time", cls=GateTimeSignal, units="s", limits=(1e-9, 1000))
    threshold = driver_signal("threshold", cls=HeldSignal, units="V", limits=(-5, 5))

    clicks = result_signal(numpy_type=np.int64)
    click_probability = result_signal(kind=Kind.hinted)
    click_probability_standard_error = result_signal()
    counts = result_signal(dims=("shot",), numpy_type=np.int64, kind=Kind.omitted)
    run_time = result_signal(units="s")

    def __init__(
        self,
        driver: PhotonInstruments,
        timing: PulseTiming,
        *,
        name: str,
        counter_channel: int = 1,
        threshold: float,
        **kwargs: Any,
    ) -> None:
        self.timing = timing
        self.counter_channel = counter_channel
        self.unshaped: set[str] = set()
        super().__init__(driver, name=name, **kwargs)
        for channel in (WRITE, READ):
            driver.awg.channels[channel].protect((-timing.amplitude, timing.amplitude))
        self.inputs.store(np.ones(1))
        self.weights.store(np.ones(1))
        self.light.store(True)
        self.shots.store(1000)
        self.limit("gate_time", timing.gate_time, 1000)
        self.gate_time.store(timing.gate_time)
        self.threshold.store(threshold)

    @property
    def modes(self) -> int:
        """Largest number of modes."""
        return self.timing.modes

    def length(self, dim: str) -> int:
        """Return the length of an axis of the next results."""
        return {"shot": self.shots.last}[dim]

    def prepare_acquisition(self) -> None:
        """Set the AWG to one pulse a period on both channels, each with an edge from its trigger output."""
        awg = self.driver.awg
        for number in (WRITE, READ):
            channel = awg.channels[number]
            channel.output = False
            channel.burst_state = False
            channel.trigger_source = "IMM"
            channel.burst_mode = "TRIG"
            channel.burst_ncycles = 1
        self.unshaped = {"inputs", "weights"}
        self._shape()
        for number in (WRITE, READ):
            channel = awg.channels[number]
            channel.burst_period = self.timing.period
            channel.burst_state = True
        awg.ext_trig_out = True

    def instruments(self) -> list[Any]:
        """Return the AWG and the counter."""
        return [self.driver.awg, self.driver.counter]

    def put_back(self, instruments: Sequence[Any]) -> None:
        """Set the AWG up again; the counter is set up for every acquisition."""
        if self.staged and self.driver.awg in instruments:
            self.prepare_acquisition()

    def acquire(self, status: AcquisitionStatus) -> None:
        """Make the attempts, and fill the results."""
        counts = self.attempt(self.shots.last)
        self.go_on()
        clicks = int(np.count_nonzero(counts))
        probability, error = fraction(clicks, counts.size - clicks)
        self.clicks.store(clicks)
        self.click_probability.store(probability)
        self.click_probability_standard_error.store(error)
        self.counts.store(counts)
        self.run_time.store(counts.size * self.attempt_time)
        status.report(counts.size, counts.size)

    @property
    def timed(self) -> bool:
        """Whether the counter times its gates itself."""
        return self.gate_time.last != self.timing.gate_time

    @property
    def attempt_time(self) -> float:
        """Time from one gate to the next, s."""
        return self.gate_time.last if self.timed else self.timing.period

    def attempt(self, shots: int) -> NDArray[np.int64]:
        """Count at so many pulses, on the device's thread; return the counts of each attempt, shape (shots,)."""
        awg, counter = self.driver.awg, self.driver.counter
        self._shape()
        for channel in (WRITE, READ):
            awg.channels[channel].output = bool(self.light.last)
        awg.phase_sync()
        counter.arm_totalise(
            gates=shots,
            gate_time=self.gate_time.last,
            threshold=self.threshold.last,
            channel=self.counter_channel,
            source="time" if self.timed else "external",
        )
        self.begun()
        return counter.counts(shots, shots * self.attempt_time + PATIENCE)

    def _shape(self) -> None:
        """Give the AWG the pulses that have changed."""
        for number, signal in ((WRITE, self.inputs), (READ, self.weights)):
            if signal.attribute in self.unshaped:
                channel = self.driver.awg.channels[number]
                channel.data_volatile_clear()
                channel.upload(NAMES[number], self.timing.waveform(signal.last))
                channel.play(NAMES[number])
                channel.arb_srate = 1 / self.timing.bin_time
                channel.levels = (-self.timing.amplitude, self.timing.amplitude)
                self.unshaped.discard(signal.attribute)

    @property
    def at_rest(self) -> bool:
        """Whether no pulses go out."""
        return not self.driver.outputs_enabled

    def safety_steps(self) -> list[tuple[str, Callable[[], Any]]]:
        """End counting, switch the pulses off."""
        return [("counting ended", self.driver.counter.abort), ("pulses off", self._pulses_off)]

    def _pulses_off(self) -> None:
        channels = [self.driver.awg.channels[channel] for channel in (WRITE, READ)]
        steps = [partial(setattr, channel, "output", False) for channel in channels]
        take_every_step("pulses could not be switched off", steps)
