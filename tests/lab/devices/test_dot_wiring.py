from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.devices.dot_wiring import DotWiring, Gate, VirtualGate, WiringError

GATES = {
    "left": Gate(1, (-0.2, 1.0), 1.0),
    "plunger": Gate(2, (-0.3, 0.3), 1.0),
    "sensor": Gate(3, (-0.5, 0.5), 0.5, safe=0.1),
}
VIRTUAL = {
    "energy": VirtualGate("plunger", {"left": 0.2}),
    "contact": VirtualGate("sensor", {"plunger": 0.05, "left": -0.1}),
}
WIRING = DotWiring(
    gates=GATES,
    virtual_gates=VIRTUAL,
    step_output=1,
    digitizer_channel=1,
    current_gain=1e8,
    current_range=1e-8,
    sensor_gain=1e7,
    sensor_range=1e-7,
    trace_range=4e-9,
    sensor_bandwidth=4e4,
    bias_attenuation=1e-3,
    bias_limits=(-1e-2, 1e-2),
)
VOLTS = st.fixed_dictionaries({name: st.floats(-0.2, 0.2) for name in GATES})


def test_a_virtual_gate_is_its_gate_and_a_share_of_the_others():
    volts = {"left": 0.5, "plunger": 0.1, "sensor": -0.2}
    assert WIRING.position("plunger", volts) == 0.1
    assert WIRING.position("energy", volts) == pytest.approx(0.1 + 0.2 * 0.5)
    assert WIRING.position("contact", volts) == pytest.approx(-0.2 + 0.05 * 0.1 - 0.1 * 0.5)


@given(VOLTS, st.sampled_from(("energy", "contact")), st.floats(-0.1, 0.1))
def test_moving_a_virtual_gate_leaves_the_others_where_they_are(volts, name, value):
    moved = WIRING.moved(name, [value], volts)
    after = {**volts, **{gate: ends[0] for gate, ends in moved.items()}}
    assert WIRING.position(name, after) == pytest.approx(value, abs=1e-12)
    for other in {"energy", "contact", "left"} - {name}:
        assert WIRING.position(other, after) == pytest.approx(WIRING.position(other, volts), abs=1e-12)


def test_moving_a_gate_moves_no_other():
    assert list(WIRING.moved("left", [0.3, 0.4], dict.fromkeys(GATES, 0.0))) == ["left"]


@given(VOLTS, st.sampled_from(WIRING.names))
def test_the_reach_of_a_gate_ends_where_the_first_limit_is_met(volts, name):
    for edge in WIRING.reach(name, volts):
        moved = WIRING.moved(name, [edge], volts)
        slack = [min(v[0] - GATES[gate].limits[0], GATES[gate].limits[1] - v[0]) for gate, v in moved.items()]
        assert min(slack) == pytest.approx(0.0, abs=1e-9)


def test_a_line_of_a_virtual_gate_is_straight_in_all_gates():
    values = np.linspace(-0.1, 0.1, 5)
    for steps in WIRING.moved("energy", values, dict.fromkeys(GATES, 0.05)).values():
        np.testing.assert_allclose(np.diff(steps, 2), 0.0, atol=1e-15)


@pytest.mark.parametrize(
    ("changes", "key", "problem"),
    [
        ({"gates": {**GATES, "other": Gate(2, (0, 1), 1.0)}}, "gates.other.channel", "2 is that of 'plunger' already"),
        ({"gates": {**GATES, "left": Gate(1, (0.1, 1), 1.0)}}, "gates.left.safe", "0 V is outside its limits"),
        ({"gates": {"a b": Gate(1, (0, 1), 1.0)}, "virtual_gates": {}}, "gates.a b", "no name for a gate"),
        ({"virtual_gates": {"v": VirtualGate("oven")}}, "virtual_gates.v.of", "no gate 'oven'; allowed: left"),
        ({"virtual_gates": {"v": VirtualGate("left", {"oven": 1})}}, "virtual_gates.v.cross_talk.oven", "no gate"),
        ({"virtual_gates": {"left": VirtualGate("left")}}, "virtual_gates.left", "no name for a virtual gate"),
        (
            {"virtual_gates": {"v": VirtualGate("left", {"left": 1})}},
            "virtual_gates.v.cross_talk.left",
            "is the gate it moves",
        ),
        (
            {"virtual_gates": {"v": VirtualGate("left"), "w": VirtualGate("left")}},
            "virtual_gates.w.of",
            "is moved by 'v' already",
        ),
        (
            {"virtual_gates": {"v": VirtualGate("left", {"plunger": 1}), "w": VirtualGate("plunger", {"left": 1})}},
            "virtual_gates",
            "no way to move one of them alone",
        ),
        ({"bias_limits": (1e-3, 2e-3)}, "bias_limits", "leave out 0 V"),
    ],
)
def test_a_wiring_that_contradicts_itself_is_refused_with_its_key(changes, key, problem):
    with pytest.raises(WiringError, match=problem) as caught:
        replace(WIRING, **changes)
    assert caught.value.key == key
    assert isinstance(caught.value, ValueError)
