import json

import numpy as np
import pytest
from bluesky.utils import FailedStatus
from event_model import DocumentNames, schema_validators

from protocols import qpc_trace
from protocols.arguments import ArgumentError
from protocols.charge_analysis import TraceError

SHORT = {"points": 12000, "interval": 8e-6, "fixed_gates": ("barrier_left=0.17", "plunger=0.01")}


@pytest.fixture
def dot(make_dot):
    return make_dot(rates=(2000.0, 3000.0))


def events(documents, stream):
    uids = {d["uid"] for name, d in documents if name == "descriptor" and d["name"] == stream}
    return [d["data"] for name, d in documents if name == "event" and d["descriptor"] in uids]


@pytest.mark.slow
def test_traces_give_rates_levels_noise_and_fidelity(dot, engine):
    result = engine.run(qpc_trace(dot, **SHORT, traces=2))
    truth = {
        "rate_in": 2000.0,
        "rate_out": 3000.0,
        "level_empty": 5e-9,
        "level_occupied": 4.6e-9,
        "current_step": 4e-10,
        "noise_density": 4e-26,
        "information_rate": 4e6,
        "occupied_fraction": 0.4,
    }
    for name, value in truth.items():
        assert abs(result[name] - value) < 5 * result[f"{name}_standard_error"], name
    for kind, rate in (("empty", 2000.0), ("occupied", 3000.0)):
        assert 1 / rate < result[f"dwell_time_{kind}"] + 5 * result[f"dwell_time_{kind}_standard_error"]
    assert result["apparent_rate_in"] < result["corrected_rate_in"]
    assert result["filtered_fraction"] == pytest.approx(0.4, abs=0.1)
    deviations = [
        (measured - expected) / (error + 5000 * 8e-6 / 20)
        for measured, expected, error in zip(
            result["assignment_error"],
            result["expected_assignment_error"],
            result["assignment_error_standard_error"],
            strict=True,
        )
    ]
    assert np.abs(deviations).max() < 5
    assert result["fidelity"] == 1 - min(result["assignment_error"])
    assert result["best_integration_time"] in result["integration_time"]
    assert result["seconds"] == pytest.approx(3 * 12000 * 8e-6)

    settings = {name: value for name, value in dot.log if name in ("rate_in", "level_empty", "noise_density")}
    assert settings == {name: result[name] for name in ("rate_in", "level_empty", "noise_density")}
    lengths = {name: len(events(engine.documents, name)) for name in ("primary", "fit", "dwells", "filtered")}
    assert lengths == {"primary": 2, "fit": 1, "dwells": 1, "filtered": 1}
    (dwells,) = events(engine.documents, "dwells")
    assert np.sum(dwells["empty_dwells"]) + np.sum(dwells["occupied_dwells"]) == result["transitions"]
    for name, document in engine.documents:
        schema_validators[DocumentNames[name]].validate(json.loads(json.dumps(document, default=np.ndarray.tolist)))
    keys = {
        key: value
        for name, d in engine.documents
        if name == "descriptor" and d["name"] in ("filtered", "fit")
        for key, value in d["data_keys"].items()
    }
    assert (keys["trace"]["dims"], keys["trace"]["units"]) == (["sample"], "A")
    assert keys["occupation"]["dims"] == ["sample"]
    assert keys["noise_density_standard_error"]["units"] == "A^2/Hz"
    json.dumps(result, allow_nan=False)


def test_a_trace_of_one_level_is_kept_and_said_to_be_one(make_dot, engine):
    dot = make_dot(rates=(1e-6, 1e6))
    with pytest.raises(TraceError, match="no two levels"):
        engine.run(qpc_trace(dot, **SHORT))
    assert len(events(engine.documents, "primary")) == 1
    stop = engine.documents[-1][1]
    assert stop["exit_status"] == "fail"
    assert "tune the gates" in stop["reason"]
    assert dot.log[-1] == ("unstage", None)


def test_a_run_that_is_cut_keeps_the_traces_before(dot, engine):
    dot.fail_at = 2
    with pytest.raises(FailedStatus):
        engine.run(qpc_trace(dot, **SHORT, traces=3))
    assert len(events(engine.documents, "primary")) == 1
    assert all(signal.get() == 0.0 for signal in dot.gates.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": 10}, "points: 10"),
        ({"points": 10**7}, "trace_points: dot refuses 10000000"),
        ({"interval": 0.0}, "interval: 0.0"),
        ({"points": 10**5, "interval": 0.1}, "points times interval: 10000.0"),
        ({"traces": 0}, "traces: 0"),
        ({"bins": 1}, "bins: 1"),
        ({"bias": 0.1}, "bias: dot refuses 0.1 V"),
        ({"fixed_gates": ("plunger=2",)}, "plunger: dot refuses 2 V"),
        ({"fixed_gates": ("lever=0.1",)}, "gate: dot has no 'lever'"),
        ({"fixed_gates": ("plunger",)}, "is not of the form gate=volts"),
    ],
)
def test_nonsense_is_refused_before_the_dot_is_touched(dot, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        next(qpc_trace(dot, **arguments))
    assert dot.log == []
