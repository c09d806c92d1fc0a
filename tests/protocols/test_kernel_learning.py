import json

import numpy as np
import pytest
from bluesky.utils import FailedStatus
from event_model import DocumentNames, schema_validators

from protocols import learn_kernel
from protocols.arguments import ArgumentError
from protocols.kernel_rules import overlap

FLOORS = [(0.8, 1e-4, 0.1000), (0.5, 0.01, 0.2525), (1.0, 0.0, 0.0)]


@pytest.mark.parametrize(("efficiency", "dark", "floor"), FLOORS)
@pytest.mark.parametrize("method", ["gradient", "parameter_shift"])
@pytest.mark.parametrize("gate", ["XOR", "NOT"])
def test_xor_and_not_reach_the_floor_that_the_detector_leaves(
    gate, method, efficiency, dark, floor, make_photon, engine
):
    photon = make_photon(efficiency, dark, seed=3)
    result = engine.run(learn_kernel(photon, gate=gate, method=method, epochs=100, final_shots=4000, seed=5))
    assert abs(result["final_error"] - floor) < 5 * result["final_error_standard_error"] + 2e-3
    assert abs(result["error_floor"] - floor) < 0.01
    for row in result["truth_table"]:
        xi = [*row["input"], 1.0] if gate == "NOT" else row["input"]
        assert overlap(result["weights"], xi) == pytest.approx(float(row["wanted"] > 0), abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradient", "parameter_shift"])
def test_learning_succeeds_from_every_random_start(method, make_photon, engine):
    for seed in range(4):
        result = engine.run(learn_kernel(make_photon(seed=seed), method=method, seed=seed, epochs=100, final_shots=500))
        assert result["final_error"] < 0.1 + 5 * result["final_error_standard_error"] + 3e-3


@pytest.mark.slow
def test_and_keeps_an_error_of_a_twelfth_even_on_an_ideal_detector(make_photon, engine):
    photon = make_photon(1.0, 0.0)
    result = engine.run(learn_kernel(photon, gate="AND", rate=0.06, epochs=500, shots=10, final_shots=20000))
    assert result["final_error"] > 1 / 12 - 5 * result["final_error_standard_error"]
    assert result["final_error"] < 0.0851 + 5 * (result["final_error_standard_error"] + 0.0002) + 2e-3
    assert np.abs(result["weights"]) == pytest.approx(np.full(3, 1 / np.sqrt(3)), abs=0.1)


def test_without_the_reference_mode_not_cannot_be_learnt(make_photon, engine):
    result = engine.run(learn_kernel(make_photon(), gate="NOT", reference_mode=False, epochs=30))
    assert len(result["weights"]) == 1
    assert result["final_error"] == pytest.approx(0.5, abs=0.05)
    assert result["threshold"] is None or abs(result["threshold"] - 0.8) < 0.05


def test_clicks_without_light_and_with_full_overlap_are_measured_first(make_photon, engine):
    photon = make_photon(0.7, 0.02)
    result = engine.run(learn_kernel(photon, epochs=2))
    assert abs(result["dark_probability"] - 0.02) < 5 * result["dark_probability_standard_error"]
    full = 1 - 0.3 * 0.98
    assert abs(result["full_probability"] - full) < 5 * result["full_probability_standard_error"]
    lights = [value for name, value in photon.log if name == "light"]
    assert lights == [False, True]


def test_the_threshold_separates_what_the_photons_have_learnt(make_photon, engine):
    result = engine.run(learn_kernel(make_photon()))
    assert result["threshold"] == pytest.approx(0.4, abs=0.03)


def test_the_error_of_an_epoch_is_that_of_the_row_presented(make_photon, engine):
    result = engine.run(learn_kernel(make_photon(), epochs=20, shots=150))
    uid = next(d["uid"] for name, d in engine.documents if name == "descriptor" and d["name"] == "learning")
    recorded = [d["data"] for name, d in engine.documents if name == "event" and d["descriptor"] == uid]
    assert [event["epoch"] for event in recorded] == list(range(1, 21))
    assert [event["error"] for event in recorded] == result["error"]
    assert recorded[-1]["weights"].tolist() == result["weights"]
    assert all(np.linalg.norm(event["weights"]) == pytest.approx(1.0) for event in recorded)
    assert recorded[-1]["shots"] == result["shots"] == 20 * 150
    assert result["seconds"] == pytest.approx(20 * 150e-6)


def test_parameter_shift_takes_two_settings_for_each_direction(make_photon, engine):
    result = engine.run(learn_kernel(make_photon(), gate="AND", method="parameter_shift", epochs=4, shots=50))
    assert result["shots"] == 4 * 50 * (1 + 2 * 2)


def test_a_run_is_recorded_in_valid_documents_with_every_argument(make_photon, engine):
    result = engine.run(learn_kernel(make_photon(), epochs=3, shots=50, seed=7, md={"operator": "a test"}))
    for name, document in engine.documents:
        schema_validators[DocumentNames[name]].validate(json.loads(json.dumps(document, default=np.ndarray.tolist)))
    start, stop = engine.documents[0][1], engine.documents[-1][1]
    assert (start["plan_name"], start["operator"], stop["exit_status"]) == ("learn_kernel", "a test", "success")
    assert start["plan_args"]["reference_mode"] is False
    assert start["plan_args"]["seed"] == 7
    json.dumps(result, allow_nan=False)


def test_equal_seeds_start_equally_and_other_seeds_otherwise(make_photon, engine):
    ends = [engine.run(learn_kernel(make_photon(), epochs=3, seed=seed))["weights"] for seed in (1, 1, 2)]
    assert ends[0] == pytest.approx(ends[1], abs=1e-12)
    assert ends[0] != pytest.approx(ends[2], abs=1e-3)


def test_a_run_that_fails_leaves_the_pulses_off(make_photon, engine):
    photon = make_photon()
    photon.fail_at = 5
    with pytest.raises(FailedStatus):
        engine.run(learn_kernel(photon))
    assert photon.log[0] == ("stage", None)
    assert photon.log[-1] == ("unstage", None)
    assert engine.documents[-1][1]["reason"] == "the instrument does not answer"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gate": "NOR"}, "gate: 'NOR' is not known"),
        ({"method": "magic"}, "method: 'magic' is not known; allowed: gradient, parameter_shift"),
        ({"epochs": 0}, "epochs"),
        ({"shots": 2**21}, "shots: photon refuses"),
        ({"rate": -1.0}, "rate"),
        ({"calibration_shots": 10}, "calibration_shots"),
        ({"final_shots": 0}, "final_shots"),
        ({"seed": 0.5}, "seed"),
    ],
)
def test_nonsense_is_refused_before_the_photons_are_touched(arguments, message, make_photon):
    photon = make_photon()
    with pytest.raises(ArgumentError, match=message):
        next(learn_kernel(photon, **arguments))
    assert photon.log == []


def test_more_modes_than_there_are_are_refused(make_photon):
    with pytest.raises(ArgumentError, match="gate: AND needs 3 modes; photon has 2"):
        next(learn_kernel(make_photon(modes=2), gate="AND"))
