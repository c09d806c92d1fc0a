import numpy as np
import pytest

from protocols import evaluate, train_genetic, train_in_situ
from protocols.arguments import ArgumentError
from protocols.stored_run import StoredRun


def stored(documents):
    """Return a run as the catalogue hands it over: its start document and its last event of the evaluation."""
    uid = next(d["uid"] for name, d in documents if name == "descriptor" and d["name"] == "evaluation")
    (data,) = [d["data"] for name, d in documents if name == "event" and d["descriptor"] == uid]
    return StoredRun.from_event(documents[0][1], data)


@pytest.fixture
def classifier(board, engine):
    engine.run(train_in_situ(board, task="xor", epochs=80, learning_rate=0.05, shots=60))
    run = stored(engine.documents)
    engine.documents.clear()
    return run


@pytest.mark.slow
def test_a_trained_program_does_on_another_board_what_it_did_where_it_was_trained(classifier, board, engine):
    result = engine.run(evaluate(type(board)(), run=classifier, shots=500))
    assert result["accuracy"] == result["trained_accuracy"] == 1.0
    assert result["agreement"] == 1.0
    assert result["shots"] == 500
    assert result["samples"] == 2000
    assert abs(result["loss"] - result["trained_loss"]) < 0.02
    assert engine.documents[0][1]["plan_args"]["run"] == classifier.uid


@pytest.mark.slow
def test_a_machine_that_expresses_a_function_is_compared_by_its_loss(board, engine):
    engine.run(train_genetic(board, generations=2, population=6, parents=2, inputs=3, shots=4, final_shots=64))
    run = stored(engine.documents)
    result = engine.run(evaluate(board, run=run))
    assert result["shots"] == 64
    assert result["trained_loss"] == run.arrays["final_loss"]
    assert result["loss"] == pytest.approx(result["trained_loss"], abs=0.05)
    assert not {"accuracy", "agreement"} & result.keys()


@pytest.fixture
def untrained():
    arrays = {
        "couplings": np.zeros((5, 5)),
        "bias": np.zeros(5),
        "weights": np.zeros((5, 2)),
        "quadratic": np.ones(5),
        "cubic": np.zeros(5),
        "quartic": np.ones(5),
        "readout": np.ones((1, 1)),
        "predictions": [0, 0, 0, 0],
        "final_loss": 0.08,
    }
    settings = {"task": "xor", "sampling": "reset", "temperature": 0.1, "observation_time": 1.0, "shots": 10}
    return {"uid": "abc", "plan_name": "train_in_situ", "plan_args": settings}, arrays


def test_the_settings_are_those_of_the_training_unless_given(untrained, board, engine):
    run = StoredRun.from_event(*untrained)
    engine.run(evaluate(board, run=run))
    assert board.shots.get() == 10
    assert board.temperature.get() == 0.1
    engine.run(evaluate(board, run=run, shots=20, temperature=0.3, observation_time=2.0))
    assert (board.shots.get(), board.temperature.get(), board.observation_time.get()) == (20, 0.3, 2.0)


def test_a_run_without_a_trained_program_is_refused(untrained):
    start, arrays = untrained
    del arrays["weights"], arrays["readout"]
    with pytest.raises(ArgumentError, match=r"run: abc .*weights, readout missing.*allowed: finished runs of"):
        StoredRun.from_event(start, arrays)


@pytest.mark.parametrize(
    "bad", [{"shots": 10**12}, {"shots": 0}, {"temperature": 0.0}, {"observation_time": float("nan")}]
)
def test_nonsense_is_refused_before_the_board_is_touched(untrained, board, bad):
    with pytest.raises(ArgumentError, match=next(iter(bad))):
        next(evaluate(board, run=StoredRun.from_event(*untrained), **bad))
    assert board.log == []
