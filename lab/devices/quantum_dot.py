"""Gate-defined dots with their point contact, as plans see them; all quantities in SI units, at the sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Component, Kind

from lab.devices.activation_switch import HeldSignal
from lab.devices.dot_wiring import DotInstruments, DotWiring
from lab.devices.driver_device import DriverDevice
from lab.signals import (
    AcquisitionStatus,
    ChoiceError,
    DriverSignal,
    LimitError,
    ResultSignal,
    ValueTypeError,
    driver_signal,
    result_signal,
)

if TYPE_CHECKING:
    from lab.station import Clock

Array = NDArray[np.float64]

MEASUREMENTS = ("sweep", "conductance", "trace")
BIAS = "bias"
MOST_POINTS = 65536
MOST_SAMPLES = 12_000_000
ARRIVAL = 20e-6
"""A gate has arrived within so many volts of where it was sent: many steps of the DAC, little against any gate."""
PATIENCE = 5.0
"""Seconds, beyond the time they take, that readings are waited for."""


class GateMoveError(RuntimeError):
    """A gate did not arrive where it was sent."""


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


class QuantumDot(DriverDevice):
    """Gate-defined dots: gates, a bias, a current, and the point contact that senses their charge.

    One `trigger` does what `measurement` says: "sweep" steps `sweep_gate` through `sweep_values` in one buffered line
    of the DAC, with a reading of both meters at every step; "conductance" steps it and reads the lock-in; "trace"
    records the point contact and filters the record. Staging protects the gates and switches the bias on at 0 V;
    unstaging ramps everything to its safe voltage. Made by `make_quantum_dot`, which gives it one signal per gate.

    Parameters
    ----------
    driver : DotInstruments
        The drivers.
    wiring : DotWiring
        The cables.
    name : str
        Name in the record.
    clock : Clock
        Clock of the station, on which ramps and settling are waited for.
    """

    bias = driver_signal("source_voltage", cls=BiasSignal, units="V", limits=(0, 0))
    measurement = driver_signal("measurement", cls=ShapeSignal, dtype="string", choices=MEASUREMENTS)
    sweep_gate = driver_signal("sweep_gate", cls=SweepGateSignal, dtype="string", kind=Kind.omitted)
    sweep_values = driver_signal("sweep_values", cls=SweepSignal, units="V", dims=("point",), kind=Kind.omitted)
    settling_time = driver_signal("settling_time", cls=HeldSignal, units="s", limits=(1e-6, 100))
    integration_time = driver_signal("integration_time", cls=HeldSignal, units="s", limits=(2e-5, 2))
    excitation = driver_signal("excitation", cls=HeldSignal, units="V", limits=(4e-8, 5e-5))
    trace_interval = driver_signal("trace_interval", cls=IntervalSignal, units="s", limits=(1e-9, 1))
    trace_points = driver_signal(
        "trace_points", cls=ShapeSignal, dtype="integer", limits=(16, MOST_SAMPLES), units="samples"
    )
    level_empty = driver_signal("level_empty", cls=HeldSignal, units="A", limits=(-1e-3, 1e-3))
    level_occupied = driver_signal("level_occupied", cls=HeldSignal, units="A", limits=(-1e-3, 1e-3))
    noise_density = driver_signal("noise_density", cls=HeldSignal, units="A^2/Hz", limits=(0, 1e-12))
    rate_in = driver_signal("rate_in", cls=HeldSignal, units="1/s", limits=(0, 1e9))
    rate_out = driver_signal("rate_out", cls=HeldSignal, units="1/s", limits=(0, 1e9))
    bandwidth = driver_signal("bandwidth", cls=HeldSignal, units="Hz", limits=(1e-3, 1e12))

    current = result_signal(dims=("point",), units="A", kind=Kind.hinted)
    sensor_current = result_signal(dims=("point",), units="A")
    conductance = result_signal(dims=("point",), units="S", kind=Kind.omitted)
    trace = result_signal(dims=("sample",), units="A", kind=Kind.omitted)
    occupation = result_signal(dims=("sample",), kind=Kind.omitted)
    run_time = result_signal(units="s")

    def __init__(self, driver: DotInstruments, *, wiring: DotWiring, name: str, clock: Clock, **kwargs: Any) -> None:
        self.wiring = wiring
        self.clock = clock
        self._volts: dict[str, float] | None = None
        super().__init__(driver, name=name, **kwargs)
        for gate in wiring.gates.values():
            driver.dac.channel(gate.channel).protect(limits=gate.limits, slew=gate.slew)
        low, high = (edge / wiring.bias_attenuation for edge in wiring.bias_limits)
        driver.bias_source.protect(voltage=(low, high))
        self.limit("bias", *wiring.bias_limits)
        held = {
            "measurement": "sweep",
            "sweep_gate": next(iter(wiring.gates)),
            "sweep_values": np.zeros(1),
            "settling_time": 1e-3,
            "integration_time": 1e-3,
            "excitation": 1e-6,
            "trace_interval": 1e-5,
            "trace_points": 10000,
            "level_empty": 0.0,
            "level_occupied": 0.0,
            "noise_density": 0.0,
            "rate_in": 0.0,
            "rate_out": 0.0,
            "bandwidth": wiring.sensor_bandwidth,
        }
        for key, value in held.items():
            getattr(self, key).store(value)

    # gates

    @property
    def gate_names(self) -> tuple[str, ...]:
        """Names of the gates, then of the virtual gates."""
        return self.wiring.names

    def gate(self, name: str) -> GateSignal:
        """Return a gate by name.

        Raises
        ------
        KeyError
            If there is none.
        """
        if name not in self.gate_names:
            raise KeyError(f"{self.name} has no gate {name!r}; it has: {', '.join(self.gate_names)}")
        return getattr(self, name)

    @property
    def volts(self) -> Mapping[str, float]:
        """Where the gates are, V, as far as was asked or told; asked from the DAC the first time."""
        return self.actual_volts() if self._volts is None else self._volts

    def actual_volts(self) -> dict[str, float]:
        """Ask the DAC where the gates are, V."""
        dac = self.driver.dac
        volts = {name: float(dac.channel(gate.channel).actual_voltage) for name, gate in self.wiring.gates.items()}
        self._volts = dict(volts)
        return volts

    def move(self, name: str, value: float) -> None:
        """Bring a gate or virtual gate to a voltage, V, as fast as the slews allow, on the device's thread."""
        self._send({gate: float(ends[0]) for gate, ends in self.wiring.moved(name, [value], self.volts).items()})

    def place(self, voltages: Mapping[str, float]) -> None:
        """Bring gates, by name, to voltages, V, one after the other, on the device's thread."""
        for name, value in voltages.items():
            self.gate(name).check_value(value)
            self.gate(name).apply(value)

    def _send(self, targets: Mapping[str, float]) -> None:
        """Ramp gates side by side, and wait until they have arrived."""
        channels = {gate: self.driver.dac.channel(self.wiring.gates[gate].channel) for gate in targets}
        durations = [channels[gate].ramp(volts) for gate, volts in targets.items()]
        self.clock.sleep(max(durations, default=0.0))
        for gate, volts in targets.items():
            arrived = float(channels[gate].actual_voltage)
            if abs(arrived - volts) > ARRIVAL:
                raise GateMoveError(f"{self.name}: {gate} is at {arrived:.6g} V and not at {volts:.6g} V")
        self._volts = {**self.volts, **targets}

    # acquisition

    def length(self, dim: str) -> int:
        """Return the length of an axis of the next results."""
        trace = self.measurement.last == "trace"
        if dim == "sample":
            return self.trace_points.last if trace else 0
        return 0 if trace else len(self.sweep_values.last)

    def forget_results(self) -> None:
        """Forget the results; what is read next has the shape of the next run."""
        for name in self.component_names:
            signal = getattr(self, name)
            if isinstance(signal, ResultSignal):
                signal.clear()

    def prepare_acquisition(self) -> None:
        """Set the slews of the gates, and switch the bias on at 0 V."""
        for gate in self.wiring.gates.values():
            self.driver.dac.channel(gate.channel).slew = gate.slew
        self.actual_volts()
        source = self.driver.bias_source
        source.source_voltage = 0.0
        source.source_enabled = True
        self.bias.store(0.0)

    def acquire(self, status: AcquisitionStatus) -> None:
        """Do what `measurement` says."""
        {"sweep": self._sweep, "conductance": self._conductance, "trace": self._trace}[self.measurement.last](status)

    def _sweep(self, status: AcquisitionStatus) -> None:
        values = self.sweep_values.last
        if self.sweep_gate.last == BIAS:
            rows = [self._line(self._biased(value), status, len(values)) for value in values]
            current, sensor, seconds = (np.concatenate(column) for column in zip(*rows, strict=True))
        else:
            current, sensor, seconds = self._line(self._steps(values), status, len(values))
        self.go_on()
        self.current.store(current)
        self.sensor_current.store(sensor)
        self.run_time.store(float(np.sum(seconds)))

    def _steps(self, values: Array) -> dict[str, Array]:
        """Return the voltages of every gate that a sweep moves; raise before anything moves if one is not allowed."""
        name = self.sweep_gate.last
        for edge in (values.min(), values.max()):
            self.gate(name).check_value(float(edge))
        return self.wiring.moved(name, values, self.volts)

    def _biased(self, value: float) -> dict[str, Array]:
        self.bias.check_value(float(value))
        self.bias.apply(float(value))
        first = next(iter(self.wiring.gates))
        return {first: np.array([self.volts[first]])}

    def _line(self, steps: Mapping[str, Array], status: AcquisitionStatus, total: int) -> tuple[Array, Array, Array]:
        """Step gates through voltages in one buffered line; return both currents, A, and the time it took, s."""
        dac, wiring = self.driver.dac, self.wiring
        points = len(next(iter(steps.values())))
        self._send({gate: float(volts[0]) for gate, volts in steps.items()})
        delay = self.settling_time.last + max(self._slewing(gate, volts) for gate, volts in steps.items())
        ranges = {
            self.driver.ammeter: wiring.current_range * wiring.current_gain,
            self.driver.sensor_meter: wiring.sensor_range * wiring.sensor_gain,
        }
        intervals = [
            meter.arm(readings=points, range=volts, aperture=self.integration_time.last, delay=delay, source="external")
            for meter, volts in ranges.items()
        ]
        dwell = delay + max(intervals)
        dac.load_lists(
            {wiring.gates[gate].channel: volts for gate, volts in steps.items()},
            dwell=dwell,
            step_output=wiring.step_output,
        )
        dac.start_lists()
        readings = [meter.readings(points, points * dwell + PATIENCE) for meter in ranges]
        dac.finish_lists()
        self._volts = {**self.volts, **{gate: float(volts[-1]) for gate, volts in steps.items()}}
        status.report(points, total)
        current, sensor = readings
        return current / wiring.current_gain, sensor / wiring.sensor_gain, np.array([points * dwell])

    def _slewing(self, gate: str, volts: Array) -> float:
        """Return the time that the largest step of a list takes, s."""
        return float(np.abs(np.diff(volts)).max(initial=0.0)) / self.wiring.gates[gate].slew

    def _conductance(self, status: AcquisitionStatus) -> None:
        lock_in, wiring = self.driver.lock_in, self.wiring
        if lock_in is None:
            raise ValueError(f"{self.name} has no lock-in; allowed measurements: sweep, trace")
        lock_in.sine_voltage = self.excitation.last / wiring.excitation_attenuation
        excitation = float(lock_in.sine_voltage) * wiring.excitation_attenuation
        steps = self._steps(self.sweep_values.last)
        total, conductance = len(self.sweep_values.last), []
        for index in range(total):
            self._send({gate: float(volts[index]) for gate, volts in steps.items()})
            self.clock.sleep(self.settling_time.last)
            conductance.append(float(lock_in.x) / wiring.current_gain / excitation)
            self.go_on()
            status.report(index + 1, total)
        self.conductance.store(conductance)
        self.run_time.store(total * self.settling_time.last)

    def _trace(self, status: AcquisitionStatus) -> None:
        interval, samples = self.record_trace(self.trace_points.last, self.trace_interval.last)
        self.go_on()
        self.trace_interval.store(interval)
        self.trace.store(samples)
        self.occupation.store(self.filtered(samples, interval))
        self.run_time.store(interval * len(samples))
        status.report(len(samples), len(samples))

    def sample_interval(self, points: int, interval: float) -> float:
        """Return the interval that the digitizer will use for so many samples at most `interval` s apart, s."""
        return self.driver.digitizer.sample_interval(points, interval)

    def record_trace(self, points: int, interval: float) -> tuple[float, Array]:
        """Record the point contact, centred on its mean, on the device's thread.

        Returns
        -------
        interval : float
            Time between samples, s.
        samples : ndarray, shape (points,)
            A.
        """
        wiring, digitizer, meter = self.wiring, self.driver.digitizer, self.driver.sensor_meter
        meter.arm(readings=1, range=wiring.sensor_range * wiring.sensor_gain, aperture=1e-3, delay=0.0)
        (centre,) = meter.readings(1, PATIENCE)
        times, volts = digitizer.record(
            wiring.digitizer_channel,
            points=points,
            interval=interval,
            scale=wiring.trace_range * wiring.sensor_gain / 8,
            offset=-float(centre),
            timeout=points * interval + PATIENCE,
        )
        return float(times[1] - times[0]), volts / wiring.sensor_gain

    def filtered(self, samples: Array, interval: float) -> Array:
        """Return the probability of occupation given the samples up to each, NaN while the filter is not set up."""
        if self.level_empty.last == self.level_occupied.last or self.noise_density.last <= 0:
            return np.full(len(samples), math.nan)
        from lab.model import filter_occupation

        return filter_occupation(
            samples,
            interval,
            levels=(self.level_empty.last, self.level_occupied.last),
            noise_density=self.noise_density.last,
            rates=(self.rate_in.last, self.rate_out.last),
            bandwidth=self.bandwidth.last,
        )

    # safety

    def safety_steps(self) -> list[tuple[str, Callable[[], Any]]]:
        """Sweep ended, bias to 0 V and off, gates to their safe voltages."""
        return [
            ("sweep ended", self._end_sweep),
            ("bias off", self._bias_off),
            ("gates at their safe voltages", self._gates_safe),
        ]

    def _end_sweep(self) -> None:
        failures = list(
            _failures((self.driver.dac.stop_all, self.driver.ammeter.abort, self.driver.sensor_meter.abort))
        )
        if failures:
            raise ExceptionGroup("a sweep could not be ended", failures)

    def _bias_off(self) -> None:
        source = self.driver.bias_source
        source.source_voltage = 0.0
        source.source_enabled = False

    def _gates_safe(self) -> None:
        self._volts = None
        self._send({name: gate.safe for name, gate in self.wiring.gates.items()})


def _failures(steps: Iterable[Callable[[], Any]]) -> Iterable[Exception]:
    """Try every step, whatever happens to the others; yield what they raised."""
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001
            yield error


def make_quantum_dot(driver: DotInstruments, wiring: DotWiring, *, name: str, clock: Clock) -> QuantumDot:
    """Make the device of a sample, with one signal for each of its gates.

    Parameters
    ----------
    driver : DotInstruments
        The drivers.
    wiring : DotWiring
        The cables.
    name : str
        Name in the record.
    clock : Clock
        Clock of the station.
    """
    gates = {gate: Component(GateSignal, attribute=gate, units="V", kind=Kind.config) for gate in wiring.names}
    return type("QuantumDot", (QuantumDot,), gates)(driver, wiring=wiring, name=name, clock=clock)
