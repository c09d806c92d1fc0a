import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from bluesky import RunEngineInterrupted
from bluesky.simulators import RunEngineSimulator
from bluesky.utils import FailedStatus
from event_model import DocumentNames, schema_validators
from scipy.special import expit

from protocols import learn_gate, switch_curve
from protocols.arguments import ArgumentError
from protocols.logic_gates import logic_gate
from protocols.sampled_feedback import SwitchNetwork, batch_error
from protocols.switch_calibration import SwitchCalibration

BODIES = {
    "logistic": lambda d: expit(3.0 * (d - 0.7)),
    "curved": lambda d: expit(3.0 * (d - 0.7) + 0.2 * (d - 0.7) ** 3),
}


@pytest.fixture
def switch(make_switch):
    return make_switch(BODIES["logistic"])


def events(documents, stream):
    uid = next(d["uid"] for name, d in documents if name == "descriptor" and d["name"] == stream)
    return [d["data"] for name, d in documents if name == "event" and d["descriptor"] == uid]


@pytest.mark.slow
@pytest.mark.parametrize("body", BODIES)
def test_learning_not_on_any_body_gives_the_weights_of_an_ideal_switch(body, make_switch, engine):
    """Whose means and deviations over seeds are known; the calibration adds its own error to the slope."""
    weights, biases = [], []
    for seed in range(5):
        switch = make_switch(BODIES[body], seed=seed)
        result = engine.run(learn_gate(switch, seed=seed, calibration_shots=20000, final_shots=100))
        weights += result["weights"]
        biases += result["bias"]
    assert abs(np.mean(weights) - -4.531) < 5 * np.hypot(0.050, 0.02) / np.sqrt(5)
    assert abs(np.mean(biases) - 0.046) < 5 * np.hypot(0.122, 0.02) / np.sqrt(5)
    assert np.std(weights) < 0.05 * (1 + 5 / np.sqrt(10)) + 0.02


def test_the_truth_table_is_the_one_that_the_weights_give(switch, engine):
    result = engine.run(learn_gate(switch, final_shots=20000, calibration_shots=20000))
    network = SwitchNetwork.of([*result["weights"], *result["bias"]], 1, 0)
    for row in result["truth_table"]:
        p, error = row["probability"], row["probability_standard_error"]
        assert abs(p - network.output_probability(row["input"], 1.0)) < 5 * error + 2e-3
        assert (p > 0.5) == (row["wanted"] > 0)
    errors = [batch_error(2 * row["probability"] - 1, row["wanted"]) for row in result["truth_table"]]
    assert result["final_error"] == pytest.approx(np.mean(errors))
    assert 0.005 < result["final_error"] < 0.02


@pytest.mark.parametrize("gate", ["AND", "OR", "NAND"])
def test_a_single_switch_learns_the_gates_of_two_inputs(gate, switch, engine):
    result = engine.run(learn_gate(switch, gate=gate, epochs=120, rate=6.0))
    assert result["final_error"] < 0.05
    assert [row["wanted"] for row in result["truth_table"]] == logic_gate(gate).wanted.astype(int).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["mean_field", "exact"])
def test_one_switch_in_turn_learns_xor(rule, switch, engine):
    result = engine.run(learn_gate(switch, gate="XOR", rule=rule, epochs=250, seed=4))
    assert result["final_error"] < 0.08
    assert all((row["probability"] > 0.5) == (row["wanted"] > 0) for row in result["truth_table"])
    network = SwitchNetwork.of([*result["weights"], *result["bias"]], 2, 2)
    gate = logic_gate("XOR")
    exact = network.mean_error(gate.inputs, gate.wanted, 1.0)
    assert abs(result["final_error"] - exact) < 5 * result["final_error_standard_error"] + 5e-3


def test_three_switches_are_the_units_of_xor(make_switch, engine):
    switches = [
        make_switch(lambda d, s=slope: expit(s * (d - 0.1 * s)), name=f"switch{slope}", seed=slope)
        for slope in (2, 3, 5)
    ]
    result = engine.run(learn_gate(switches, gate="XOR", epochs=150, seed=1))
    assert result["final_error"] < 0.1
    slopes = [calibration["beta_per_drive"] for calibration in result["calibrations"]]
    assert slopes == pytest.approx([2, 3, 5], rel=0.1)
    assert [calibration["switch"] for calibration in result["calibrations"]] == ["switch2", "switch3", "switch5"]
    assert engine.documents[0][1]["detectors"] == ["switch2", "switch3", "switch5"]
    for body in switches:
        assert body.log[0] == ("stage", None)
        assert body.log[-1] == ("unstage", None)
    hidden, _, output = (sum(name == "trigger" for name, _ in body.log) for body in switches)
    assert 150 <= hidden < 150 + 60
    assert output > hidden


def test_each_hidden_pattern_is_shown_to_the_output_as_often_as_it_occurred(make_switch, engine):
    switches = [make_switch(BODIES["logistic"], name=name) for name in "abc"]
    engine.run(learn_gate(switches, gate="XOR", epochs=3, shots=150, final_shots=1000, calibration_shots=500))
    shots = [value for name, value in switches[2].log if name == "shots"]
    learning = shots[-next(i for i, n in enumerate(np.cumsum(shots[::-1])) if n == 3 * 150 + 4 * 1000) - 1 :]
    cumulative = np.cumsum(learning)
    assert {150, 300, 450, 1450, 2450, 3450, 4450} <= set(cumulative.tolist())


def test_a_floor_and_a_ceiling_leave_an_error_that_learning_cannot_remove(make_switch, engine):
    switch = make_switch(lambda d: 0.05 + 0.85 * expit(8 * (d - 0.7)))
    result = engine.run(learn_gate(switch, epochs=100, rate=2.0))
    assert abs(result["final_error"] - 0.075) < 5 * result["final_error_standard_error"] + 0.01
    calibration = result["calibrations"][0]
    assert abs(calibration["floor"] - 0.05) < 0.02
    assert abs(calibration["loss"] - 0.10) < 0.02
    assert calibration["beta_per_drive"] == pytest.approx(8.0, rel=0.15)


def test_the_error_of_an_epoch_is_that_of_its_batch(switch, engine):
    result = engine.run(learn_gate(switch, epochs=30, shots=250, calibration_shots=500))
    recorded = events(engine.documents, "learning")
    assert [event["epoch"] for event in recorded] == list(range(1, 31))
    assert [event["error"] for event in recorded] == result["error"]
    assert [event["error_standard_error"] for event in recorded] == result["error_standard_error"]
    assert recorded[-1]["weights"].tolist() == result["weights"]
    assert recorded[-1]["shots"] == result["shots"] == 30 * 250
    assert result["seconds"] == pytest.approx(30 * 0.25)
    assert all(error * 250 == pytest.approx(round(error * 250)) for error in result["error"])
    p = (np.array(result["error"]) * 250 + 1) / 252
    assert result["error_standard_error"] == pytest.approx(np.sqrt(p * (1 - p) / 250))


def test_scalar_fields_of_an_epoch_are_hinted_for_the_live_table(switch, engine):
    engine.run(learn_gate(switch, epochs=2, shots=50, calibration_shots=500))
    (descriptor,) = [d for name, d in engine.documents if name == "descriptor" and d["name"] == "learning"]
    assert descriptor["hints"]["learning"]["fields"][:3] == ["epoch", "error", "error_standard_error"]
    assert "units" not in descriptor["data_keys"]["weights"]


def test_learning_follows_the_rule_epoch_by_epoch(switch, engine):
    engine.run(learn_gate(switch, epochs=20, shots=100, rate=0.7, beta=1.5, seed=9, start=(0.3, -0.2)))
    before = np.array([0.3, -0.2])
    for event in events(engine.documents, "learning"):
        after = np.append(event["weights"], event["bias"])
        step = after - before
        wanted, mean_error = -np.sign(step[0] / step[1]), event["error"]
        x = np.sign(step[0] * step[1])
        assert wanted == -x
        mean = -x * (1 - 2 * mean_error)
        size = 0.7 * -x * 1.5 * (1 - mean**2) / 4
        assert step == pytest.approx([size * x, size])
        before = after


def test_all_rows_are_presented_before_one_update(switch, engine):
    result = engine.run(learn_gate(switch, epochs=47, presentation="all", start=(1.0, 0.01), calibration_shots=20000))
    assert result["shots"] == 47 * 2 * 200
    assert result["weights"][0] == pytest.approx(-4.42, abs=0.2)
    assert abs(result["bias"][0]) < 5 * 0.049 + 0.05
    assert [event["step"] for event in events(engine.documents, "learning")] == list(range(2, 96, 2))


def test_a_wanted_error_sets_the_shots(switch, engine):
    result = engine.run(learn_gate(switch, epochs=2, wanted_error=0.02, calibration_shots=500))
    assert result["shots"] == 2 * 625
    assert engine.documents[0][1]["plan_args"]["shots"] == 625


def test_the_ledger_closes_and_most_of_it_is_presentations(switch, engine):
    result = engine.run(learn_gate(switch, epochs=100))
    for cause in ("all", "updates", "presentations"):
        work, heat, energy, entropy, free, produced = (
            result[name][cause]
            for name in (
                "work",
                "heat",
                "energy_change",
                "entropy_change",
                "free_energy_change",
                "entropy_production",
            )
        )
        assert energy == pytest.approx(work - heat, abs=1e-9)
        assert produced == pytest.approx(entropy + heat, abs=1e-9)
        assert produced == pytest.approx(work - free, abs=1e-9)
    for name in ("work", "heat", "entropy_production"):
        assert result[name]["all"] == pytest.approx(result[name]["updates"] + result[name]["presentations"])
    assert result["entropy_production"]["presentations"] > 50 * result["entropy_production"]["updates"] > 0
    assert result["energy_change"]["updates"] == pytest.approx(-3.98, abs=0.5)


def test_the_record_costs_less_to_erase_as_learning_proceeds(switch, engine):
    result = engine.run(learn_gate(switch, epochs=100))
    entropies = np.array(result["record_entropy"])
    assert len(entropies) == 100
    assert entropies[-10:].mean() < 0.3 * entropies[:3].mean()
    assert result["landauer_bound"] == pytest.approx(200 * entropies.sum())
    assert result["landauer_bound"] < 200 * 100 * np.log(2)


def test_a_stored_calibration_saves_measuring_it(make_switch, engine):
    engine.run(switch_curve(make_switch(BODIES["curved"]), shots=20000))
    (data,) = events(engine.documents, "calibration")
    calibration = SwitchCalibration.from_event(engine.documents[0][1], data)
    engine.documents.clear()
    switch = make_switch(BODIES["curved"], seed=1)
    result = engine.run(learn_gate(switch, calibration=calibration, final_shots=500))
    assert switch.triggers == 100 + 2
    assert engine.documents[0][1]["plan_args"]["calibration"] == calibration.uid
    assert events(engine.documents, "calibration")[0]["offset"] == calibration.offset
    assert result["calibrations"][0]["offset"] == calibration.offset
    assert result["final_error"] < 0.05
    with pytest.raises(ArgumentError, match="calibration: that of other; allowed: one of switch"):
        next(learn_gate(switch, calibration=replace(calibration, switch="other")))
    three = [make_switch(BODIES["curved"], name=name) for name in "abc"]
    with pytest.raises(ArgumentError, match="calibration: one for 3 switches"):
        next(learn_gate(three, gate="XOR", calibration=calibration))


def test_drives_stay_within_their_limits_however_large_the_weights(make_switch, engine):
    switch = make_switch(BODIES["logistic"], limit=3.0, span=(-2.0, 3.0))
    result = engine.run(learn_gate(switch, epochs=20, start=(500.0, -100.0)))
    assert max(abs(value) for name, value in switch.log if name == "drive") <= 3.0
    assert abs(result["work"]["all"]) < 20 * 2 * 20


def test_memory_that_the_datasheet_admits_widens_the_errors(make_switch, engine):
    errors = []
    for memory in (0.0, 0.6):
        switch = make_switch(BODIES["logistic"], memory=memory)
        errors.append(engine.run(learn_gate(switch, epochs=1, seed=2))["error_standard_error"][0])
    assert errors[1] == pytest.approx(2 * errors[0], rel=0.15)


def test_a_run_is_recorded_in_valid_documents_with_every_argument(switch, engine):
    result = engine.run(learn_gate(switch, gate="XOR", epochs=3, shots=50, seed=7, md={"operator": "a test"}))
    for name, document in engine.documents:
        schema_validators[DocumentNames[name]].validate(json.loads(json.dumps(document, default=np.ndarray.tolist)))
    start, stop = engine.documents[0][1], engine.documents[-1][1]
    assert (start["plan_name"], start["operator"], stop["exit_status"]) == ("learn_gate", "a test", "success")
    assert (
        start["plan_args"] | {"gate": "XOR", "rule": "mean_field", "epochs": 3, "shots": 50, "seed": 7}
        == start["plan_args"]
    )
    assert start["plan_args"]["start"] == list(logic_gate("XOR").start)
    streams = [d["name"] for name, d in engine.documents if name == "descriptor"]
    assert streams == ["calibration", "learning", "evaluation"]
    json.dumps(result, allow_nan=False)


def test_equal_seeds_present_equal_rows_and_other_seeds_others(make_switch, engine):
    orders = []
    for seed in (1, 1, 2):
        engine.documents.clear()
        engine.run(learn_gate(make_switch(BODIES["logistic"]), epochs=30, shots=20, calibration_shots=500, seed=seed))
        steps = np.array([event["weights"][0] for event in events(engine.documents, "learning")])
        biases = np.array([event["bias"][0] for event in events(engine.documents, "learning")])
        orders.append(np.sign(np.diff(biases) * np.diff(steps)).tolist())
    assert orders[0] == orders[1] != orders[2]


def test_a_run_that_is_paused_goes_on_where_it_was(switch, engine):
    def interrupt():
        if switch.triggers == 60:
            engine.engine.loop.create_task(engine.engine._request_pause_coro())

    switch.on_trigger = interrupt
    with pytest.raises(RunEngineInterrupted):
        engine.run(learn_gate(switch, epochs=40))
    result = engine.engine.resume().plan_result
    assert len(result["error"]) == 40
    assert [event["epoch"] for event in events(engine.documents, "learning")] == list(range(1, 41))
    assert engine.documents[-1][1]["exit_status"] == "success"


def test_a_run_that_fails_leaves_the_switch_safe_and_what_it_measured_on_record(switch, engine):
    switch.fail_at = 60
    with pytest.raises(FailedStatus):
        engine.run(learn_gate(switch))
    assert switch.log[-1] == ("unstage", None)
    assert len(events(engine.documents, "learning")) > 5
    assert engine.documents[-1][1]["exit_status"] == "fail"


def test_there_is_a_point_of_return_before_every_question(switch):
    simulator = RunEngineSimulator()
    simulator.add_handler("set", lambda message: message.obj.set(*message.args))
    simulator.add_handler("trigger", lambda message: message.obj.trigger())
    messages = simulator.simulate_plan(learn_gate(switch, epochs=5, shots=50, calibration_shots=500))
    commands = [message.command for message in messages if message.command not in ("set", "wait")]
    assert all(before == "checkpoint" for before, now in pairwise(commands) if now == "trigger")
    assert all(after == "checkpoint" for now, after in pairwise(commands) if now == "save")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gate": "NOR"}, "gate: 'NOR' is not known; allowed: NOT, AND, OR, NAND, XOR"),
        ({"rule": "mean_field"}, r"rule \(for NOT\): 'mean_field' is not known; allowed: sampled, exact"),
        ({"gate": "XOR", "rule": "sampled"}, r"rule \(for XOR\): 'sampled' is not known; allowed: mean_field, exact"),
        ({"epochs": 0}, "epochs"),
        ({"shots": 1}, "shots: 1 is not allowed; a whole number from 2"),
        ({"shots": 2**21}, "shots: switch refuses"),
        ({"wanted_error": 0.6}, "wanted_error"),
        ({"wanted_error": 0.0}, "wanted_error"),
        ({"rate": 0.0}, "rate"),
        ({"beta": float("nan")}, "beta"),
        ({"start": (1.0,)}, "start: 1 numbers given; 2 needed"),
        ({"gate": "XOR", "start": (1.0, 2.0)}, "start: 2 numbers given; 9 needed"),
        ({"presentation": "some"}, "presentation"),
        ({"calibration_shots": 10}, "calibration_shots"),
        ({"final_shots": 1}, "final_shots"),
        ({"seed": 2**32}, "seed"),
    ],
)
def test_nonsense_is_refused_before_the_switch_is_touched(arguments, message, switch):
    with pytest.raises(ArgumentError, match=message):
        next(learn_gate(switch, **arguments))
    assert switch.log == []


@pytest.mark.parametrize(("gate", "count", "needed"), [("XOR", 2, "1 or 3"), ("NOT", 2, "1")])
def test_as_many_switches_as_units_are_needed(gate, count, needed, make_switch):
    switches = [make_switch(BODIES["logistic"], name=f"s{i}") for i in range(count)]
    with pytest.raises(ArgumentError, match=f"switch: {count} switches given for {gate}; allowed: {needed}$"):
        next(learn_gate(switches, gate=gate))
