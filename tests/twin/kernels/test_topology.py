import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.kernels.topology import PACK
from twin.models.network import prepare_network


def network_of(couplings):
    n = len(couplings)
    return prepare_network(couplings[None], np.zeros((1, 1, n)), np.zeros((1, n, 3)), 0.0)


def classes_of(couplings):
    network = network_of(couplings)
    edges = network.classes[0]
    return [set(network.order[0, edges[c] : edges[c + 1]].tolist()) for c in range(network.colours[0])]


def layered(layers, width):
    layer = np.arange(layers * width) // width
    return (np.abs(layer[:, None] - layer) == 1).astype(np.float32)


def test_a_layered_network_has_even_and_odd_layers_as_classes():
    assert classes_of(layered(4, 2)) == [{0, 1, 4, 5}, {2, 3, 6, 7}]


def test_an_all_to_all_network_has_one_class_a_cell():
    assert classes_of(1 - np.eye(5, dtype=np.float32)) == [{0}, {1}, {2}, {3}, {4}]


def test_uncoupled_cells_are_one_class():
    assert classes_of(np.zeros((6, 6), np.float32)) == [set(range(6))]


def test_a_coupling_in_one_direction_separates_cells():
    couplings = np.zeros((2, 2), np.float32)
    couplings[0, 1] = 1
    assert classes_of(couplings) == [{0}, {1}]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 24), st.floats(0, 1), st.integers(0, 2**31))
def test_lists_hold_every_coupling_once_and_classes_hold_no_coupled_cells(n, density, seed):
    rng = np.random.default_rng(seed)
    couplings = (rng.normal(size=(n, n)) * (rng.random((n, n)) < density)).astype(np.float32)
    np.fill_diagonal(couplings, 0)
    network = network_of(couplings)
    back = np.zeros((n, n), np.float32)
    for i in range(n):
        begin, end = network.starts[0, i], network.starts[0, i + 1]
        assert (end - begin) % PACK == 0
        np.add.at(back[i], network.neighbours[0, begin:end], network.weights[0, begin:end])
    np.testing.assert_array_equal(back, -couplings)
    classes = classes_of(couplings)
    assert sorted(cell for members in classes for cell in members) == list(range(n))
    for members in classes:
        block = couplings[np.ix_(list(members), list(members))]
        assert not block.any()


@pytest.mark.parametrize("n", [1, 256])
def test_the_smallest_and_the_largest_board_fit(n):
    couplings = np.ones((n, n), np.float32) - np.eye(n, dtype=np.float32)
    assert network_of(couplings).starts[0, -1] >= n * (n - 1)
