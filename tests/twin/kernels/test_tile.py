"""The tile against the lines of plain Python that it stands for."""

import ast
import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
from numba import float32, njit

from twin.kernels.block import new_block, set_coefficients
from twin.kernels.jit import LANES
from twin.kernels.philox import COMMON_SYMBOL, RARE_SYMBOL
from twin.kernels.tile import (
    COEFFICIENTS,
    DRIFT,
    FORCE_1,
    FORCE_2,
    FORCE_3,
    FOUR_CELLS,
    NOISE,
    ONE_CELL,
    SLOPE_0,
    SLOPE_1,
    SLOPE_2,
    STEP,
    ConvexImplicit,
    Euler,
    Implicit,
    Links,
    Signs,
    Symbols,
    Variates,
    advance,
)  # fmt: skip
from twin.models.network import sample_network

CELLS, ROWS, FIRST = 12, 4, 4
POSITION = 3
RAIL = np.float32(0.7)
WIDE_4, WIDE_8, WIDE_16 = (4, 2, 4), (4, 2, 8), (4, 4, 16)


def runner(shape):
    """Advance four cells, rows FIRST onwards, in every lane, in tiles of a shape."""
    cells, lanes = shape[0], shape[1] * shape[2]

    @njit
    def run(scheme, kind, neighbours, weights, gain, field, coefficients, noise, x, y):
        for q in range(0, ROWS, cells):
            links = Links(neighbours, weights, FIRST + q, 0, neighbours.shape[0], q * neighbours.shape[0])
            for lane in range(0, LANES, lanes):
                advance(
                    shape, scheme, kind, links, lane, gain, field, coefficients, noise, POSITION, RAIL, x, y
                )  # fmt: skip

    return run


def packed(weights, shape):
    """Weights (neighbours, 4) as the tiles of a shape read them."""
    return np.ascontiguousarray(weights if shape[0] == ROWS else weights.T).ravel()


def problem(convex=True, seed=0):
    rng = np.random.default_rng(seed)
    block = new_block(CELLS)
    block.x[:] = rng.normal(size=block.x.shape) * 0.7
    block.field[:] = rng.normal(size=block.x.shape)
    block.words[:] = rng.integers(0, 2**32, size=block.words.shape, dtype=np.uint32)
    stiffness = np.float32([(1, 0, 1)] * CELLS if convex else [(-2, 0.5, 1), (1, -0.7, 0.2), (0.1, 0, 0)] * 4)
    coefficients = np.zeros((2, CELLS, COEFFICIENTS), np.float32)
    neighbours = np.array([0, 2, 3, 8, 9, 11])
    weights = rng.normal(size=(neighbours.size, ROWS)).astype(np.float32)
    return block, stiffness, coefficients, neighbours, weights


def noise_of(kind, words):
    """Draw number POSITION of each word."""
    if isinstance(kind, Variates):
        return words.view(np.float32).astype(float)
    if isinstance(kind, Signs):
        return np.where(words << np.uint32(POSITION) & np.uint32(2**31), -1.0, 1.0)
    bits = words >> np.uint32(4 * POSITION)
    return np.where(bits & 7, COMMON_SYMBOL, RARE_SYMBOL) * np.where(bits & 8, -1.0, 1.0)


def reference(scheme, kind, neighbours, weights, gain, field, coefficients, words, x):
    """Return where the cells go, in double precision; (4, LANES)."""
    c = coefficients[FIRST : FIRST + ROWS, :, None].astype(float).transpose(1, 0, 2)
    v, noise = x[FIRST : FIRST + ROWS].astype(float), c[NOISE] * noise_of(kind, words)[FIRST : FIRST + ROWS]
    total = gain * field[FIRST : FIRST + ROWS].astype(float) + weights.T.astype(float) @ x[neighbours]
    move = c[STEP] * (total + c[DRIFT] - v * (c[FORCE_1] + v * (c[FORCE_2] + v * c[FORCE_3]))) + noise
    divisor = c[SLOPE_0] + v * (c[SLOPE_1] + v * c[SLOPE_2])
    if not isinstance(scheme, Euler):
        move *= np.where(divisor >= 1, 1 / divisor, 2 - divisor)
    return np.clip(v + move, -RAIL, RAIL)


SCHEMES = Euler(), Implicit(), ConvexImplicit()
KINDS = Signs(), Symbols(), Variates()
MACHINE = runner(FOUR_CELLS), runner(ONE_CELL)


@pytest.mark.parametrize("kind", KINDS, ids=["signs", "symbols", "variates"])
@pytest.mark.parametrize("scheme", SCHEMES, ids=["euler", "implicit", "convex"])
def test_a_step_is_that_of_the_reference(scheme, kind):
    block, stiffness, coefficients, neighbours, weights = problem(isinstance(scheme, ConvexImplicit))
    if isinstance(kind, Variates):
        block.words.view(np.float32)[:] = np.random.default_rng(1).normal(size=block.words.shape)
    implicit = not isinstance(scheme, Euler)
    set_coefficients(coefficients, stiffness, np.full(CELLS, 0.3), np.arange(CELLS), 0.2, implicit)
    expected = reference(scheme, kind, neighbours, weights, 0.6, block.field, coefficients[0], block.words[1], block.x)
    assert (np.abs(expected) == RAIL).any()
    for shape, run in zip((FOUR_CELLS, ONE_CELL), MACHINE, strict=True):
        y = new_block(CELLS).x
        arrays = neighbours, packed(weights, shape), float32(0.6), block.field, coefficients[0], block.words[1], block.x
        run(scheme, kind, *arrays, y)
        np.testing.assert_allclose(y[FIRST : FIRST + ROWS], expected, rtol=0, atol=2e-6)
        assert not y[:FIRST].any()
        assert not y[FIRST + ROWS :].any()


def test_tiles_of_one_cell_and_of_four_give_the_same_bits():
    block, stiffness, coefficients, neighbours, weights = problem(convex=False)
    set_coefficients(coefficients, stiffness, np.full(CELLS, 0.3), np.arange(CELLS), 0.2, True)
    results = []
    for shape, run in zip((FOUR_CELLS, ONE_CELL), MACHINE, strict=True):
        y = new_block(CELLS).x
        arrays = neighbours, packed(weights, shape), float32(1), block.field, coefficients[0], block.words[0], block.x
        run(Implicit(), Symbols(), *arrays, y)
        results.append(y)
    np.testing.assert_array_equal(*results)


def test_the_step_for_convex_cells_is_the_general_one_bit_for_bit():
    block, stiffness, coefficients, neighbours, weights = problem(convex=True)
    set_coefficients(coefficients, stiffness, np.full(CELLS, 0.3), np.arange(CELLS), 0.2, True)
    results = []
    for scheme in (Implicit(), ConvexImplicit()):
        y = new_block(CELLS).x
        arrays = neighbours, packed(weights, FOUR_CELLS), float32(1), block.field, coefficients[0], block.words[0]
        MACHINE[0](scheme, Symbols(), *arrays, block.x, y)
        results.append(y)
    np.testing.assert_array_equal(*results)


@pytest.mark.slow
def test_vectors_of_any_width_give_the_same_bits():
    block, stiffness, coefficients, neighbours, weights = problem(convex=False)
    set_coefficients(coefficients, stiffness, np.full(CELLS, 0.3), np.arange(CELLS), 0.2, True)
    results = []
    for shape in (WIDE_4, WIDE_8, WIDE_16):
        y = new_block(CELLS).x
        arrays = neighbours, packed(weights, shape), float32(1), block.field, coefficients[0], block.words[0], block.x
        runner(shape)(Implicit(), Symbols(), *arrays, y)
        results.append(y)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def layers():
    """Sample two coupled layers of four cells; (trajectories, cells)."""
    layer = np.arange(8) // 4
    couplings = 0.8 * (np.abs(layer[:, None] - layer) == 1)
    arrays = couplings[None], np.full((1, 1, 8), 0.5), np.tile([1.0, 0.0, 1.0], (1, 8, 1)), 0.1
    return sample_network(*arrays, trajectories=200, key=(1, 2), first=1.0, step=0.05)[0, 0, :, 0]


@pytest.mark.slow
def test_a_machine_without_wide_vectors_or_fused_products_follows_the_same_trajectories():
    script = inspect.getsource(layers) + "print(tile.FOUR_CELLS[2], layers().tolist())"
    imports = "import numpy as np\nfrom twin.kernels import tile\nfrom twin.models.network import sample_network\n"
    run = subprocess.run(
        [sys.executable, "-c", imports + script], env=os.environ | {"NUMBA_CPU_NAME": "generic"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lanes, _, samples = run.stdout.partition(" ")
    assert int(lanes) == 4
    np.testing.assert_allclose(np.array(ast.literal_eval(samples)), layers(), rtol=0, atol=1e-5)
