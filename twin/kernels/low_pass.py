"""Chains of equal low passes, propagated exactly."""

import math

import numpy as np

from twin.kernels.jit import kernel

_FORGOTTEN = 700.0
"""Time constants after which a chain is at its input to the last bit, and exp(-x) still above zero."""


@kernel
def follow(stages, inputs, steps):  # type: ignore[no-untyped-def]
    """Let chains of first-order low passes follow inputs that are constant within each step.

    The distance v_k = x_k - u of stage k from the input u obeys tau v_k' = v_{k-1} - v_k, hence after s = t / tau
    v_k(s) = exp(-s) sum_j s^j / j! v_{k-j}(0): exact for steps of any length.

    Parameters
    ----------
    stages
        (n, c) outputs of the n stages of c chains; updated.
    inputs
        (m, c) inputs.
    steps
        (m,) lengths of the steps in time constants.

    Returns
    -------
    ndarray, shape (m, n, c)
        Outputs of all stages at the end of every step.
    """
    depth, chains = stages.shape
    outputs = np.empty((len(steps), depth, chains))
    for m in range(len(steps)):
        step = min(steps[m], _FORGOTTEN)
        decay = math.exp(-step)
        for c in range(chains):
            u = inputs[m, c]
            for k in range(depth - 1, -1, -1):
                weight, distance = decay, 0.0
                for j in range(k + 1):
                    distance += weight * (stages[k - j, c] - u)
                    weight *= step / (j + 1)
                stages[k, c] = u + distance
                outputs[m, k, c] = stages[k, c]
    return outputs
