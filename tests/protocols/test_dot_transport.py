import json
from itertools import pairwise

import numpy as np
import pytest
from bluesky import RunEngineInterrupted
from bluesky.simulators import RunEngineSimulator
from bluesky.utils import FailedStatus
from event_model import DocumentNames, schema_validators
from scipy.constants import elementary_charge

from protocols import charge_stability, coulomb_diamonds, pinch_off
from protocols.arguments import ArgumentError
from protocols.dot_transport import EXAMPLES

PLANS = {plan.__name__: plan for plan in (pinch_off, coulomb_diamonds, charge_stability)}


@pytest.fixture
def dot(make_dot):
    return make_dot()


@pytest.fixture(params=sorted(PLANS))
def plan(request):
    """A function that makes a short run of a plan."""

    def make(dot, **changes):
        return PLANS[request.param](dot, **{**EXAMPLES[request.param], **changes})

    make.name = request.param
    return make


def events(documents, stream):
    uids = {d["uid"] for name, d in documents if name == "descriptor" and d["name"] == stream}
    return [d["data"] for name, d in documents if name == "event" and d["descriptor"] in uids]


def data_keys(documents, stream):
    return next(d["data_keys"] for name, d in documents if name == "descriptor" and d["name"] == stream)


def test_a_pinch_off_gives_the_parameters_of_the_tanh(make_dot, engine):
    dot = make_dot(deviation=2e-13)
    fixed = ("barrier_right=1.2", "plunger=0.01")
    result = engine.run(pinch_off(dot, bias=0.001, fixed_gates=fixed, repeats=4))
    fit = result["fit"]
    shift = np.log(2) / 2
    truth = {"a": elementary_charge * 1e9 / 4, "b": 20.0, "c": -10 + shift, "threshold": (10 - shift) / 20}
    for name, value in truth.items():
        assert abs(fit[name] - value) < 5 * fit[f"{name}_standard_error"], name
        assert fit[f"{name}_standard_error"] < 0.02 * abs(value)
    assert 1e-3 < fit["fit_probability"] < 1
    assert len(result["gate_voltage"]) == len(result["current"]) == len(result["current_standard_error"]) == 101
    assert result["seconds"] == pytest.approx(4 * 101 * 0.021)
    lines = events(engine.documents, "primary")
    assert len(lines) == 4
    assert np.mean([line["current"] for line in lines], axis=0) == pytest.approx(result["current"])
    keys = data_keys(engine.documents, "primary")
    assert keys["current"]["dims"] == ["point"]
    assert (keys["gate_voltage"]["units"], keys["current"]["units"]) == ("V", "A")
    assert data_keys(engine.documents, "fit")["threshold_standard_error"]["units"] == "V"


def test_a_gate_that_closes_nothing_has_no_fit(make_dot, engine):
    dot = make_dot(deviation=0.0)
    result = engine.run(pinch_off(dot, points=11, fixed_gates=("barrier_right=0",), bias=0.0, repeats=1))
    assert result["fit"] is None
    assert "current_standard_error" not in result
    assert len(events(engine.documents, "primary")) == 1
    assert not events(engine.documents, "fit")


@pytest.mark.slow
def test_coulomb_diamonds_give_lever_arm_charging_energy_and_temperature(make_dot, engine):
    dot = make_dot(deviation=5e-14)
    result = engine.run(coulomb_diamonds(dot, gate_points=161, bias_points=41, probe_bias=2e-6))
    truth = {
        "rising_slope": 0.1 / 0.65,
        "falling_slope": -0.1 / 0.35,
        "lever_arm": 0.1,
        "source_lever_arm": 0.35,
        "period": 0.02,
        "charging_energy": 2e-3,
        "electron_temperature": 0.1,
    }
    for name, value in truth.items():
        error = result[f"{name}_standard_error"]
        assert abs(result[name] - value) < 5 * error + 2e-3 * abs(value), name
        assert error < 0.05 * abs(value)
    assert result["peak_position"] == pytest.approx([0.01, 0.03, 0.05], abs=1e-4)
    assert result["peak_conductance"] == pytest.approx([2.324e-6] * 3, rel=0.05)
    assert result["points"] == 161 * 41
    assert result["seconds"] == pytest.approx((161 * 41 + 2 * 1001) * 4e-4)


def test_a_map_is_one_event_a_line(dot, engine):
    engine.run(coulomb_diamonds(dot, gate_points=21, bias_points=5, peak_points=101))
    lines = events(engine.documents, "primary")
    assert [line["bias_voltage"] for line in lines] == pytest.approx([-0.004, -0.002, 0, 0.002, 0.004])
    assert all(np.shape(line["current"]) == (21,) for line in lines)
    assert [line["bias_voltage"] for line in events(engine.documents, "conductance")] == [5e-6, -5e-6]
    triggers = sum(name == "trigger" for name, _ in dot.log)
    assert triggers == 7
    assert len(dot.log) < 4 * triggers + 20


def test_a_dot_that_is_pinched_off_has_a_map_without_diamonds(dot, engine):
    result = engine.run(coulomb_diamonds(dot, gate_points=21, bias_points=5, peak_points=101, fixed_gates=()))
    assert result["lever_arm"] is None
    assert result["peak_position"] == []
    assert len(events(engine.documents, "primary")) == 5


def test_without_a_fine_sweep_a_map_is_only_a_map(dot, engine):
    result = engine.run(coulomb_diamonds(dot, gate_points=21, bias_points=5, peak_points=0))
    assert result["charging_energy"] is None
    assert not events(engine.documents, "conductance")


def test_charge_stability_shows_the_steps_of_both_dots(make_dot, engine):
    dot = make_dot(deviation=1e-12)
    result = engine.run(charge_stability(dot, points=(61, 21)))
    lines = events(engine.documents, "primary")
    assert [line["step_voltage"] for line in lines] == pytest.approx(np.linspace(0, 0.06, 21))
    sensed = np.stack([line["sensor_current"] for line in lines])
    assert sensed.shape == (21, 61)
    assert sensed[0, 0] - sensed[0, -1] == pytest.approx(3 * 4e-10 - 6e-11, abs=1e-11)
    assert sensed[0, 0] - sensed[-1, 0] == pytest.approx(3 * 1.5e-10 - 6e-11, abs=1e-11)
    assert result["steps"] >= 3 * 21
    assert result["largest_step"] > 2e-10
    assert result["sensor_noise"] == pytest.approx(1e-12, rel=0.2)
    assert result["points"] == 61 * 21


def test_a_run_is_recorded_in_valid_documents(plan, dot, engine):
    result = engine.run(plan(dot, md={"operator": "a test"}))
    for name, document in engine.documents:
        schema_validators[DocumentNames[name]].validate(json.loads(json.dumps(document, default=np.ndarray.tolist)))
    start = engine.documents[0][1]
    assert (start["plan_name"], start["operator"]) == (plan.name, "a test")
    assert json.loads(json.dumps(start["plan_args"])) == start["plan_args"]
    for name, value in EXAMPLES[plan.name].items():
        assert start["plan_args"][name] == (list(value) if isinstance(value, tuple) else value)
    json.dumps(result, allow_nan=False)


def test_gates_are_set_before_the_first_line_and_put_back_after_the_last(plan, dot, engine):
    engine.run(plan(dot, fixed_gates=("sensor=0.3", "barrier_right=0.8")))
    names = [name for name, _ in dot.log]
    assert names[0] == "stage"
    assert names[-1] == "unstage"
    assert max(names.index("sensor"), names.index("barrier_right")) < names.index("trigger")
    assert all(signal.get() == 0.0 for signal in dot.gates.values())


def test_every_line_has_a_point_of_return_before_it_and_after_it_is_saved(plan, dot):
    simulator = RunEngineSimulator()
    simulator.add_handler("set", lambda message: message.obj.set(*message.args))
    simulator.add_handler("trigger", lambda message: message.obj.trigger())
    commands = [message.command for message in simulator.simulate_plan(plan(dot))]
    order = [command for command in commands if command not in ("set", "wait")]
    assert "trigger" in order
    assert all(before == "checkpoint" for before, now in pairwise(order) if now == "trigger")
    assert all(after == "checkpoint" for now, after in pairwise(order) if now == "save")


@pytest.mark.parametrize("failing", [1, 3])
def test_a_run_that_is_cut_keeps_its_lines_and_leaves_the_dot_safe(plan, dot, engine, failing):
    dot.fail_at = failing
    with pytest.raises(FailedStatus):
        engine.run(plan(dot, **({"repeats": 5} if plan.name == "pinch_off" else {})))
    assert dot.log[-1] == ("unstage", None)
    stop = engine.documents[-1][1]
    assert (stop["exit_status"], stop["reason"]) == ("fail", "the instrument does not answer")
    assert sum(stop["num_events"].values()) == failing - 1


def test_a_run_that_is_paused_and_resumed_measures_every_line(plan, dot, engine):
    def interrupt():
        if dot.triggers == 2:
            engine.engine.loop.create_task(engine.engine._request_pause_coro())

    dot.on_trigger = interrupt
    with pytest.raises(RunEngineInterrupted):
        engine.run(plan(dot))
    engine.engine.resume()
    stop = engine.documents[-1][1]
    assert stop["exit_status"] == "success"
    args = EXAMPLES[plan.name]
    lines = {"pinch_off": args.get("repeats"), "coulomb_diamonds": args.get("bias_points")}
    assert stop["num_events"]["primary"] == lines.get(plan.name, 11)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("pinch_off", {"gate": "top"}, "gate: dot has no 'top'; allowed: barrier_left, plunger"),
        ("pinch_off", {"start": 0.5, "stop": 0.5}, "two different voltages"),
        ("pinch_off", {"stop": 2.0}, "barrier_left: dot refuses"),
        ("pinch_off", {"points": 3}, "points: 3 is not allowed"),
        ("pinch_off", {"repeats": 0}, "repeats: 0"),
        ("pinch_off", {"bias": 1.0}, "bias: dot refuses 1 V"),
        ("pinch_off", {"fixed_gates": ("plunger=2",)}, "plunger: dot refuses 2 V"),
        ("pinch_off", {"fixed_gates": ("barrier_left=0.1",)}, "fixed_gates: barrier_left is swept"),
        ("pinch_off", {"settling_time": 50.0}, "settling_time: dot refuses 50.0"),
        ("pinch_off", {"integration_time": 0.0}, "integration_time: 0.0"),
        ("coulomb_diamonds", {"gate_range": (0.0,)}, "where to start and where to stop"),
        ("coulomb_diamonds", {"bias_range": (-1.0, 1.0)}, "bias: dot refuses .*: bias goes up to 0.02"),
        ("coulomb_diamonds", {"bias_points": 1}, "points of bias_range: 1"),
        ("coulomb_diamonds", {"peak_points": 1}, "points of gate_range: 1"),
        ("coulomb_diamonds", {"probe_bias": 0.0}, "probe_bias: 0.0"),
        ("charge_stability", {"gates": ("plunger", "plunger")}, "gates: plunger twice"),
        ("charge_stability", {"gates": ("plunger",)}, "gates: .* two values"),
        ("charge_stability", {"gates": ("plunger", "nothing")}, "gate: dot has no 'nothing'"),
        ("charge_stability", {"points": (2, 1)}, "points of second_range: 1"),
    ],
)
def test_nonsense_is_refused_before_the_dot_is_touched(dot, name, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        next(PLANS[name](dot, **arguments))
    assert dot.log == []


def test_a_gate_and_a_virtual_gate_that_may_move_it_are_no_axes_of_a_map(dot, engine):
    with pytest.raises(ArgumentError, match="of plunger and virtual_plunger one is virtual; allowed: two alike"):
        engine.run(charge_stability(dot, **{**EXAMPLES["charge_stability"], "gates": ("plunger", "virtual_plunger")}))
    assert dot.log == []
