"""How long outcomes last and how they depend on each other: pure functions of a series of +1 and -1."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.statistics import mean_with_error

Array = NDArray[np.float64]

SIGNIFICANT = 5.0
"""Standard errors from which on a correlation is one."""


def autocorrelation(series: Array, lags: int) -> Array:
    """Return the correlation of a series with itself some values later.

    Parameters
    ----------
    series : ndarray, shape (samples,)
        Values at equal intervals.
    lags : int
        Largest distance, in values, less than their number.

    Returns
    -------
    ndarray, shape (lags,)
        At distances 1, 2, ..., each with the 1/samples added that subtracting the mean takes away; zero for a
        constant series.
    """
    centred = series - series.mean()
    variance = float(np.mean(centred**2))
    if variance == 0.0:
        return np.zeros(lags)
    size = len(series)
    products = [np.dot(centred[:-lag], centred[lag:]) / (size - lag) for lag in range(1, lags + 1)]
    return np.array(products) / variance + 1.0 / size


def outcome_memory(outcomes: Array, interval: float, lags: int) -> dict[str, Any]:
    """Return how much of one outcome is left in the next ones.

    Parameters
    ----------
    outcomes : ndarray, shape (shots,)
        +1 and -1.
    interval : float
        Time between shots, s.
    lags : int
        Largest distance, in shots.

    Returns
    -------
    dict
        ``probability`` of +1 and its ``probability_standard_error`` with correlations counted in; list
        ``autocorrelation`` and its ``autocorrelation_standard_error`` for independent shots; ``memory``: the first of
        the list; ``independent``; ``correlation_time`` in s: that after which ``exp(-t/tau)`` leaves the memory, None
        where there is none.
    """
    correlations = autocorrelation(outcomes, lags)
    error = 1.0 / math.sqrt(len(outcomes))
    memory = float(correlations[0])
    independent = abs(memory) < SIGNIFICANT * error
    probability, probability_error = mean_with_error(outcomes > 0, correlated=not independent)
    decays = not independent and 0.0 < memory < 1.0
    return {
        "probability": probability,
        "probability_standard_error": probability_error,
        "autocorrelation": correlations.tolist(),
        "autocorrelation_standard_error": error,
        "memory": memory,
        "independent": independent,
        "correlation_time": -interval / math.log(memory) if decays else None,
    }


def dwell_times(outcomes: Array, interval: float) -> dict[str, float | None]:
    """Return how long a switch stays on and off.

    Parameters
    ----------
    outcomes : ndarray, shape (shots,)
        +1 and -1.
    interval : float
        Time between shots, s.

    Returns
    -------
    dict
        ``dwell_shots_on`` and ``dwell_shots_off``: shots in the state for each exit from it, which is the mean dwell
        of a memoryless switch whose first and last stay are cut off; ``dwell_seconds_on`` and ``dwell_seconds_off``;
        each with ``_standard_error``. None where there was no exit.
    """
    here, leaves = outcomes[:-1], outcomes[:-1] != outcomes[1:]
    result: dict[str, float | None] = {}
    for name, state in (("on", 1.0), ("off", -1.0)):
        stays = int(np.count_nonzero(here == state))
        exits = int(np.count_nonzero(leaves & (here == state)))
        mean = stays / exits if exits else None
        error = mean * math.sqrt(max(1.0 - exits / stays, 0.0) / exits) if mean is not None else None
        for unit, factor in (("shots", 1.0), ("seconds", interval)):
            result[f"dwell_{unit}_{name}"] = None if mean is None else mean * factor
            result[f"dwell_{unit}_{name}_standard_error"] = None if error is None else error * factor
    return result
