"""Coupling graphs as a kernel walks them: colour classes and lists of the couplings that are not zero."""

import numpy as np

from twin.kernels.jit import kernel

PACK = 4
"""Neighbours whose couplings are added in one pass over the lanes; lists are padded to a multiple of it."""


@kernel
def list_neighbours(couplings, starts, neighbours, weights):  # type: ignore[no-untyped-def]
    """List the force that each cell feels from others, -J[i, j] on i by j, padded with couplings of weight zero.

    Parameters
    ----------
    couplings
        (n, n) couplings J; J[i, j] weighs x_j in the force on cell i. The diagonal is not read.
    starts, neighbours, weights
        Filled in: the list of cell i is ``starts[i]`` to ``starts[i + 1]``.
    """
    n = couplings.shape[0]
    end = 0
    for i in range(n):
        starts[i] = end
        for j in range(n):
            if j != i and couplings[i, j] != 0:
                neighbours[end] = j
                weights[end] = -couplings[i, j]
                end += 1
        while (end - starts[i]) % PACK:
            neighbours[end] = i
            weights[end] = 0
            end += 1
    starts[n] = end


@kernel
def colour_classes(couplings, order, classes):  # type: ignore[no-untyped-def]
    """Sort the cells into classes within which no two are coupled (greedy, in the order of the cells).

    A layered network gives its even and odd layers, an all-to-all network one class a cell.

    Parameters
    ----------
    couplings
        (n, n) couplings; two cells are coupled when either direction is not zero.
    order, classes
        Filled in: class c holds the cells ``order[classes[c]:classes[c + 1]]``.

    Returns
    -------
    int
        Number of classes.
    """
    n = couplings.shape[0]
    colour = np.zeros(n, np.int64)
    taken = np.zeros(n + 1, np.int64)
    count = 0
    for i in range(n):
        for j in range(i):
            if couplings[i, j] != 0 or couplings[j, i] != 0:
                taken[colour[j]] = i + 1
        c = 0
        while taken[c] == i + 1:
            c += 1
        colour[i] = c
        count = max(count, c + 1)
    end = 0
    for c in range(count):
        classes[c] = end
        for i in range(n):
            if colour[i] == c:
                order[end] = i
                end += 1
    classes[count] = end
    return count
