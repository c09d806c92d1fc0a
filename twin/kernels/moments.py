"""Moments of samples in double precision, and what a converter makes of samples."""

import numpy as np
from numba import float32

from twin.kernels.jit import inlined, kernel
from twin.kernels.philox import normal_pair, philox4x32

TOGETHER = 4
"""Samples whose products are added to a comoment in one pass over its memory."""


@inlined
def _means(samples, group, means):  # type: ignore[no-untyped-def]
    m, c = samples.shape[1], samples.shape[2]
    means[:] = 0
    for s in range(m):
        for i in range(c):
            means[i] += samples[group, s, i]
    for i in range(c):
        means[i] /= m


@kernel
def add_moments(begin, end, samples, done, mean, comoment):  # type: ignore[no-untyped-def]
    """Add samples to the moments of groups ``begin`` to ``end`` (Chan, Golub and LeVeque 1979).

    Parameters
    ----------
    samples
        (groups, m, c) float32: the next m samples of each group.
    done
        Samples that the moments already hold.
    mean, comoment
        (groups, c) means and (groups, c, c) sums of products of deviations from them, upper triangle; updated.
    """
    m, c = samples.shape[1], samples.shape[2]
    here, deviations = np.empty(c), np.zeros((TOGETHER, c))
    for g in range(begin, end):
        _means(samples, g, here)
        for first in range(0, m, TOGETHER):
            for k in range(TOGETHER):
                for i in range(c):
                    deviations[k, i] = samples[g, first + k, i] - here[i] if first + k < m else 0.0
            for i in range(c):
                d0, d1, d2, d3 = deviations[0, i], deviations[1, i], deviations[2, i], deviations[3, i]
                for j in range(i, c):
                    comoment[g, i, j] += (
                        d0 * deviations[0, j] + d1 * deviations[1, j] + d2 * deviations[2, j] + d3 * deviations[3, j]
                    )
        for i in range(c):
            for j in range(i, c):
                comoment[g, i, j] += (here[i] - mean[g, i]) * (here[j] - mean[g, j]) * (done * m / (done + m))
        for i in range(c):
            mean[g, i] += (here[i] - mean[g, i]) * (m / (done + m))


@kernel
def add_variances(begin, end, samples, done, mean, comoment):  # type: ignore[no-untyped-def]
    """Do what `add_moments` does for the diagonal of the comoment alone: (groups, c)."""
    m, c = samples.shape[1], samples.shape[2]
    here = np.empty(c)
    for g in range(begin, end):
        _means(samples, g, here)
        for s in range(m):
            for i in range(c):
                comoment[g, i] += (samples[g, s, i] - here[i]) ** 2
        for i in range(c):
            comoment[g, i] += (here[i] - mean[g, i]) ** 2 * (done * m / (done + m))
            mean[g, i] += (here[i] - mean[g, i]) * (m / (done + m))


@kernel
def add_projections(begin, end, samples, first, linear, done, mean, comoment):  # type: ignore[no-untyped-def]
    """Add samples to the covariances of cells with linear combinations of them.

    Parameters
    ----------
    samples, done
        As in `add_moments`.
    first
        Number of the first group of samples; groups go through the K rows of input again and again.
    linear
        (K, p, c) combinations of each row, or (1, p, c).
    mean
        (groups, c) means of the ``done`` samples before.
    comoment
        (groups, p, c) sums of products of deviations from the means; updated.
    """
    m, c = samples.shape[1], samples.shape[2]
    here, deviation = np.empty(c), np.empty(c)
    for g in range(begin, end):
        combinations = linear[(first + g) % linear.shape[0]]
        _means(samples, g, here)
        for s in range(m + 1):
            weight = done * m / (done + m) if s == m else 1.0
            for i in range(c):
                deviation[i] = here[i] - mean[g, i] if s == m else samples[g, s, i] - here[i]
            for p in range(combinations.shape[0]):
                combined = 0.0
                for i in range(c):
                    combined += combinations[p, i] * deviation[i]
                for i in range(c):
                    comoment[g, p, i] += weight * combined * deviation[i]


@kernel
def add_batches(begin, end, samples, done, total, sums):  # type: ignore[no-untyped-def]
    """Add samples to (groups, b, c) sums over b consecutive batches of a series of ``total`` samples."""
    for g in range(begin, end):
        for s in range(samples.shape[1]):
            batch = (done + s) * sums.shape[1] // total
            for i in range(samples.shape[2]):
                sums[g, batch, i] += samples[g, s, i]


@kernel
def count_clipped(begin, end, samples, rail, clipped):  # type: ignore[no-untyped-def]
    """Add to (groups,) how many samples lie at the rails."""
    for g in range(begin, end):
        for s in range(samples.shape[1]):
            for i in range(samples.shape[2]):
                clipped[g] += abs(samples[g, s, i]) >= rail


@kernel
def convert(begin, end, samples, rows, slots, cells, trajectory, observation, noise, code, codes, key_0, key_1):  # type: ignore[no-untyped-def]
    """Add read noise to samples and round them to the codes of a converter, in place.

    Parameters
    ----------
    samples
        (P * K, trajectories, observations, c) float32, of which programs times rows ``begin`` to ``end`` are treated.
    trajectory, observation
        Numbers of the first; with row, slot and cell they address the noise.
    noise
        Standard deviation of the read noise.
    code, codes
        Step of the converter and how many codes it has on either side of 0; no rounding if ``codes`` is 0.
    """
    for g in range(begin, end):
        slot, row = slots[g // rows.shape[0]], rows[g % rows.shape[0]]
        for t in range(samples.shape[1]):
            for o in range(samples.shape[2]):
                for i in range(samples.shape[3]):
                    value = samples[g, t, o, i]
                    if noise > 0:
                        owner = slot * 65536 + cells[i]
                        a, b, _c, _d = philox4x32(observation + o, trajectory + t, row, owner, key_0, key_1)
                        first, _second = normal_pair(a, b)
                        value += float32(noise) * first
                    if codes > 0:
                        value = float32(min(max(np.rint(value / code), -codes), codes - 1) * code)
                    samples[g, t, o, i] = value
