import numpy as np
import pytest

from protocols import evaluate, loss_curve, train_genetic, train_in_situ
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


def test_of_several_judgements_the_last_one_says_how_many_shots(untrained, board, engine):
    start, arrays = untrained
    settings = {**start["plan_args"], "shots": [1, 20]}
    engine.run(evaluate(board, run=StoredRun.from_event({**start, "plan_args": settings}, arrays)))
    assert board.shots.get() == 20


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


# a series


@pytest.fixture
def linear_machine():
    """One cell with y = <x> and <x> = I/2 (1 - exp(-2 t)): loss, bias and variance are known in closed form."""
    arrays = {
        "couplings": np.zeros((1, 1)),
        "bias": np.zeros(1),
        "weights": np.full((1, 1), -2.0),
        "quadratic": np.ones(1),
        "cubic": np.zeros(1),
        "quartic": np.zeros(1),
        "readout": np.ones((1, 1)),
        "final_loss": 0.8,
    }
    settings = {"task": "cosine", "sampling": "reset", "temperature": 0.1, "observation_time": 0.5, "final_shots": 30}
    return StoredRun.from_event({"uid": "abc", "plan_name": "train_genetic", "plan_args": settings}, arrays)


Z = np.linspace(0, 1, 250)


def expected_loss(shots, time):
    bias = Z * (1 - np.exp(-2 * time)) - np.cos(2 * np.pi * Z)
    variance = 0.05 * (1 - np.exp(-4 * time))
    spread = np.sqrt(4 * np.mean(bias**2) * variance / shots + 2 * (variance / shots) ** 2) / np.sqrt(len(Z))
    return np.mean(bias**2) + variance / shots, spread


def test_the_loss_falls_as_one_over_the_shots_to_what_the_program_owes(linear_machine, board, engine):
    result = engine.run(loss_curve(board, run=linear_machine, shots=(1, 4, 400)))
    assert result["shots"] == [1, 4, 400]
    assert result["observation_time"] == [0.5] * 3
    assert result["samples"] == 250 * 405
    for shots, loss in zip(result["shots"], result["loss"], strict=True):
        expected, spread = expected_loss(shots, 0.5)
        assert abs(loss - expected) < 5 * spread + 5e-3


def test_the_loss_against_observation_times_has_the_shots_of_the_last_judgement(linear_machine, board, engine):
    result = engine.run(loss_curve(board, run=linear_machine, observation_time=(0.1, 2.0)))
    assert result["shots"] == [30, 30]
    for time, loss in zip(result["observation_time"], result["loss"], strict=True):
        expected, spread = expected_loss(30, time)
        assert abs(loss - expected) < 5 * spread + 5e-3


def test_every_point_of_a_series_is_an_event_with_noise_of_its_own(linear_machine, board, engine):
    engine.run(loss_curve(board, run=linear_machine, shots=(5, 5)))
    first, second = (doc["data"] for name, doc in engine.documents if name == "event")
    assert first["outputs"].shape == (250, 1)
    assert not np.array_equal(first["outputs"], second["outputs"])
    assert next(value for name, value in board.log if name == "input_table").shape == (250, 1)
    assert [name for name, _ in board.log].count("programs") == 1


def test_a_classifier_is_judged_by_its_accuracy_too(untrained, board, engine):
    result = engine.run(loss_curve(board, run=StoredRun.from_event(*untrained), shots=(2, 4)))
    assert len(result["accuracy"]) == len(result["loss"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shots": (1, 2), "observation_time": (0.5, 1.0)}, "2 shots and 2 observation times given; allowed: a series"),
        ({"shots": ()}, "0 shots"),
        ({"shots": (1, 0)}, "shots: 0 is not allowed"),
        ({"observation_time": (1.0, -1.0)}, "observation_time: -1.0 is not allowed"),
    ],
)
def test_no_series_or_two_of_them_are_refused(linear_machine, board, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        next(loss_curve(board, run=linear_machine, **arguments))
    assert board.log == []
