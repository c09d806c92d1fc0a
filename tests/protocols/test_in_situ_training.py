import numpy as np
import pytest

from protocols import train_in_situ
from protocols.in_situ_training import TASK_DEFAULTS
from protocols.tasks import xor


def events(documents, stream):
    uid = next(d["uid"] for name, d in documents if name == "descriptor" and d["name"] == stream)
    return [d["data"] for name, d in documents if name == "event" and d["descriptor"] == uid]


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["covariance", "factorised"])
def test_a_board_learns_exclusive_or_from_its_fluctuations(board, engine, estimator):
    result = engine.run(train_in_situ(board, task="xor", estimator=estimator, epochs=80, learning_rate=0.05, shots=60))
    assert result["test_accuracy"] == result["test_accuracy_by_epoch"][-1] == 1.0
    assert result["train_accuracy"] == result["train_accuracy_by_epoch"][-1]
    assert np.mean(result["loss"][-10:]) < 0.3 * np.mean(result["loss"][:5])
    curves = ("loss", "train_accuracy_by_epoch", "test_accuracy_by_epoch")
    assert {len(result[curve]) for curve in curves} == {80}
    assert result["steps"] == 80
    runs_of_a_step = {"covariance": 1, "factorised": 2}[estimator] + 1
    assert result["samples"] == 80 * 4 * 60 * runs_of_a_step


@pytest.mark.slow
def test_read_out_weights_learn_too(board, engine):
    engine.run(train_in_situ(board, task="iris", readout="trained", epochs=2, shots=20, observation_time=1.0))
    steps = events(engine.documents, "learning")
    assert steps[0]["readout"].shape == (3, 3)
    assert not np.array_equal(steps[0]["readout"], steps[-1]["readout"])


def test_every_step_is_recorded_with_the_parameters_after_it(board, engine):
    engine.run(train_in_situ(board, task="xor", epochs=3, shots=10, batch_size=3, observation_time=0.5))
    steps = events(engine.documents, "learning")
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5, 6]
    assert [step["epoch"] for step in steps] == [1, 1, 2, 2, 3, 3]
    used = [value[0] for name, value in board.log if name == "programs"]
    assert np.array_equal(used[-1].couplings, steps[-1]["couplings"])
    assert np.array_equal(used[1].weights, steps[0]["weights"])
    assert steps[-1]["couplings"].shape == (5, 5)
    (final,) = events(engine.documents, "evaluation")
    assert np.array_equal(final["couplings"], steps[-1]["couplings"])
    assert final["labels"].tolist() == [0, 1, 1, 0]
    assert final["probabilities"].shape == (4, 2)
    assert final["test_accuracy"] == np.mean(final["predictions"] == final["labels"])


def test_every_example_is_shown_once_in_an_epoch(board, engine):
    engine.run(train_in_situ(board, task="xor", epochs=2, shots=2, batch_size=3, observation_time=0.1))
    tables = [value for name, value in board.log if name == "input_table"]
    rows = [value for name, value in board.log if name == "rows"]
    assert rows == [(1, 3), (4, 1), (5, 4)] * 2
    for table in tables:
        assert sorted(map(tuple, table[:4])) == sorted(map(tuple, xor().train.inputs))
        assert np.array_equal(table[4:], xor().test.inputs)


def test_the_learning_rate_is_a_fifth_in_the_last_third(board, engine):
    engine.run(train_in_situ(board, task="xor", epochs=6, shots=5, observation_time=0.2, learning_rate=1e-3))
    biases = np.array([step["bias"] for step in events(engine.documents, "learning")])
    moves = np.abs(np.diff(biases, axis=0)).max(axis=1)
    assert moves[:3].min() > 3e-4
    assert moves[3:].max() < 2.1e-4


def test_parameters_stay_within_the_full_scale_of_the_board(board, engine):
    engine.run(train_in_situ(board, task="xor", epochs=4, shots=5, observation_time=0.2, learning_rate=10.0))
    steps = events(engine.documents, "learning")
    assert max(np.abs(step["weights"]).max() for step in steps) == 8
    assert max(np.abs(step["couplings"]).max() for step in steps) <= 8


def test_serial_sampling_observes_more_often(board, engine):
    engine.run(train_in_situ(board, task="xor", epochs=1, shots=5, sampling="serial"))
    assert board.observation_time.get() == 0.48
    assert board.burn_in.get() == 5.0


def test_the_defaults_are_the_demonstration():
    assert TASK_DEFAULTS["digits"].epochs == 12
    assert TASK_DEFAULTS["digits"].shots == 50
    assert TASK_DEFAULTS["digits"].hidden == 32
    assert TASK_DEFAULTS["digits"].batch_size == 32
    assert TASK_DEFAULTS["digits"].gain == 8.0
