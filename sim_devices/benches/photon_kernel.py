"""Single photons shaped by two channels of an AWG, and a counter behind their detector."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_devices.benches.bench import Bench
from sim_devices.benches.options import QuantityReader, in_unit, read_table
from sim_devices.instruments.agilent_33500 import Agilent33500
from sim_devices.instruments.agilent_33500_waveforms import Pulse
from sim_devices.instruments.cabling import Times, TriggerLine
from sim_devices.instruments.keysight_53220a import Keysight53220A
from twin.models import disturbances
from twin.models.photon_kernel import PhotonParameters, PhotonPath
from twin.noise import generator

__all__ = ["FAULTS", "RESOURCES", "TABLES", "place"]

#: The instruments, in the order in which they are served.
RESOURCES = {"awg": "TCPIP0::awg::5025::SOCKET", "counter": "TCPIP0::counter::5025::SOCKET"}

#: The tables of its options.
TABLES = ("photon", "photon_cables")

#: What may be wrong in its physics.
FAULTS = ("drift", "dark_count_burst")

BURST_RATE, BURST_DURATION = 2e6, 1e-2
"""Clicks per second in a burst, and how long it lasts, s."""

WRITE, READ = 1, 2


@dataclass(frozen=True)
class PhotonCables:
    """How the AWG, the optics and the counter are connected.

    Parameters
    ----------
    read_delay
        By how much the read pulse comes late at the optics, s.
    gate_width
        Width of the pulses of the AWG's trigger output, which gate the counter, s.
    modulator_load
        Resistance of the modulators at the AWG's outputs, Ohm.
    """

    read_delay: float = in_unit(0.0, "s")
    gate_width: float = in_unit(1e-6, "s")
    modulator_load: float = in_unit(50.0, "ohm")

    def __post_init__(self) -> None:
        if not 0 < self.gate_width <= 1:
            raise ValueError(f"gate_width is {self.gate_width} s; above 0 and up to 1 s is allowed")
        if not self.modulator_load > 0:
            raise ValueError(f"modulator_load is {self.modulator_load} Ohm; it must be positive")


class Clicks:
    """The detector's pulses at the counter: whatever the AWG makes of the photons.

    Parameters
    ----------
    path
        Source, modes and detector.
    awg
        The AWG, whose outputs shape the pulses.
    cables
        The connections.
    seed
        Seed of the faults.
    faults
        Rates of what is wrong.
    """

    def __init__(
        self, path: PhotonPath, awg: Agilent33500, cables: PhotonCables, seed: int, faults: Mapping[str, float]
    ) -> None:
        self._path = path
        self._awg = awg
        self._cables = cables
        self._seed = seed
        self._faults = faults

    def count(self, starts: Times, gate: float, threshold: float, acquisition: int, /) -> npt.NDArray[np.int64]:
        """Return the pulses within gates."""
        counts = self._sound(starts, gate, threshold, acquisition)
        return self._disturbed(counts, starts, gate, acquisition) if self._faults else counts

    def _disturbed(
        self, counts: npt.NDArray[np.int64], starts: Times, gate: float, acquisition: int
    ) -> npt.NDArray[np.int64]:
        chances = generator(self._seed, "counter", acquisition, "faults")
        if "drift" in self._faults:
            lost = self._faults["drift"] * np.abs(disturbances.walk(starts, 1, self._seed, "detector")[:, 0])
            counts = chances.binomial(counts, np.exp(-lost))
        if "dark_count_burst" in self._faults:
            rate = self._faults["dark_count_burst"]
            struck = disturbances.bursts(starts, rate, BURST_DURATION, self._seed, "detector")
            counts = counts + chances.poisson(BURST_RATE * gate * struck)
        return counts

    def _sound(self, starts: Times, gate: float, threshold: float, acquisition: int) -> npt.NDArray[np.int64]:
        key = self._path.key(acquisition)
        light = self._light(float(starts.min()), float(starts.max()) + gate)
        if light is None:
            return self._path.parameters.counts(np.zeros(0), starts, gate, key=key, threshold=threshold)
        overlap, times, width, intensity = light
        return self._path.clicks(overlap, times, width, starts, gate, threshold, key, intensity)

    def _light(self, begin: float, end: float) -> tuple[float, Times, float, npt.NDArray[np.float64]] | None:
        """Return overlap, times of the attempts, length of the read pulse and its intensity; None in the dark."""
        write, read = self._awg.pulse(WRITE), self._awg.pulse(READ)
        if not (write.on and read.on and np.any(write.values) and np.any(read.values)):
            return None
        times = _repetitions(read, begin, end)
        if not times.size:
            return None
        delay = self._cables.read_delay + _lag(write, read)
        overlap = self._path.overlap(write.values, read.values, write.interval, read.interval, delay=delay)
        return overlap, times, read.interval * len(read.values), read.values**2


def _lag(write: Pulse, read: Pulse) -> float:
    """Return by how much the read pulse begins after the write pulse next to it, s."""
    lag = read.start - write.start
    return (
        lag
        if not np.isfinite(read.period)
        else float(np.remainder(lag + read.period / 2, read.period)) - read.period / 2
    )


def _repetitions(pulse: Pulse, begin: float, end: float) -> Times:
    """Return when repetitions of a pulse begin that reach into a time."""
    length = pulse.interval * len(pulse.values)
    if not np.isfinite(pulse.period):
        return (
            np.array([pulse.start]) if np.isfinite(pulse.start) and begin - length < pulse.start < end else np.zeros(0)
        )
    first = np.floor((begin - length - pulse.start) / pulse.period)
    last = np.ceil((end - pulse.start) / pulse.period)
    return pulse.start + pulse.period * np.arange(max(0.0, first), last)


def place(bench: Bench, options: Mapping[str, Any], quantity: QuantityReader, seed: int) -> None:
    """Put the photon rig on a bench.

    Parameters
    ----------
    bench
        Where it stands.
    options
        Table ``photon``, whose keys are the fields of `twin.models.photon_kernel.PhotonParameters`, and table
        ``photon_cables``, those of `PhotonCables`.
    quantity
        Reads a value with its unit.
    seed
        Seed of the noise.

    Raises
    ------
    BenchOptionError
        An option is unknown or has a wrong value.
    """
    path = PhotonPath(read_table(options.get("photon", {}), "photon", PhotonParameters, quantity), seed)
    cables = read_table(options.get("photon_cables", {}), "photon_cables", PhotonCables, quantity)
    gate = TriggerLine()
    loads = dict.fromkeys((WRITE, READ), cables.modulator_load)
    awg = Agilent33500(bench.clock, bench.worker, "awg", trigger_out=gate, loads=loads, seed=seed)
    clicks = Clicks(path, awg, cables, seed, bench.faults)
    counter = Keysight53220A(
        bench.clock, bench.worker, "counter", pulses1=clicks, gate=gate, gate_width=cables.gate_width
    )
    bench.place(awg, RESOURCES["awg"])
    bench.place(counter, RESOURCES["counter"], physics=path.warm_up)
