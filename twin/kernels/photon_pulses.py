"""When the photons of light pulses arrive.

Every draw is addressed by the counter (pulse, pulse >> 32, PULSE, draw).
"""

import numpy as np

from twin.kernels.jit import inlined, kernel, leaf
from twin.kernels.variates import logarithm, unit_interval, words_of

PULSE = 3


@leaf
def moment(position, profile):  # type: ignore[no-untyped-def]
    """Return the fraction of a pulse's length at which a fraction ``position`` of its energy has arrived.

    ``profile`` (k,) holds that fraction of the energy at the ends of k equal parts; the last is 1.
    """
    part = np.searchsorted(profile, position, side="right")
    below = profile[part - 1] if part > 0 else 0.0
    return (part + (position - below) / (profile[part] - below)) / profile.shape[0]


@inlined
def _draw(pulse, draw, key_0, key_1):  # type: ignore[no-untyped-def]
    a, b, c, d = words_of(pulse, PULSE, draw, key_0, key_1)
    return unit_interval(a, b), unit_interval(c, d)


@kernel
def single_photons(starts, chances, length, profile, key_0, key_1, photons):  # type: ignore[no-untyped-def]
    """Write when the photons of pulses arrive that carry one photon each; return how many did.

    Parameters
    ----------
    starts
        (n,) beginnings of the pulses, s.
    chances
        (n,) probabilities that the photon passes.
    length, profile
        Length of a pulse, s, and how its energy arrives, see `moment`.
    photons
        (n,) float64: filled in from the front.
    """
    filled = 0
    for n in range(starts.shape[0]):
        luck, position = _draw(n, 0, key_0, key_1)
        if luck < chances[n]:
            photons[filled] = starts[n] + length * moment(position, profile)
            filled += 1
    return filled


@kernel
def coherent_photons(starts, means, length, profile, key_0, key_1, photons):  # type: ignore[no-untyped-def]
    """Do what `single_photons` does for weak coherent pulses, whose photon numbers are Poissonian.

    In the fraction of the energy that has arrived, photons are a Poisson process of rate ``means[n]``.

    Parameters
    ----------
    means
        (n,) mean numbers of photons that pass.
    photons
        (m,) float64: filled in from the front as far as they fit; the number returned may be larger.
    """
    filled = 0
    for n in range(starts.shape[0]):
        draw, position = 0, 0.0
        while True:
            u, _unused = _draw(n, draw, key_0, key_1)
            position -= logarithm(u) / means[n]
            if not position < 1:
                break
            if filled < photons.shape[0]:
                photons[filled] = starts[n] + length * moment(position, profile)
            filled += 1
            draw += 1
    return filled
