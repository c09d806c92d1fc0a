import json

import numpy as np
import pytest

from protocols import transfer
from protocols.arguments import ArgumentError
from protocols.model_transfer import _recovered_shares

SHORT = {
    "layers": (3, 2),
    "epochs": 6,
    "shots": 20,
    "generations": 2,
    "population": 6,
    "parents": 2,
    "updates": 3,
    "observation_time": 0.5,
}


def events(documents, stream):
    uid = next(d["uid"] for name, d in documents if name == "descriptor" and d["name"] == stream)
    return [d["data"] for name, d in documents if name == "event" and d["descriptor"] == uid]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["cosine", "iris"])
def test_both_ways_begin_with_the_program_of_the_model_and_are_judged_after_every_step(
    board, board_model, engine, task
):
    result = engine.run(transfer(board, board_model, task=task, **SHORT))
    assert list(result) == ["ideal", "deployed", "genetic", "feedback", "training_core_seconds"]
    steps = events(engine.documents, "learning")
    assert [(event["method"], event["step"]) for event in steps] == [
        *(("genetic", step) for step in (1, 2)),
        *(("feedback", step) for step in (1, 2, 3)),
    ]
    assert [event["stage"] for event in events(engine.documents, "stages")] == list(result)[:4]
    assert json.loads(json.dumps(result)) == result
    assert ("accuracy" in result["genetic"]) == ("recovered_share" in result["genetic"]) == (task == "iris")


def test_the_better_of_both_ways_is_recorded_as_the_program_of_the_run(board, board_model, engine):
    result = engine.run(transfer(board, board_model, **SHORT))
    (final,) = events(engine.documents, "evaluation")
    assert final["final_loss"] == min(result[way]["loss"] for way in ("genetic", "feedback"))


def test_the_ideal_is_what_the_same_shots_give_on_the_model(board, board_model, engine):
    run, trajectories = board_model.run, []

    def noted(*arguments, **settings):
        trajectories.append((len(arguments[1]), settings["trajectories"]))
        return run(*arguments, **settings)

    board_model.run = noted
    result = engine.run(transfer(board, board_model, **SHORT))
    assert trajectories[-1] == (250, 20)
    assert result["ideal"]["loss"] == pytest.approx(result["deployed"]["loss"], rel=0.3)


def test_the_share_that_is_back_is_of_what_was_lost():
    np.testing.assert_allclose(_recovered_shares([0.8, 0.85, 0.9, 0.95], 0.9), [0.0, 0.5, 1.0, 1.5])
    assert _recovered_shares([0.9, 0.7], 0.9).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"task": "mnist"}, "allowed: cosine, digits, iris, mnist5000$"),
        ({"population": 65}, "population: 65"),
        ({"population": 5, "parents": 5}, "parents: 5"),
        ({"learning_rate": 0.0}, "learning_rate: 0.0"),
        ({"generations": 0}, "generations: 0"),
    ],
)
def test_what_is_not_allowed_is_refused_before_anything_is_sent(board, board_model, wrong, message):
    with pytest.raises(ArgumentError, match=message):
        next(transfer(board, board_model, **wrong))
    assert not board.log
