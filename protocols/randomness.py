"""Randomness by address: what a plan draws depends on its seed and step, not on what was drawn before.

A run that is paused, repeated from a checkpoint or continued in another process makes the same choices.
"""

import numpy as np


def stream(seed: int, *address: int) -> np.random.Generator:
    """Return the generator of one decision of a plan.

    Parameters
    ----------
    seed : int
        Seed of the plan, at least 0.
    *address : int
        Which decision, for example its kind and its step.

    Returns
    -------
    numpy.random.Generator
        On a counter-based Philox stream of its own.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=address)))


def noise_seed(seed: int, step: int) -> int:
    """Return the seed of the board's noise for one step of a plan.

    A board that is seeded anew before each step repeats the step exactly when the run engine rewinds to its checkpoint.

    Parameters
    ----------
    seed : int
        Seed of the plan, at least 0.
    step : int
        Number of the step.

    Returns
    -------
    int
        From 0 to 2**32 - 1.
    """
    return int(np.random.SeedSequence(seed, spawn_key=(step,)).generate_state(1)[0])
