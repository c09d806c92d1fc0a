"""Randomness that is addressed, not carried: streams keyed by seed, instrument and acquisition number."""

import hashlib
import math

import numpy as np
import numpy.typing as npt

_LONGEST = 50
"""A drift is followed for 2^50 time units, beyond any laboratory."""


def stream_key(seed: int, instrument: str, acquisition: int, purpose: str = "dynamics") -> tuple[int, int]:
    """Return the two 32-bit key words of a counter-based stream.

    Parameters
    ----------
    seed, acquisition
        Any integers.
    instrument, purpose
        Whose noise it is and what for; streams of different names are independent.
    """
    digest = hashlib.blake2b(repr((int(seed), instrument, int(acquisition), purpose)).encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def generator(seed: int, instrument: str, acquisition: int, purpose: str) -> np.random.Generator:
    """Return a NumPy generator on the stream of `stream_key`, for what is drawn once."""
    low, high = stream_key(seed, instrument, acquisition, purpose)
    return np.random.Generator(np.random.Philox(key=low | high << 32))


def random_walk(time: float, size: int, seed: int, instrument: str) -> npt.NDArray[np.float64]:
    """Return ``size`` Brownian motions of unit variance per unit time at one time, from 0 at time 0.

    Every time can be asked for in any order: the path is refined by halving (Levy's construction), with one stream per
    node, down to a time unit and linear between.
    """
    low, high = 0.0, float(2**_LONGEST)
    at_low = np.zeros(size)
    at_high = math.sqrt(high) * generator(seed, instrument, 0, "walk end").standard_normal(size)
    for level in range(_LONGEST):
        middle = (low + high) / 2
        node = generator(seed, instrument, int(middle), f"walk {level}").standard_normal(size)
        at_middle = (at_low + at_high) / 2 + math.sqrt(high - low) / 2 * node
        if time < middle:
            high, at_high = middle, at_middle
        else:
            low, at_low = middle, at_middle
    return at_low + (at_high - at_low) * (time - low) / (high - low)
