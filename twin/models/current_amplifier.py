"""A current amplifier that reads a sample: its white noise and its 1/f noise."""

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from twin.kernels.amplifier_noise import add_modes, reading_variance
from twin.models.spectral_factor import Innovations, factorise

Array = npt.NDArray[np.float64]

__all__ = ["CurrentAmplifier", "relaxation_rate"]

SLOWEST = 1e-3
"""Hz: below this the 1/f noise levels off."""
DECADES_ABOVE_CORNER = 2.0
"""So far above its corner the 1/f noise ends, where the white noise is 100 times stronger."""
PROCESSES_PER_DECADE = 2


def relaxation_rate(bandwidth: float) -> float:
    """Return the rate 2 pi f in 1/s at which an amplifier with one pole at f = `bandwidth` Hz settles.

    Raises
    ------
    ValueError
        If the bandwidth is not positive and finite.
    """
    if not 0 < bandwidth < math.inf:
        raise ValueError(f"amplifier: bandwidth is {bandwidth} Hz; it must be positive and finite")
    return 2 * math.pi * bandwidth


@dataclass(frozen=True)
class CurrentAmplifier:
    """Input noise of a current amplifier: one-sided density white_noise (1 + corner_frequency / f).

    The 1/f part is a sum of Ornstein-Uhlenbeck processes of equal variance, two a decade from 1 mHz to 100 times the
    corner; a decade inside that range it follows 1/f to 3 %, two decades inside to 1 %.

    Parameters
    ----------
    white_noise
        White noise, A^2/Hz.
    corner_frequency
        Where 1/f noise equals white noise, Hz; 0 for none.

    Raises
    ------
    ValueError
        If a value is negative or not finite.
    """

    white_noise: float = field(default=1.6e-25, metadata={"unit": "A^2/Hz"})
    corner_frequency: float = field(default=100.0, metadata={"unit": "Hz"})

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"amplifier: {name} is {value}; it must be finite and not negative")

    def slow_processes(self) -> tuple[Array, Array]:
        """Return the variances in A^2 and the relaxation rates in 1/s of the processes that make up the 1/f noise."""
        highest = self.corner_frequency * 10**DECADES_ABOVE_CORNER
        if highest <= SLOWEST or self.white_noise == 0:
            return np.zeros(0), np.zeros(0)
        spacing = math.log(10) / PROCESSES_PER_DECADE
        count = 1 + round(math.log(highest / SLOWEST) / spacing)
        corners = SLOWEST * np.exp(spacing * np.arange(count))
        variance = self.white_noise * self.corner_frequency * spacing
        return np.full(count, variance), 2 * math.pi * corners

    def reading_noise(self, aperture: float) -> float:
        """Return the standard deviation in A of a reading that averages over `aperture` s.

        Raises
        ------
        ValueError
            If the aperture is not positive and finite.
        """
        if not 0 < aperture < math.inf:
            raise ValueError(f"amplifier: aperture is {aperture} s; it must be positive and finite")
        variances, relaxations = self.slow_processes()
        return math.sqrt(reading_variance(self.white_noise, np.sqrt(variances), relaxations, aperture))

    def add_noise(self, trace: Array, interval: float, bandwidth: float, rng: np.random.Generator) -> None:
        """Add noise in place to a trace (n,) in A, sampled every `interval` s behind one pole at `bandwidth` Hz.

        The samples have the joint law of the stationary process at any interval and bandwidth. A process that relaxes
        within 0.1 % of the rate of the amplifier is slowed down by that much.
        """
        if self.white_noise == 0:
            return
        noise = _sampled_noise(self, interval, bandwidth)
        modes = noise.start @ rng.standard_normal(len(noise.decay))
        key_0, key_1 = rng.integers(0, 2**32, 2)
        add_modes(int(key_0), int(key_1), noise.decay, noise.gain, noise.direct, modes, trace)


@lru_cache(maxsize=64)
def _sampled_noise(amplifier: CurrentAmplifier, interval: float, bandwidth: float) -> Innovations:
    """Return the noise of samples. Their covariance is a sum of exponentials, one a process and one of the pole."""
    r = relaxation_rate(bandwidth)
    variance, slow = amplifier.slow_processes()
    slow = np.where(np.abs(slow / r - 1) < 1e-3, r * (1 - 1e-3), slow)
    passed = variance * r / (r**2 - slow**2)
    own = amplifier.white_noise * r / 4 - float(np.sum(passed * slow))
    return factorise(np.append(passed * r, own), np.append(slow, r) * interval)
