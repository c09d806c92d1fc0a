"""Uniform, exponential and normal variates in double precision from random words, in operations for vector units.

A loop over these functions runs several numbers at a time: they have neither branches nor calls into a library.
"""

import math

import numpy as np
from numba import float64, int64, uint32, uint64

from twin.kernels.jit import inlined, leaf
from twin.kernels.philox import philox4x32

_MANTISSA, _ONE = np.uint64(0x000FFFFFFFFFFFFF), np.uint64(0x3FF0000000000000)
_ROOT_HALF = np.uint64(0x3FE6A09E667F3BCD)
_ROOT_HALF_TO_ONE = np.uint64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
_LOW_WORD, _HIGH_WORD = np.uint64(0xFFFFFFFF), np.uint64(32)
_SHIFT_12, _SHIFT_20, _SHIFT_52 = np.uint32(12), np.uint64(20), np.uint64(52)
_TO_INTEGER = 1.5 * 2.0**52
"""Added to a number below 2^51, it leaves the nearest integer in the last bits."""
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10


@inlined
def words_of(number, purpose, part, key_0, key_1):  # type: ignore[no-untyped-def]
    """Return the four words at the counter (number, number >> 32, purpose, part), for numbers of 64 bits."""
    low, high = uint64(number) & _LOW_WORD, uint64(number) >> _HIGH_WORD
    return philox4x32(low, high, purpose, part, key_0, key_1)


@inlined
def unit_interval(first, second):  # type: ignore[no-untyped-def]
    """Return a number in (0, 1) with 52 random bits from two words."""
    bits = (uint64(first) << _SHIFT_20) | uint64(uint32(second) >> _SHIFT_12)
    return np.uint64(bits | _ONE).view(np.float64) - (1.0 - 2.0**-53)


@inlined
def logarithm(x):  # type: ignore[no-untyped-def]
    """Return ln(x) of a positive normal number to 1 ulp or so (fdlibm)."""
    shifted = np.float64(x).view(np.uint64) + _ROOT_HALF_TO_ONE
    exponent = float64(int64(shifted >> _SHIFT_52) - int64(1023))
    f = np.uint64((shifted & _MANTISSA) + _ROOT_HALF).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    odd = z * (
        6.666666666666735130e-01
        + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01))
    )
    half = 0.5 * f * f
    low = s * (half + (even + odd)) + exponent * _LN2_LOW
    return exponent * _LN2_HIGH - ((half - low) - f)


@inlined
def exponential_function(x):  # type: ignore[no-untyped-def]
    """Return exp(x) to 1 ulp or so for abs(x) < 700: the Taylor series to r^13 for x = r + n ln(2), times 2^n."""
    shifted = x * (1 / math.log(2)) + _TO_INTEGER
    power = shifted - _TO_INTEGER
    r = (x - power * _LN2_HIGH) - power * _LN2_LOW
    z = r * r
    even = 1 / 24 + z * (1 / 720 + z * (1 / 40320 + z * (1 / 3628800 + z * (1 / 479001600))))
    odd = 1 / 120 + z * (1 / 5040 + z * (1 / 362880 + z * (1 / 39916800 + z * (1 / 6227020800))))
    series = 1 + (r + z * (1 / 2 + r * (1 / 6) + z * (even + r * odd)))
    bits = np.float64(series).view(np.uint64) + (np.float64(shifted).view(np.uint64) << _SHIFT_52)
    return np.uint64(bits).view(np.float64)


@inlined
def cosine_and_sine(x):  # type: ignore[no-untyped-def]
    """Return cos(4 x) and sin(4 x) to 1e-15 for abs(x) <= pi / 4: polynomials (fdlibm), then twice the double angle."""
    z = x * x
    odd = 2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)
    odd = 8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 + z * odd)
    sine = x + x * z * (-1.66666666666666324348e-01 + z * odd)
    even = -2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 - z * 1.13596475577881948265e-11)
    even = -1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 + z * even)
    cosine = 1 - (0.5 * z - z * z * (4.16666666666666019037e-02 + z * even))
    cosine, sine = 1 - 2 * sine * sine, 2 * sine * cosine
    return 1 - 2 * sine * sine, 2 * sine * cosine


@leaf
def fill_normals(normals, batch, purpose, key_0, key_1):  # type: ignore[no-untyped-def]
    """Fill in a batch (2, m) of standard normal variates (Box and Muller) from the counters (i, batch, purpose, 0)."""
    for i in range(normals.shape[1]):
        a, b, c, d = philox4x32(i, batch, purpose, 0, key_0, key_1)
        normals[0, i], normals[1, i] = unit_interval(a, b), unit_interval(c, d)
    for i in range(normals.shape[1]):
        radius = np.sqrt(-2 * logarithm(normals[0, i]))
        cosine, sine = cosine_and_sine((math.pi / 2) * (normals[1, i] - 0.5))
        normals[0, i], normals[1, i] = radius * cosine, radius * sine
