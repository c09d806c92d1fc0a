import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.kernels.topology import BEGIN, CELLS, END, ROW, WEIGHT, layout_of
from twin.models.network import arrange_programs


def layouts_of(couplings, scheme="ros2"):
    """The layouts of programs (P, n, n)."""
    n = couplings.shape[1]
    programs = arrange_programs(
        couplings, np.zeros((len(couplings), 1, n)), np.zeros((len(couplings), n, 3)), 0.0, scheme
    )
    return [layout_of(programs.layout, p) for p in range(len(couplings))]


def layout_of_one(couplings, scheme="ros2"):
    return layouts_of(couplings[None], scheme)[0]


def classes_of(couplings):
    layout = layout_of_one(couplings)
    edges = layout.classes
    return [set(layout.order[edges[c] : edges[c + 1]].tolist()) for c in range(layout.colours)]


def tiles_of(layout):
    return layout.tiles[: layout.class_tiles[layout.colours]]


def couplings_of(layout):
    """The couplings that the tiles of a layout hold."""
    n = layout.order.size
    couplings = np.zeros((n, n), np.float32)
    for tile in tiles_of(layout):
        neighbours = layout.neighbours[tile[BEGIN] : tile[END]]
        weights = layout.weights[tile[WEIGHT] :][: neighbours.size * tile[CELLS]].reshape(-1, tile[CELLS])
        rows = np.arange(tile[ROW], tile[ROW] + tile[CELLS])
        np.add.at(couplings, np.ix_(layout.order[rows], layout.order[neighbours]), -weights.T)
    return couplings


def layered(layers, width):
    layer = np.arange(layers * width) // width
    return (np.abs(layer[:, None] - layer) == 1).astype(np.float32)


def all_to_all(n):
    return np.ones((n, n), np.float32) - np.eye(n, dtype=np.float32)


def test_a_layered_network_has_even_and_odd_layers_as_classes():
    assert classes_of(layered(4, 2)) == [{0, 1, 4, 5}, {2, 3, 6, 7}]


def test_an_all_to_all_network_has_one_class_a_cell():
    assert classes_of(all_to_all(5)) == [{0}, {1}, {2}, {3}, {4}]


def test_uncoupled_cells_are_one_class():
    assert classes_of(np.zeros((6, 6), np.float32)) == [set(range(6))]


def test_a_coupling_in_one_direction_separates_cells():
    couplings = np.zeros((2, 2), np.float32)
    couplings[0, 1] = 1
    assert classes_of(couplings) == [{0}, {1}]


def test_a_layered_network_is_cut_into_tiles_of_four_cells_and_what_is_left_over():
    assert tiles_of(layout_of_one(layered(2, 6)))[:, CELLS].tolist() == [4, 1, 1, 4, 1, 1]


def test_cells_that_share_few_neighbours_stay_alone():
    ring = np.roll(np.eye(16, dtype=np.float32), 1, axis=0)
    assert set(tiles_of(layout_of_one(ring + ring.T))[:, CELLS].tolist()) == {1}


def test_explicit_steps_take_all_cells_as_one_class_in_their_order():
    layout = layout_of_one(all_to_all(8), "euler")
    assert layout.colours == 1
    assert layout.order.tolist() == list(range(8))
    assert tiles_of(layout)[:, CELLS].tolist() == [4, 4]


def random_couplings(n, density, seed):
    rng = np.random.default_rng(seed)
    couplings = (rng.normal(size=(n, n)) * (rng.random((n, n)) < density)).astype(np.float32)
    np.fill_diagonal(couplings, 0)
    return couplings


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 24), st.floats(0, 1), st.integers(0, 2**31), st.sampled_from(["ros2", "euler"]))
def test_tiles_hold_every_coupling_once_and_classes_hold_no_coupled_cells(n, density, seed, scheme):
    couplings = random_couplings(n, density, seed)
    layout = layout_of_one(couplings, scheme)
    np.testing.assert_array_equal(couplings_of(layout), couplings)
    tiles = tiles_of(layout)
    assert np.concatenate([np.arange(t[ROW], t[ROW] + t[CELLS]) for t in tiles]).tolist() == list(range(n))
    if scheme == "ros2":
        classes = classes_of(couplings)
        assert sorted(cell for members in classes for cell in members) == list(range(n))
        for members in classes:
            assert not couplings[np.ix_(list(members), list(members))].any()


def test_the_layout_of_a_program_does_not_depend_on_those_before_it():
    one, other = random_couplings(9, 0.5, 1), random_couplings(9, 0.5, 2)
    together = layouts_of(np.stack([one, 2 * one, other, one]))
    for layout, couplings in zip(together, (one, 2 * one, other, one), strict=True):
        alone = layout_of_one(couplings)
        assert layout.colours == alone.colours
        np.testing.assert_array_equal(layout.order, alone.order)
        np.testing.assert_array_equal(tiles_of(layout), tiles_of(alone))
        np.testing.assert_array_equal(couplings_of(layout), couplings)


def test_the_diagonal_is_not_read():
    couplings = layered(2, 4)
    np.testing.assert_array_equal(couplings_of(layout_of_one(couplings + np.eye(8, dtype=np.float32))), couplings)


@pytest.mark.parametrize("n", [1, 256])
def test_the_smallest_and_the_largest_board_fit(n):
    np.testing.assert_array_equal(couplings_of(layout_of_one(all_to_all(n))), all_to_all(n))
