"""Noise of a read-out: a sum of modes that one normal variate a sample drives, and the variance of a reading."""

import math

import numpy as np

from twin.kernels.jit import kernel
from twin.kernels.variates import fill_normals

BATCH = 256
"""Normal variates computed at a time on vector units."""


@kernel
def add_modes(key_0, key_1, decay, gain, direct, modes, trace):  # type: ignore[no-untyped-def]
    """Add the sum of modes to a trace (n,) in place: each relaxes, and all are driven by one normal variate a sample.

    Parameters
    ----------
    key_0, key_1
        Two 32-bit words that address the randomness.
    decay, gain
        (m,) what is left of each mode from one sample to the next, and what the variate adds to it.
    direct
        What the variate adds to the sample itself.
    modes
        (m,) where the modes are before the first sample; carried on.
    """
    normals = np.empty((2, BATCH // 2))
    z = normals.reshape(BATCH)
    for begin in range(0, trace.shape[0], BATCH):
        batch = trace[begin : begin + BATCH]
        fill_normals(normals, begin // BATCH, 0, key_0, key_1)
        for k in range(batch.shape[0]):
            batch[k] += direct * z[k]
        for m in range(modes.shape[0]):
            mode = modes[m]
            for k in range(batch.shape[0]):
                mode = decay[m] * mode + gain[m] * z[k]
                batch[k] += mode
            modes[m] = mode


@kernel
def reading_variance(white, deviations, relaxations, aperture):  # type: ignore[no-untyped-def]
    """Return the variance of the mean over an aperture of white noise (one-sided density) and of slow processes."""
    variance = white / (2 * aperture)
    for m in range(deviations.shape[0]):
        x = relaxations[m] * aperture
        share = 1 - x / 3 if x < 1e-4 else 2 * (x + math.expm1(-x)) / (x * x)
        variance += deviations[m] ** 2 * share
    return variance
