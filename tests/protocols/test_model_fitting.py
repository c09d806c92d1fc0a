from dataclasses import replace

import numpy as np
import pytest

from protocols.model_fitting import RECIPES, Fit, Stage, fit, gradient_on_model, outputs_on_model
from protocols.networks import Network
from protocols.problems import Problem
from protocols.record import Record
from protocols.tasks import Classification, Examples, classification

STAGE = Stage(1.0, rows=3, trajectories=4, step=0.1, rates=(0.05, 0.01))


def make_fit(task="cosine", *, recipe="reset", layers=(3, 2), epochs=4, **choices):
    data = None if task == "cosine" else classification(task)
    problem = Problem(task, data)
    return Fit(
        problem=problem,
        network=Network(problem.inputs, layers, problem.outputs),
        recipe=replace(RECIPES[recipe], epochs=epochs, **choices),
        serial=recipe == "serial",
        temperature=0.1,
        observation_time=0.2 if recipe == "serial" else 0.5,
        seed=5,
    )


def drained(messages):
    """Run a generator of messages without an engine; return its messages and what it returns."""
    taken = []
    while True:
        try:
            taken.append(messages.send(None))
        except StopIteration as end:
            return taken, end.value


@pytest.mark.parametrize(
    ("task", "recipe", "choices"),
    [
        ("cosine", "reset", {"variance_weight": 0.1}),
        ("cosine", "serial", {"observations": 3, "burn_in": 0.3}),
        ("iris", "classes", {}),
    ],
)
def test_the_gradient_is_that_of_finite_differences_on_the_same_noise(board_model, task, recipe, choices):
    exercise = make_fit(task, recipe=recipe, **choices)
    inputs, target = exercise.problem.final()
    inputs, target = (
        inputs[::60] if task == "cosine" else inputs[::20],
        target[::60] if task == "cosine" else target[::20],
    )
    parameters = exercise.initial()

    def loss(changed):
        return gradient_on_model(board_model, exercise, STAGE, changed, inputs, target, 7)[0]

    _, gradient = gradient_on_model(board_model, exercise, STAGE, parameters, inputs, target, 7)
    for part in exercise.network.parts.values():
        index = part.start + int(np.argmax(np.abs(gradient[part])))
        shift = np.zeros(parameters.size)
        shift[index] = 1e-2
        # the samples are single precision
        slope = (loss(parameters + shift) - loss(parameters - shift)) / 2e-2
        assert gradient[index] == pytest.approx(slope, rel=0.02, abs=1e-4)


def test_stages_follow_each_other_and_their_rates_go_from_first_to_last():
    coarse, fine = (Stage(share, 4, 2, 0.1, (1.0, 0.0)) for share in (0.25, 0.75))
    exercise = make_fit(epochs=8, stages=(coarse, fine))
    places = [exercise.stage(epoch) for epoch in range(8)]
    assert [stage is coarse for stage, _ in places] == [True, True, *[False] * 6]
    assert [progress for _, progress in places] == pytest.approx([0, 1 / 2, 0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])


@pytest.mark.parametrize("epochs", [1, 2, 7])
def test_however_few_epochs_there_are_each_has_a_stage(epochs):
    exercise = make_fit(epochs=epochs)
    assert [exercise.stage(epoch)[0] in exercise.recipe.stages for epoch in range(epochs)] == [True] * epochs


def test_an_epoch_shows_every_example_once_in_an_order_of_its_own():
    exercise = make_fit("iris", recipe="classes", stages=(replace(STAGE, rows=30),))
    first, second = (list(exercise.batches(epoch)) for epoch in (0, 1))
    assert [len(labels) for _, labels in first] == [34, 33, 33]
    shown = np.concatenate([inputs for inputs, _ in first])
    train = exercise.problem.data.train
    assert sorted(map(tuple, shown)) == sorted(map(tuple, train.inputs))
    assert not np.array_equal(shown, np.concatenate([inputs for inputs, _ in second]))
    np.testing.assert_array_equal(shown, np.concatenate([inputs for inputs, _ in exercise.batches(0)]))


def test_images_are_moved_and_other_inputs_are_not():
    examples = Examples(np.eye(9), np.arange(9) % 2)
    moving = Classification("dots", examples, examples, 2, image=(3, 3))
    for data, moved in ((moving, True), (replace(moving, image=None), False)):
        exercise = replace(make_fit(recipe="classes"), problem=Problem("dots", data))
        ((inputs, labels),) = exercise.batches(0)
        same = (inputs.argmax(axis=1) % 2 == labels) & (inputs.sum(axis=1) == 1)
        assert same.all() != moved


def test_the_cells_of_the_first_layer_turn_within_the_inputs_of_a_function():
    exercise = make_fit(layers=(40, 8))
    parameters, parts = exercise.initial(), exercise.network.parts
    turns = parameters[:40] / parameters[parts["weights"]]
    assert 0 <= turns.min() < 0.2
    assert 0.8 < turns.max() <= 1


def test_a_fit_may_be_paused_after_every_update_and_records_what_it_has_learnt(board_model):
    exercise = make_fit(epochs=3)
    record = Record("epochs")
    messages, parameters = drained(fit(board_model, exercise, record))
    commands = [message.command for message in messages]
    assert commands == ["checkpoint", "create", "read", "save", "checkpoint"] * 3
    assert record.read()["epoch"]["value"] == 3
    np.testing.assert_array_equal(record.read()["parameters"]["value"], parameters)
    assert record.read()["trajectories"]["value"] == 16 * 16 + 32 * 32 + 32 * 64


def test_a_long_fit_is_recorded_in_about_sixty_events(board_model):
    exercise = make_fit(epochs=150, layers=(1,), stages=(replace(STAGE, rows=2, trajectories=2),))
    messages, _ = drained(fit(board_model, exercise, Record("epochs")))
    assert [message.command for message in messages].count("save") == 75


def test_equal_seeds_give_equal_programs_and_others_do_not(board_model):
    def fitted(seed):
        return drained(fit(board_model, replace(make_fit(epochs=3), seed=seed), Record("epochs")))[1]

    np.testing.assert_array_equal(fitted(1), fitted(1))
    assert not np.array_equal(fitted(1), fitted(2))


@pytest.mark.slow
def test_a_small_machine_learns_to_tell_flowers_apart(board_model):
    exercise = make_fit("iris", recipe="classes", layers=(8,), epochs=30, stages=(replace(STAGE, rows=20),))
    _, parameters = drained(fit(board_model, exercise, Record("epochs")))
    inputs, labels = exercise.problem.final()
    _, outputs = drained(
        outputs_on_model(board_model, exercise, parameters, inputs, shots=20, step=0.05, acquisition=1000)
    )
    assert np.mean(outputs.argmax(axis=1) == labels) > 0.85


def test_a_model_is_judged_by_the_mean_of_all_shots(board_model, monkeypatch):
    monkeypatch.setattr("protocols.model_fitting.LARGEST_CHUNK", 20)
    exercise = make_fit()
    parameters = exercise.initial()
    inputs = np.linspace(0, 1, 5)[:, np.newaxis]
    taken = []
    run = board_model.run

    def noted(*arguments, **settings):
        taken.append(run(*arguments, **settings))
        return taken[-1]

    board_model.run = noted
    messages, outputs = drained(
        outputs_on_model(board_model, exercise, parameters, inputs, shots=10, step=0.1, acquisition=3)
    )
    samples = np.concatenate([each.samples.reshape(5, -1, 2) for each in taken], axis=1)
    assert samples.shape == (5, 10, 2)
    assert len(messages) == 3
    np.testing.assert_allclose(outputs, samples.mean(axis=1) @ exercise.network.readout(parameters).T, rtol=1e-5)
