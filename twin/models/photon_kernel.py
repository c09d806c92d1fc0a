"""Single photons that are read through a mode: a click says how much the write and the read waveform overlap.

Each attempt sends one photon (or a weak coherent pulse) in the write waveform; the fraction F of it that lies in the
read waveform reaches the detector, if the modes match (visibility V). With detector efficiency eta and the probability
p_d of a dark count in the gate, an attempt clicks with probability

    p = 1 - (1 - eta V F) (1 - p_d)      for a single photon: linear in F,
    p = 1 - exp(-m eta V F) (1 - p_d)    for a coherent pulse of m photons on average

(Milburn and Basiri-Esfahani, "The physics of learning machines", eqs. 120 to 126).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twin.kernels.photon_pulses import coherent_photons, single_photons
from twin.models import temporal_modes
from twin.models.photon_detector import Array, Counts, Key, PhotonDetector, quantity
from twin.noise import stream_key

__all__ = ["PhotonParameters", "PhotonPath", "photon_energy"]

PLANCK = 6.62607015e-34
"""J s"""
LIGHT_SPEED = 299792458.0
"""m/s"""
SOURCES = ("single", "coherent")


def photon_energy(wavelength: float) -> float:
    """Return h c / lambda in J of a wavelength in m."""
    return PLANCK * LIGHT_SPEED / wavelength


@dataclass(frozen=True)
class PhotonParameters(PhotonDetector):
    """A source of photons, the modes they are read in, and the detector.

    Parameters
    ----------
    visibility
        V: the probability that a photon is not lost to a mismatch of modes that the waveforms do not show.
    mean_photons
        Photons per attempt: the probability that there is one, or the mean of a coherent pulse.
    source
        ``single`` for one photon at most, ``coherent`` for weak coherent pulses.
    wavelength
        m.

    Raises
    ------
    ValueError
        As `PhotonDetector`; or if the visibility or a single photon's probability exceeds 1, the wavelength is 0 or
        the source unknown.
    """

    visibility: float = quantity(0.98, "1")
    mean_photons: float = quantity(1.0, "1")
    source: str = "single"
    wavelength: float = quantity(7.95e-7, "m")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source not in SOURCES:
            raise ValueError(f"photon path: source is {self.source!r}; allowed are {', '.join(SOURCES)}")
        if self.visibility > 1:
            raise ValueError(f"photon path: visibility is {self.visibility}; allowed are 0 to 1")
        if self.source == "single" and self.mean_photons > 1:
            raise ValueError(f"photon path: mean_photons is {self.mean_photons}; a single photon allows 0 to 1")
        if self.wavelength == 0:
            raise ValueError("photon path: wavelength is 0 m; it must be positive")


class PhotonPath:
    """What lies between the pulse generator and the pulses of the detector.

    Parameters
    ----------
    parameters
        Source, modes and detector.
    seed, name
        Whose noise it is, see `key`.
    """

    def __init__(self, parameters: PhotonParameters | None = None, seed: int = 0, name: str = "photon") -> None:
        self.parameters = parameters or PhotonParameters()
        self.seed = seed
        self.name = name

    def key(self, acquisition: int) -> Key:
        """Return the key of the noise of an acquisition."""
        return stream_key(self.seed, self.name, acquisition)

    def overlap(
        self,
        write: npt.ArrayLike,
        read: npt.ArrayLike,
        write_interval: float,
        read_interval: float | None = None,
        delay: float = 0.0,
    ) -> float:
        """Return the overlap F of two waveforms, see `twin.models.temporal_modes.overlap`."""
        return temporal_modes.overlap(write, read, write_interval, read_interval, delay)

    def transmission(self, overlap: npt.ArrayLike) -> Array:
        """Return m V F: the photons per attempt, or the probability of the one, that reach the detector.

        Raises
        ------
        ValueError
            If an overlap is not between 0 and 1.
        """
        f = np.asarray(overlap, np.float64)
        if not ((f >= 0) & (f <= 1)).all():
            raise ValueError(f"photon path: overlaps reach from {f.min()} to {f.max()}; allowed are 0 to 1")
        return self.parameters.mean_photons * self.parameters.visibility * f

    def click_probability(self, overlap: npt.ArrayLike, gate: float, threshold: float | None = None) -> Array:
        """Return the probability of at least one count per attempt, in closed form.

        Parameters
        ----------
        overlap
            F, of any shape.
        gate
            Length of the gate, s, in which the whole pulse arrives.
        threshold
            Of the discriminator, V; without one every detection is counted and no noise.

        Notes
        -----
        The detector is taken as live when a gate opens, and afterpulses as over: what `clicks` does exactly, this does
        to first order in dark counts per dead time.
        """
        detector = self.parameters
        passed, noise = 1.0, 0.0
        if threshold is not None:
            passed, noise = detector.passed(threshold), detector.noise_counts(threshold)
        detected = detector.efficiency * passed * self.transmission(overlap)
        dark = math.exp(-(detector.dark_rate * passed + noise) * gate)
        missed = np.exp(-detected) if detector.source == "coherent" else 1 - detected
        return 1 - missed * dark

    def photons(
        self,
        overlap: npt.ArrayLike,
        attempt_times: npt.ArrayLike,
        width: float,
        key: Key,
        intensity: npt.ArrayLike | None = None,
    ) -> Array:
        """Return when photons reach the detector, not in order.

        Parameters
        ----------
        overlap
            F, one for all attempts or (n,).
        attempt_times
            (n,) beginnings of the read pulses, s.
        width
            Length of a read pulse, s.
        key
            Two 32-bit words, see `key`.
        intensity
            (k,) energy that arrives in k equal parts of the read pulse, of any scale: the squares of its samples;
            constant by default.

        Raises
        ------
        ValueError
            If the width is negative or not finite, or intensities are negative or all 0.
        """
        times = np.asarray(attempt_times, np.float64)
        means = np.broadcast_to(self.transmission(overlap), times.shape)
        profile = np.cumsum(np.ones(1) if intensity is None else np.asarray(intensity, np.float64))
        if not 0 <= width < math.inf or not 0 < profile[-1] < math.inf or np.any(np.diff(profile, prepend=0) < 0):
            raise ValueError(f"photon path: width is {width} s; it and the intensities must not be negative or all 0")
        arguments = times, means, float(width), profile / profile[-1], *key
        if self.parameters.source == "single":
            photons = np.empty(times.size)
            return photons[: single_photons(*arguments, photons)]
        photons = np.empty(0)
        while (count := coherent_photons(*arguments, photons)) > photons.size:
            photons = np.empty(count)
        return photons

    def clicks(
        self,
        overlap: npt.ArrayLike,
        attempt_times: npt.ArrayLike,
        width: float,
        starts: npt.ArrayLike,
        gate: float,
        threshold: float | None,
        key: Key,
        intensity: npt.ArrayLike | None = None,
    ) -> Counts:
        """Return the counts within gates, event by event over all attempts, so that dead time reaches across them.

        Parameters
        ----------
        overlap, attempt_times, width, key, intensity
            As for `photons`.
        starts, gate
            (g,) openings of the gates and the length of each, s.
        threshold
            Of the discriminator, V; without one every detection is counted and no noise.

        Returns
        -------
        ndarray
            (g,) int64.
        """
        photons = self.photons(overlap, attempt_times, width, key, intensity)
        return self.parameters.counts(photons, starts, gate, key=key, threshold=threshold)

    def stamps(
        self,
        overlap: npt.ArrayLike,
        attempt_times: npt.ArrayLike,
        width: float,
        start: float,
        duration: float,
        threshold: float | None,
        key: Key,
        intensity: npt.ArrayLike | None = None,
    ) -> Array:
        """Return the ascending time stamps of all counts from ``start`` on for ``duration`` s; else as `clicks`."""
        photons = self.photons(overlap, attempt_times, width, key, intensity)
        return self.parameters.stamps(photons, start, duration, key=key, threshold=threshold)

    def warm_up(self) -> None:
        """Compile every kernel, or load it from disk, before the first question."""
        for source in SOURCES:
            path = PhotonPath(PhotonParameters(source=source, jitter=1e-12))
            path.clicks(0.5, np.zeros(1), 1e-9, np.zeros(1), 1e-9, None, (0, 0))
            path.stamps(0.5, np.zeros(1), 1e-9, 0.0, 1e-9, None, (0, 0))
        self.parameters.stream(1e6, 1e-6, key=(0, 0))
