"""What disturbs an experiment from outside, as a function of time: slow walks, jumps and bursts.

Each is addressed by seed, name and time, so that it can be asked for at any times in any order.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from twin.noise import generator, random_walk

__all__ = ["bursts", "jumps", "walk"]

Array = npt.NDArray[np.float64]

MINUTE = 60.0
HOUR = 3600.0


@lru_cache(maxsize=4096)
def _walk_node(minute: int, size: int, seed: int, name: str) -> Array:
    return random_walk(minute, size, seed, name) * math.sqrt(MINUTE / HOUR)


def walk(times: Array, size: int, seed: int, name: str) -> Array:
    """Return random walks (n, size) of unit variance after an hour, from 0 at time 0; linear within a minute.

    Parameters
    ----------
    times
        Times (n,), s, from 0 on.
    size
        How many independent ones.
    seed, name
        Which ones.
    """
    minutes = np.maximum(times, 0.0) / MINUTE
    first = np.floor(minutes).astype(np.int64)
    wanted, place = np.unique(first, return_inverse=True)
    begins = np.array([_walk_node(int(minute), size, seed, name) for minute in wanted]).reshape(-1, size)
    ends = np.array([_walk_node(int(minute) + 1, size, seed, name) for minute in wanted]).reshape(-1, size)
    part = (minutes - first)[:, np.newaxis]
    return begins[place] * (1 - part) + ends[place] * part


def _latest(times: Array, rate: float, seed: int, name: str) -> tuple[npt.NDArray[np.int64], Array]:
    """Return number and time (n,) of the latest event: one at random in every 1 / rate; before the first, -1."""
    spans = np.floor(times * rate).astype(np.int64)
    numbers = np.unique(np.concatenate([spans, spans - 1]))
    happened = np.array(
        [(number + generator(seed, name, int(number), "event").random()) / rate for number in numbers], float
    )
    own = happened[np.searchsorted(numbers, spans)]
    before = happened[np.searchsorted(numbers, spans - 1)]
    number = np.where(own <= times, spans, spans - 1)
    return np.maximum(number, -1), np.where(number < 0, -np.inf, np.where(own <= times, own, before))


def jumps(times: Array, rate: float, size: int, seed: int, name: str) -> Array:
    """Return offsets (n, size) that are drawn anew from the normal distribution at every jump; 0 before the first.

    Parameters
    ----------
    times
        Times (n,), s, from 0 on.
    rate
        Jumps per second.
    size
        How many independent offsets.
    seed, name
        Which ones.
    """
    if rate <= 0:
        return np.zeros((len(times), size))
    latest, _ = _latest(times, rate, seed, name)
    numbers, place = np.unique(latest, return_inverse=True)
    offsets = [
        generator(seed, name, int(number), "offset").standard_normal(size) if number >= 0 else np.zeros(size)
        for number in numbers
    ]
    return np.array(offsets)[place].reshape(len(times), size)


def bursts(times: Array, rate: float, duration: float, seed: int, name: str) -> npt.NDArray[np.bool_]:
    """Return whether a burst is on (n,); bursts begin `rate` times a second at random and last `duration` seconds."""
    if rate <= 0:
        return np.zeros(len(times), bool)
    _, begun = _latest(times, rate, seed, name)
    return times - begun < duration
