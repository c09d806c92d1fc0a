"""Uniform and exponential variates in double precision from random words."""

import numpy as np
from numba import float64, int64, uint32, uint64

from twin.kernels.jit import inlined
from twin.kernels.philox import philox4x32

_MANTISSA, _ONE = np.uint64(0x000FFFFFFFFFFFFF), np.uint64(0x3FF0000000000000)
_ROOT_HALF = np.uint64(0x3FE6A09E667F3BCD)
_ROOT_HALF_TO_ONE = np.uint64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
_LOW_WORD, _HIGH_WORD = np.uint64(0xFFFFFFFF), np.uint64(32)
_SHIFT_12, _SHIFT_20, _SHIFT_52 = np.uint32(12), np.uint64(20), np.uint64(52)


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
    """Return ln(x) of a positive normal number to 1 ulp or so, in operations that run on vector units (fdlibm)."""
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
    low = s * (half + (even + odd)) + exponent * 1.90821492927058770002e-10
    return exponent * 6.93147180369123816490e-01 - ((half - low) - f)
