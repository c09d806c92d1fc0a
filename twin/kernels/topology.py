"""Coupling graphs as a kernel walks them: colour classes, and tiles of cells with the neighbours that act on them."""

from typing import NamedTuple

import numpy as np

from twin.kernels.jit import kernel, leaf


class Layout(NamedTuple):
    """The cells of P programs arranged in rows: classes one after the other, cut into tiles."""

    order: np.ndarray  # (P, n): the cell in each row
    colours: np.ndarray  # (P,) classes
    classes: np.ndarray  # (P, n + 1): class c has the rows classes[c] to classes[c + 1]
    class_tiles: np.ndarray  # (P, n + 1): and the tiles class_tiles[c] to class_tiles[c + 1]
    tiles: np.ndarray  # (P, n, TILE)
    neighbours: np.ndarray  # (P, n * n): rows that act on a tile, see BEGIN and END
    weights: np.ndarray  # (P, n * n) float32: -J[i, j] on i by j; for each neighbour of a tile those on its cells


(ROW, CELLS, BEGIN, END, WEIGHT, TILE) = range(6)
"""A tile: its first row, its number of cells, where its neighbours begin and end, and where its weights begin."""
WIDE = 4
"""Cells of a wide tile; the others have one."""
LEAST_SHARE = 0.75
"""Fraction of the weights of a wide tile that must be couplings; with fewer, its cells are better off alone."""


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


@leaf
def _same_pattern(one, other):  # type: ignore[no-untyped-def]
    """Return whether two programs couple the same cells."""
    for i in range(one.shape[0]):
        differ = 0
        for j in range(one.shape[0]):
            differ += (one[i, j] != 0) != (other[i, j] != 0)
        if differ:
            return False
    return True


@leaf
def _is_wide(couplings, order, row):  # type: ignore[no-untyped-def]
    """Return whether the WIDE cells from a row onwards share most of their neighbours."""
    together = apart = 0
    for j in range(couplings.shape[0]):
        here = 0
        for q in range(WIDE):
            here += couplings[order[row + q], j] != 0
        together += here > 0
        apart += here
    return apart >= LEAST_SHARE * WIDE * together


@leaf
def _cut_class(couplings, order, begin, end, first, tiles, neighbours):  # type: ignore[no-untyped-def]
    """Cut rows into tiles, number ``first`` onwards, and list their neighbours; return the number of the next tile."""
    t, row = first, begin
    listed = weight = 0
    if t > 0:
        before = tiles[t - 1]
        listed, weight = before[END], before[WEIGHT] + before[CELLS] * (before[END] - before[BEGIN])
    while row < end:
        cells = WIDE if row + WIDE <= end and _is_wide(couplings, order, row) else 1
        tiles[t, ROW], tiles[t, CELLS], tiles[t, BEGIN], tiles[t, WEIGHT] = row, cells, listed, weight
        for j in range(couplings.shape[0]):
            acts = False
            for q in range(cells):
                acts |= couplings[order[row + q], order[j]] != 0
            if acts:
                neighbours[listed] = j
                listed += 1
        tiles[t, END] = listed
        weight += cells * (listed - tiles[t, BEGIN])
        t, row = t + 1, row + cells
    return t


@leaf
def _pack_weights(couplings, order, tiles, neighbours, weights):  # type: ignore[no-untyped-def]
    """Fill in the weights of some tiles."""
    for t in range(tiles.shape[0]):
        weight = tiles[t, WEIGHT]
        for k in range(tiles[t, BEGIN], tiles[t, END]):
            for q in range(tiles[t, CELLS]):
                weights[weight] = -couplings[order[tiles[t, ROW] + q], order[neighbours[k]]]
                weight += 1


@kernel
def lay_out(couplings, split, layout):  # type: ignore[no-untyped-def]
    """Fill in the layout of programs.

    Parameters
    ----------
    couplings
        (P, n, n) float32 couplings J, diagonal zero; J[i, j] weighs x_j in the force on cell i.
    split
        Whether cells that are coupled to each other are kept in different classes; else all are in one.
    layout
        A `Layout`, filled in.
    """
    n = couplings.shape[1]
    for p in range(couplings.shape[0]):
        order, classes, class_tiles = layout.order[p], layout.classes[p], layout.class_tiles[p]
        tiles, neighbours = layout.tiles[p], layout.neighbours[p]
        if p > 0 and _same_pattern(couplings[p], couplings[p - 1]):
            layout.colours[p] = layout.colours[p - 1]
            order[:], classes[:], class_tiles[:] = layout.order[p - 1], layout.classes[p - 1], layout.class_tiles[p - 1]
            tiles[:] = layout.tiles[p - 1]
            listed = tiles[class_tiles[layout.colours[p]] - 1, END]
            neighbours[:listed] = layout.neighbours[p - 1, :listed]
        else:
            layout.colours[p] = colour_classes(couplings[p], order, classes) if split else 1
            if not split:
                order[:] = np.arange(n)
                classes[0], classes[1] = 0, n
            class_tiles[0] = 0
            for c in range(layout.colours[p]):
                class_tiles[c + 1] = _cut_class(
                    couplings[p], order, classes[c], classes[c + 1], class_tiles[c], tiles, neighbours
                )  # fmt: skip
        _pack_weights(couplings[p], order, tiles[: class_tiles[layout.colours[p]]], neighbours, layout.weights[p])


@kernel
def layout_of(layout, p):  # type: ignore[no-untyped-def]
    """Return the layout of program p alone."""
    return Layout(
        layout.order[p], layout.colours[p], layout.classes[p], layout.class_tiles[p], layout.tiles[p],
        layout.neighbours[p], layout.weights[p],
    )  # fmt: skip
