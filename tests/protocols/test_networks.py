import numpy as np
import pytest

from protocols.arguments import ArgumentError
from protocols.learning_rules import Gradient
from protocols.networks import NEURONS, Network, program_arrays

COSINE = Network(inputs=1, layers=(8, 8, 8, 8), outputs=1)
DIGITS = Network(inputs=784, layers=(32, 32, 32), outputs=10)


def counts(network):
    return {kind: part.stop - part.start for kind, part in network.parts.items()}


def test_the_networks_of_the_paper_have_its_numbers_of_parameters():
    assert counts(COSINE) == {"bias": 32, "weights": 8, "couplings": 192, "readout": 8}
    assert COSINE.size == 240
    assert counts(DIGITS) == {"bias": 96, "weights": 25088, "couplings": 2048, "readout": 320}
    assert DIGITS.size == 27552


def test_the_fan_in_is_that_of_the_paper():
    fan_in, parts = COSINE.fan_in, COSINE.parts
    assert np.unique(fan_in[parts["bias"]]).tolist() == [1]
    assert np.unique(fan_in[parts["readout"]]).tolist() == [1]
    assert np.unique(fan_in[parts["weights"]]).tolist() == [9]
    blocks = fan_in[parts["couplings"]].reshape(3, 64)
    assert [np.unique(block).tolist() for block in blocks] == [[12.5], [16], [12]]
    assert np.unique(DIGITS.fan_in[DIGITS.parts["weights"]]).tolist() == [784 + 32]


def test_a_program_couples_neighbour_layers_only_and_feeds_the_first():
    network = Network(inputs=2, layers=(2, 3, 1))
    parameters = np.arange(1.0, network.size + 1) / 10
    program = network.program(parameters)
    assert program.bias.tolist() == parameters[:6].tolist()
    assert program.weights[:2].ravel().tolist() == parameters[6:10].tolist()
    assert not program.weights[2:].any()
    coupled = program.couplings != 0
    assert not coupled[:2, :2].any()
    assert not coupled[2:5, 2:5].any()
    assert not coupled[:2, 5].any()
    assert program.couplings[:2, 2:5].ravel().tolist() == parameters[10:16].tolist()
    assert program.couplings[2:5, 5].tolist() == parameters[16:19].tolist()
    assert np.array_equal(program.couplings, program.couplings.T)
    assert program_arrays(program).keys() == {"couplings", "bias", "weights", "quadratic", "cubic", "quartic"}


def test_a_gradient_is_laid_out_like_the_parameters():
    network = Network(inputs=2, layers=(2, 3), outputs=1)
    parameters = np.random.default_rng(0).normal(size=network.size)
    program = network.program(parameters)
    gradient = Gradient(couplings=program.couplings, bias=program.bias, weights=program.weights)
    assert np.array_equal(network.flatten(gradient, network.readout(parameters)), parameters)


def test_a_single_layer_has_no_couplings():
    network = Network(inputs=3, layers=(4,))
    assert counts(network) == {"bias": 4, "weights": 12, "couplings": 0, "readout": 0}
    assert not network.program(np.ones(network.size)).couplings.any()


def test_the_read_out_of_a_population_is_one_matrix_each():
    population = np.random.default_rng(0).normal(size=(5, DIGITS.size))
    readout = DIGITS.readout(population)
    assert readout.shape == (5, 10, 32)
    assert np.array_equal(readout[3], DIGITS.readout(population[3]))


def test_parameters_are_held_within_the_full_scale_but_for_the_read_out():
    clipped = COSINE.clipped(np.full(COSINE.size, 100.0))
    assert {kind: clipped[part].max() for kind, part in COSINE.parts.items()} == {
        "bias": 16,
        "weights": 8,
        "couplings": 8,
        "readout": 100,
    }
    small = np.random.default_rng(0).normal(size=COSINE.size)
    assert np.array_equal(COSINE.clipped(small), small)


def test_the_kinds_of_neuron_have_the_stiffness_of_the_paper():
    assert NEURONS == {"quadratic": (1, 0, 0), "quadratic-quartic": (1, 0, 1)}


@pytest.mark.parametrize("layers", [(), (3, 0)])
def test_a_network_needs_cells_in_every_layer(layers):
    with pytest.raises(ArgumentError, match="at least one cell"):
        Network(inputs=1, layers=layers)
