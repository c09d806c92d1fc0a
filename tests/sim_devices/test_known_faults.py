import pytest

from sim_devices import benches
from sim_devices.faults import FaultError
from sim_devices.known_faults import FAULTS, choose, known


def test_every_fault_of_a_bench_is_known_and_every_fault_has_a_bench():
    physical = {name for bench in benches.NAMES for name in benches.physical_faults(bench)}
    assert physical == {name for name, fault in FAULTS.items() if not fault.at_the_wire}


def test_a_bench_offers_the_faults_of_the_wire_and_of_its_own_physics():
    names = [fault.name for fault in known(benches.physical_faults("photon_kernel"))]
    assert {"mute", "drift", "dark_count_burst"} <= set(names)
    assert not {"stuck_cell", "dead_gate"} & set(names)


def test_a_fault_without_a_rate_has_its_default():
    assert choose({"drift": None}, ["drift"], []).rates == {"drift": FAULTS["drift"].default}


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"rust": None}, "allowed: mute, slow, garbled, error, dropped, identity, drift"),
        ({"dead_gate": 1.0}, "no such fault on this bench"),
        ({"mute": 1.5}, r"from 0 to 1 \(probability for each message\)"),
        ({"drift": -1.0}, "is not allowed"),
        ({"drift": float("nan")}, "is not allowed"),
        ({"mute@dac": None}, "no instrument 'dac'; allowed: board"),
        ({"drift@board": None}, "write drift"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_what_is_allowed(asked, reason):
    with pytest.raises(FaultError, match=reason):
        choose(asked, ["drift", "stuck_cell"], ["board"])


def test_gates_are_counted_whole():
    with pytest.raises(FaultError, match="a whole number from 0 to 24"):
        choose({"dead_gate": 1.5}, ["dead_gate"], [])


def test_while_an_instrument_is_connected_only_its_identity_may_be_wrong():
    chosen = choose({"mute": 0.5, "identity@dac": None}, [], ["dac", "board"])
    assert [fault.kind for fault in chosen.at_the_wire("dac", connecting=True)] == ["identity"]
    assert not chosen.at_the_wire("board", connecting=True)
    assert {fault.kind for fault in chosen.at_the_wire("dac", connecting=False)} == {"mute", "identity"}
