"""Counter-based random numbers: Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).

A draw is a function of its address (a 128-bit counter) and a 64-bit key, so it does not depend on what was drawn
before, beside it or on which thread.
"""

import math

import numpy as np
from numba import float32, uint32, uint64

from twin.kernels.jit import LANES, inlined, kernel, leaf

_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_HALF_WORD = np.uint64(32)

RARE_SYMBOL = math.sqrt(8 - 7 * (1 - math.sqrt(3584) / 112))
"""Magnitude of the symbols +-2.17756 of probability 1/16 each."""
COMMON_SYMBOL = math.sqrt(1 - math.sqrt(3584) / 112)
"""Magnitude of the symbols +-0.68226 of probability 7/16 each. With the rare ones they have the moments
0, 1, 0, 3, 0 of a normal variate, which is what a weak second-order scheme asks of its noise."""


@inlined
def philox4x32(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Return the four 32-bit words of ten Philox rounds at counter (c0, c1, c2, c3) under key (k0, k1)."""
    a, b, c, d = uint32(c0), uint32(c1), uint32(c2), uint32(c3)
    x, y = uint32(k0), uint32(k1)
    for _ in range(10):
        p = uint64(a) * _MULTIPLIER_0
        q = uint64(c) * _MULTIPLIER_1
        a, b = uint32(uint32(q >> _HALF_WORD) ^ b ^ x), uint32(q)
        c, d = uint32(uint32(p >> _HALF_WORD) ^ d ^ y), uint32(p)
        x, y = uint32(x + _WEYL_0), uint32(y + _WEYL_1)
    return a, b, c, d


@inlined
def normal_pair(first, second):  # type: ignore[no-untyped-def]
    """Return two standard normal variates in single precision from two words (Box and Muller).

    Logarithm, sine and cosine are polynomials (Cephes), because only those run on vector units without a vendor
    library; their relative error is below 3e-7.
    """
    u = (float32(first >> uint32(8)) + float32(0.5)) * float32(2.0**-24)
    bits = np.float32(u).view(np.int32)
    exponent = (bits >> np.int32(23)) - np.int32(126)
    m = np.int32((bits & np.int32(0x007FFFFF)) | np.int32(0x3F000000)).view(np.float32)
    small = m < float32(0.70710678)
    m = (m + m if small else m) - float32(1)
    e = float32(exponent) - (float32(1) if small else float32(0))
    z = m * m
    r = float32(7.0376836292e-2)
    r = r * m + float32(-1.1514610310e-1)
    r = r * m + float32(1.1676998740e-1)
    r = r * m + float32(-1.2420140846e-1)
    r = r * m + float32(1.4249322787e-1)
    r = r * m + float32(-1.6668057665e-1)
    r = r * m + float32(2.0000714765e-1)
    r = r * m + float32(-2.4999993993e-1)
    r = r * m + float32(3.3333331174e-1)
    logarithm = m + (r * m * z - float32(0.5) * z) + e * float32(0.69314718056)
    radius = math.sqrt(float32(-2) * logarithm)

    quadrant = uint32(second >> uint32(30))
    turn = float32(uint32(second & uint32(0x3FFFFFFF)) >> uint32(6)) * float32(2.0**-24) - float32(0.5)
    t = turn * float32(1.57079632679)
    s = t * t
    sine = t + t * s * (float32(-1.6666654611e-1) + s * (float32(8.3321608736e-3) + s * float32(-1.9515295891e-4)))
    cosine = (
        float32(1)
        - float32(0.5) * s
        + s
        * s
        * (float32(4.166664568298827e-2) + s * (float32(-1.388731625493765e-3) + s * float32(2.443315711809948e-5)))
    )
    swap = (quadrant & uint32(1)) != uint32(0)
    flip = (quadrant & uint32(2)) != uint32(0)
    along, across = (sine, cosine) if swap else (cosine, sine)
    along = -along if swap else along
    return radius * (-along if flip else along), radius * (-across if flip else across)


@leaf
def fill_words(words, begin, end, group, trajectory, line, owner, k0, k1):  # type: ignore[no-untyped-def]
    """Fill in words (4, n, LANES) of some rows: counter (group, trajectory, line, owner), the last by row."""
    for r in range(begin, end):
        for lane in range(LANES):
            a, b, c, d = philox4x32(group, trajectory[lane], line[lane], owner[r], k0, k1)
            words[0, r, lane] = a
            words[1, r, lane] = b
            words[2, r, lane] = c
            words[3, r, lane] = d


@leaf
def words_to_normals(words, begin, end):  # type: ignore[no-untyped-def]
    """Turn words (4, n, LANES) of some rows into the bits of as many normal variates in single precision, in place."""
    for pair in range(2):
        for r in range(begin, end):
            for lane in range(LANES):
                p, q = normal_pair(words[2 * pair, r, lane], words[2 * pair + 1, r, lane])
                words[2 * pair, r, lane] = np.float32(p).view(np.uint32)
                words[2 * pair + 1, r, lane] = np.float32(q).view(np.uint32)


@leaf
def words_to_counts(words, begin, end):  # type: ignore[no-untyped-def]
    """Turn words (4, n, LANES) of some rows into the bits of (bits set - 16) / sqrt(8), single precision, in place."""
    for k in range(4):
        for r in range(begin, end):
            for lane in range(LANES):
                bits = words[k, r, lane]
                bits = uint32(bits - uint32(uint32(bits >> uint32(1)) & uint32(0x55555555)))
                bits = uint32(
                    uint32(bits & uint32(0x33333333)) + uint32(uint32(bits >> uint32(2)) & uint32(0x33333333))
                )
                bits = uint32(uint32(bits + uint32(bits >> uint32(4))) & uint32(0x0F0F0F0F))
                bits = uint32(bits + uint32(bits >> uint32(8)))
                count = uint32(bits + uint32(bits >> uint32(16))) & uint32(0x3F)
                variate = (float32(np.int32(count)) - float32(16)) * float32(1 / math.sqrt(8))
                words[k, r, lane] = np.float32(variate).view(np.uint32)


@kernel
def words_at(counters, k0, k1):  # type: ignore[no-untyped-def]
    """Return the words (m, 4) at the counters (m, 4), all uint32."""
    words = np.empty_like(counters)
    for i in range(counters.shape[0]):
        a, b, c, d = philox4x32(counters[i, 0], counters[i, 1], counters[i, 2], counters[i, 3], k0, k1)
        words[i, 0], words[i, 1], words[i, 2], words[i, 3] = a, b, c, d
    return words
