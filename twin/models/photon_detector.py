"""A detector that counts photons, the discriminator behind it, and their closed forms.

The detector sees light and dark counts, is blind for a dead time after each detection (which further photons do not
extend) and may fire once more by itself (an afterpulse, of exponential delay from the end of the dead time on). Each
detection is a voltage pulse of normally distributed height on a noisy baseline; the discriminator counts a pulse that
takes the voltage from below its threshold to above, and every upward crossing of the noise alone.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from twin.kernels import detector as kernels
from twin.kernels.jit import LANES

__all__ = ["PhotonDetector", "StampMemoryError"]

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Key = tuple[int, int]

MAXIMUM_STAMPS = 2**27
"""Time stamps of one stream."""
CHUNK = 2**18
"""Events in memory at a time while only counts are kept."""


class StampMemoryError(MemoryError):
    """A stream would hold more time stamps than MAXIMUM_STAMPS."""


def quantity(default: float, unit: str) -> Any:
    """Return a dataclass field whose metadata say its unit."""
    return field(default=default, metadata={"unit": unit})


@dataclass(frozen=True)
class PhotonDetector:
    """One detector with its discriminator; a superconducting nanowire by default.

    Parameters
    ----------
    efficiency
        Probability that a photon on a live detector is detected.
    dark_rate
        Dark counts of a live detector, 1/s.
    dead_time
        s.
    afterpulse_probability
        Probability that a detection is followed by an afterpulse unless something else is detected before; below 1.
    afterpulse_time
        Mean delay of an afterpulse from the end of the dead time on, s.
    jitter
        Standard deviation of a time stamp, s.
    pulse_height, pulse_height_spread
        Mean and standard deviation of the height of a pulse, V.
    noise
        Standard deviation of the baseline, V.
    noise_rate
        How often the baseline crosses its mean upwards, 1/s: the bandwidth of the electronics over sqrt(3).

    Raises
    ------
    ValueError
        If a value is negative or not finite, the efficiency exceeds 1, the probability of an afterpulse is 1 or more,
        or its time is 0.
    """

    efficiency: float = quantity(0.9, "1")
    dark_rate: float = quantity(100.0, "1/s")
    dead_time: float = quantity(5e-8, "s")
    afterpulse_probability: float = quantity(0.0, "1")
    afterpulse_time: float = quantity(1e-7, "s")
    jitter: float = quantity(2e-11, "s")
    pulse_height: float = quantity(0.1, "V")
    pulse_height_spread: float = quantity(0.01, "V")
    noise: float = quantity(0.005, "V")
    noise_rate: float = quantity(1e7, "1/s")

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, float | int) and not 0 <= value < math.inf:
                raise ValueError(f"photon detector: {each.name} is {value}; it must be finite and not negative")
        if self.efficiency > 1:
            raise ValueError(f"photon detector: efficiency is {self.efficiency}; allowed are 0 to 1")
        if self.afterpulse_probability >= 1:
            raise ValueError(
                f"photon detector: afterpulse_probability is {self.afterpulse_probability}; it must be below 1"
            )
        if self.afterpulse_time == 0:
            raise ValueError("photon detector: afterpulse_time is 0 s; it must be positive")

    @classmethod
    def silicon_avalanche_diode(cls) -> Self:
        """Return a typical silicon single-photon avalanche diode."""
        return cls(
            efficiency=0.6, dark_rate=100.0, dead_time=5e-8, jitter=1.5e-10,
            afterpulse_probability=0.02, afterpulse_time=1e-7,
        )  # fmt: skip

    @classmethod
    def superconducting_nanowire(cls) -> Self:
        """Return a typical fast superconducting nanowire single-photon detector."""
        return cls(efficiency=0.9, dark_rate=100.0, dead_time=2e-8, jitter=2e-11, afterpulse_probability=0.0)

    def detection_rate(self, arrivals: float) -> float:
        """Return detections per s in steady light of ``arrivals`` photons per s.

        The mean interval of the renewal process is tau_d + (1 - p) / R + p / (R + 1 / t_ap), where R is the rate of
        photons detected and dark counts while live.
        """
        live = self.efficiency * arrivals + self.dark_rate
        if live == 0:
            return 0.0
        p = self.afterpulse_probability
        return 1 / (self.dead_time + (1 - p) / live + p / (live + 1 / self.afterpulse_time))

    def afterpulse_fraction(self, arrivals: float) -> float:
        """Return which fraction of the detections in steady light are afterpulses: p / (1 + R t_ap)."""
        live = self.efficiency * arrivals + self.dark_rate
        return self.afterpulse_probability / (1 + live * self.afterpulse_time)

    def passed(self, threshold: float) -> float:
        """Return the fraction of pulses counted at a threshold in V: baseline below it, top of the pulse above."""
        return _normal_below(threshold, self.noise) * _normal_below(
            self.pulse_height - threshold, self.pulse_height_spread
        )

    def noise_counts(self, threshold: float) -> float:
        """Return counts per s of the noise alone at a threshold in V: Rice's f0 exp(-v^2 / 2 sigma^2)."""
        if self.noise == 0:
            return 0.0
        return self.noise_rate * math.exp(-0.5 * (threshold / self.noise) ** 2)

    def stream(
        self, arrivals: float, duration: float, *, key: Key, start: float = 0.0, threshold: float | None = None
    ) -> Array:
        """Return time stamps of counts in steady light.

        Parameters
        ----------
        arrivals
            Photons per s on the detector, a Poisson process.
        duration, start
            Length and beginning of the stream, s; the detector is live at its beginning.
        key
            Two 32-bit words, see `twin.noise.stream_key`.
        threshold
            Of the discriminator, V; without one every detection is counted and no noise.

        Returns
        -------
        ndarray
            (m,) ascending, s; the jitter may take a stamp beyond the ends.

        Raises
        ------
        StampMemoryError
            If more than 2^27 stamps are expected.
        """
        steady = self._as_seen(threshold, arrivals)
        if steady.rate == 0:
            return self._with_noise(np.empty(0), start, duration, threshold, key)
        expected = self.detection_rate(arrivals) * duration
        stamps = np.empty(_capacity(expected) + LANES)
        state, filled, stop = np.zeros(2), 0, start + duration
        while True:
            filled += kernels.steady_events(start, stop, steady, *key, state, stamps[filled:])
            if filled + LANES <= stamps.size:
                break
            stamps = np.concatenate([stamps, np.empty(stamps.size)])
        return self._with_noise(stamps[:filled], start, duration, threshold, key)

    def stamps(
        self, photons: npt.ArrayLike, start: float, duration: float, *, key: Key, threshold: float | None = None
    ) -> Array:
        """Return time stamps of counts when photons of known arrival hit the detector.

        Parameters
        ----------
        photons
            (n,) arrival times in any order, s; each is detected with the efficiency.
        start, duration
            Beginning and length of the stream, s; the detector is live at ``start``.
        key, threshold
            As for `stream`.

        Returns
        -------
        ndarray
            (m,) ascending, s; without jitter these are the counts of `counts` with an equal key from the same start.

        Raises
        ------
        StampMemoryError
            If more than 2^27 stamps are expected.
        """
        times = np.sort(np.asarray(photons, np.float64))
        _capacity(times.size + self.detection_rate(0.0) * duration)
        events = list(self._events(times, start, start + duration, threshold, key))
        return self._with_noise(np.concatenate(events), start, duration, threshold, key)

    def counts(
        self,
        photons: npt.ArrayLike,
        starts: npt.ArrayLike,
        gate: float,
        *,
        key: Key,
        start: float | None = None,
        threshold: float | None = None,
    ) -> Counts:
        """Return the counts within gates when photons of known arrival hit the detector.

        Parameters
        ----------
        photons
            (n,) arrival times in any order, s; those outside the gates act through the dead time.
        starts, gate
            (g,) openings of the gates in any order and the length of each, s.
        key, threshold
            As for `stream`.
        start
            Since when the detector is on, s; by default since the first photon or gate.

        Returns
        -------
        ndarray
            (g,) int64.
        """
        times, opened = np.sort(np.asarray(photons, np.float64)), np.asarray(starts, np.float64)
        totals = np.zeros(opened.shape, np.int64)
        if not opened.size:
            return totals
        first = min(opened.min(), times[0]) if times.size else opened.min()
        for events in self._events(times, first if start is None else start, opened.max() + gate, threshold, key):
            totals += np.searchsorted(events, opened + gate) - np.searchsorted(events, opened)
        if threshold is not None:
            totals += _spare_generator(key).poisson(self.noise_counts(threshold) * gate, opened.shape)
        return totals

    def _as_seen(self, threshold: float | None, arrivals: float) -> kernels.Detector:
        return kernels.Detector(
            float(self.efficiency),
            self.efficiency * arrivals + self.dark_rate,
            float(self.dead_time),
            float(self.afterpulse_probability),
            float(self.afterpulse_time),
            1.0 if threshold is None else self.passed(threshold),
        )

    def _events(self, photons: Array, start: float, stop: float, threshold: float | None, key: Key) -> Iterator[Array]:
        """Yield the counts, chunk by chunk; the last chunk is not full."""
        dark, state, filled = self._as_seen(threshold, 0.0), np.zeros(3), CHUNK
        while filled == CHUNK:
            events = np.empty(CHUNK)
            filled = kernels.photon_events(photons, start, stop, dark, *key, state, events)
            yield events[:filled]

    def _with_noise(self, stamps: Array, start: float, duration: float, threshold: float | None, key: Key) -> Array:
        """Return the stamps with their jitter, and what the noise adds to them."""
        if self.jitter > 0:
            kernels.smear(stamps, self.jitter, *key)
        rate = 0.0 if threshold is None else self.noise_counts(threshold)
        _capacity(stamps.size + rate * duration)
        rng = _spare_generator(key)
        noise = start + duration * rng.random(rng.poisson(rate * duration))
        return np.sort(np.concatenate([stamps, noise])) if noise.size else stamps


def _normal_below(value: float, deviation: float) -> float:
    """Return the probability that a normal variate of mean 0 lies below a value."""
    if deviation == 0:
        return 1.0 if value > 0 else 0.0
    return 0.5 * math.erfc(-value / (deviation * math.sqrt(2)))


def _capacity(expected: float) -> int:
    """Return for how many stamps room is made, 6 standard deviations above what is expected."""
    if not expected <= MAXIMUM_STAMPS:
        raise StampMemoryError(f"photon detector: {expected:.4g} time stamps are expected; {MAXIMUM_STAMPS} fit")
    return math.ceil(expected + 6 * math.sqrt(expected)) + 1


def _spare_generator(key: Key) -> np.random.Generator:
    """Return a generator for the noise: another Philox than that of the kernels, so equal keys do no harm."""
    return np.random.Generator(np.random.Philox(key=key[0] | key[1] << 32))
