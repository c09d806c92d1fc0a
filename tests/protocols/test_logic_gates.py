import numpy as np
import pytest

from protocols.arguments import ArgumentError
from protocols.logic_gates import GATES, logic_gate
from protocols.sampled_feedback import SwitchNetwork

FUNCTIONS = {
    "AND": lambda a, b: a and b,
    "OR": lambda a, b: a or b,
    "NAND": lambda a, b: not (a and b),
    "XOR": lambda a, b: a != b,
    "NOT": lambda a: not a,
}


@pytest.mark.parametrize("name", GATES)
def test_a_truth_table_is_that_of_the_boolean_function(name):
    gate = logic_gate(name)
    assert len({tuple(row) for row in gate.inputs}) == len(gate.inputs) == 2 ** gate.inputs.shape[1]
    for row, wanted in zip(gate.inputs, gate.wanted, strict=True):
        assert (wanted > 0) == bool(FUNCTIONS[name](*(bool(value > 0) for value in row)))
    assert set(np.abs(gate.inputs).ravel()) == set(np.abs(gate.wanted)) == {1.0}


@pytest.mark.parametrize("name", GATES)
def test_a_start_fits_the_machine_of_the_gate(name):
    gate = logic_gate(name)
    network = SwitchNetwork.of(gate.start, gate.inputs.shape[1], gate.hidden)
    assert network.parameters.tolist() == list(gate.start)
    assert len(network.bias) == gate.units
    assert gate.units == (3 if name == "XOR" else 1)


def test_a_single_switch_starts_near_zero_weights_with_a_bias():
    assert logic_gate("NOT").start == (0.01, 1.0)
    assert logic_gate("NAND").start == (0.01, 0.01, 1.0)


def test_the_special_start_of_xor_has_one_row_of_hidden_weights_an_input():
    network = SwitchNetwork.of(logic_gate("XOR").start, 2, 2)
    assert network.hidden.tolist() == [[-5, 8], [-2, 3]]
    assert network.output.tolist() == [-2, -3]
    assert network.hidden_bias.tolist() == [-1, -3]
    assert network.output_bias == -1


def test_an_unknown_gate_is_refused_with_those_there_are():
    with pytest.raises(ArgumentError, match="gate: 'NORE' is not known; allowed: NOT, AND, OR, NAND, XOR"):
        logic_gate("NORE")
