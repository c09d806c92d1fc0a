import pytest

from protocols.arguments import ArgumentError
from protocols.gate_settings import arrange_gates, gate_voltages, sweep_voltages


def test_settings_of_gates_are_read_in_their_order():
    assert gate_voltages("fixed_gates", ("barrier_left=0.7", " plunger = -1e-2 ")) == {
        "barrier_left": 0.7,
        "plunger": -0.01,
    }
    assert gate_voltages("fixed_gates", ()) == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("barrier_left=0.7", "fixed_gates: 'barrier_left=0.7' is not a list"),
        (("barrier_left",), "'barrier_left' is not of the form gate=volts; allowed"),
        (("=0.7",), "'=0.7' is not of the form"),
        (("plunger=",), "plunger: '' is not allowed; a number of volts"),
        (("plunger=1V",), "plunger: '1V' is not allowed"),
        (("plunger=nan",), "plunger: nan is not allowed; a number from -10 to 10 V"),
        (("plunger=11",), "plunger: 11.0 is not allowed"),
        (("plunger=0.1", "plunger=0.2"), "'plunger=0.2' names a gate twice"),
        (("bias=0.001",), "names the bias, which has an option of its own"),
    ],
)
def test_a_setting_that_is_none_is_refused_in_plain_words(settings, message):
    with pytest.raises(ArgumentError) as refusal:
        gate_voltages("fixed_gates", settings)
    assert message in str(refusal.value)


def test_a_sweep_goes_from_end_to_end_in_equal_steps():
    assert sweep_voltages("gate_range", (0.2, -0.2), 5) == pytest.approx((0.2, 0.1, 0.0, -0.1, -0.2))


@pytest.mark.parametrize(
    ("ends", "points", "message"),
    [
        ((0.1, 0.1), 3, "two different voltages"),
        ((0.1,), 3, "where to start and where to stop"),
        ("01", 3, "where to start and where to stop"),
        ((0.0, 11.0), 3, "gate_range: 11.0 is not allowed"),
        ((0.0, float("nan")), 3, "gate_range: nan"),
        ((0.0, 1.0), 1, "points of gate_range: 1 is not allowed; a whole number from 2 to 10000"),
        ((0.0, 1.0), 2.5, "points of gate_range"),
    ],
)
def test_a_sweep_that_goes_nowhere_is_refused(ends, points, message):
    with pytest.raises(ArgumentError) as refusal:
        sweep_voltages("gate_range", ends, points)
    assert message in str(refusal.value)


def test_gates_are_arranged_from_wherever_an_earlier_run_left_them(make_dot, engine):
    dot = make_dot()
    dot.gates["barrier_2"].value = 0.8
    engine.run(arrange_gates(dot, {"virtual_sensor": 0.3, "plunger": 0.01, "bias": 1e-3}))
    assert [name for name, _ in dot.log] == [*dot.safe_voltages, "virtual_sensor", "bias"]
    settings = dict(dot.log)
    assert settings["barrier_2"] == 0.0
    assert settings["plunger"] == 0.01
