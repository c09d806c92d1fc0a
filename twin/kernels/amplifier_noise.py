"""Noise of a read-out behind an amplifier with one pole: white noise and Ornstein-Uhlenbeck processes, exact."""

import math

import numpy as np

from twin.kernels.jit import kernel


@kernel
def add_amplifier_noise(rng, processes, output, trace):  # type: ignore[no-untyped-def]
    """Add the noise of an amplifier, in its stationary state, to a trace (n,) in place.

    Parameters
    ----------
    processes
        Tuple of (m,) arrays, one number for each of the slow processes at the input: their standard deviation, what is
        left of them after an interval, the standard deviation of what they gain in it, what they hand to the output in
        it, how much of their gain reaches the output within the interval, and their weight in the output at the start.
    output
        Three numbers: what is left of the output after an interval, and the standard deviations of what else it gains
        in an interval and of what else it holds at the start.
    """
    deviation, decay, gain, drive, shared, held = processes
    left, alone, initial = output
    slow = np.empty(deviation.shape[0])
    value = initial * rng.standard_normal()
    for m in range(slow.shape[0]):
        slow[m] = deviation[m] * rng.standard_normal()
        value += held[m] * slow[m]
    for k in range(trace.shape[0]):
        if k > 0:
            value = left * value + alone * rng.standard_normal()
            for m in range(slow.shape[0]):
                z = rng.standard_normal()
                value += drive[m] * slow[m] + shared[m] * z
                slow[m] = decay[m] * slow[m] + gain[m] * z
        trace[k] += value


@kernel
def reading_variance(white, deviations, relaxations, aperture):  # type: ignore[no-untyped-def]
    """Return the variance of the mean over an aperture of white noise (one-sided density) and of slow processes."""
    variance = white / (2 * aperture)
    for m in range(deviations.shape[0]):
        x = relaxations[m] * aperture
        share = 1 - x / 3 if x < 1e-4 else 2 * (x + math.expm1(-x)) / (x * x)
        variance += deviations[m] ** 2 * share
    return variance
