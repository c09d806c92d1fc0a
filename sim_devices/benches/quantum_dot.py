"""Gate-defined dots in a cryostat, cabled to the instruments of a transport bench.

A gate DAC holds the gates, a source meter the bias behind a divider, two multimeters read the transimpedance
amplifiers of the dot and of its point contact, a digitizer records the point contact, a lock-in excites the bias.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_devices.benches.bench import Bench
from sim_devices.benches.options import BenchOptionError, QuantityReader, in_unit, read_table
from sim_devices.instruments.cabling import Grounded, Output, Times, Values
from sim_devices.instruments.keithley_2400 import Keithley2400
from sim_devices.instruments.keysight_34465a import IDENTITY, Keysight34465A
from sim_devices.instruments.qdevil_qdac2 import Qdac2
from sim_devices.instruments.rigol_ds1000z import RigolDS1000Z
from sim_devices.instruments.srs_sr830 import SR830
from twin.models import disturbances
from twin.models.quantum_dot import Parameters, Sample
from twin.noise import generator, stream_key

__all__ = ["FAULTS", "RESOURCES", "TABLES", "place"]

#: The instruments, in the order in which they are served.
RESOURCES = {
    "dac": "TCPIP0::qdac::5025::SOCKET",
    "ammeter": "TCPIP0::dmm::5025::SOCKET",
    "sensor_meter": "TCPIP0::dmm2::5025::SOCKET",
    "digitizer": "TCPIP0::scope::5555::SOCKET",
    "bias_source": "GPIB0::24::INSTR",
    "lock_in": "GPIB0::8::INSTR",
}

#: The tables of its options.
TABLES = ("dot", "dot_cables")

#: What may be wrong in its physics.
FAULTS = ("drift", "dead_gate", "charge_jump")

VOLTS = 1e-3
"""By how much gates drift in an hour at the rate 1, and how far charges jump, rms, V."""

QUADRATURE = 16
"""Phases at which a sine excitation is evaluated; exact up to that harmonic."""


@dataclass(frozen=True)
class DotCables:
    """What hangs on what, and what the cables do to it.

    Parameters
    ----------
    channels
        Channel of the DAC for each gate of the sample.
    gate_attenuation
        What arrives at a gate of 1 V of the DAC.
    bias_attenuation, excitation_attenuation
        What arrives between source and drain of 1 V of the source meter, and of the lock-in's sine.
    divider_resistance
        What loads the source meter, Ohm.
    current_gain
        Of the amplifier behind the dot, V/A; its noise is an option of the sample.
    sensor_gain, sensor_bandwidth
        Of the amplifier behind the point contact, V/A and Hz; its noise is an option of the sample.
    step_output
        Trigger output of the DAC that both multimeters listen to.
    sensor_channel
        Channel of the digitizer.
    """

    channels: Mapping[str, int] = field(
        default_factory=lambda: {
            "barrier_left": 1,
            "plunger": 2,
            "barrier_right": 3,
            "barrier_2": 4,
            "plunger_2": 5,
            "sensor": 6,
        }
    )
    gate_attenuation: float = 1.0
    bias_attenuation: float = 1e-3
    excitation_attenuation: float = 1e-5
    divider_resistance: float = in_unit(1e6, "ohm")
    current_gain: float = in_unit(1e8, "V/A")
    sensor_gain: float = in_unit(1e7, "V/A")
    sensor_bandwidth: float = in_unit(4e4, "Hz")
    step_output: int = 1
    sensor_channel: int = 1

    def __post_init__(self) -> None:
        for name in ("divider_resistance", "current_gain", "sensor_gain", "sensor_bandwidth"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        channels = list(self.channels.values())
        if len(set(channels)) < len(channels) or not all(1 <= channel <= 24 for channel in channels):
            raise ValueError(f"channels are {channels}; one of 1 to 24 for each gate is needed")
        if not 1 <= self.step_output <= 5:
            raise ValueError(f"step_output is {self.step_output}; 1 to 5 is allowed")
        if not 1 <= self.sensor_channel <= 4:
            raise ValueError(f"sensor_channel is {self.sensor_channel}; 1 to 4 is allowed")


@dataclass(frozen=True)
class Electrodes:
    """What the instruments put on the sample."""

    gates: tuple[Output, ...]
    bias: Output
    cables: DotCables
    seed: int
    faults: Mapping[str, float]

    def voltages(self, times: Times) -> Values:
        """Return the voltages of all gates as the sample feels them, V, shape (n, gates)."""
        voltages = self.cables.gate_attenuation * np.column_stack([gate.voltage(times) for gate in self.gates])
        return self._disturbed(voltages, times) if self.faults else voltages

    def _disturbed(self, voltages: Values, times: Times) -> Values:
        gates = len(self.gates)
        if "dead_gate" in self.faults:
            order = generator(self.seed, "sample", 0, "dead gate").permutation(gates)
            voltages[:, order[: int(self.faults["dead_gate"])]] = 0.0
        if "drift" in self.faults:
            voltages += VOLTS * self.faults["drift"] * disturbances.walk(times, gates, self.seed, "sample")
        if "charge_jump" in self.faults:
            voltages += VOLTS * disturbances.jumps(times, self.faults["charge_jump"], gates, self.seed, "sample")
        return voltages

    def source(self, times: Times) -> Values:
        """Return the voltage between source and drain, V, shape (n,)."""
        return self.cables.bias_attenuation * self.bias.voltage(times)


class DotCurrent(Grounded):
    """The output of the amplifier behind the dot."""

    def __init__(self, sample: Sample, electrodes: Electrodes, seed: int) -> None:
        self._sample = sample
        self._electrodes = electrodes
        self._seed = seed

    def _current(self, times: Times, extra: float | Values = 0.0) -> Values:
        voltages, bias = self._electrodes.voltages(times), self._electrodes.source(times) + extra
        return self._sample.current(voltages, bias)

    def _amplified(self, current: Values, aperture: float, instrument: str, acquisition: int) -> Values:
        """Return the voltage of a current averaged over an aperture, noise included."""
        spread = self._sample.current_noise(aperture)
        noise = generator(self._seed, instrument, acquisition, "current noise").normal(0, spread, current.shape)
        return self._electrodes.cables.current_gain * (current + noise)

    def mean(self, starts: Times, aperture: float, acquisition: int, /) -> Values:
        """Return means over windows; gates are taken in the middle of each."""
        return self._amplified(self._current(starts + aperture / 2), aperture, "ammeter", acquisition)

    def trace(self, start: float, interval: float, points: int, acquisition: int, /) -> Values:
        """Return samples, each averaged over the interval."""
        times = np.asarray(start + interval * np.arange(points), float)
        return self._amplified(self._current(times), interval, "dot trace", acquisition)

    def phasor(
        self, _frequency: float, amplitude: float, starts: Times, aperture: float, acquisition: int, /
    ) -> Values:
        """Return the in-phase response to the excitation of the lock-in; the dot has no inductance or capacitance."""
        excitation = np.sqrt(2) * amplitude * self._electrodes.cables.excitation_attenuation
        phases = 2 * np.pi * np.arange(QUADRATURE) / QUADRATURE
        times = starts + aperture / 2
        waves = np.array([self._current(times, excitation * np.cos(phase)) for phase in phases])
        in_phase = np.sqrt(2) * np.mean(waves * np.cos(phases)[:, np.newaxis], axis=0)
        both = np.column_stack([in_phase, np.zeros(len(starts))])
        return self._amplified(both, aperture, "lock-in", acquisition)


class SensorCurrent(Grounded):
    """The output of the amplifier behind the point contact."""

    def __init__(self, sample: Sample, electrodes: Electrodes, seed: int) -> None:
        self._sample = sample
        self._electrodes = electrodes
        self._seed = seed

    def mean(self, starts: Times, aperture: float, acquisition: int, /) -> Values:
        """Return means over windows, averaged over the charge; gates are taken in the middle of each."""
        times = starts + aperture / 2
        current = self._sample.sensor_current(self._electrodes.voltages(times), self._electrodes.source(times))
        noise = generator(self._seed, "sensor meter", acquisition, "current noise")
        spread = self._sample.sensor_noise(aperture)
        return self._electrodes.cables.sensor_gain * (current + noise.normal(0, spread, current.shape))

    def trace(self, start: float, interval: float, points: int, acquisition: int, /) -> Values:
        """Return samples with every jump of the charge, for the gates as they are at the start."""
        cables, at = self._electrodes.cables, np.array([start])
        samples = self._sample.sensor_trace(
            self._electrodes.voltages(at)[0],
            float(self._electrodes.source(at)[0]),
            interval,
            points,
            cables.sensor_bandwidth,
            stream_key(self._seed, "digitizer", acquisition),
        )
        return cables.sensor_gain * samples


class Leakage(Grounded):
    """The current out of one gate."""

    def __init__(self, sample: Sample, electrodes: Electrodes, gate: int) -> None:
        self._sample = sample
        self._electrodes = electrodes
        self._gate = gate

    def mean(self, starts: Times, aperture: float, _acquisition: int, /) -> Values:
        """Return means over windows."""
        return self._sample.leakage(self._electrodes.voltages(starts + aperture / 2))[:, self._gate]


class Resistor(Grounded):
    """What loads the source meter: the divider."""

    def __init__(self, output: Output, resistance: float) -> None:
        self._output = output
        self._resistance = resistance

    def mean(self, starts: Times, aperture: float, _acquisition: int, /) -> Values:
        """Return means over windows."""
        return self._output.voltage(starts + aperture / 2) / self._resistance


class Plug:
    """A plug that is put into an output once the instrument is there."""

    def __init__(self) -> None:
        self.output: Output = Grounded()

    def voltage(self, times: Times, /) -> npt.NDArray[np.float64]:
        """Return the voltage of the output."""
        return self.output.voltage(times)


def place(bench: Bench, options: Mapping[str, Any], quantity: QuantityReader, seed: int) -> None:
    """Put the sample and its instruments on a bench.

    Parameters
    ----------
    bench
        Where they stand.
    options
        Table ``dot``, whose keys are the fields of `twin.models.quantum_dot.Parameters`, and table
        ``dot_cables``, those of `DotCables`.
    quantity
        Reads a value with its unit.
    seed
        Seed of the noise.

    Raises
    ------
    BenchOptionError
        An option is unknown or has a wrong value.
    """
    sample = Sample(read_table(options.get("dot", {}), "dot", Parameters, quantity), seed)
    cables = read_table(options.get("dot_cables", {}), "dot_cables", DotCables, quantity)
    if set(cables.channels) != set(sample.gates):
        raise BenchOptionError("dot_cables.channels", f"the gates are {', '.join(sample.gates)}")
    plugs = {gate: Plug() for gate in sample.gates}
    bias = Plug()
    electrodes = Electrodes(tuple(plugs.values()), bias, cables, seed, bench.faults)
    clock, worker = bench.clock, bench.worker
    loads = {cables.channels[gate]: Leakage(sample, electrodes, index) for index, gate in enumerate(sample.gates)}
    dac = Qdac2(clock, worker, "dac", loads=loads)
    for gate, plug in plugs.items():
        plug.output = dac.output(cables.channels[gate])
    steps = dac.trigger_outputs[cables.step_output]
    dot, sensor = DotCurrent(sample, electrodes, seed), SensorCurrent(sample, electrodes, seed)
    source = Keithley2400(clock, worker, "bias source", load=Resistor(bias, cables.divider_resistance))
    bias.output = source.output()
    instruments = {
        "dac": dac,
        "ammeter": Keysight34465A(clock, worker, "ammeter", voltage=dot, trigger=steps),
        "sensor_meter": Keysight34465A(
            clock,
            worker,
            "sensor meter",
            voltage=sensor,
            trigger=steps,
            identity=IDENTITY.replace("MY54500001", "MY54500002"),
        ),
        "digitizer": RigolDS1000Z(clock, worker, "digitizer", inputs={cables.sensor_channel: sensor}),
        "bias_source": source,
        "lock_in": SR830(clock, worker, "lock-in", voltage_input=dot),
    }
    for name, instrument in instruments.items():
        bench.place(instrument, RESOURCES[name], physics=sample.warm_up)
