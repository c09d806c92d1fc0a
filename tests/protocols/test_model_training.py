import json
import struct
import warnings
from itertools import pairwise

import numpy as np
import pytest
from bluesky import RunEngineInterrupted

from protocols import evaluate, train_model_based
from protocols.arguments import ArgumentError
from protocols.stored_run import StoredRun

SHORT = {"layers": (3, 2), "epochs": 4, "shots": (8,), "observation_time": 0.3}


def events(documents, stream):
    uid = next(d["uid"] for name, d in documents if name == "descriptor" and d["name"] == stream)
    return [d["data"] for name, d in documents if name == "event" and d["descriptor"] == uid]


def test_the_board_is_asked_only_for_the_judgements(board, board_model, engine):
    result = engine.run(train_model_based(board, board_model, **{**SHORT, "shots": (4, 8)}))
    assert [name for name, _ in board.log].count("trigger") == 2
    assert [value for name, value in board.log if name == "shots"][-2:] == [4, 8]
    assert result["samples"] == 250 * 12
    assert result["board_seconds"] > 0
    assert result["epochs"] == 4
    assert 0 < result["training_core_seconds"] < 100
    assert json.loads(json.dumps(result)) == result


def test_what_is_recorded_is_the_program_the_board_was_judged_with(board, board_model, engine):
    result = engine.run(train_model_based(board, board_model, **SHORT))
    (final,) = events(engine.documents, "evaluation")
    (program,) = board.programs.get()
    np.testing.assert_array_equal(final["couplings"], program.couplings)
    learnt = events(engine.documents, "epochs")[-1]["parameters"]
    np.testing.assert_array_equal(learnt[:5], program.bias)
    mean = board.mean.get()[0, :, 3:] @ final["readout"].T
    np.testing.assert_allclose(final["outputs"], mean)
    assert result["final_loss"] == final["final_loss"] == pytest.approx(np.mean((mean[:, 0] - final["target"]) ** 2))


def test_the_learning_curve_is_counted_in_epochs(board, board_model, engine):
    engine.run(train_model_based(board, board_model, **SHORT))
    assert [event["epoch"] for event in events(engine.documents, "epochs")] == [1, 2, 3, 4]
    rates = [event["rate"] for event in events(engine.documents, "epochs")]
    assert all(later < earlier for earlier, later in pairwise(rates))


@pytest.mark.slow
def test_classes_are_judged_at_every_number_of_shots_beside_conventional_classifiers(board, board_model, engine):
    warnings.simplefilter("error")
    arguments = {"task": "iris", "layers": (8, 6), "epochs": 40, "shots": (1, 50), "observation_time": 1.0}
    result = engine.run(train_model_based(board, board_model, **arguments))
    assert list(result["test_accuracy"]) == ["1", "50"]
    assert 0.5 < result["test_accuracy"]["1"] <= result["test_accuracy"]["50"] + 0.1
    (final,) = events(engine.documents, "evaluation")
    assert result["test_accuracy"]["50"] == np.mean(final["predictions"] == final["labels"]) == final["test_accuracy"]
    assert list(final["accuracy_by_shots"]) == list(result["test_accuracy"].values())
    assert set(result["baselines"]) == {"logistic_regression", "network_32_32_32"}
    for name, event in zip(result["baselines"], events(engine.documents, "baselines"), strict=True):
        assert event["baseline"] == name
        assert 0.8 < event["test_accuracy"] == result["baselines"][name]["test_accuracy"] <= 1
        assert 0 < result["baselines"][name]["core_seconds"] < 60


def test_baselines_may_be_left_out(board, board_model, engine):
    result = engine.run(train_model_based(board, board_model, task="iris", baselines=False, **SHORT))
    assert "baselines" not in result


def test_serial_sampling_judges_along_one_trajectory_from_its_start(board, board_model, engine):
    engine.run(train_model_based(board, board_model, sampling="serial", **{**SHORT, "epochs": 1, "layers": (2,)}))
    assert board.sampling.get() == "serial"
    assert board.burn_in.get() == 0.0


@pytest.mark.parametrize("task", ["cosine", "iris"])
def test_a_stored_run_is_evaluated_on_another_board(board, board_model, engine, task):
    engine.run(train_model_based(board, board_model, task=task, baselines=False, **{**SHORT, "shots": (4, 400)}))
    (final,) = events(engine.documents, "evaluation")
    run = StoredRun.from_event(engine.documents[0][1], final)
    result = engine.run(evaluate(type(board)(), run=run))
    assert result["shots"] == 400
    assert result["trained_loss"] == final["final_loss"]
    assert result["loss"] == pytest.approx(final["final_loss"], abs=0.1)


def test_files_of_the_user_are_learnt_and_evaluated(board, board_model, engine, tmp_path):
    generator = np.random.default_rng(0)

    def written(name, array):
        path = tmp_path / name
        header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        path.write_bytes(header + array.astype(np.uint8).tobytes())
        return path

    images = tuple(written(f"images{size}", generator.integers(0, 256, (size, 4, 3))) for size in (30, 12))
    labels = tuple(written(f"labels{size}", generator.integers(0, 10, size)) for size in (30, 12))
    arguments = {**SHORT, "task": "mnist", "images": images, "labels": labels, "baselines": False}
    result = engine.run(train_model_based(board, board_model, **arguments))
    assert result["samples"] == 12 * 8
    start = engine.documents[0][1]
    assert start["plan_args"]["images"] == [str(path) for path in images]
    (final,) = events(engine.documents, "evaluation")
    assert final["inputs"].shape == (12, 12)
    again = engine.run(evaluate(board, run=StoredRun.from_event(start, final), shots=3))
    assert again["samples"] == 36


def test_a_run_that_is_paused_while_it_learns_goes_on_to_the_same_program(board, board_model, engine):
    engine.run(train_model_based(board, board_model, **SHORT))
    (undisturbed,) = events(engine.documents, "evaluation")
    engine.documents.clear()
    run, calls = board_model.run, []

    def interrupting(*arguments, **settings):
        calls.append(None)
        if len(calls) == 3:
            engine.engine.loop.create_task(engine.engine._request_pause_coro(True))
        return run(*arguments, **settings)

    board_model.run = interrupting
    with pytest.raises(RunEngineInterrupted):
        engine.run(train_model_based(board, board_model, **SHORT))
    assert len(calls) < 5
    engine.engine.resume()
    (final,) = events(engine.documents, "evaluation")
    np.testing.assert_array_equal(final["couplings"], undisturbed["couplings"])
    assert final["final_loss"] == undisturbed["final_loss"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"task": "xor"}, "allowed: cosine, digits, iris, mnist5000, mnist"),
        ({"task": "iris", "sampling": "serial"}, "sampling: 'serial' is not allowed for classes"),
        ({"sampling": "often"}, "allowed: reset, serial"),
        ({"split": 4}, "split: 4 is not allowed"),
        ({"split": 2}, "split: 2 is not allowed for task cosine; only mnist5000 has splits"),
        ({"task": "mnist"}, "images: 0 files given; task mnist needs two"),
        ({"shots": ()}, "shots: none given"),
        ({"shots": (1, 0)}, "shots: 0 is not allowed"),
        ({"epochs": 0}, "epochs: 0 is not allowed"),
        ({"layers": (300,)}, "layers: 300 is not allowed"),
    ],
)
def test_what_is_not_allowed_is_refused_before_anything_is_sent(board, board_model, wrong, message):
    with pytest.raises(ArgumentError, match=message):
        next(train_model_based(board, board_model, **wrong))
    assert not board.log
