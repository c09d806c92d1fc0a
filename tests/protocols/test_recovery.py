from dataclasses import replace

import numpy as np
import pytest

from protocols.acquisition import recorded
from protocols.model_fitting import RECIPES, Fit
from protocols.networks import Network
from protocols.problems import Problem
from protocols.record import Record
from protocols.recovery import (
    Effort,
    Recovery,
    feedback_gradient,
    recover_by_feedback,
    recover_by_selection,
    steps_until,
)
from protocols.tasks import classification
from protocols.verdicts import Verdict, deploy, judge_on_board, judging_settings

SETTINGS = {"temperature": 0.1, "sampling": "reset", "shots": [40], "observation_time": 3.0}


def make_fit(task="cosine", layers=(3,)):
    problem = Problem(task, None if task == "cosine" else classification(task))
    return Fit(
        problem=problem,
        network=Network(problem.inputs, layers, problem.outputs),
        recipe=replace(RECIPES["reset" if task == "cosine" else "classes"], epochs=1),
        serial=False,
        temperature=SETTINGS["temperature"],
        observation_time=SETTINGS["observation_time"],
        seed=2,
    )


@pytest.fixture
def recover(board, engine):
    """Recover on the board by one of the ways from the first parameters of a fit."""

    def recovered(way, exercise, effort, **choices):
        start = exercise.initial()

        def body():
            yield from deploy(board, exercise, judging_settings(SETTINGS))
            verdict = yield from judge_on_board(board, exercise, start, shots=40, seed=1)
            recovery = Recovery("genetic", [start], [verdict])
            return (yield from way(board, exercise, recovery, effort, Record("learning"), shots=40, **choices))

        return engine.run(recorded(board, "test", {}, body()))

    return recovered


@pytest.mark.slow
def test_selection_lowers_the_loss_and_counts_what_it_took(recover, board):
    exercise = make_fit("iris", layers=(4,))
    effort = Effort(steps=6, rows=40, shots=8)
    choices = {"population": 20, "parents": 4, "mutation": 0.5}
    recovery = recover(recover_by_selection, exercise, effort, **choices)
    losses = [verdict.loss for verdict in recovery.verdicts]
    assert min(losses[1:]) < 0.8 * losses[0]
    assert recovery.samples == [20 * 40 * 8 * step for step in range(7)]
    assert np.all(np.diff(recovery.board_seconds) > 0)
    assert [name for name, _ in board.log].count("trigger") == 1 + 2 * 6


def test_what_is_judged_is_the_mean_of_the_parents(recover, board):
    exercise = make_fit()
    recovery = recover(recover_by_selection, exercise, Effort(1, 4, 2), population=6, parents=6, mutation=0.1)
    candidates = [value for name, value in board.log if name == "programs"][1]
    biases = np.mean([program.bias for program in candidates.values()], axis=0)
    np.testing.assert_allclose(recovery.programs[-1][:3], biases)


@pytest.mark.slow
def test_feedback_from_fluctuations_lowers_the_loss(recover, board):
    exercise = make_fit("iris", layers=(4,))
    recovery = recover(recover_by_feedback, exercise, Effort(steps=8, rows=40, shots=30), learning_rate=0.1)
    losses = [verdict.loss for verdict in recovery.verdicts]
    assert losses[-1] < 0.8 * losses[0]
    assert recovery.samples[-1] == 8 * 40 * 30


@pytest.mark.slow
@pytest.mark.parametrize("task", ["cosine", "iris"])
def test_the_feedback_on_a_relaxed_board_is_the_gradient_of_the_loss(board_model, task):
    exercise = make_fit(task)
    parameters, inputs, target = exercise.initial() / 2, *(part[::50] for part in exercise.problem.final())
    network = exercise.network

    def samples(changed):
        run = board_model.run(
            network.program(changed), inputs, temperature=0.1, trajectories=4000, observation_time=4.0, step=0.05
        )
        return np.asarray(run.samples[:, :, 0], dtype=float)

    def loss(changed):
        outputs = samples(changed).mean(axis=1) @ network.readout(changed).T
        return exercise.problem.losses(outputs[np.newaxis], target)[0]

    gradient = feedback_gradient(exercise, parameters, samples(parameters), inputs, target)
    shift = gradient / np.linalg.norm(gradient) * 0.02
    # on the same noise; the derivative along the gradient is its length
    slope = (loss(parameters + shift) - loss(parameters - shift)) / 0.04
    assert slope == pytest.approx(np.linalg.norm(gradient), rel=0.1)


@pytest.mark.parametrize(("accuracy", "kept"), [(None, 1), (0.5, 2)])
def test_the_best_step_of_a_function_is_kept_and_of_classes_the_last(accuracy, kept):
    verdicts = [Verdict(np.zeros((1, 1)), loss, accuracy, 0, 0.0) for loss in (0.3, 0.1, 0.2)]
    assert Recovery("genetic", [np.zeros(1)] * 3, verdicts).kept == kept


def test_the_first_step_that_has_recovered_tells_what_it_took():
    nothing = Verdict(np.zeros((1, 1)), 1.0, None, 0, 0.0)
    recovery = Recovery("genetic", [np.zeros(1)], [nothing])
    for _ in range(3):
        recovery.add(np.ones(1), nothing, 100, 0.5)
    told = steps_until(recovery, [False, False, True, False])
    assert told == {"steps_to_recover": 2, "samples_to_recover": 200, "board_seconds_to_recover": 1.0}
    assert set(steps_until(recovery, [False] * 4).values()) == {None}
