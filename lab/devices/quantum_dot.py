"""Gate-defined dots with their point contact, as plans see them; all quantities in SI units, at the sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Component, Kind

from lab.clock import Clock
from lab.devices.activation_switch import HeldSignal
from lab.devices.dot_signals import (
    BIAS,
    ApertureSignal,
    BiasSignal,
    GateSignal,
    IntervalSignal,
    ShapeSignal,
    SweepGateSignal,
    SweepSignal,
)
from lab.devices.dot_wiring import LEAST_SINE, DotInstruments, DotWiring
from lab.devices.driver_device import DriverDevice, take_every_step
from lab.signals import AcquisitionStatus, ResultSignal, driver_signal, result_signal

Array = NDArray[np.float64]

MEASUREMENTS = ("sweep", "conductance", "trace")
MOST_SAMPLES = 12_000_000
ARRIVAL = 20e-6
"""A gate has arrived within so many volts of where it was sent: many steps of the DAC, little against any gate."""
PATIENCE = 5.0
"""Seconds, beyond the time they take, that readings are waited for."""
SINE = (LEAST_SINE, 5.0)
"""Least and largest amplitude of the lock-in's sine, V rms."""
FILTER_TIMES = 10.0
"""Time constants after which the output of the lock-in has settled to one per cent, whatever its slope."""


class GateMoveError(RuntimeError):
    """A gate did not arrive where it was sent."""


class OutputsMovedError(RuntimeError):
    """An output is not where it was left, as after a power cut."""


@dataclass(frozen=True, eq=False)
class Trace:
    """A record of the point contact.

    Attributes
    ----------
    samples : ndarray, shape (points,)
        Current, A.
    interval : float
        Time between samples, s.
    seconds : float
        Time that the digitizer took for it, which fills its memory, s.
    """

    samples: Array
    interval: float
    seconds: float


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
    integration_time = driver_signal("integration_time", cls=ApertureSignal, units="s", limits=(2e-5, 1))
    excitation = driver_signal("excitation", cls=HeldSignal, units="V", limits=SINE)
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
        self._on_the_way: Mapping[str, Sequence[float]] = {}
        super().__init__(driver, name=name, **kwargs)
        for gate in wiring.gates.values():
            driver.dac.channel(gate.channel).protect(limits=gate.limits, slew=gate.slew)
        low, high = (edge / wiring.bias_attenuation for edge in wiring.bias_limits)
        driver.bias_source.protect(voltage=(low, high))
        self.limit("bias", *wiring.bias_limits)
        least, most = (edge * wiring.excitation_attenuation for edge in SINE)
        self.limit("excitation", least, most if wiring.excitation_limit is None else wiring.excitation_limit)
        if driver.lock_in is not None:
            driver.lock_in.sine_limit = self.excitation.limits[1] / wiring.excitation_attenuation
        held = {
            "measurement": "sweep",
            "sweep_gate": next(iter(wiring.gates)),
            "sweep_values": np.zeros(1),
            "settling_time": 1e-3,
            "integration_time": 1e-3,
            "excitation": min(0.1 * wiring.excitation_attenuation, self.excitation.limits[1]),
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

    @property
    def safe_voltages(self) -> dict[str, float]:
        """Where each physical gate is left, V."""
        return {name: gate.safe for name, gate in self.wiring.gates.items()}

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

    def _send(self, targets: Mapping[str, float]) -> float:
        """Ramp gates as `_ramp` does, unless the device was stopped."""
        self.go_on()
        try:
            return self._ramp(targets)
        except GateMoveError:
            self.go_on()  # brought to safety on its way
            raise

    def _ramp(self, targets: Mapping[str, float]) -> float:
        """Ramp gates side by side, wait until they have arrived, and return the time it took, s."""
        channels = {gate: self.driver.dac.channel(self.wiring.gates[gate].channel) for gate in targets}
        self._on_the_way = {gate: (volts,) for gate, volts in targets.items()}
        seconds = max(channels[gate].ramp(volts) for gate, volts in targets.items())
        self.clock.sleep(seconds)
        for gate, volts in targets.items():
            arrived = float(channels[gate].actual_voltage)
            if abs(arrived - volts) > ARRIVAL:
                raise GateMoveError(f"{self.name}: {gate} is at {arrived:.6g} V and not at {volts:.6g} V")
        self._volts, self._on_the_way = {**self.volts, **targets}, {}
        return seconds

    def instruments(self) -> list[Any]:
        """Return the drivers of all instruments that are there."""
        return [driver for driver in vars(self.driver).values() if driver is not None]

    def put_back(self, instruments: Sequence[Any]) -> None:
        """Make sure that the gates and the bias are where they were left; meters are set up for every acquisition.

        Raises
        ------
        OutputsMovedError
            If they are not, as after a power cut: the sample has seen a jump, and what to do now is for a person.
        """
        if self.driver.dac in instruments:
            for gate in self.wiring.gates.values():
                self.driver.dac.channel(gate.channel).slew = gate.slew
            for name, gate in self.wiring.gates.items():
                self._check_output(name, float(self.driver.dac.channel(gate.channel).actual_voltage), self._path(name))
        if self.driver.bias_source in instruments and self.staged:
            volts, on = float(self.bias.fetch()), bool(self.driver.bias_source.source_enabled)
            self._check_output("bias", volts if on else 0.0, (self.bias.last, self.bias.last))

    def _path(self, gate: str) -> Sequence[float]:
        """Return where a gate was, and the voltages it was being sent to."""
        return [self.volts[gate], *self._on_the_way.get(gate, ())]

    def _check_output(self, name: str, volts: float, path: Sequence[float]) -> None:
        if not min(path) - ARRIVAL <= volts <= max(path) + ARRIVAL:
            raise OutputsMovedError(
                f"{self.name}: {name} is at {volts:.6g} V since the connection was lost, and was at {path[0]:.6g} V; "
                "it is not taken back there"
            )

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
        """Set the slews of the gates, and switch the bias on at 0 V with as little excitation as there can be."""
        for gate in self.wiring.gates.values():
            self.driver.dac.channel(gate.channel).slew = gate.slew
        self.actual_volts()
        self._calm()
        source = self.driver.bias_source
        source.source_voltage = 0.0
        source.source_enabled = True
        self.bias.store(0.0)

    def acquire(self, status: AcquisitionStatus) -> None:
        """Do what `measurement` says.

        Raises
        ------
        OutputsMovedError
            If the bias is off, as after a power cut that the bus does not tell of.
        """
        if not self.driver.bias_source.source_enabled:
            raise OutputsMovedError(f"{self.name}: the bias is off, and was left on; it is not switched on again")
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
        ramp = self._send({gate: float(volts[0]) for gate, volts in steps.items()})
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
        self._on_the_way = {gate: volts.tolist() for gate, volts in steps.items()}
        dac.start_lists()
        self.begun()
        readings = [meter.readings(points, points * dwell + PATIENCE) for meter in ranges]
        dac.finish_lists()
        self._volts = {**self.volts, **{gate: float(volts[-1]) for gate, volts in steps.items()}}
        self._on_the_way = {}
        status.report(points, total)
        current, sensor = readings
        return current / wiring.current_gain, sensor / wiring.sensor_gain, np.array([ramp + points * dwell])

    def _slewing(self, gate: str, volts: Array) -> float:
        """Return the time that the largest step of a list takes, s."""
        return float(np.abs(np.diff(volts)).max(initial=0.0)) / self.wiring.gates[gate].slew

    def _conductance(self, status: AcquisitionStatus) -> None:
        lock_in, wiring = self.driver.lock_in, self.wiring
        if lock_in is None:
            raise ValueError(f"{self.name} has no lock-in; allowed measurements: sweep, trace")
        lock_in.sine_voltage = self.excitation.last / wiring.excitation_attenuation
        try:
            excitation = float(lock_in.sine_voltage) * wiring.excitation_attenuation
            delay = max(self.settling_time.last, FILTER_TIMES * float(lock_in.time_constant))
            steps = self._steps(self.sweep_values.last)
            total, seconds, conductance = len(self.sweep_values.last), 0.0, []
            for index in range(total):
                seconds += delay + self._send({gate: float(volts[index]) for gate, volts in steps.items()})
                self.clock.sleep(delay)
                conductance.append(float(lock_in.x) / wiring.current_gain / excitation)
                self.go_on()
                status.report(index + 1, total)
        finally:
            self._calm()
        self.conductance.store(conductance)
        self.run_time.store(seconds)

    def aperture(self, seconds: float) -> float:
        """Return the time nearest to `seconds` over which both meters can average, s."""
        meters = (self.driver.ammeter, self.driver.sensor_meter)
        return max(seconds, *(float(meter.shortest_aperture) for meter in meters))

    def _trace(self, status: AcquisitionStatus) -> None:
        trace = self.record_trace(self.trace_points.last, self.trace_interval.last)
        self.go_on()
        self.trace_interval.store(trace.interval)
        self.trace.store(trace.samples)
        self.occupation.store(self.filtered(trace.samples, trace.interval))
        self.run_time.store(trace.seconds)
        status.report(len(trace.samples), len(trace.samples))

    def sample_interval(self, points: int, interval: float) -> float:
        """Return the interval that the digitizer will use for so many samples at most `interval` s apart, s."""
        return self.driver.digitizer.sample_interval(points, interval)

    def record_trace(self, points: int, interval: float) -> Trace:
        """Record so many samples of the point contact, centred on its mean, on the device's thread.

        The samples are at most `interval` s apart.
        """
        wiring, digitizer, meter = self.wiring, self.driver.digitizer, self.driver.sensor_meter
        meter.arm(readings=1, range=wiring.sensor_range * wiring.sensor_gain, aperture=1e-3, delay=0.0)
        (centre,) = meter.readings(1, PATIENCE)
        channel, scale = wiring.digitizer_channel, wiring.trace_range * wiring.sensor_gain / 8
        sampling = digitizer.arm([channel], points, interval, scale, offset=-float(centre))
        self.begun()
        seconds = sampling.depth * sampling.interval
        digitizer.wait(seconds + PATIENCE)
        times, volts = digitizer.waveform(channel)
        return Trace(volts / wiring.sensor_gain, float(times[1] - times[0]), seconds)

    def filtered(self, samples: Array, interval: float) -> Array:
        """Return the probability of occupation given the samples up to each, NaN while the filter is not set up."""
        levels, rates = (self.level_empty.last, self.level_occupied.last), (self.rate_in.last, self.rate_out.last)
        if levels[0] == levels[1] or self.noise_density.last <= 0 or max(rates) <= 0:
            return np.full(len(samples), math.nan)
        from lab.model import filter_occupation

        return filter_occupation(
            samples,
            interval,
            levels=levels,
            noise_density=self.noise_density.last,
            rates=rates,
            bandwidth=self.bandwidth.last,
        )

    # safety

    @property
    def at_rest(self) -> bool:
        """Whether bias, excitation and gates are at their safe values."""
        source, lock_in, home = self.driver.bias_source, self.driver.lock_in, self.safe_voltages
        return (
            not source.source_enabled
            and float(source.source_voltage) == 0.0
            and (lock_in is None or float(lock_in.sine_voltage) <= SINE[0])
            and all(abs(volts - home[gate]) <= ARRIVAL for gate, volts in self.actual_volts().items())
        )

    def safety_steps(self) -> list[tuple[str, Callable[[], Any]]]:
        """End what is measured, bias to 0 V and off, as little excitation as there can be, gates to safe voltages."""
        return [
            ("measurement ended", self._end_measurement),
            ("bias off", self._bias_off),
            *([("excitation at its least", self._calm)] if self.driver.lock_in is not None else []),
            ("gates at their safe voltages", self._gates_safe),
        ]

    def _end_measurement(self) -> None:
        instruments = self.driver
        ends = (instruments.dac.stop_all, instruments.ammeter.abort, instruments.sensor_meter.abort)
        take_every_step("a measurement could not be ended", (*ends, instruments.digitizer.stop))

    def _calm(self) -> None:
        """Let the lock-in excite the sample as little as it can."""
        if self.driver.lock_in is not None:
            self.driver.lock_in.sine_voltage = SINE[0]

    def _bias_off(self) -> None:
        source = self.driver.bias_source
        steps = (partial(setattr, source, "source_voltage", 0.0), partial(setattr, source, "source_enabled", False))
        take_every_step("the bias could not be switched off", steps)

    def _gates_safe(self) -> None:
        """Ramp the gates side by side, or where one of them fails, each on its own."""
        self._volts = None
        home = self.safe_voltages
        try:
            self._ramp(home)
        except Exception:  # noqa: BLE001 - what failed is told again by its own ramp
            steps = [partial(self._ramp, {name: volts}) for name, volts in home.items()]
            take_every_step("gates could not be brought to their safe voltages", steps)


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
